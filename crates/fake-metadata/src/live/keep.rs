//! Live changes that outlive the daemon: a JSON list in the state directory. Like user data it may hold
//! what only its owner should read.

use super::{Change, Changes};
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "changes.json";
const MODE: u32 = 0o600;

/// The changes kept from before.
pub(crate) fn load(directory: &StateDir) -> Result<Changes, StateError> {
    let mut changes = Changes::default();
    if let Some(text) = directory.read(FILE)? {
        let kept: Vec<Change> = serde_json::from_slice(&text).map_err(|e| directory.bad_content(FILE, e))?;
        changes.add(kept, true).map_err(|e| directory.bad_content(FILE, e))?;
    }
    Ok(changes)
}

/// Keeps those of `changes` that are to be kept, and no others.
pub(crate) fn save(directory: &StateDir, changes: &Changes) -> Result<(), StateError> {
    let kept = changes.kept();
    if kept.is_empty() {
        return directory.remove(FILE);
    }
    let text = serde_json::to_vec_pretty(&kept).expect("texts and nothing else");
    directory.replace(FILE, MODE, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDir::new(folder.path().into());
        assert_eq!(load(&directory).unwrap(), Changes::default());
        let tag = |key: &str| Change::Tag { key: key.into(), value: Some("x".into()) };
        let mut changes = Changes::default();
        changes.add(vec![tag("kept")], true).unwrap();
        let kept = changes.clone();
        changes.add(vec![tag("passing")], false).unwrap();
        save(&directory, &changes).unwrap();
        assert_eq!(load(&directory).unwrap(), kept);
        save(&directory, &Changes::default()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(load(&directory).unwrap_err().to_string().contains("remove the file"));
    }
}
