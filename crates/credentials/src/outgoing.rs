//! The second thread: a runtime for everything that talks to the outside, started when first needed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A runtime for outgoing work. Cheap to clone; the thread ends when the last clone goes.
#[derive(Clone)]
pub struct Outgoing(Arc<Inner>);

enum Inner {
    Given(Handle),
    Lazy(Mutex<Option<Running>>),
}

struct Running {
    handle: Handle,
    /// Dropped with the last clone, which ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Outgoing {
    /// A thread of its own with a current-thread runtime, not started yet.
    pub fn own_thread() -> Self {
        Outgoing(Arc::new(Inner::Lazy(Mutex::new(None))))
    }

    /// A runtime that is there already.
    pub fn on(handle: Handle) -> Self {
        Outgoing(Arc::new(Inner::Given(handle)))
    }

    /// The runtime, started now if it was not. Fails where the system refuses a thread.
    pub fn handle(&self) -> io::Result<Handle> {
        let lazy = match &*self.0 {
            Inner::Given(handle) => return Ok(handle.clone()),
            Inner::Lazy(lazy) => lazy,
        };
        let mut running = lazy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = &*running {
            return Ok(running.handle.clone());
        }
        let started = start()?;
        let handle = started.handle.clone();
        *running = Some(started);
        Ok(handle)
    }

    /// Whether the thread has been started.
    pub fn started(&self) -> bool {
        match &*self.0 {
            Inner::Given(_) => true,
            Inner::Lazy(lazy) => lazy.lock().unwrap_or_else(PoisonError::into_inner).is_some(),
        }
    }
}

fn start() -> io::Result<Running> {
    let runtime = Builder::new_current_thread().enable_all().thread_name("outgoing-file").build()?;
    let handle = runtime.handle().clone();
    let (alive, ended) = oneshot::channel::<()>();
    std::thread::Builder::new().name("outgoing".into()).spawn(move || {
        let _ = runtime.block_on(ended);
        // A file on a dead network mount must not hold up the end of the process.
        runtime.shutdown_background();
    })?;
    Ok(Running { handle, _alive: alive })
}

/// Ends the process when the task that holds it panics: a refresh that has died would leave every
/// client with credentials that run out. The supervisor starts the daemon again.
pub(crate) struct MustLive(pub(crate) &'static str);

impl Drop for MustLive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            log::error!("the {} task panicked: ending, to be started again by the supervisor", self.0);
            log::logger().flush();
            std::process::abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_is_started_by_the_first_use_and_only_then() {
        let outgoing = Outgoing::own_thread();
        assert!(!outgoing.started());
        let (sender, receiver) = std::sync::mpsc::channel();
        outgoing
            .handle()
            .unwrap()
            .spawn(async move { sender.send(std::thread::current().name().map(str::to_owned)) });
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("outgoing"));
        assert!(outgoing.started());
    }
}
