//! Follows the mapping file: reads it again when it changes, and says in the log and to `status` when
//! that fails; what was read last stays in force then.
//!
//! inotify(7) on its folder tells at once, by whatever way the file is replaced. A slow look at its
//! time and size catches what inotify does not tell: network mounts, links that lead elsewhere. Either way the
//! file is read when whoever writes it has finished: half of it would give callers the default role.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags as Told, InitFlags, Inotify, InotifyEvent};

use crate::state::State;
use crate::vital;

/// How often the file is looked at when inotify says nothing.
const LOOK: Duration = Duration::from_secs(10);
/// How long a file that was changed must have stayed as it is to be read, when inotify did not tell.
const SETTLE: Duration = Duration::from_secs(1);

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
        if watched.path == path {
            return;
        }
        watched.error = None;
        watched.alive = path.clone().and_then(|path| {
            let alive = Arc::new(());
            let ours = Arc::downgrade(&alive);
            let name = path.display().to_string();
            let told = changes_beside(&path).inspect_err(|error| {
                log::warn!("watch {name}: {error}; looking at it every {LOOK:?} instead");
            });
            match vital::spawn("mapping", move || follow(&path, told.ok(), &ours, &state)) {
                Ok(_) => Some(alive),
                Err(error) => {
                    log::error!("watch {name}: start a thread: {error}");
                    None
                }
            }
        });
        watched.path = path;
    }

    /// Notes how reading the file went, and what follows when it went wrong.
    pub(crate) fn note(&self, error: Option<String>, follows: &str) {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = error.as_ref().filter(|error| watched.error.as_ref() != Some(*error)) {
            log::error!("{error}; {follows}");
        }
        watched.error = error;
    }

    /// Why the file's present content is not in force, when it is not.
    pub(crate) fn error(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
    }
}

fn follow(path: &Path, mut told: Option<Inotify>, alive: &Weak<()>, state: &Weak<State>) {
    let mut reading = Reading::default();
    let mut next_look = Instant::now();
    while alive.strong_count() > 0 {
        let mut due = false;
        for event in events(&mut told) {
            due = reading.is_due(path, &event, due);
        }
        let now = Instant::now();
        if now >= next_look {
            // The folder may have come, or come back.
            told = told.or_else(|| changes_beside(path).ok());
            due |= reading.look(stamp(path));
            next_look = now + if reading.is_up_to_date() { LOOK } else { SETTLE };
        }
        if due {
            reading.read = Some(stamp(path));
            let Some(state) = state.upgrade() else { return };
            state.reread_mapping();
        }
        wait(told.as_ref(), next_look);
    }
}

/// What changes when the file does: its time, its size, which file it is.
type Stamp = (i64, i64, u64, u64);

/// What is known of the file, and whether it is to be read.
#[derive(Debug, Default)]
struct Reading {
    /// As it was when it was read last; `Some(None)`: it was not there.
    read: Option<Option<Stamp>>,
    /// As it was at the last look.
    looked: Option<Stamp>,
    /// Whether somebody has begun to write it and not finished.
    written: bool,
}

impl Reading {
    /// Whether the file is to be read after this event of its folder; `due`: whether it was before it.
    fn is_due(&mut self, path: &Path, event: &InotifyEvent, due: bool) -> bool {
        let link = path.is_symlink();
        let name = event.name.as_deref();
        if event.mask.contains(Told::IN_Q_OVERFLOW) {
            // It may have been finished among what was lost; a look tells.
            self.written = false;
        }
        if name.is_none() {
            return due;
        }
        if name != path.file_name() && !(link && name == target_beside(path).as_deref()) {
            // A link on the way may lead to another file now, which is whole.
            let led = event.mask.intersects(Told::IN_MOVED_TO | Told::IN_CREATE);
            let leads_to = || stamp(path).map(|stamp| stamp.3);
            return due
                || link && led && self.read.is_none_or(|read| read.map(|stamp| stamp.3) != leads_to());
        }
        // Nobody writes into a link, and a further link to a file is to a whole one.
        let is_link = || link || std::fs::metadata(path).is_ok_and(|file| file.nlink() > 1);
        let finished = event.mask.intersects(Told::IN_CLOSE_WRITE | Told::IN_MOVED_TO)
            || (event.mask.contains(Told::IN_CREATE) && is_link());
        self.written = !finished && event.mask.intersects(Told::IN_MODIFY | Told::IN_CREATE);
        (due || finished) && !self.written
    }

    /// Whether the file is to be read, as it is `now`: it is another than the one read last, and the same as at the
    /// look before.
    fn look(&mut self, now: Option<Stamp>) -> bool {
        let settled = self.looked == now;
        self.looked = now;
        settled && !self.written && !self.is_up_to_date()
    }

    fn is_up_to_date(&self) -> bool {
        self.read == Some(self.looked)
    }
}

/// The name of the file that a link leads to, where it lies in the same folder.
fn target_beside(link: &Path) -> Option<std::ffi::OsString> {
    let target = link.canonicalize().ok()?;
    let same = target.parent() == folder(link).canonicalize().ok().as_deref();
    target.file_name().filter(|_| same).map(OsStr::to_owned)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."))
}

fn changes_beside(path: &Path) -> io::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let begun = Told::IN_CREATE | Told::IN_MODIFY;
    let finished = Told::IN_CLOSE_WRITE | Told::IN_MOVED_TO;
    inotify.add_watch(folder(path), begun | finished | Told::IN_DELETE | Told::IN_MOVED_FROM)?;
    Ok(inotify)
}

/// Everything that was told; the watch is let go of when it has ended, as with its folder.
fn events(told: &mut Option<Inotify>) -> Vec<InotifyEvent> {
    let mut all = Vec::new();
    while let Some(Ok(more)) = told.as_ref().map(Inotify::read_events) {
        all.extend(more);
    }
    if all.iter().any(|event| event.mask.contains(Told::IN_IGNORED)) {
        *told = None;
    }
    all
}

/// Waits until something is told or the next look is due.
fn wait(told: Option<&Inotify>, until: Instant) {
    let mut watched: Vec<PollFd<'_>> =
        told.iter().map(|t| PollFd::new(t.as_fd(), PollFlags::POLLIN)).collect();
    // Rounded up: a wait that ends too early would be a busy one.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
    // An interrupted wait is a short one.
    let _ = poll(&mut watched, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.mtime(), file.mtime_nsec(), file.size(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    /// A file in a folder of its own, watched.
    struct Scene {
        folder: tempfile::TempDir,
        told: Option<Inotify>,
        reading: Reading,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("map");
            fs::write(&path, "10.0.0.1 a\n").unwrap();
            let told = changes_beside(&path).ok();
            let reading = Reading { read: Some(stamp(&path)), looked: stamp(&path), written: false };
            Scene { folder, told, reading }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// Whether the file is to be read after what has happened.
        fn is_due(&mut self) -> bool {
            let path = self.path("map");
            events(&mut self.told).iter().fold(false, |due, event| self.reading.is_due(&path, event, due))
        }

        fn look(&mut self) -> bool {
            let now = stamp(&self.path("map"));
            self.reading.look(now)
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_left_alone_until_it_is_closed() {
        let mut scene = Scene::new();
        let mut file = OpenOptions::new().write(true).truncate(true).open(scene.path("map")).unwrap();
        assert!(!scene.is_due());
        file.write_all(b"10.0.").unwrap();
        fs::write(scene.path("other"), "x").unwrap();
        fs::rename(scene.path("other"), scene.path("another")).unwrap();
        assert!(!scene.is_due());
        assert!(!scene.look() && !scene.look() && !scene.look(), "whoever writes it takes their time");
        file.write_all(b"0.1 b\n").unwrap();
        drop(file);
        assert!(scene.is_due());
    }

    #[test]
    fn a_file_that_is_written_again_at_once_is_read_once_it_is_closed_again() {
        let mut scene = Scene::new();
        fs::write(scene.path("map"), "10.0.0.1 b\n").unwrap();
        let file = fs::File::create(scene.path("map")).unwrap();
        assert!(!scene.is_due());
        drop(file);
        assert!(scene.is_due());
    }

    #[test]
    fn a_file_that_another_takes_the_place_of_is_read_at_once() {
        let mut scene = Scene::new();
        fs::write(scene.path("new"), "10.0.0.1 b\n").unwrap();
        assert!(!scene.is_due());
        fs::rename(scene.path("new"), scene.path("map")).unwrap();
        assert!(scene.is_due());
        fs::write(scene.path("new"), "10.0.0.1 c\n").unwrap();
        fs::remove_file(scene.path("map")).unwrap();
        fs::hard_link(scene.path("new"), scene.path("map")).unwrap();
        assert!(scene.is_due());
        fs::remove_file(scene.path("map")).unwrap();
        let file = fs::File::create(scene.path("map")).unwrap();
        assert!(!scene.is_due() && !scene.look() && !scene.look());
        drop(file);
        assert!(scene.is_due());
    }

    #[test]
    fn links_are_followed() {
        let mut scene = Scene::new();
        fs::write(scene.path("target"), "10.0.0.1 b\n").unwrap();
        fs::remove_file(scene.path("map")).unwrap();
        std::os::unix::fs::symlink("target", scene.path("map")).unwrap();
        assert!(scene.is_due());
        let file = OpenOptions::new().write(true).truncate(true).open(scene.path("target")).unwrap();
        assert!(!scene.is_due());
        drop(file);
        assert!(scene.is_due());
        // As Kubernetes does with its volumes.
        for version in ["one", "two"] {
            fs::create_dir(scene.path(version)).unwrap();
            fs::write(scene.path(version).join("map"), "10.0.0.1 c\n").unwrap();
        }
        std::os::unix::fs::symlink("one", scene.path("data")).unwrap();
        std::os::unix::fs::symlink("data/map", scene.path("link")).unwrap();
        fs::rename(scene.path("link"), scene.path("map")).unwrap();
        assert!(scene.is_due());
        scene.reading.read = Some(stamp(&scene.path("map")));
        std::os::unix::fs::symlink("two", scene.path("link")).unwrap();
        assert!(!scene.is_due());
        fs::rename(scene.path("link"), scene.path("data")).unwrap();
        assert!(scene.is_due());
    }

    #[test]
    fn a_look_reads_what_has_stayed_as_it_is() {
        let mut reading = Reading::default();
        let stamp = |size| Some((1, 1, size, 1));
        assert!(!reading.look(stamp(1)));
        assert!(reading.look(stamp(1)), "it may have changed since it was read first");
        reading.read = Some(stamp(1));
        assert!(!reading.look(stamp(1)) && !reading.look(stamp(2)) && !reading.look(stamp(3)));
        assert!(reading.look(stamp(3)));
        reading.read = Some(stamp(3));
        assert!(!reading.look(None));
        assert!(reading.look(None), "it is gone");
    }
}
