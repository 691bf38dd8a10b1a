//! The state directory: keys that are made once and outlive the daemon.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A folder that only its owner may enter.
const FOLDER_MODE: u32 = 0o700;

/// The state directory of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

/// A file of the state directory that could not be read or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{action} {path}: {cause} (give another folder with --state-dir or FAKE_METADATA_STATE_DIR)")]
    Io { action: &'static str, path: PathBuf, cause: io::Error },
    #[error("read {path}: {problem} (remove the file to have it made anew)")]
    Content { path: PathBuf, problem: String },
}

impl StateDir {
    pub(crate) fn new(path: PathBuf) -> Self {
        StateDir(path)
    }

    /// The bytes of the file `name`; `make` yields them when there is no such file. A file is never
    /// seen half-written, and of several processes that make it at once one wins for all.
    pub(crate) fn load_or_make<E>(
        &self,
        name: &str,
        mode: u32,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, StateError>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = self.0.join(name);
        if let Some(found) = read(&path)? {
            return Ok(found);
        }
        let bytes = make().map_err(|e| StateError::Io {
            action: "make",
            path: path.clone(),
            cause: io::Error::other(e),
        })?;
        match self.write_new(&path, mode, &bytes) {
            Ok(()) => Ok(bytes),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(read(&path)?.unwrap_or(bytes)),
            Err(cause) => Err(StateError::Io { action: "write", path, cause }),
        }
    }

    /// A secret of `N` random bytes, readable by its owner alone.
    pub(crate) fn secret<const N: usize>(&self, name: &str) -> Result<[u8; N], StateError> {
        let bytes = self.load_or_make(name, 0o600, || random::<N>().map(Vec::from))?;
        bytes.as_slice().try_into().map_err(|_| StateError::Content {
            path: self.0.join(name),
            problem: format!("{} bytes where {N} were expected", bytes.len()),
        })
    }

    /// The bytes of the file `name`, if there is one.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        read(&self.0.join(name))
    }

    /// Writes the file `name` anew; a reader sees the old one or the new one.
    pub(crate) fn replace(&self, name: &str, mode: u32, bytes: &[u8]) -> Result<(), StateError> {
        let path = self.0.join(name);
        let written = self.temporary(mode, bytes).and_then(|file| Ok(file.persist(&path)?));
        written.map(drop).map_err(|cause| StateError::Io { action: "write", path, cause })
    }

    /// Removes the file `name`; that there is none is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(StateError::Io { action: "remove", path, cause })
            }
            _ => Ok(()),
        }
    }

    /// The error for a file whose content is not what it should be.
    pub(crate) fn bad_content(&self, name: &str, problem: impl ToString) -> StateError {
        StateError::Content { path: self.0.join(name), problem: problem.to_string() }
    }

    fn write_new(&self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.temporary(mode, bytes)?.persist_noclobber(path).map_err(|e| e.error)?;
        Ok(())
    }

    /// A whole file of another name in the folder.
    fn temporary(&self, mode: u32, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(&self.0)?;
        let mut file =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(mode)).tempfile_in(&self.0)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    }
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(StateError::Io { action: "read", path: path.into(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().join("deep/state"));
        let first: [u8; 32] = state.secret("key").unwrap();
        assert_eq!(state.secret::<32>("key").unwrap(), first);
        let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("deep/state/key")), 0o600);
        assert_eq!(mode(&folder.path().join("deep/state")), 0o700);
        assert!(state.secret::<16>("key").unwrap_err().to_string().contains("remove the file"));
    }

    #[test]
    fn of_many_makers_one_wins_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().into());
        let made: Vec<[u8; 32]> = std::thread::scope(|s| {
            let makers: Vec<_> = (0..8).map(|_| s.spawn(|| state.secret("key").unwrap())).collect();
            makers.into_iter().map(|m| m.join().unwrap()).collect()
        });
        assert!(made.iter().all(|key| *key == made[0]));
    }
}
