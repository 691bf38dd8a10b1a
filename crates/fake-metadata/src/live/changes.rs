//! All live changes that are in force.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::change::{Change, Target, parts, user_data};

/// A change, and whether it outlives the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    change: Change,
    persist: bool,
}

/// A change kept from before that does not fit what is configured now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dormant {
    change: Change,
    why: String,
}

/// Every change in force, by what it applies to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    in_force: BTreeMap<Target, Entry>,
    /// Kept on disk until they fit again, something else is said of the same thing, or a reset.
    dormant: BTreeMap<Target, Dormant>,
}

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
    /// Adds changes, all or none; each replaces an earlier one of the same thing, under whatever path that was.
    pub(crate) fn add(&mut self, changes: Vec<Change>, persist: bool) -> Result<(), String> {
        let checked: Result<Vec<_>, String> = changes.into_iter().map(Change::checked).collect();
        for (target, change) in checked? {
            self.dormant.remove(&target);
            self.in_force.retain(|_, earlier| !hides(&earlier.change, &change));
            self.dormant.retain(|_, earlier| !hides(&earlier.change, &change));
            self.in_force.insert(target, Entry { change, persist });
        }
        Ok(())
    }

    /// Keeps a change from before that cannot be made, for when it can be.
    pub(crate) fn set_aside(&mut self, change: Change, why: String) {
        self.dormant.insert(change.target(), Dormant { change, why });
    }

    /// Takes back what is said of something; whether anything was.
    fn forget(&mut self, target: &Target) -> bool {
        let was_in_force = self.in_force.remove(target).is_some();
        self.dormant.remove(target).is_some() || was_in_force
    }

    /// The change of a path.
    pub(crate) fn of_path(&self, path: &str) -> Option<&Change> {
        self.in_force.get(&Target::Path(path.to_owned())).map(|entry| &entry.change)
    }

    /// Takes the change of a path back; whether there was one.
    pub(crate) fn forget_path(&mut self, path: &str) -> bool {
        self.forget(&Target::Path(path.to_owned()))
    }

    /// Takes the change of a tag back.
    pub(crate) fn forget_tag(&mut self, key: &str) {
        self.forget(&Target::Tag(key.to_owned()));
    }

    /// Takes a tag back that was kept from before and does not fit; whether there was one.
    pub(crate) fn forget_dormant_tag(&mut self, key: &str) -> bool {
        self.dormant.remove(&Target::Tag(key.to_owned())).is_some()
    }

    /// Changes of the tree by path.
    pub(crate) fn edits(&self) -> imds::Overrides {
        let mut edits = imds::Overrides::default();
        for entry in self.in_force.values() {
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
        for entry in self.in_force.values() {
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
        self.in_force.get(&Target::Tokens).and_then(|entry| match entry.change {
            Change::Tokens { mode } => Some(mode),
            _ => None,
        })
    }

    /// The changed switch of the endpoint.
    pub(crate) fn endpoint(&self) -> Option<imds::Endpoint> {
        self.in_force.get(&Target::Endpoint).and_then(|entry| match entry.change {
            Change::Endpoint { mode } => Some(mode),
            _ => None,
        })
    }

    /// The default role that a command chose; `Some(None)`: that there be none.
    pub(crate) fn default_role(&self) -> Option<Option<&str>> {
        self.in_force.get(&Target::DefaultRole).and_then(|entry| match &entry.change {
            Change::DefaultRole { role } => Some(role.as_deref()),
            _ => None,
        })
    }

    /// The profiles that commands chose, by role.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = (&str, &str)> {
        self.in_force.values().filter_map(|entry| match &entry.change {
            Change::Profile { role, profile } => Some((role.as_str(), profile.as_str())),
            _ => None,
        })
    }

    /// Takes the choices of a default role and of profiles back; whether there were any.
    pub(crate) fn forget_roles(&mut self) -> bool {
        let before = self.in_force.len() + self.dormant.len();
        let is_other = |target: &Target| !matches!(target, Target::DefaultRole | Target::Profile(_));
        self.in_force.retain(|target, _| is_other(target));
        self.dormant.retain(|target, _| is_other(target));
        self.in_force.len() + self.dormant.len() < before
    }

    /// The changes that outlive the daemon, those that do not fit at present among them.
    pub(crate) fn kept(&self) -> Vec<&Change> {
        let dormant = self.dormant.iter().map(|(target, dormant)| (target, &dormant.change));
        let in_force = self.in_force.iter().filter(|(_, entry)| entry.persist);
        let kept = in_force.map(|(target, entry)| (target, &entry.change)).chain(dormant);
        kept.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// What `status` shows.
    pub(crate) fn list(&self) -> Vec<Value> {
        let in_force = self.in_force.values().map(
            |Entry { change, persist }| json!({ "what": change.describe(), "kept-across-restart": persist }),
        );
        let dormant = self.dormant.values().map(|Dormant { change, why }| {
            json!({ "what": change.describe(), "kept-across-restart": true, "not-made": why })
        });
        in_force.chain(dormant).collect()
    }
}

/// Whether an earlier change of a path would keep anybody from seeing a later one of the instance.
fn hides(earlier: &Change, later: &Change) -> bool {
    let (Change::Set { path, .. } | Change::Remove { path }) = earlier else { return false };
    let (_, path) = parts(path);
    match later {
        Change::UserData { .. } => path == "user-data",
        Change::Tag { key, .. } => {
            // A value that stands for all tags; that they are not shown at all may be wanted.
            let all = [
                "meta-data/tags",
                "meta-data/tags/instance",
                "meta-data/tag-sets",
                "meta-data/tag-sets/instance",
            ];
            path.strip_prefix("meta-data/tags/instance/") == Some(key)
                || (matches!(earlier, Change::Set { .. }) && all.contains(&path))
        }
        _ => false,
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
    fn a_change_of_the_instance_replaces_those_of_the_paths_that_show_it() {
        let left = |earlier: Vec<Change>, later: Change| {
            let mut changes = Changes::default();
            changes.add(earlier, true).unwrap();
            changes.set_aside(set("2009-04-04/user-data", "dormant"), "tried".into());
            changes.add(vec![later], true).unwrap();
            changes.kept().into_iter().map(Change::name).collect::<Vec<_>>()
        };
        let remove = |path: &str| Change::Remove { path: path.into() };
        let data = Change::UserData { base64: None };
        let earlier =
            vec![set("user-data", "x"), remove("latest/user-data"), set("2021-03-23/user-data", "x")];
        assert_eq!(left(earlier, data), ["user-data"]);
        let tag = Change::Tag { key: "Name".into(), value: Some("x".into()) };
        let mut earlier: Vec<Change> =
            ["tags/instance/Name", "tags/instance/Other", "tag-sets/instance", "mine"]
                .map(|path| set(&format!("meta-data/{path}"), "x"))
                .into();
        earlier.push(remove("latest/meta-data/tags/instance/Name"));
        let kept = ["tag Name", "2009-04-04/user-data", "meta-data/mine", "meta-data/tags/instance/Other"];
        assert_eq!(left(earlier, tag.clone()), kept);
        assert_eq!(left(vec![set("meta-data/tags", "x")], tag.clone()), ["tag Name", "2009-04-04/user-data"]);
        assert_eq!(left(vec![remove("meta-data/tags")], tag).len(), 3);
    }

    #[test]
    fn of_several_changes_all_are_made_or_none() {
        let mut changes = Changes::default();
        assert!(changes.add(vec![set("meta-data/a", "1"), set("a//b", "1")], false).is_err());
        assert_eq!(changes, Changes::default());
    }

    #[test]
    fn what_does_not_fit_is_kept_until_something_else_is_said_of_it() {
        let mut changes = Changes::default();
        changes.add(vec![set("meta-data/a", "1"), set("meta-data/b", "1")], true).unwrap();
        changes.set_aside(set("meta-data/a/below", "1"), "below a value".into());
        let tokens = Change::Tokens { mode: imds::TokenMode::Required };
        changes.set_aside(tokens.clone(), "tried".into());
        let kept =
            [&tokens, &set("meta-data/a", "1"), &set("meta-data/a/below", "1"), &set("meta-data/b", "1")];
        assert_eq!(changes.kept(), kept);
        assert_eq!(changes.tokens(), None);
        assert_eq!(changes.edits().iter().count(), 2);
        let shown = changes.list().into_iter().find(|shown| !shown["not-made"].is_null()).unwrap();
        assert_eq!((&shown["what"], &shown["not-made"]), (&json!("tokens required"), &json!("tried")));
        assert!(changes.forget_path("meta-data/a/below") && !changes.forget_path("meta-data/a/below"));
        changes.add(vec![Change::Tokens { mode: imds::TokenMode::Optional }], false).unwrap();
        assert_eq!(changes.kept(), [&set("meta-data/a", "1"), &set("meta-data/b", "1")]);
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
