//! Replacing a file of the system in one go.
//!
//! A symlink is followed and its target replaced; mode and owner are kept; a reader sees the old text or the new one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::kill::Kill;

/// Writes `text` in place of the content of `path`, which must exist.
pub(crate) fn replace(path: &Path, text: &[u8], kill: &Kill) -> io::Result<()> {
    let target = std::fs::canonicalize(path)?;
    let metadata = std::fs::metadata(&target)?;
    let temporary = temporary_beside(&target);
    remove_if_there(&temporary)?;
    let written = write_new(&temporary, text, &metadata).and_then(|()| {
        kill.point();
        std::fs::rename(&temporary, &target)
    });
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder_of(&target)
}

/// Takes away what a killed run may have left beside `path`.
pub(crate) fn remove_leftover(path: &Path) -> io::Result<()> {
    match std::fs::canonicalize(path) {
        Ok(target) => remove_if_there(&temporary_beside(&target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// One fixed name, so that the next run finds what a killed one left. `source DIR/*` does not match a dot file.
fn temporary_beside(target: &Path) -> PathBuf {
    let name = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    target.with_file_name(format!(".{name}.fake-metadata-new"))
}

fn write_new(path: &Path, text: &[u8], like: &std::fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    fchown(&file, Some(like.uid()), Some(like.gid()))?;
    file.set_permissions(like.permissions())?;
    file.sync_all()
}

/// Its absence is success. Looks first: on a read-only file system even removing nothing is refused.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(_) => std::fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
