//! Changes to a tree by path: what the `[tree]` table says, a live `set`, or an event in force.
//!
//! A path is taken literally. Without a version in front (`meta-data/...`, `dynamic/...`, `user-data`) it
//! counts under every version: a known path from the version on at which EC2 has it, any other path in all.
//! With one (`2021-03-23/meta-data/...`, `latest/...`) it counts under that version alone, and wins over the
//! same path without. Directories come and go with what they hold.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::Tree;
use super::edit::{Change, change_all, change_one};
use crate::path::MAX_NAMES;
use crate::version::{Version, is_date};

/// A path that cannot be changed as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?}: {message}")]
pub struct TreeError {
    /// The path as it was given.
    pub path: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

impl TreeError {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> TreeError {
        TreeError { path: path.into(), message: message.into() }
    }
}

/// What becomes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Override {
    /// It holds this value, whatever was there.
    Value(Bytes),
    /// It is gone, with everything below it; nothing happens if it never was.
    Remove,
}

/// Changes by path. In TOML a table of paths to a text, or to `false` for removal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// By the names of the path, so that what holds a path is changed before it.
    edits: BTreeMap<Vec<String>, Override>,
}

impl Overrides {
    /// Gives `path` a value.
    pub fn set(&mut self, path: &str, value: impl Into<Bytes>) -> Result<(), TreeError> {
        self.edits.insert(names(path)?, Override::Value(value.into()));
        Ok(())
    }

    /// Removes `path` from the tree.
    pub fn remove(&mut self, path: &str) -> Result<(), TreeError> {
        self.edits.insert(names(path)?, Override::Remove);
        Ok(())
    }

    /// Forgets what was said of `path` here; tells whether anything was.
    pub fn forget(&mut self, path: &str) -> Result<bool, TreeError> {
        Ok(self.edits.remove(&names(path)?).is_some())
    }

    /// Takes over what `other` says, which wins.
    pub fn extend(&mut self, other: &Overrides) {
        self.edits.extend(other.edits.iter().map(|(path, edit)| (path.clone(), edit.clone())));
    }

    /// The changes, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (String, &Override)> {
        self.edits.iter().map(|(path, edit)| (path.join("/"), edit))
    }

    /// Whether nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether a path at or below `meta-data/iam`, or above it, is changed.
    pub(crate) fn touch_iam(&self) -> bool {
        self.edits.keys().any(|path| {
            let tail = if path.first().is_some_and(|name| is_version(name)) { &path[1..] } else { path };
            tail.iter().zip(["meta-data", "iam"]).all(|(name, wanted)| name == wanted)
        })
    }

    /// The tree with these changes.
    pub(crate) fn apply(&self, tree: &Tree) -> Result<Tree, TreeError> {
        if self.is_empty() {
            return Ok(tree.clone());
        }
        let mut roots = tree.roots().to_vec();
        let (versioned, bare): (Vec<_>, Vec<_>) =
            self.edits.iter().partition(|(path, _)| is_version(&path[0]));
        for (path, edit) in bare {
            change_all(&mut roots, path, &Change::from(path, edit))?;
        }
        for (path, edit) in versioned {
            change_one(&mut roots, path, edit)?;
        }
        Ok(tree.with_roots(roots))
    }
}

/// A name that can only mean a version.
fn is_version(name: &str) -> bool {
    Version::named(name).is_some() || is_date(name)
}

/// The names of a path as a person writes it: slashes at either end do not matter.
fn names(path: &str) -> Result<Vec<String>, TreeError> {
    let refuse = |message: &str| Err(TreeError::new(path, message));
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    if trimmed.is_empty() {
        return refuse("the root cannot be changed; name a path such as meta-data/instance-type");
    }
    let names: Vec<String> = trimmed.split('/').map(str::to_owned).collect();
    if names.iter().any(|name| matches!(name.as_str(), "" | "." | "..")) {
        return refuse("write the path without empty, . and .. names");
    }
    if trimmed.chars().any(char::is_control) {
        return refuse("a path cannot hold control characters");
    }
    if names.len() >= MAX_NAMES {
        return refuse("the path is too deep");
    }
    Ok(names)
}

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Overrides, D::Error> {
        deserializer.deserialize_map(OverridesVisitor)
    }
}

struct OverridesVisitor;

impl<'de> Visitor<'de> for OverridesVisitor {
    type Value = Overrides;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of paths, each with a text or false")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Overrides, A::Error> {
        let mut overrides = Overrides::default();
        while let Some(path) = map.next_key::<String>()? {
            let names = names(&path).map_err(de::Error::custom)?;
            let edit = map.next_value()?;
            if overrides.edits.insert(names, edit).is_some() {
                return Err(de::Error::custom(TreeError::new(path, "given twice")));
            }
        }
        Ok(overrides)
    }
}

impl<'de> Deserialize<'de> for Override {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Override, D::Error> {
        deserializer.deserialize_any(OverrideVisitor)
    }
}

struct OverrideVisitor;

impl Visitor<'_> for OverrideVisitor {
    type Value = Override;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or false to remove the path")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Override, E> {
        Ok(Override::Value(Bytes::copy_from_slice(value.as_bytes())))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Override, E> {
        match value {
            false => Ok(Override::Remove),
            true => Err(de::Error::invalid_value(de::Unexpected::Bool(true), &self)),
        }
    }
}
