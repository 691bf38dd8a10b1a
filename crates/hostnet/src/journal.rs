//! What setup runs have done, on disk before it is done, and the lock that makes two runs wait for each other.
//!
//! One JSON object a line in `journal`, in a folder that only root writes. The lock is a flock on the folder itself,
//! so there is no lock file to leave behind; only root can open it, because whoever can read it could hold the lock. What is on the host is always read from the host; the journal adds the
//! order in which to undo, and whose an address is where the kernel cannot keep our mark.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::step::Step;

/// Between two looks whether the lock is free.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The boot and the network namespace in which a step was done: elsewhere its kernel part does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Realm {
    boot: String,
    netns: String,
}

impl Realm {
    pub(crate) fn here() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let netns = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
        Self { boot: boot.trim().to_owned(), netns: netns.to_string_lossy().into_owned() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Step {
        realm: Realm,
        #[serde(flatten)]
        step: Step,
    },
    /// What nftables had before the first step, to tell what iptables-nft made for us.
    Before { realm: Realm, before: Vec<String> },
    /// Why fd00:ec2::254 could not be led here: with `ipv6 = "auto"` it is not tried again.
    NoIpv6 { realm: Realm, no_ipv6: String },
    /// A person said `--force`: later runs, at boot, go by it too.
    Forced { forced: bool },
}

/// The entries of a journal, oldest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entries(Vec<Entry>);

impl Entries {
    /// Reads a journal without its lock. A missing one is empty; a line that a crash cut short is skipped.
    pub(crate) fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("journal");
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Self(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Io { action: "read".into(), target: path, source }),
        }
    }

    pub(crate) fn is_forced(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry, Entry::Forced { forced: true }))
    }

    /// The names of nftables' tables and chains before our first step here, if they could be read then.
    pub(crate) fn before<'a>(&'a self, here: &Realm) -> Option<&'a [String]> {
        self.0.iter().find_map(|entry| match entry {
            Entry::Before { realm, before } if realm == here => Some(before.as_slice()),
            _ => None,
        })
    }

    /// Why IPv6 is left out here, if it is.
    pub(crate) fn no_ipv6<'a>(&'a self, here: &Realm) -> Option<&'a str> {
        self.0.iter().find_map(|entry| match entry {
            Entry::NoIpv6 { realm, no_ipv6 } if realm == here => Some(no_ipv6.as_str()),
            _ => None,
        })
    }

    /// Steps whose effect can still be there, oldest first.
    pub(crate) fn steps<'a>(&'a self, here: &'a Realm) -> impl DoubleEndedIterator<Item = &'a Step> {
        self.0.iter().filter_map(move |entry| match entry {
            Entry::Step { realm, step } if realm == here || !step.is_volatile() => Some(step),
            _ => None,
        })
    }
}

/// The journal, locked for this run.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    realm: Realm,
    entries: Entries,
    /// Held until the journal is dropped.
    _lock: Flock<File>,
}

impl Journal {
    /// Waits for other runs, as long as `patience`, and reads the entries. The folder is made if need be.
    pub(crate) fn lock(folder: &Path, patience: Duration) -> Result<Self, Error> {
        let deadline = Instant::now() + patience;
        let failed =
            |action: &str, source| Error::Io { action: action.into(), target: folder.into(), source };
        loop {
            make_folder(folder).map_err(|source| failed("make the state directory", source))?;
            let opened = match File::open(folder) {
                // Another run took it away between the two calls.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(|source| failed("open", source))?,
            };
            close_to_others(&opened);
            let lock = match lock_until(opened, deadline) {
                Err(Errno::EWOULDBLOCK) => {
                    return Err(Error::Busy { folder: folder.into(), seconds: patience.as_secs() });
                }
                lock => lock.map_err(|errno| failed("lock", errno.into()))?,
            };
            let held = lock.metadata().map_err(|source| failed("look at", source))?;
            // While we waited the holder may have removed the folder: then ours is a lock on nothing.
            if std::fs::metadata(folder).is_ok_and(|now| now.ino() == held.ino() && now.dev() == held.dev()) {
                if held.uid() != 0 || held.mode() & 0o022 != 0 {
                    let source =
                        io::Error::other("others than root can write to it (chown root, chmod go-w)");
                    return Err(failed("trust the state directory", source));
                }
                let entries = Entries::read(folder)?;
                return Ok(Self { folder: folder.into(), realm: Realm::here(), entries, _lock: lock });
            }
        }
    }

    pub(crate) fn entries(&self) -> &Entries {
        &self.entries
    }

    /// Puts a step on disk, before it is done.
    pub(crate) fn record(&mut self, step: &Step) -> Result<(), Error> {
        let entry = Entry::Step { realm: self.realm.clone(), step: step.clone() };
        self.append(entry)
    }

    pub(crate) fn record_forced(&mut self) -> Result<(), Error> {
        if self.entries.is_forced() { Ok(()) } else { self.append(Entry::Forced { forced: true }) }
    }

    pub(crate) fn record_no_ipv6(&mut self, why: &str) -> Result<(), Error> {
        let entry = Entry::NoIpv6 { realm: self.realm.clone(), no_ipv6: why.to_owned() };
        self.append(entry)
    }

    /// Remembers what nftables has before the first step in this boot and namespace.
    pub(crate) fn record_before(&mut self, names: Vec<String>) -> Result<(), Error> {
        if self.entries.before(&self.realm).is_some() {
            return Ok(());
        }
        let entry = Entry::Before { realm: self.realm.clone(), before: names };
        self.append(entry)
    }

    /// How much is recorded: for [`Journal::forget_since`].
    pub(crate) fn len(&self) -> usize {
        self.entries.0.len()
    }

    /// Forgets the entries of a run that was undone.
    pub(crate) fn forget_since(&mut self, len: usize) -> Result<(), Error> {
        let kept = self.entries.0[..len].to_vec();
        if kept.is_empty() { self.clear() } else { self.rewrite(kept) }
    }

    /// Drops what a reboot has undone, and steps that were recorded before, so that the journal does not grow.
    pub(crate) fn compact(&mut self) -> Result<(), Error> {
        let here = &self.realm;
        let mut kept: Vec<Entry> = Vec::new();
        // Of the same entry the last one counts: what was deleted in between is there again.
        for entry in self.entries.0.iter().rev() {
            let live = match entry {
                Entry::Step { realm, step } => realm == here || !step.is_volatile(),
                Entry::Before { realm, .. } | Entry::NoIpv6 { realm, .. } => realm == here,
                Entry::Forced { .. } => true,
            };
            if live && !kept.contains(entry) {
                kept.push(entry.clone());
            }
        }
        kept.reverse();
        if kept.len() == self.entries.0.len() { Ok(()) } else { self.rewrite(kept) }
    }

    fn rewrite(&mut self, kept: Vec<Entry>) -> Result<(), Error> {
        let new = self.folder.join("journal.new");
        let lines = kept.iter().map(line_of).collect::<Result<Vec<_>, _>>().and_then(|lines| {
            std::fs::write(&new, lines.concat())?;
            File::open(&new)?.sync_all()?;
            std::fs::rename(&new, self.path())
        });
        lines.map_err(|source| self.failed(source))?;
        self.entries.0 = kept;
        Ok(())
    }

    /// Forgets everything and takes the folder away: the host is as it was.
    pub(crate) fn clear(&mut self) -> Result<(), Error> {
        let gone = crate::file::remove_if_there(&self.path())
            .and_then(|()| crate::file::remove_if_there(&self.folder.join("journal.new")));
        gone.map_err(|source| self.failed(source))?;
        self.entries.0.clear();
        Ok(())
    }

    fn append(&mut self, entry: Entry) -> Result<(), Error> {
        let appended = line_of(&entry).and_then(|line| {
            let mut file = OpenOptions::new().append(true).create(true).open(self.path())?;
            // A crash can have cut the last line short: ours starts on a line of its own.
            let text = std::fs::read(self.path())?;
            let lead = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
            file.write_all(format!("{lead}{line}").as_bytes())?;
            file.sync_all()?;
            crate::file::sync_folder_of(&self.path())
        });
        appended.map_err(|source| self.failed(source))?;
        self.entries.0.push(entry);
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.folder.join("journal")
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Io { action: "write the journal".into(), target: self.path(), source }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // A run that had nothing to remember leaves no folder behind. rmdir refuses one that is not empty.
        if self.entries.0.is_empty() && !self.path().exists() {
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

fn line_of(entry: &Entry) -> io::Result<String> {
    Ok(format!("{}\n", serde_json::to_string(entry)?))
}

/// EWOULDBLOCK when another has it past the deadline.
fn lock_until(mut folder: File, deadline: Instant) -> Result<Flock<File>, Errno> {
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Err((same, Errno::EWOULDBLOCK)) if Instant::now() < deadline => folder = same,
            lock => return lock.map_err(|(_, errno)| errno),
        }
        // flock(2) has no time limit of its own.
        std::thread::sleep(LOCK_PAUSE);
    }
}

/// Earlier versions left the folder open to readers. One that others can write to is not mended but refused.
fn close_to_others(folder: &File) {
    let closed = folder.metadata().and_then(|found| {
        let is_open = found.uid() == 0 && found.mode() & 0o022 == 0 && found.mode() & 0o077 != 0;
        if is_open { folder.set_permissions(Permissions::from_mode(0o700)) } else { Ok(()) }
    });
    if let Err(error) = closed {
        log::debug!("chmod 700 the state directory: {error}");
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
