//! Follows the mapping file: reads it again when it changes, and says in the log and to `status` when
//! that fails; what was read last stays in force then.
//!
//! inotify(7) on its folder tells at once, by whatever way the file is replaced. A slow look at its
//! time and size catches what inotify does not tell: network mounts, links that lead elsewhere.

use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::state::State;
use crate::vital;

/// How often the file is looked at when inotify says nothing, in milliseconds.
const LOOK: u16 = 10_000;

/// The watch over the mapping file in force.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    path: Option<PathBuf>,
    /// Dropped when another file is followed: the thread for this one then ends.
    alive: Option<Arc<()>>,
    error: Option<String>,
}

impl Watch {
    /// Follows this file from now on, on a thread of its own; nothing for `None`.
    pub(crate) fn follow(&self, path: Option<PathBuf>, state: Weak<State>) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.error = None;
        if watched.path == path {
            return;
        }
        watched.alive = path.clone().and_then(|path| {
            let alive = Arc::new(());
            let ours = Arc::downgrade(&alive);
            let name = path.display().to_string();
            match vital::spawn("mapping", move || follow(&path, &ours, &state)) {
                Ok(_) => Some(alive),
                Err(error) => {
                    log::error!("watch {name}: start a thread: {error}");
                    None
                }
            }
        });
        watched.path = path;
    }

    /// Notes how reading the file went.
    pub(crate) fn note(&self, error: Option<String>) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error.as_ref().filter(|error| watched.error.as_ref() != Some(*error)) {
            log::error!("{error}; the old mapping stays in force");
        }
        watched.error = error;
    }

    /// Why the file's present content is not in force, when it is not.
    pub(crate) fn error(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }
}

fn follow(path: &Path, alive: &Weak<()>, state: &Weak<State>) {
    let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let told = changes_in(folder).inspect_err(|error| {
        log::warn!("watch {}: {error}; looking at it every {} s instead", path.display(), LOOK / 1000);
    });
    // What changed between its first reading and the watch.
    let mut seen = None;
    let mut changed = true;
    while alive.strong_count() > 0 {
        let now = stamp(path);
        if changed || now != seen {
            let Some(state) = state.upgrade() else { return };
            state.reread_mapping();
        }
        seen = now;
        changed = wait(told.as_ref().ok());
    }
}

fn changes_in(folder: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
    inotify.add_watch(folder, flags)?;
    Ok(inotify)
}

/// Waits a while for events and takes all there are; whether there were any.
fn wait(told: Option<&Inotify>) -> bool {
    let mut watched: Vec<PollFd<'_>> =
        told.iter().map(|t| PollFd::new(t.as_fd(), PollFlags::POLLIN)).collect();
    // An interrupted wait is a short one.
    let _ = poll(&mut watched, PollTimeout::from(LOOK));
    let mut events = false;
    while told.is_some_and(|told| told.read_events().is_ok()) {
        events = true;
    }
    events
}

/// What changes when the file does.
fn stamp(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let of = |file: Metadata| (file.mtime(), file.mtime_nsec(), file.size(), file.ino());
    std::fs::metadata(path).ok().map(of)
}
