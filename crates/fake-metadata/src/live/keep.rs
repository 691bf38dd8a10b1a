//! Live changes that outlive the daemon: a JSON list in the state directory. Like user data it may hold
//! what only its owner should read.

use super::{Change, Changes};
use crate::state_dir::{StateDir, StateError};

const FILE: &str = "changes.json";
const MODE: u32 = 0o600;

/// The changes kept from before, first those that say who may ask at all.
pub(crate) fn load(directory: &StateDir) -> Result<Vec<Change>, StateError> {
    let Some(text) = directory.read(FILE)? else { return Ok(Vec::new()) };
    let mut kept: Vec<Change> = serde_json::from_slice(&text).map_err(|e| directory.bad_content(FILE, e))?;
    kept.sort_by_key(|change| !matches!(change, Change::Tokens { .. } | Change::Endpoint { .. }));
    Ok(kept)
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
    fn who_may_ask_is_read_first() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"[{"change":"user-data","base64":null},{"change":"tokens","mode":"required"}]"#;
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let kept = load(&StateDir::new(folder.path().into())).unwrap();
        assert_eq!(kept[0], Change::Tokens { mode: imds::TokenMode::Required });
    }

    #[test]
    fn what_is_kept_is_found_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let directory = StateDir::new(folder.path().into());
        assert_eq!(load(&directory).unwrap(), []);
        let tag = |key: &str| Change::Tag { key: key.into(), value: Some("x".into()) };
        let mut changes = Changes::default();
        changes.add(vec![tag("kept")], true).unwrap();
        changes.add(vec![tag("passing")], false).unwrap();
        changes.set_aside(tag("dormant"), "no such tag".into());
        save(&directory, &changes).unwrap();
        assert_eq!(load(&directory).unwrap(), [tag("dormant"), tag("kept")]);
        save(&directory, &Changes::default()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(load(&directory).unwrap_err().to_string().contains("remove the file"));
    }
}
