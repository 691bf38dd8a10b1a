//! The front: the metadata address over HTTP/1, on one thread with a current-thread runtime.
//!
//! Nothing here opens a file, resolves a name, holds a lock across an await or computes for longer
//! than a request should take. What must be waited for is awaited by channel from threads that may
//! wait: the role store, the signer.
//!
//! `listen` opens sockets, `connections` bounds what is open, `activity` and `io` watch each one,
//! `limits` names the bounds, `service` is what hyper calls, `turn` one request under way, whose head `fields` reads,
//! `answer` is what it comes to, with `heads` and a `body`, `log_line` tells of it, `host` and `peer` say whom.

mod activity;
mod answer;
mod body;
mod connections;
mod fields;
mod heads;
mod host;
mod io;
mod limits;
pub(crate) mod listen;
mod log_line;
mod peer;
mod service;
mod turn;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::callers::Connection;
use crate::config::ConfigError;
use crate::identity::Signer;
use crate::state::State;
use activity::{Activity, Phase};
use connections::Connections;
use heads::Heads;
pub(crate) use host::Hosts;
use io::Watched;
use limits::Limits;
pub(crate) use peer::Peer;

/// How long accepting rests when no descriptor is to be had and no connection can give way.
const ACCEPT_REST: Duration = Duration::from_millis(10);
/// How long a connection may be silent before it counts as idle when we are told to stop: what has
/// been accepted in the last moment may have a request on its way.
const STOP_GRACE: Duration = Duration::from_millis(100);

/// What every connection shares.
pub(crate) struct Front {
    state: Arc<State>,
    signer: Signer,
    limits: Limits,
    connections: Connections,
    draining: AtomicBool,
    next_id: AtomicU64,
    nonces: Nonces,
    heads: Heads,
}

impl Front {
    pub(crate) fn new(state: Arc<State>, signer: Signer) -> std::io::Result<Arc<Self>> {
        let mut limits = Limits::DEFAULT;
        limits.connections = limits::connections_that_fit(limits.connections);
        Ok(Arc::new(Front {
            state,
            signer,
            limits,
            connections: Connections::new(limits),
            draining: AtomicBool::new(false),
            next_id: AtomicU64::new(0),
            nonces: Nonces::new()?,
            heads: Heads::default(),
        }))
    }

    fn nonce(&self, method: &http::Method) -> imds::Nonce {
        if method == http::Method::PUT { self.nonces.next() } else { imds::Nonce::default() }
    }

    /// Serves until `stop` is notified, then finishes what is in flight. Calls `ready` with the
    /// addresses once they answer, and ends when that fails.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listeners: Vec<std::net::TcpListener>,
        stop: Arc<Notify>,
        ready: impl AsyncFnOnce(&[SocketAddr]) -> Result<(), ConfigError>,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let listeners =
            listeners.into_iter().map(TcpListener::from_std).collect::<std::io::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
        let accepting: Vec<_> =
            listeners.into_iter().map(|listener| tokio::spawn(self.clone().accept(listener))).collect();
        let _sweeper = Sweeping::start(self.clone())?;
        tokio::select! {
            answer = ready(&addresses) => answer?,
            () = stop.notified() => stop.notify_one(),
        }
        stop.notified().await;
        for task in accepting {
            task.abort();
        }
        self.drain().await;
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    let makes_way = !self.connections.has_room() && self.connections.close_longest_idle();
                    self.open(stream, address);
                    if makes_way {
                        // Lets the closed one's task end, and with it its descriptor go.
                        tokio::task::yield_now().await;
                    }
                }
                Err(error) if is_of_the_connection(error.kind()) => {}
                Err(error) => {
                    if self.connections.close_longest_idle() {
                        tokio::task::yield_now().await;
                    } else {
                        log::warn!("accept: {error}");
                        tokio::time::sleep(ACCEPT_REST).await;
                    }
                }
            }
        }
    }

    fn open(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        // A connection whose own end cannot be told has been reset already.
        let Ok(ours) = stream.local_addr() else { return };
        let caller = Connection::new(Peer::new(address, || Some(ours.ip())), ours);
        self.state.finder.greet(&self.state.live().rules, &caller);
        let id = self.next_id.fetch_add(1, Relaxed);
        let activity = Arc::new(Activity::new());
        let listed = Listed { front: self.clone(), id };
        let task = tokio::spawn(talk(listed, stream, caller, activity.clone()));
        self.connections.add(id, activity, task.abort_handle());
    }

    /// Lets requests in flight end, closes what only waits.
    async fn drain(&self) {
        self.draining.store(true, Relaxed);
        let all_closed = async {
            while self.connections.len() > 0 {
                self.connections.close_silent(STOP_GRACE);
                let _ = tokio::time::timeout(STOP_GRACE, self.connections.closed.notified()).await;
            }
        };
        if tokio::time::timeout(self.limits.drain_time, all_closed).await.is_err() {
            log::warn!(
                "{} connections were still open after {:?}",
                self.connections.len(),
                self.limits.drain_time
            );
        }
    }
}

/// The thread that closes the connections that have passed a limit; it ends with this.
struct Sweeping(Arc<Front>);

impl Sweeping {
    fn start(front: Arc<Front>) -> std::io::Result<Self> {
        let swept = front.clone();
        std::thread::Builder::new().name("sweeper".into()).spawn(move || swept.connections.sweep())?;
        Ok(Sweeping(front))
    }
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.connections.end_sweeps();
    }
}

/// Errors of accept that belong to the connection that just failed, not to us (accept(2)).
fn is_of_the_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

/// A connection's place in the table, given up whichever way its task ends.
struct Listed {
    front: Arc<Front>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.front.connections.remove(self.id);
    }
}

async fn talk(listed: Listed, stream: TcpStream, caller: Connection, activity: Arc<Activity>) {
    let front = &listed.front;
    let io = Watched::new(stream, activity.clone());
    let service = service_fn(|request| {
        activity.enter(Phase::Busy);
        service::answer(front, &caller, &activity, request)
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        // It is among our own headers, in EC2's place.
        .auto_date_header(false)
        .half_close(true)
        .max_buf_size(front.limits.head_bytes)
        .serve_connection(io, service)
        .without_shutdown();
    match connection.await {
        Ok(parts) => {
            // Not idle: its last answer may still be on its way, and a stop must not cut it.
            activity.enter(Phase::Writing);
            finish(parts.io.into_inner(), &front.limits).await;
        }
        Err(error) => log::debug!("{}: {error}", caller.peer.address),
    }
}

/// Ends a connection so that its last answer arrives: the kernel resets a connection that is closed with
/// bytes unread, and the client then loses what was on its way. So those bytes are read and dropped, until
/// the client closes or a limit is reached.
async fn finish(stream: TcpStream, limits: &Limits) {
    if matches!(stream.try_read(&mut [0; 1]), Ok(1..)) {
        // In memory of its own, which the many connections that never come here do without.
        Box::pin(linger(stream, limits)).await;
    }
}

/// Reads and drops what a client still sends.
async fn linger(mut stream: TcpStream, limits: &Limits) {
    let drained = async {
        stream.shutdown().await?;
        let mut dropped = [0; 4096];
        let mut left = limits.linger_bytes;
        while left > 0 {
            match stream.read(&mut dropped).await? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // However that ends, the connection is closed.
    let _ = tokio::time::timeout(limits.linger_time, drained).await;
}

/// Random bytes for tokens: a random start of this process and a count, so that no two are alike
/// and no system call is made for each.
struct Nonces {
    start: u64,
    count: AtomicU64,
}

impl Nonces {
    fn new() -> std::io::Result<Self> {
        Ok(Nonces { start: getrandom::u64().map_err(std::io::Error::other)?, count: AtomicU64::new(0) })
    }

    fn next(&self) -> imds::Nonce {
        self.start.wrapping_add(self.count.fetch_add(1, Relaxed)).to_be_bytes()
    }
}
