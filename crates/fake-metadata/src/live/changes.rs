//! All live changes that are in force.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::change::{Change, Target, user_data};

/// A change, and whether it outlives the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    change: Change,
    persist: bool,
}

/// Every change in force, by what it applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(BTreeMap<Target, Entry>);

/// What is changed of the instance itself, so that everything that follows from it is changed too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InstanceChanges {
    /// Key to value, `None` for a tag that is gone.
    pub(crate) tags: BTreeMap<String, Option<String>>,
    /// `Some(None)` for no user data at all.
    pub(crate) user_data: Option<Option<Bytes>>,
}

impl InstanceChanges {
    /// The instance with these changes.
    pub(crate) fn apply(&self, spec: &mut imds::InstanceSpec) -> Result<(), String> {
        if !self.tags.is_empty() && spec.instance_metadata_tags == Some(imds::TagsSetting::Disabled) {
            return Err(
                "tags are not shown: set instance-metadata-tags = \"enabled\" under [instance]".into()
            );
        }
        for (key, value) in &self.tags {
            let tags = spec.tags.get_or_insert_default();
            match value {
                Some(value) => tags.insert(key.clone(), value.clone()),
                None => tags.remove(key),
            };
        }
        if let Some(data) = &self.user_data {
            spec.user_data = None;
            spec.user_data_base64 = None;
            spec.user_data_file = None;
            spec.user_data_bytes = data.clone();
        }
        Ok(())
    }
}

impl InstanceChanges {
    /// The same changes to an instance that was recorded.
    pub(crate) fn edits(&self, recording: &imds::Recording) -> Result<imds::Overrides, imds::TreeError> {
        let mut edits = recording.tag_edits(&self.tags)?;
        match &self.user_data {
            Some(Some(data)) => edits.set("user-data", data.clone())?,
            Some(None) => edits.remove("user-data")?,
            None => {}
        }
        Ok(edits)
    }
}

impl Changes {
    /// Adds changes, all or none; each replaces an earlier one of the same thing.
    pub(crate) fn add(&mut self, changes: Vec<Change>, persist: bool) -> Result<(), String> {
        let checked: Result<Vec<_>, String> = changes.into_iter().map(Change::checked).collect();
        self.0.extend(checked?.into_iter().map(|(target, change)| (target, Entry { change, persist })));
        Ok(())
    }

    /// The change of a path.
    pub(crate) fn of_path(&self, path: &str) -> Option<&Change> {
        self.0.get(&Target::Path(path.to_owned())).map(|entry| &entry.change)
    }

    /// Takes the change of a path back.
    pub(crate) fn forget_path(&mut self, path: &str) {
        self.0.remove(&Target::Path(path.to_owned()));
    }

    /// Takes the change of a tag back.
    pub(crate) fn forget_tag(&mut self, key: &str) {
        self.0.remove(&Target::Tag(key.to_owned()));
    }

    /// Changes of the tree by path.
    pub(crate) fn edits(&self) -> imds::Overrides {
        let mut edits = imds::Overrides::default();
        for entry in self.0.values() {
            let done = match &entry.change {
                Change::Set { path, value } => edits.set(path, value.clone()),
                Change::Remove { path } => edits.remove(path),
                _ => Ok(()),
            };
            done.expect("the path was checked when the change was added");
        }
        edits
    }

    pub(crate) fn instance(&self) -> InstanceChanges {
        let mut instance = InstanceChanges::default();
        for entry in self.0.values() {
            match &entry.change {
                Change::Tag { key, value } => {
                    instance.tags.insert(key.clone(), value.clone());
                }
                Change::UserData { base64 } => {
                    let data = base64.as_deref().map(user_data).transpose();
                    instance.user_data = Some(data.expect("it was decoded when the change was added"));
                }
                _ => {}
            }
        }
        instance
    }

    /// The changed token mode.
    pub(crate) fn tokens(&self) -> Option<imds::TokenMode> {
        self.0.get(&Target::Tokens).and_then(|entry| match entry.change {
            Change::Tokens { mode } => Some(mode),
            _ => None,
        })
    }

    /// The changed switch of the endpoint.
    pub(crate) fn endpoint(&self) -> Option<imds::Endpoint> {
        self.0.get(&Target::Endpoint).and_then(|entry| match entry.change {
            Change::Endpoint { mode } => Some(mode),
            _ => None,
        })
    }

    /// The default role that a command chose; `Some(None)`: that there be none.
    pub(crate) fn default_role(&self) -> Option<Option<&str>> {
        self.0.get(&Target::DefaultRole).and_then(|entry| match &entry.change {
            Change::DefaultRole { role } => Some(role.as_deref()),
            _ => None,
        })
    }

    /// The profiles that commands chose, by role.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().filter_map(|entry| match &entry.change {
            Change::Profile { role, profile } => Some((role.as_str(), profile.as_str())),
            _ => None,
        })
    }

    /// Takes the choices of a default role and of profiles back; whether there were any.
    pub(crate) fn forget_roles(&mut self) -> bool {
        let before = self.0.len();
        self.0.retain(|target, _| !matches!(target, Target::DefaultRole | Target::Profile(_)));
        self.0.len() < before
    }

    /// The changes that outlive the daemon.
    pub(crate) fn kept(&self) -> Vec<&Change> {
        self.0.values().filter(|entry| entry.persist).map(|entry| &entry.change).collect()
    }

    /// What `status` shows.
    pub(crate) fn list(&self) -> Vec<Value> {
        self.0
            .values()
            .map(|entry| json!({ "what": entry.change.describe(), "kept-across-restart": entry.persist }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(path: &str, value: &str) -> Change {
        Change::Set { path: path.into(), value: value.into() }
    }

    #[test]
    fn a_later_change_replaces_an_earlier_one_of_the_same_thing() {
        let mut changes = Changes::default();
        changes.add(vec![set("/meta-data/a/", "1"), set("meta-data/b", "1")], true).unwrap();
        changes.add(vec![set("meta-data/a", "2")], false).unwrap();
        assert_eq!(changes.kept(), [&set("meta-data/b", "1")]);
        let edits: Vec<String> =
            changes.edits().iter().map(|(path, edit)| format!("{path} {edit:?}")).collect();
        assert_eq!(edits, ["meta-data/a Value(b\"2\")", "meta-data/b Value(b\"1\")"]);
        let shown = changes.list();
        assert_eq!(shown[0], json!({ "what": "meta-data/a = 2", "kept-across-restart": false }));
    }

    #[test]
    fn of_several_changes_all_are_made_or_none() {
        let mut changes = Changes::default();
        assert!(changes.add(vec![set("meta-data/a", "1"), set("a//b", "1")], false).is_err());
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn tags_and_user_data_change_the_instance_itself() {
        let mut changes = Changes::default();
        let tag =
            |key: &str, value: Option<&str>| Change::Tag { key: key.into(), value: value.map(Into::into) };
        let data = Change::UserData { base64: Some("aGk=".into()) };
        changes.add(vec![tag("a", Some("1")), tag("b", None), data], false).unwrap();
        let mut spec = imds::InstanceSpec {
            tags: Some([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())].into()),
            user_data: Some("old".into()),
            ..Default::default()
        };
        changes.instance().apply(&mut spec).unwrap();
        let expected = [("a".to_owned(), "1".to_owned()), ("c".to_owned(), "3".to_owned())];
        assert_eq!(spec.tags, Some(expected.into()));
        assert_eq!((spec.user_data, spec.user_data_bytes), (None, Some(Bytes::from_static(b"hi"))));
        let mut hidden = imds::InstanceSpec {
            instance_metadata_tags: Some(imds::TagsSetting::Disabled),
            ..Default::default()
        };
        assert!(changes.instance().apply(&mut hidden).is_err());
    }
}
