//! The tree of an instance: which leaves it has, and what they hold. Since when each exists is `schema`'s.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::SignedDuration;

use super::dir::{Dir, Entry, Node, Place};
use super::{Leaf, Root, SignatureKind, Tree};
use crate::documents;
use crate::instance::{Instance, Interface};
use crate::request::RoleKey;
use crate::schema;
use crate::version::Version;

/// The tree without a role and without changes.
pub(super) fn tree(instance: &Instance) -> Tree {
    let mut tree = Sketch::default();
    top_level(&mut tree, instance);
    directories(&mut tree, instance);
    for interface in &instance.interfaces {
        macs(&mut tree, interface);
    }
    tags(&mut tree, instance);
    identity(&mut tree, instance);
    if let Some(data) = &instance.user_data {
        tree.leaf("user-data", Leaf::UserData(data.clone()));
    }
    let root = Arc::new(tree.freeze(Place::VersionRoot, &mut Vec::new()));
    let roots = instance.versions.iter().filter_map(|name| {
        let seen = Version::seen_under(name)?;
        Some(Root { name: name.as_str().into(), seen, dir: Arc::clone(&root) })
    });
    // EC2 signs about a second after the pending time (capture 2026-09-26).
    let signed = instance.pending_time.saturating_add(SignedDuration::from_secs(1));
    let signed = signed.unwrap_or(instance.pending_time);
    Tree::new(roots.collect(), instance.launched, signed)
}

fn top_level(tree: &mut Sketch, instance: &Instance) {
    tree.text("meta-data/ami-id", &instance.ami_id);
    tree.text("meta-data/ami-launch-index", &instance.ami_launch_index);
    tree.text("meta-data/ami-manifest-path", &instance.ami_manifest_path);
    tree.list("meta-data/ancestor-ami-ids", &instance.ancestor_ami_ids);
    tree.text("meta-data/hostname", &instance.hostname);
    tree.text("meta-data/instance-action", &instance.instance_action);
    tree.text("meta-data/instance-id", &instance.instance_id);
    tree.text("meta-data/instance-life-cycle", &instance.instance_life_cycle);
    tree.text("meta-data/instance-type", &instance.instance_type);
    tree.maybe("meta-data/ipv6", &instance.ipv6);
    tree.maybe("meta-data/kernel-id", &instance.kernel_id);
    tree.maybe("meta-data/local-hostname", &instance.local_hostname);
    tree.maybe("meta-data/local-ipv4", &instance.local_ipv4);
    tree.text("meta-data/mac", &instance.mac);
    tree.list("meta-data/product-codes", &instance.product_codes);
    tree.maybe("meta-data/profile", &instance.profile);
    tree.maybe("meta-data/public-hostname", &instance.public_hostname);
    tree.maybe("meta-data/public-ipv4", &instance.public_ipv4);
    tree.maybe("meta-data/ramdisk-id", &instance.ramdisk_id);
    tree.text("meta-data/reservation-id", &instance.reservation_id);
    tree.list("meta-data/security-groups", &instance.security_groups);
    tree.maybe("meta-data/system", &instance.system);
}

fn directories(tree: &mut Sketch, instance: &Instance) {
    tree.maybe("meta-data/autoscaling/target-lifecycle-state", &instance.target_lifecycle_state);
    for (name, device) in &instance.block_devices {
        tree.text(&format!("meta-data/block-device-mapping/{name}"), device);
    }
    tree.text("meta-data/events/maintenance/history", &documents::maintenance(&[]));
    tree.text("meta-data/events/maintenance/scheduled", &documents::maintenance(&[]));
    // No longer available, says EC2's documentation; this is what it answers (capture 2026-09-26).
    tree.text("meta-data/metrics/vhostmd", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>");
    tree.text("meta-data/placement/availability-zone", &instance.availability_zone);
    tree.text("meta-data/placement/availability-zone-id", &instance.availability_zone_id);
    tree.maybe("meta-data/placement/group-name", &instance.group_name);
    tree.maybe("meta-data/placement/host-id", &instance.host_id);
    tree.maybe("meta-data/placement/partition-number", &instance.partition_number);
    tree.text("meta-data/placement/region", &instance.region);
    for (number, (name, line)) in instance.public_keys.iter().enumerate() {
        let path = format!("meta-data/public-keys/{number}={name}/openssh-key");
        // The one value that ends with a line end.
        tree.text(&path, &format!("{}\n", line.trim_end_matches('\n')));
    }
    tree.text("meta-data/services/domain", &instance.domain);
    tree.text("meta-data/services/partition", instance.partition.name);
}

fn macs(tree: &mut Sketch, interface: &Interface) {
    let mac = format!("meta-data/network/interfaces/macs/{}", interface.mac);
    let path = |leaf: &str| format!("{mac}/{leaf}");
    for (public, private) in &interface.ipv4_associations {
        tree.list(&path(&format!("ipv4-associations/{public}")), private);
    }
    for (leaf, text) in [
        ("device-number", &interface.device_number),
        ("interface-id", &interface.interface_id),
        ("mac", &interface.mac),
        ("owner-id", &interface.owner_id),
        ("subnet-id", &interface.subnet_id),
        ("vpc-id", &interface.vpc_id),
    ] {
        tree.text(&path(leaf), text);
    }
    for (leaf, value) in [
        ("local-hostname", &interface.local_hostname),
        ("network-card", &interface.network_card),
        ("public-hostname", &interface.public_hostname),
        ("subnet-ipv4-cidr-block", &interface.subnet_ipv4_cidr_block),
        ("vpc-ipv4-cidr-block", &interface.vpc_ipv4_cidr_block),
    ] {
        tree.maybe(&path(leaf), value);
    }
    for (leaf, values) in [
        ("ipv4-prefix", &interface.ipv4_prefix),
        ("ipv6-prefix", &interface.ipv6_prefix),
        ("ipv6s", &interface.ipv6s),
        ("local-ipv4s", &interface.local_ipv4s),
        ("public-ipv4s", &interface.public_ipv4s),
        ("security-group-ids", &interface.security_group_ids),
        ("security-groups", &interface.security_groups),
        ("subnet-ipv6-cidr-blocks", &interface.subnet_ipv6_cidr_blocks),
        ("vpc-ipv4-cidr-blocks", &interface.vpc_ipv4_cidr_blocks),
        ("vpc-ipv6-cidr-blocks", &interface.vpc_ipv6_cidr_blocks),
    ] {
        tree.list(&path(leaf), values);
    }
}

/// With tags shown and none there, `tags/` is absent and the tag set empty (capture 2026-09-26). With tags not
/// shown, both are taken to be absent.
fn tags(tree: &mut Sketch, instance: &Instance) {
    let Some(tags) = &instance.tags else { return };
    tree.text("meta-data/tag-sets/instance", &documents::tag_set(tags));
    for (key, value) in tags {
        tree.text(&format!("meta-data/tags/instance/{key}"), value);
    }
}

fn identity(tree: &mut Sketch, instance: &Instance) {
    let ec2 = "meta-data/identity-credentials/ec2";
    let account: Arc<str> = instance.account_id.as_str().into();
    tree.leaf(&format!("{ec2}/info"), Leaf::IdentityInfo(account));
    let credentials = Leaf::Credentials { role: RoleKey::Ec2Instance, extended: false };
    tree.leaf(&format!("{ec2}/security-credentials/ec2-instance"), credentials);
    let document = instance.document();
    for kind in [SignatureKind::Signature, SignatureKind::Pkcs7, SignatureKind::Rsa2048] {
        let leaf = Leaf::Signature { kind, document: document.clone() };
        tree.leaf(&format!("dynamic/instance-identity/{}", kind.name()), leaf);
    }
    tree.leaf("dynamic/instance-identity/document", Leaf::Value(document));
}

/// A tree in the making.
#[derive(Default)]
struct Sketch {
    nodes: BTreeMap<String, SketchNode>,
}

enum SketchNode {
    Dir(Sketch),
    Leaf(Leaf),
}

impl Sketch {
    fn leaf(&mut self, path: &str, leaf: Leaf) {
        match path.split_once('/') {
            None => {
                self.nodes.insert(path.to_owned(), SketchNode::Leaf(leaf));
            }
            Some((name, rest)) => {
                let node = self.nodes.entry(name.to_owned());
                let node = node.or_insert_with(|| SketchNode::Dir(Sketch::default()));
                if let SketchNode::Dir(dir) = node {
                    dir.leaf(rest, leaf);
                }
            }
        }
    }

    fn text(&mut self, path: &str, text: &str) {
        self.leaf(path, Leaf::Value(Bytes::copy_from_slice(text.as_bytes())));
    }

    fn maybe(&mut self, path: &str, text: &Option<String>) {
        if let Some(text) = text {
            self.text(path, text);
        }
    }

    /// Several values, a line each; no leaf when there are none.
    fn list(&mut self, path: &str, values: &[String]) {
        if !values.is_empty() {
            self.text(path, &values.join("\n"));
        }
    }

    fn freeze(self, place: Place, path: &mut Vec<String>) -> Dir {
        let mut entries = Vec::with_capacity(self.nodes.len());
        for (name, node) in self.nodes {
            // A public key is sketched as it is listed, `0=name`, and found at its number.
            let under_keys = path.iter().eq(["meta-data", "public-keys"].iter());
            let label = under_keys.then(|| Arc::from(name.as_str()));
            let name = match name.split_once('=') {
                Some((number, _)) if under_keys => number.to_owned(),
                _ => name,
            };
            path.push(name);
            let names: Vec<&str> = path.iter().map(String::as_str).collect();
            let since = schema::since(&names);
            let node = match node {
                SketchNode::Leaf(leaf) => Node::Leaf(leaf),
                SketchNode::Dir(dir) => Node::Dir(Arc::new(dir.freeze(Place::Inner, path))),
            };
            let name = path.pop().unwrap_or_default();
            entries.push(Entry::new(&name, since, node).labelled(label));
        }
        Dir::new(place, entries)
    }
}
