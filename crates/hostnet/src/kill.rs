//! The test hook for crashes: ends this process with SIGKILL at the N-th point of a run.
//!
//! A point is passed when a step's journal entry is on disk and the step is not done, when a new file is written and
//! not in place, before each step of an undoing, and at the end before and after the journal is done with. The binary
//! takes N from the environment variable `FAKE_METADATA_SETUP_KILL_AT`; without it nothing happens.

use std::cell::Cell;

/// Counts the points of one run.
#[derive(Debug, Default)]
pub(crate) struct Kill {
    at: Option<u32>,
    passed: Cell<u32>,
}

impl Kill {
    pub(crate) fn at(at: Option<u32>) -> Self {
        Self { at, passed: Cell::new(0) }
    }

    /// One more point is passed.
    pub(crate) fn point(&self) {
        self.passed.set(self.passed.get() + 1);
        if self.at == Some(self.passed.get()) {
            // SIGKILL to oneself does not return; if it were refused, abort() is as sudden.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
            std::process::abort();
        }
    }
}
