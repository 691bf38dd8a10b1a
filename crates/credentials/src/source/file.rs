//! Credentials in a JSON file that something else writes. The file is read at each use, so that the
//! answer after a replacement, by rename or in place, is the new one; the store keeps the last good one
//! while the file is half-written.

use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use nix::libc::O_NONBLOCK;

use crate::credentials::Credentials;
use crate::document::{self, LONGEST};
use crate::failure::Failure;

/// Reads the file on a thread where waiting for a disk holds up nobody. A document that does not say
/// when it was updated was so when the file was written.
pub(crate) async fn fetch(path: &Path, now: Timestamp) -> Result<Credentials, Failure> {
    let name = path.to_owned();
    let content = tokio::task::spawn_blocking(move || read(&name))
        .await
        .map_err(|_| failed(path, "reading it was broken off", now))?
        .map_err(|e| failed(path, &said(&e), now))?;
    let written = Timestamp::try_from(content.written).unwrap_or(now).min(now);
    document::parse(&content.bytes, written).map_err(|e| {
        let mut hasher = DefaultHasher::new();
        (&content.bytes, content.written).hash(&mut hasher);
        Failure { evidence: hasher.finish(), ..failed(path, &e.to_string(), now) }
    })
}

fn failed(path: &Path, cause: &str, now: Timestamp) -> Failure {
    Failure::new(format!("read {}: {cause}", path.display()), now)
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".into(),
        io::ErrorKind::PermissionDenied => {
            "permission denied (the daemon's user must be able to read it)".into()
        }
        _ => error.to_string(),
    }
}

struct Content {
    bytes: Vec<u8>,
    written: SystemTime,
}

/// At most one byte more than a document may have. A pipe or a device in its place is refused, and
/// opening one does not wait.
fn read(path: &Path) -> io::Result<Content> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::with_capacity(2048);
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Content { bytes, written: metadata.modified()? })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: &str = "2026-11-21T10:00:00Z";

    async fn fetched(path: &Path) -> Result<Credentials, Failure> {
        fetch(path, NOW.parse().unwrap()).await
    }

    #[tokio::test]
    async fn what_is_no_readable_document_is_named_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        let said = |failure: Result<Credentials, Failure>| failure.unwrap_err().detail;
        assert_eq!(said(fetched(&path).await), format!("read {}: there is no such file", path.display()));
        fs::create_dir(&path).unwrap();
        assert_eq!(said(fetched(&path).await), format!("read {}: not a regular file", path.display()));
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(said(fetched(&path).await), format!("read {}: not a regular file", path.display()));
        fs::remove_file(&path).unwrap();
        fs::write(&path, r#"{"Version":1,"#).unwrap();
        assert_eq!(
            said(fetched(&path).await),
            format!("read {}: incomplete: the JSON ends too early", path.display())
        );
    }

    #[tokio::test]
    async fn the_time_of_writing_stands_in_for_a_missing_last_updated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, r#"{"Version":1,"AccessKeyId":"AKIAEXAMPLEEXAMPLE12","SecretAccessKey":"s"}"#)
            .unwrap();
        let written: Timestamp = "2026-11-20T08:00:00Z".parse().unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(written.into()).unwrap();
        assert_eq!(fetched(&path).await.unwrap().last_updated, written);
    }

    #[tokio::test]
    async fn another_broken_content_is_another_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        fs::write(&path, "{").unwrap();
        let first = fetched(&path).await.unwrap_err();
        assert!(fetched(&path).await.unwrap_err().repeats(&first));
        fs::write(&path, "{ ").unwrap();
        assert!(!fetched(&path).await.unwrap_err().repeats(&first));
    }
}
