//! Instance tags of a recording, changed while it is served: each is a path of its own, and all together are one
//! more.

use std::collections::BTreeMap;

use super::{Recorded, Recording};
use crate::documents;
use crate::instance::{Instance, InstanceSpec};
use crate::tree::{Overrides, TreeError};

const TAGS: &str = "meta-data/tags/instance/";
const TAG_SET: &str = "meta-data/tag-sets/instance";

impl Recording {
    /// The tags that the recorded instance showed, in the newest version.
    pub fn tags(&self) -> BTreeMap<String, String> {
        let newest = self.versions.values().next_back().into_iter().flatten();
        let values = newest.filter_map(|(path, recorded)| match (path.strip_prefix(TAGS), recorded) {
            (Some(key), Recorded::Value(value)) => {
                Some((key.to_owned(), String::from_utf8_lossy(value).into_owned()))
            }
            _ => None,
        });
        values.collect()
    }

    /// What has to change for the instance to have these tags (`None`: not to have them) beside those it had.
    ///
    /// The set of all tags is changed too, unless the recording has tags and no such set.
    ///
    /// # Errors
    /// [`TreeError`], when a key cannot be a tag's.
    pub fn tag_edits(&self, changes: &BTreeMap<String, Option<String>>) -> Result<Overrides, TreeError> {
        let mut edits = Overrides::default();
        let mut tags = self.tags();
        let has_set = tags.is_empty() || self.value(TAG_SET).is_some();
        for (key, value) in changes {
            let path = format!("{TAGS}{key}");
            match value {
                Some(value) => {
                    checked(key, value)?;
                    edits.set(&path, value.clone())?;
                    tags.insert(key.clone(), value.clone());
                }
                None => {
                    edits.remove(&path)?;
                    tags.remove(key);
                }
            }
        }
        if has_set && !changes.is_empty() {
            edits.set(TAG_SET, documents::tag_set(&tags))?;
        }
        Ok(edits)
    }
}

/// Refuses what could not be a tag of an instance of our own either.
fn checked(key: &str, value: &str) -> Result<(), TreeError> {
    let spec =
        InstanceSpec { tags: Some([(key.to_owned(), value.to_owned())].into()), ..InstanceSpec::default() };
    let refused = Instance::resolve(&spec, jiff::Timestamp::UNIX_EPOCH).err();
    refused.map_or(Ok(()), |error| Err(TreeError::new(format!("tag {key}"), error.message)))
}
