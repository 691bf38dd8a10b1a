//! Key paths (`instance.interfaces[0].mac`) and which keys each table knows. The known keys are read
//! from the types that are deserialised, so the two cannot differ.

use std::fmt;

use serde::Deserialize;
use serde_aux::serde_introspection::serde_introspect;
use toml::{Table, Value};

use super::error::Hint;
use super::{Config, RoleSettings};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Key(String),
    Index(usize),
}

/// The place of a value in a TOML document. Prints as one would write it in TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(Vec<Step>);

impl KeyPath {
    pub(crate) fn root() -> Self {
        KeyPath(Vec::new())
    }

    /// A key as a person writes it: as in TOML, quoted names included, or names with dots between them.
    pub(crate) fn written(text: &str) -> Self {
        let Ok(mut table) = toml::from_str::<Table>(&format!("{text} = 0")) else {
            return KeyPath::root().below(text);
        };
        let mut path = KeyPath::root();
        while let Some((key, value)) = table.into_iter().next() {
            path = path.key(&key);
            table = if let Value::Table(inner) = value { inner } else { Table::new() };
        }
        path
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.into()))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        KeyPath(steps)
    }

    /// The path below this one that a library names in the form `interfaces[0].mac`.
    pub(crate) fn below(&self, text: &str) -> Self {
        let mut path = self.clone();
        for part in text.split('.').filter(|p| !p.is_empty()) {
            let (key, index) = match part.strip_suffix(']').and_then(|p| p.split_once('[')) {
                Some((key, index)) => (key, index.parse().ok()),
                None => (part, None),
            };
            path = path.key(key);
            if let Some(index) = index {
                path = path.index(index);
            }
        }
        path
    }

    /// `other` below this path.
    pub(super) fn join(&self, other: &KeyPath) -> Self {
        KeyPath(self.0.iter().chain(&other.0).cloned().collect())
    }

    /// The keys alone; setting single values does not reach into arrays.
    pub(super) fn keys(&self) -> Vec<String> {
        self.0.iter().filter_map(|s| if let Step::Key(k) = s { Some(k.clone()) } else { None }).collect()
    }

    /// The path of the table around this one.
    pub(super) fn parent(&self) -> Option<Self> {
        let (_, around) = self.0.split_last()?;
        Some(KeyPath(around.to_vec()))
    }

    /// This path, then the one around it, and so on.
    pub(super) fn ancestors(&self) -> impl Iterator<Item = KeyPath> + '_ {
        (0..=self.0.len()).rev().map(|n| KeyPath(self.0[..n].to_vec()))
    }

    fn shape(&self) -> Vec<&str> {
        self.0.iter().map(|s| if let Step::Key(k) = s { k.as_str() } else { "[]" }).collect()
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> Self {
        use serde_path_to_error::Segment;
        KeyPath(
            path.iter()
                .filter_map(|segment| match segment {
                    Segment::Seq { index } => Some(Step::Index(*index)),
                    Segment::Map { key } | Segment::Enum { variant: key } => Some(Step::Key(key.clone())),
                    Segment::Unknown => None,
                })
                .collect(),
        )
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    let bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                    let dot = if i == 0 { "" } else { "." };
                    if bare && !key.is_empty() {
                        write!(f, "{dot}{key}")?
                    } else {
                        write!(f, "{dot}{key:?}")?
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// The keys that the table at `path` may hold; `None` where any name may stand.
pub(super) fn known(path: &KeyPath) -> Option<Vec<&'static str>> {
    fn of<T: for<'de> Deserialize<'de>>() -> Option<Vec<&'static str>> {
        Some(serde_introspect::<T>().to_vec())
    }
    match path.shape().as_slice() {
        [] => of::<Config>().map(|mut keys| {
            keys.push("roles");
            keys
        }),
        ["instance"] => of::<imds::InstanceSpec>(),
        ["instance", "interfaces", "[]"] => of::<imds::InterfaceSpec>(),
        ["instance", "volumes", "[]"] => of::<imds::VolumeSpec>(),
        ["events", "[]"] => of::<crate::events::EventSpec>(),
        ["roles", _] => Some(RoleSettings::keys()),
        ["callers", "container-role"] => Some(RoleSettings::keys()),
        ["callers"] => of::<crate::callers::CallersSettings>(),
        ["aws"] => of::<super::AwsSettings>(),
        ["log"] => of::<crate::logging::LogSettings>(),
        _ => None,
    }
}

/// The first key that its table does not know, and what may have been meant. `[network]` belongs
/// to `fake-metadata-setup`, which answers for its keys.
pub(super) fn first_unknown(values: &Table) -> Option<(KeyPath, Hint)> {
    unknown_in(values, &KeyPath::root())
}

fn unknown_in(table: &Table, path: &KeyPath) -> Option<(KeyPath, Hint)> {
    let names = known(path);
    table.iter().find_map(|(key, value)| {
        let here = path.key(key);
        if here.shape() == ["network"] {
            return None;
        }
        if let Some(names) = &names
            && !names.contains(&key.as_str())
        {
            return Some((here.clone(), hint(&here, key, names)));
        }
        match value {
            Value::Table(inner) => unknown_in(inner, &here),
            Value::Array(items) => items.iter().enumerate().find_map(|(i, item)| match item {
                Value::Table(inner) => unknown_in(inner, &here.index(i)),
                _ => None,
            }),
            _ => None,
        }
    })
}

fn hint(path: &KeyPath, key: &str, names: &[&'static str]) -> Hint {
    let key = key.to_lowercase().replace('_', "-");
    let interface = KeyPath::root().key("instance").key("interfaces").index(0);
    if path.shape().starts_with(&["instance"])
        && path.shape().len() == 2
        && known(&interface).is_some_and(|keys| keys.contains(&key.as_str()))
    {
        return Hint::BelongsIn("[[instance.interfaces]]");
    }
    let distances = names.iter().map(|name| (strsim::damerau_levenshtein(&key, name), *name));
    // Beyond half of it, what is nearest has nothing to do with it.
    let near = distances.filter(|(distance, _)| distance * 2 <= key.chars().count());
    near.min_by_key(|(distance, _)| *distance).map_or(Hint::Nothing, |(_, name)| Hint::Nearest(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<(String, Hint)> {
        first_unknown(&toml::from_str(text).unwrap()).map(|(path, hint)| (path.to_string(), hint))
    }

    fn unknown(text: &str) -> Option<(String, &'static str)> {
        first(text).map(|(path, hint)| match hint {
            Hint::Nearest(nearest) => (path, nearest),
            other => panic!("{path}: {other}"),
        })
    }

    #[test]
    fn a_key_of_an_interface_is_told_its_table() {
        let there = Hint::BelongsIn("[[instance.interfaces]]");
        for key in ["local-ipv4s", "vpc-ipv6-cidr-blocks", "device_number"] {
            assert_eq!(first(&format!("[instance]\n{key} = 1")), Some((format!("instance.{key}"), there)));
        }
        assert_eq!(unknown("[[instance.interfaces]]\nlocal-ipv4 = 1").unwrap().1, "local-ipv4s");
    }

    #[test]
    fn nothing_is_suggested_for_what_looks_like_nothing() {
        assert_eq!(first("[instance]\nfrobnicate = 1"), Some(("instance.frobnicate".into(), Hint::Nothing)));
        assert_eq!(first("xyz = 1").unwrap().1, Hint::Nothing);
    }

    #[test]
    fn an_unknown_key_is_found_with_the_nearest_known_one() {
        assert_eq!(unknown("token = 1"), Some(("token".into(), "tokens")));
        assert_eq!(unknown("[instance]\nregoin = 1"), Some(("instance.regoin".into(), "region")));
        assert_eq!(
            unknown("[instance]\ninstance_id = 1"),
            Some(("instance.instance_id".into(), "instance-id"))
        );
        assert_eq!(
            unknown("[[instance.interfaces]]\n[[instance.interfaces]]\nmak = 1"),
            Some(("instance.interfaces[1].mak".into(), "mac"))
        );
        assert_eq!(unknown("[roles.\"a/b\"]\nsauce = 1"), Some(("roles.\"a/b\".sauce".into(), "source")));
    }

    #[test]
    fn a_key_may_be_written_with_quotes_and_without() {
        let written = |text: &str| KeyPath::written(text).to_string();
        assert_eq!(written("instance.region"), "instance.region");
        assert_eq!(written("tree.\"meta-data/a.b\""), "tree.\"meta-data/a.b\"");
        assert_eq!(written("tree.meta-data/long"), "tree.\"meta-data/long\"");
        assert_eq!(written("roles.'team/app'.source"), "roles.\"team/app\".source");
        assert_eq!(written(""), "");
    }

    #[test]
    fn free_names_and_the_network_table_are_left_alone() {
        assert_eq!(unknown("[network]\nwhatever = 1"), None);
        assert_eq!(unknown("[instance.tags]\nName = \"x\"\n[tree]\n\"/latest/x\" = \"1\""), None);
    }
}
