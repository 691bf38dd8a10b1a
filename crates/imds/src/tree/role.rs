//! What a role adds to the tree: `iam/`.

use std::sync::Arc;

use super::dir::{Dir, Entry, Node, Place};
use super::{Leaf, Overrides};
use crate::instance::Instance;
use crate::request::RoleKey;
use crate::schema;

/// A role that callers can be given, as the tree shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleEntry {
    /// What requests and needs call it; unlike every other of the same snapshot.
    pub key: String,
    /// The role's name as listed at `iam/security-credentials/`, without the path that its ARN may have.
    pub name: String,
    /// The instance profile's name, with its path if it has one (`team/app`); the role's when not given.
    pub instance_profile_name: Option<String>,
    /// The whole ARN of the instance profile, where neither account nor partition are the instance's.
    pub instance_profile_arn: Option<String>,
    /// `AIPA` and 17 characters; made up, always the same for one ARN, when not given.
    pub instance_profile_id: Option<String>,
    /// What `iam/info` says in place of Success.
    pub info_failure: Option<InfoFailure>,
    /// Whether `iam/security-credentials-extended/` answers; on ordinary instances it is a 404.
    pub extended: bool,
    /// Changes to this role's tree, on top of those made to every tree.
    pub tree: Overrides,
}

/// A failure told by `iam/info`, with HTTP 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoFailure {
    /// Such as `InstanceProfileNotFound`.
    pub code: String,
    /// The sentence for the client; EC2's own for a known code when not given.
    pub message: Option<String>,
}

impl RoleEntry {
    /// The role of that name; of `team/app` the path is dropped from the listed name. An instance profile of
    /// the same name goes with it, as the console makes one.
    pub fn new(key: &str) -> RoleEntry {
        let name = key.rsplit('/').next().unwrap_or(key);
        RoleEntry {
            key: key.to_owned(),
            name: name.to_owned(),
            instance_profile_name: None,
            instance_profile_arn: None,
            instance_profile_id: None,
            info_failure: None,
            extended: false,
            tree: Overrides::default(),
        }
    }

    /// The `iam/` of this role on that instance.
    pub(crate) fn iam(&self, instance: &Instance) -> Arc<Dir> {
        let since = schema::since(&["meta-data", "iam"]);
        let leaf = |name: &str, leaf| Entry::new(name, since, Node::Leaf(leaf));
        let dir = |name: &str, entries| {
            Entry::new(name, since, Node::Dir(Arc::new(Dir::new(Place::Inner, entries))))
        };
        let credentials = |extended| {
            let role = RoleKey::Role(self.key.as_str().into());
            vec![leaf(&self.name, Leaf::Credentials { role, extended })]
        };
        let profile = InstanceProfile::new(self, instance);
        let mut entries = vec![
            leaf("info", Leaf::IamInfo(Arc::new(profile))),
            dir("security-credentials", credentials(false)),
        ];
        if self.extended {
            entries.push(dir("security-credentials-extended", credentials(true)));
        }
        Arc::new(Dir::new(Place::Inner, entries))
    }
}

/// What `iam/info` tells.
#[derive(Debug)]
pub struct InstanceProfile {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) failure: Option<InfoFailure>,
}

impl InstanceProfile {
    fn new(role: &RoleEntry, instance: &Instance) -> InstanceProfile {
        let name = role.instance_profile_name.as_deref().unwrap_or(&role.name);
        let arn = role.instance_profile_arn.clone().unwrap_or_else(|| {
            let (partition, account) = (instance.partition(), instance.account_id());
            format!("arn:{partition}:iam::{account}:instance-profile/{}", name.trim_matches('/'))
        });
        let id = role.instance_profile_id.clone().unwrap_or_else(|| made_up_id(&arn));
        InstanceProfile { arn, id, failure: role.info_failure.clone() }
    }
}

/// `AIPA` and 17 characters, the same for the same ARN.
fn made_up_id(arn: &str) -> String {
    use sha2::Digest;
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = sha2::Sha256::digest(arn.as_bytes());
    let tail = hash.iter().take(17).map(|byte| ALPHABET[usize::from(byte % 32)] as char);
    "AIPA".chars().chain(tail).collect()
}
