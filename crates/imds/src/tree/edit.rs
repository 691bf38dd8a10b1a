//! One change of one path: the directories on the way copied, everything else shared.

use std::sync::Arc;

use bytes::Bytes;

use super::dir::{Dir, Entry, Node, Place};
use super::overrides::{Override, TreeError};
use super::{Leaf, Root, SignatureKind, Tree};
use crate::schema;
use crate::version::Version;

/// Puts a directory of our own making at a path, under every version.
pub(crate) fn graft(tree: &Tree, path: &[&str], dir: &Arc<Dir>) -> Result<Tree, TreeError> {
    let mut roots = tree.roots().to_vec();
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    change_all(&mut roots, &path, &Change::Dir(Arc::clone(dir)))?;
    Ok(tree.with_roots(roots))
}

/// An override as it acts on a directory.
pub(super) enum Change {
    Leaf(Leaf),
    Dir(Arc<Dir>),
    Remove,
}

impl Change {
    pub(super) fn from(path: &[String], edit: &Override) -> Change {
        match edit {
            Override::Value(value) if path == ["user-data"] => Change::Leaf(Leaf::UserData(value.clone())),
            Override::Value(value) => Change::Leaf(Leaf::Value(value.clone())),
            Override::Remove => Change::Remove,
        }
    }
}

/// Changes a path under every version, once for each tree that versions share.
pub(super) fn change_all(roots: &mut [Root], path: &[String], change: &Change) -> Result<(), TreeError> {
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
pub(super) fn change_one(roots: &mut Vec<Root>, path: &[String], edit: &Override) -> Result<(), TreeError> {
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
            let since = match dir.entry(name) {
                Some(entry) if matches!(entry.node(), Node::Leaf(Leaf::Signature { .. })) => entry.since(),
                _ => return dir,
            };
            match document {
                None => dir.without(name),
                Some(document) => {
                    let leaf = Leaf::Signature { kind, document: document.clone() };
                    dir.with(Entry::new(name, since, Node::Leaf(leaf)))
                }
            }
        })
    }
}
