//! The tree of one caller: every path, under every version, with its listings made in advance.
//!
//! Directories are immutable and shared. An edit copies the directories on its way and shares the rest, so
//! trees that differ little cost little. A lookup allocates nothing.

mod build;
mod dir;
mod edit;
mod overrides;
mod recording;
mod role;
mod trees;

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

pub(crate) use dir::{Dir, Node};
pub use overrides::{Override, Overrides, TreeError};
pub use recording::{Recorded, Recording, is_secret};
pub use role::{InfoFailure, InstanceProfile, RoleEntry};
pub use trees::Trees;

use crate::path::Path;
use crate::request::RoleKey;
use crate::version::Version;

/// A value of the tree, or what it is made of when it is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Leaf {
    /// A value, `text/plain`.
    Value(Bytes),
    /// User data, `application/octet-stream`.
    UserData(Bytes),
    /// `iam/info`.
    IamInfo(Arc<InstanceProfile>),
    /// `identity-credentials/ec2/info`, of that account.
    IdentityInfo(Arc<str>),
    /// The credentials of a role.
    Credentials {
        /// Whose.
        role: RoleKey,
        /// Whether the account is told too, as on `iam/security-credentials-extended/`.
        extended: bool,
    },
    /// A signature over the identity document.
    Signature {
        /// Which of the three.
        kind: SignatureKind,
        /// The document, byte for byte as it is served beside it.
        document: Bytes,
    },
}

/// The signatures beside the identity document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// `signature`: the bare RSA signature.
    Signature,
    /// `pkcs7`
    Pkcs7,
    /// `rsa2048`
    Rsa2048,
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

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Listing(&'a Bytes),
    Leaf(&'a Leaf),
    Nothing,
}

/// The whole tree as one caller sees it. Immutable; cheap to clone.
#[derive(Clone, Debug)]
pub struct Tree {
    roots: Arc<[Root]>,
    /// The answer to `GET /`.
    index: Bytes,
    /// When the instance was launched: what has no date of its own counts from here.
    launched: Timestamp,
    /// When the identity document was signed.
    signed: Timestamp,
}

/// One version: its name, what is seen through it, and where its tree starts.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) name: Arc<str>,
    pub(crate) seen: Version,
    pub(crate) dir: Arc<Dir>,
}

impl Tree {
    pub(crate) fn new(mut roots: Vec<Root>, launched: Timestamp, signed: Timestamp) -> Tree {
        roots.sort_by(|one, other| one.name.cmp(&other.name));
        let names: Vec<&str> = roots.iter().map(|root| &*root.name).collect();
        let index = Bytes::from(names.join("\n"));
        Tree { roots: roots.into(), index, launched, signed }
    }

    /// The tree with other roots and the same times.
    pub(crate) fn with_roots(&self, roots: Vec<Root>) -> Tree {
        Tree::new(roots, self.launched, self.signed)
    }

    pub(crate) fn roots(&self) -> &[Root] {
        &self.roots
    }

    pub(crate) fn launched(&self) -> Timestamp {
        self.launched
    }

    pub(crate) fn signed(&self) -> Timestamp {
        self.signed
    }

    fn root(&self, name: &[u8]) -> Option<&Root> {
        // Most requests are for the last one.
        let last = self.roots.last().filter(|root| root.name.as_bytes() == name);
        last.or_else(|| {
            let at = self.roots.binary_search_by(|root| root.name.as_bytes().cmp(name)).ok()?;
            self.roots.get(at)
        })
    }

    pub(crate) fn lookup(&self, path: &Path<'_>) -> Found<'_> {
        let mut names = path.names();
        let Some(version) = names.next() else {
            return Found::Listing(&self.index);
        };
        let Some(root) = self.root(version) else {
            return Found::Nothing;
        };
        let mut dir = &root.dir;
        while let Some(name) = names.next() {
            match dir.get(name, root.seen) {
                Some(Node::Dir(inner)) => dir = inner,
                Some(Node::Leaf(leaf)) if names.is_at_end() => return Found::Leaf(leaf),
                // A deeper path below a value: nothing there (reference 1.7).
                Some(Node::Leaf(_)) | None => return Found::Nothing,
            }
        }
        dir.listing(root.seen).map_or(Found::Nothing, Found::Listing)
    }

    /// Whether anything lies at a path, in any spelling of it.
    pub fn contains(&self, path: &str) -> bool {
        !matches!(self.lookup(&Path::of(path)), Found::Nothing)
    }

    /// The names of the versions, as `GET /` lists them.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.roots.iter().map(|root| &*root.name)
    }

    /// Every path below `/VERSION/` that is a value, with what it holds, in the order of the listings. Nothing
    /// for a version the tree does not have.
    pub fn walk(&self, version: &str) -> impl Iterator<Item = (String, &Leaf)> {
        let mut leaves = Vec::new();
        if let Some(root) = self.root(version.as_bytes()) {
            root.dir.walk(root.seen, &mut String::new(), &mut leaves);
        }
        leaves.into_iter()
    }
}
