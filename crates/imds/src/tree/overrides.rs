//! Changes to a tree by path: what the `[tree]` table says, a live `set`, or an event in force.
//!
//! A path is taken literally. Without a version in front (`meta-data/...`, `dynamic/...`, `user-data`) it
//! counts under every version: a known path from the version on at which EC2 has it, any other path in all.
//! With one (`2021-03-23/meta-data/...`, `latest/...`) it counts under that version alone, and wins over the
//! same path without. Directories come and go with what they hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::dir::{Dir, Entry, Node, Place};
use super::{Leaf, Root, SignatureKind, Tree};
use crate::path::MAX_SEGMENTS;
use crate::schema;
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

/// Puts a directory of our own making at a path, under every version.
pub(crate) fn graft(tree: &Tree, path: &[&str], dir: &Arc<Dir>) -> Result<Tree, TreeError> {
    let mut roots = tree.roots().to_vec();
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    change_all(&mut roots, &path, &Change::Dir(Arc::clone(dir)))?;
    Ok(tree.with_roots(roots))
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
    if names.len() >= MAX_SEGMENTS {
        return refuse("the path is too deep");
    }
    Ok(names)
}

/// An override as it acts on a directory.
enum Change {
    Leaf(Leaf),
    Dir(Arc<Dir>),
    Remove,
}

impl Change {
    fn from(path: &[String], edit: &Override) -> Change {
        match edit {
            Override::Value(value) if path == ["user-data"] => Change::Leaf(Leaf::UserData(value.clone())),
            Override::Value(value) => Change::Leaf(Leaf::Value(value.clone())),
            Override::Remove => Change::Remove,
        }
    }
}

/// Changes a path under every version, once for each tree that versions share.
fn change_all(roots: &mut [Root], path: &[String], change: &Change) -> Result<(), TreeError> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut done: Vec<(Arc<Dir>, Arc<Dir>)> = Vec::new();
    for root in roots {
        if let Some((_, after)) = done.iter().find(|(before, _)| Arc::ptr_eq(before, &root.dir)) {
            root.dir = Arc::clone(after);
            continue;
        }
        let edit = Edit { path: &path, change, only: None };
        let after = edit.root(&root.dir)?;
        done.push((std::mem::replace(&mut root.dir, Arc::clone(&after)), after));
    }
    Ok(())
}

/// Changes a path that begins with a version.
fn change_one(roots: &mut Vec<Root>, path: &[String], edit: &Override) -> Result<(), TreeError> {
    let (version, below) = (&path[0], &path[1..]);
    let Some(at) = roots.iter().position(|root| *root.name == **version) else {
        // Removing what is not there is no error, setting something in it is.
        return match edit {
            Override::Remove => Ok(()),
            Override::Value(_) => {
                let message = "this instance has no such version; name one that GET / lists, or none";
                Err(TreeError::new(path.join("/"), message))
            }
        };
    };
    if below.is_empty() {
        return match edit {
            Override::Remove => {
                roots.remove(at);
                Ok(())
            }
            Override::Value(_) => Err(TreeError::new(version, "a version holds paths, not a value")),
        };
    }
    let root = &mut roots[at];
    let names: Vec<&str> = below.iter().map(String::as_str).collect();
    let edit = Edit { path: &names, change: &Change::from(below, edit), only: Some(root.seen) };
    root.dir = edit.root(&root.dir)?;
    Ok(())
}

/// One change on its way down.
struct Edit<'a> {
    /// Below the version's root.
    path: &'a [&'a str],
    change: &'a Change,
    /// The one version it is for; there it is seen whatever EC2 has.
    only: Option<Version>,
}

impl Edit<'_> {
    fn root(&self, dir: &Arc<Dir>) -> Result<Arc<Dir>, TreeError> {
        Ok(self.within(dir, 0)?.map_or_else(|| Arc::clone(dir), Arc::new))
    }

    /// The directory as the change leaves it; `None` when it does not concern it.
    fn within(&self, dir: &Dir, depth: usize) -> Result<Option<Dir>, TreeError> {
        let (name, label) = self.name(depth);
        let before = dir.entry(name);
        if depth + 1 < self.path.len() {
            return self.below(dir, before, depth);
        }
        let node = match self.change {
            Change::Remove => {
                let after = before.map(|_| dir.without(name));
                return Ok(after.map(|dir| self.sealed(dir, None)));
            }
            Change::Leaf(leaf) => Node::Leaf(leaf.clone()),
            Change::Dir(dir) => Node::Dir(Arc::clone(dir)),
        };
        let label = label.or_else(|| before.and_then(Entry::label));
        let since = self.since(depth, before);
        let document = match &node {
            Node::Leaf(Leaf::Value(value)) => Some(value.clone()),
            _ => None,
        };
        let after = dir.with(Entry::new(name, since, node).labelled(label));
        Ok(Some(self.sealed(after, document.as_ref())))
    }

    /// The same for a directory above the one that changes.
    fn below(&self, dir: &Dir, before: Option<&Entry>, depth: usize) -> Result<Option<Dir>, TreeError> {
        let (name, label) = self.name(depth);
        let empty;
        let inner = match (before.map(Entry::node), self.change) {
            (Some(Node::Dir(inner)), _) => inner.as_ref(),
            (_, Change::Remove) => return Ok(None),
            (Some(Node::Leaf(_)), _) => {
                let holder = self.path[..=depth].join("/");
                let message =
                    format!("{holder} is a value, so nothing can lie below it; set it to false first");
                return Err(TreeError::new(self.path.join("/"), message));
            }
            (None, _) => {
                empty = Dir::new(Place::Inner, Vec::new());
                &empty
            }
        };
        let Some(inner) = self.within(inner, depth + 1)? else {
            return Ok(None);
        };
        if inner.is_empty() {
            return Ok(Some(dir.without(name)));
        }
        let label = label.or_else(|| before.and_then(Entry::label));
        let since = self.since(depth, before);
        let entry = Entry::new(name, since, Node::Dir(Arc::new(inner)));
        Ok(Some(dir.with(entry.labelled(label))))
    }

    /// The name at a depth, and the line it is listed as where that differs: a public key is listed as
    /// `0=name` and found at `0`.
    fn name(&self, depth: usize) -> (&str, Option<Arc<str>>) {
        let name = self.path[depth];
        match name.split_once('=') {
            Some((number, _)) if self.path[..depth] == ["meta-data", "public-keys"] => {
                (number, Some(name.into()))
            }
            _ => (name, None),
        }
    }

    /// The version from which a changed entry is seen: as early as it was before, or as it should be.
    fn since(&self, depth: usize, before: Option<&Entry>) -> Version {
        let since = self.only.unwrap_or_else(|| schema::since(&self.path[..=depth]));
        before.map_or(since, |before| since.min(before.since()))
    }

    /// Keeps the signatures those of the document beside them; without a document there are none.
    fn sealed(&self, dir: Dir, document: Option<&Bytes>) -> Dir {
        if self.path != ["dynamic", "instance-identity", "document"] {
            return dir;
        }
        let kinds = [SignatureKind::Signature, SignatureKind::Pkcs7, SignatureKind::Rsa2048];
        kinds.into_iter().fold(dir, |dir, kind| {
            let name = kind.name();
            let Some(Node::Leaf(Leaf::Signature { .. })) = dir.entry(name).map(Entry::node) else {
                return dir;
            };
            match document {
                None => dir.without(name),
                Some(document) => {
                    let leaf = Leaf::Signature { kind, document: document.clone() };
                    dir.with(Entry::new(name, Version::FIRST, Node::Leaf(leaf)))
                }
            }
        })
    }
}

impl SignatureKind {
    /// The leaf's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SignatureKind::Signature => "signature",
            SignatureKind::Pkcs7 => "pkcs7",
            SignatureKind::Rsa2048 => "rsa2048",
        }
    }
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
