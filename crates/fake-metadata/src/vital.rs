//! Threads that must live: a panic in one ends the process, so that the supervisor restarts it
//! instead of letting it limp.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

/// The exit code after a panic in a thread that must live (`EX_SOFTWARE` of sysexits.h).
const BROKEN: i32 = 70;

/// Starts a thread whose panic ends the process.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let thread = name.to_owned();
    Builder::new().name(name.into()).spawn(move || guard(&thread, work))
}

/// Runs `work` on this thread; a panic in it ends the process.
pub(crate) fn guard<T>(name: &str, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        log::error!("the {name} thread panicked: ending, to be started again by the supervisor");
        log::logger().flush();
        std::process::exit(BROKEN)
    })
}

/// Sends panics to the log, where their thread is named.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        log::error!("panic in thread {}: {info}", thread.name().unwrap_or("?"));
        log::logger().flush();
    }));
}
