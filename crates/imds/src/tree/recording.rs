//! A tree that was read from another service and is served as it was: every listing and value byte for byte,
//! whatever this crate would have made of them.
//!
//! Credentials and signatures are not recorded. At their paths ours are served: credentials of the caller's
//! role, signatures over the recorded document.

mod tags;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::dir::{Dir, Entry, Node, Place};
use super::{Leaf, Root, SignatureKind, Tree, TreeError};
use crate::instance::{Instance, InstanceSpec};
use crate::request::RoleKey;
use crate::version::Version;

const ROLES: &str = "meta-data/iam/security-credentials/";
const EXTENDED: &str = "meta-data/iam/security-credentials-extended/";
const IDENTITY: &str = "meta-data/identity-credentials/";
/// The folders that hold credentials, wherever below `meta-data/` they lie (`iam/`, `iam-ecs-NNN/`,
/// `identity-credentials/ec2/`).
const CREDENTIALS: [&str; 2] = ["security-credentials", "security-credentials-extended"];
const SIGNED: &str = "dynamic/instance-identity/";
const DOCUMENT: &str = "dynamic/instance-identity/document";

/// What one path of a recording holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// The answer of a folder.
    Listing(Bytes),
    /// A value of type `text/plain`.
    Value(Bytes),
    /// User data.
    UserData(Bytes),
    /// Credentials or a signature, which [`is_secret`] says it is.
    Secret,
}

/// Whether a path below a version holds credentials or a signature, which nobody should record.
pub fn is_secret(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let credentials = folder.starts_with("meta-data/")
        && folder.rsplit('/').next().is_some_and(|last| CREDENTIALS.contains(&last));
    let signed = SIGNED.strip_suffix('/') == Some(folder) && path != DOCUMENT;
    !name.is_empty() && (credentials || signed)
}

/// Everything that was recorded, by version and path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    versions: BTreeMap<String, BTreeMap<String, Recorded>>,
}

impl Recording {
    /// Adds what lies at `path` under a version. The path has no slash at either end; `""` is the version itself.
    ///
    /// # Errors
    /// [`TreeError`], when the path is not spelt like that, or a secret is none.
    pub fn insert(&mut self, version: &str, path: &str, recorded: Recorded) -> Result<(), TreeError> {
        let refuse = |message: &str| Err(TreeError::new(format!("{version}/{path}"), message));
        let names_are_whole =
            |text: &str| text.split('/').all(|name| !matches!(name, "" | "." | "..")) && !text.contains('\n');
        if !names_are_whole(version) || version.contains('/') {
            return refuse("a version has a name without slashes");
        }
        if !path.is_empty() && !names_are_whole(path) {
            return refuse("write the path without empty, . and .. names");
        }
        if recorded == Recorded::Secret && !is_secret(path) {
            return refuse("neither credentials nor a signature lie here; give it a value");
        }
        self.versions.entry(version.to_owned()).or_default().insert(path.to_owned(), recorded);
        Ok(())
    }

    /// The names of the versions, in the order of `GET /`.
    pub fn versions(&self) -> impl Iterator<Item = &str> {
        self.versions.keys().map(String::as_str)
    }

    /// Everything below a version, by path.
    pub fn paths(&self, version: &str) -> impl Iterator<Item = (&str, &Recorded)> {
        let paths = self.versions.get(version).into_iter().flatten();
        paths.map(|(path, recorded)| (path.as_str(), recorded))
    }

    /// The name of the role that the recorded instance had.
    pub fn role(&self) -> Option<&str> {
        let newest = self.versions.values().next_back()?;
        newest.keys().find_map(|path| path.strip_prefix(ROLES)).filter(|name| !name.is_empty())
    }

    /// The identity document of the newest version that has one.
    fn document(&self) -> Option<&Bytes> {
        self.versions.values().rev().find_map(|paths| match paths.get(DOCUMENT) {
            Some(Recorded::Value(document)) => Some(document),
            _ => None,
        })
    }

    /// The value at a path of the newest version.
    pub fn value(&self, path: &str) -> Option<&Bytes> {
        match self.versions.values().next_back()?.get(path)? {
            Recorded::Value(value) | Recorded::UserData(value) => Some(value),
            Recorded::Listing(_) | Recorded::Secret => None,
        }
    }

    fn document_text(&self, key: &str) -> Option<String> {
        let document: serde_json::Value = serde_json::from_slice(self.document()?).ok()?;
        Some(document.get(key)?.as_str()?.to_owned())
    }

    /// The instance that was recorded, as far as its identity document tells: for what is made beside the
    /// recording, such as the ARN of a role's instance profile.
    pub(crate) fn instance(&self, launch: Timestamp) -> Instance {
        let told = InstanceSpec {
            account_id: self.document_text("accountId"),
            ami_id: self.document_text("imageId"),
            architecture: self.document_text("architecture"),
            availability_zone: self.document_text("availabilityZone"),
            instance_id: self.document_text("instanceId"),
            instance_type: self.document_text("instanceType"),
            local_ipv4: self.document_text("privateIp"),
            pending_time: self.document_text("pendingTime"),
            region: self.document_text("region"),
            ..InstanceSpec::default()
        };
        let less = InstanceSpec {
            account_id: told.account_id.clone(),
            instance_id: told.instance_id.clone(),
            ..InstanceSpec::default()
        };
        // A recording may come from something that EC2 would not start; it is served all the same.
        [told, less, InstanceSpec::default()]
            .iter()
            .find_map(|spec| Instance::resolve(spec, launch).ok())
            .expect("the instance that nothing is said of resolves")
    }

    /// The tree: with a role's key, `iam/` as it was with that role's credentials; else without the `iam/` of the
    /// recorded role.
    pub(crate) fn tree(&self, role: Option<&str>, launch: Timestamp) -> Result<Tree, TreeError> {
        let mut roots = Vec::new();
        // An instance without a role is served as it was, its `iam/` too if it had any.
        let hides_iam = role.is_none() && self.role().is_some();
        for (name, paths) in &self.versions {
            let dir = Arc::new(root(name, paths, role, hides_iam)?);
            let seen = Version::seen_under(name).unwrap_or(Version::FIRST);
            roots.push(Root { name: name.as_str().into(), seen, dir });
        }
        let pending = self.document_text("pendingTime").and_then(|text| text.parse().ok());
        let launched: Timestamp = pending.unwrap_or(launch);
        let signed = launched.saturating_add(SignedDuration::from_secs(1)).unwrap_or(launched);
        Ok(Tree::new(roots, launched, signed))
    }
}

fn root(
    version: &str,
    paths: &BTreeMap<String, Recorded>,
    role: Option<&str>,
    hides_iam: bool,
) -> Result<Dir, TreeError> {
    let document = match paths.get(DOCUMENT) {
        Some(Recorded::Value(document)) => document.clone(),
        _ => Bytes::new(),
    };
    let mut sketch = Folder::default();
    for (path, recorded) in paths {
        if hides_iam && (path == "meta-data/iam" || path.starts_with("meta-data/iam/")) {
            continue;
        }
        let node = match recorded {
            Recorded::Listing(listing) => Recordable::Listing(listing.clone()),
            Recorded::Value(value) => Recordable::Leaf(Leaf::Value(value.clone())),
            Recorded::UserData(data) => Recordable::Leaf(Leaf::UserData(data.clone())),
            Recorded::Secret => match secret(path, role, &document) {
                Some(leaf) => Recordable::Leaf(leaf),
                // A signature of a kind that we do not make.
                None => continue,
            },
        };
        if !sketch.insert(path, node) {
            let message = "something is recorded both here and below it, and one of both is a value";
            return Err(TreeError::new(format!("{version}/{path}"), message));
        }
    }
    if hides_iam {
        sketch.forget_line("meta-data", "iam/");
    }
    Ok(sketch.freeze(Place::VersionRoot))
}

fn secret(path: &str, role: Option<&str>, document: &Bytes) -> Option<Leaf> {
    if path.starts_with(IDENTITY) {
        return Some(Leaf::Credentials { role: RoleKey::Ec2Instance, extended: false });
    }
    if let Some(name) = path.strip_prefix(SIGNED) {
        let kinds = [SignatureKind::Signature, SignatureKind::Pkcs7, SignatureKind::Rsa2048];
        let kind = kinds.into_iter().find(|kind| kind.name() == name)?;
        return Some(Leaf::Signature { kind, document: document.clone() });
    }
    let role = RoleKey::Role(role?.into());
    Some(Leaf::Credentials { role, extended: path.starts_with(EXTENDED) })
}

enum Recordable {
    Listing(Bytes),
    Leaf(Leaf),
}

/// A folder in the making.
#[derive(Default)]
struct Folder {
    listing: Option<Bytes>,
    nodes: BTreeMap<String, FolderNode>,
}

enum FolderNode {
    Folder(Folder),
    Leaf(Leaf),
}

impl Folder {
    /// Puts something at a path; tells whether there was room for it.
    fn insert(&mut self, path: &str, recorded: Recordable) -> bool {
        let Some((name, rest)) = split(path) else {
            return match recorded {
                Recordable::Listing(listing) => {
                    self.listing = Some(listing);
                    true
                }
                Recordable::Leaf(_) => false,
            };
        };
        if let (Recordable::Leaf(leaf), "") = (&recorded, rest) {
            let free = !self.nodes.contains_key(name);
            self.nodes.insert(name.to_owned(), FolderNode::Leaf(leaf.clone()));
            return free;
        }
        let node = self.nodes.entry(name.to_owned());
        match node.or_insert_with(|| FolderNode::Folder(Folder::default())) {
            FolderNode::Folder(folder) => folder.insert(rest, recorded),
            FolderNode::Leaf(_) => false,
        }
    }

    /// Takes a line out of the listing of a folder right here.
    fn forget_line(&mut self, name: &str, line: &str) {
        if let Some(FolderNode::Folder(Folder { listing: Some(listing), .. })) = self.nodes.get_mut(name) {
            let text = String::from_utf8_lossy(listing).into_owned();
            let kept: Vec<&str> = text.split('\n').filter(|kept| *kept != line).collect();
            *listing = Bytes::from(kept.join("\n"));
        }
    }

    fn freeze(self, place: Place) -> Dir {
        let text = self.listing.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
        let mut lines: Vec<&str> = text.split('\n').filter(|line| !line.is_empty()).collect();
        let mut entries = Vec::new();
        for (name, node) in self.nodes {
            let node = match node {
                FolderNode::Folder(folder) => Node::Dir(Arc::new(folder.freeze(Place::Inner))),
                FolderNode::Leaf(leaf) => Node::Leaf(leaf),
            };
            let entry = Entry::new(&name, Version::FIRST, node);
            let usual = entry.line(place);
            let numbered = format!("{name}=");
            let is_its_line =
                |line: &str| line.strip_suffix('/').unwrap_or(line) == name || line.starts_with(&numbered);
            let label = match lines.iter().position(|line| is_its_line(line)) {
                Some(at) => Some(lines.remove(at)).filter(|line| *line != usual),
                // There, but not listed.
                None => Some(""),
            };
            entries.push(entry.labelled(label.map(Arc::from)));
        }
        let lines_without_entry = lines.into_iter().map(Arc::from).collect();
        Dir::recorded(place, entries, lines_without_entry, self.listing)
    }
}

/// The first name of a path and the rest; nothing of the empty path.
fn split(path: &str) -> Option<(&str, &str)> {
    match path {
        "" => None,
        path => Some(path.split_once('/').unwrap_or((path, ""))),
    }
}

#[cfg(test)]
mod tests;
