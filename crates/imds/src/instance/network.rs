//! Network interfaces: each as its leaves say, completed and checked against each other.

mod blocks;
mod completion;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::spec::{HostnameType, InterfaceSpec};
use super::value::{Checked, refuse};
use super::{InstanceSpec, place};
use completion::Completion;

/// An interface, complete. Empty lists and `None` are leaves that are not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) device_number: String,
    pub(crate) interface_id: String,
    pub(crate) ipv4_associations: BTreeMap<String, Vec<String>>,
    pub(crate) ipv4_prefix: Vec<String>,
    pub(crate) ipv6_prefix: Vec<String>,
    pub(crate) ipv6s: Vec<String>,
    pub(crate) local_hostname: Option<String>,
    pub(crate) local_ipv4s: Vec<String>,
    pub(crate) mac: String,
    pub(crate) network_card: Option<String>,
    pub(crate) owner_id: String,
    pub(crate) public_hostname: Option<String>,
    pub(crate) public_ipv4s: Vec<String>,
    pub(crate) security_group_ids: Vec<String>,
    pub(crate) security_groups: Vec<String>,
    pub(crate) subnet_id: String,
    pub(crate) subnet_ipv4_cidr_block: Option<String>,
    pub(crate) subnet_ipv6_cidr_blocks: Vec<String>,
    pub(crate) vpc_id: String,
    pub(crate) vpc_ipv4_cidr_block: Option<String>,
    pub(crate) vpc_ipv4_cidr_blocks: Vec<String>,
    pub(crate) vpc_ipv6_cidr_blocks: Vec<String>,
}

/// What no two interfaces of an instance can have in common.
const SHARED_BY_NONE: [(&str, Values); 5] = [
    ("mac", |interface| vec![&interface.mac]),
    ("interface-id", |interface| vec![&interface.interface_id]),
    ("local-ipv4s", |interface| interface.local_ipv4s.iter().collect()),
    ("public-ipv4s", |interface| interface.public_ipv4s.iter().collect()),
    ("ipv6s", |interface| interface.ipv6s.iter().collect()),
];

type Values = for<'a> fn(&'a Interface) -> Vec<&'a String>;

/// What the interfaces take from the instance.
pub(super) struct Owner<'a> {
    pub(super) account_id: &'a str,
    pub(super) instance_id: &'a str,
    pub(super) region: &'a str,
    pub(super) hostname_type: Option<HostnameType>,
}

/// All interfaces, the primary one first.
pub(super) fn interfaces(spec: &InstanceSpec, owner: &Owner<'_>) -> Checked<Vec<Interface>> {
    let mut specs = numbered(&spec.interfaces)?;
    if !specs.iter().any(|entry| entry.is_primary()) {
        let own = InterfaceSpec::default();
        specs.push(Numbered { key: String::new(), device: 0, card: None, spec: own });
    }
    specs.sort_by_key(|entry| (!entry.is_primary(), entry.card, entry.device));
    let listed = spec.interfaces.iter().filter_map(|interface| interface.local_ipv4s.as_ref()).flatten();
    let stated: Vec<Ipv4Addr> =
        listed.chain(&spec.local_ipv4).filter_map(|address| address.parse().ok()).collect();
    let mut complete: Vec<Interface> = Vec::with_capacity(specs.len());
    let mut given: Vec<InterfaceSpec> = Vec::with_capacity(specs.len());
    for mut entry in specs {
        if entry.is_primary() {
            entry.spec = with_top_level(entry.spec, &entry.key, spec)?;
        }
        let interface =
            Completion { entry: &entry, owner, others: &complete, stated: &stated }.interface()?;
        for (leaf, of) in SHARED_BY_NONE {
            for other in &complete {
                let theirs = of(other);
                let shared = |value: &&String| theirs.iter().any(|other| is_same(value, other));
                if let Some(twice) = of(&interface).into_iter().find(shared) {
                    let message = format!("{twice} is that of interface {} too", other.interface_id);
                    return refuse(entry.key_of(leaf), message);
                }
            }
        }
        for (other, given) in complete.iter_mut().zip(&given) {
            if other.vpc_id == interface.vpc_id {
                share_vpc(&interface, &entry.spec, other, given);
            }
        }
        complete.push(interface);
        given.push(entry.spec);
    }
    Ok(complete)
}

/// Gives an interface the blocks of its VPC that a later one has come to, where neither was told them.
fn share_vpc(from: &Interface, from_spec: &InterfaceSpec, to: &mut Interface, to_spec: &InterfaceSpec) {
    fn add(from: &[String], to: &mut Vec<String>) {
        let missing: Vec<String> = from.iter().filter(|block| !to.contains(block)).cloned().collect();
        to.extend(missing);
    }
    let told =
        [&from_spec.vpc_ipv4_cidr_blocks, &to_spec.vpc_ipv4_cidr_blocks].iter().any(|list| list.is_some());
    if !told && from_spec.vpc_ipv4_cidr_block.is_none() {
        add(&from.vpc_ipv4_cidr_blocks, &mut to.vpc_ipv4_cidr_blocks);
    }
    if from_spec.vpc_ipv6_cidr_blocks.is_none() && to_spec.vpc_ipv6_cidr_blocks.is_none() {
        add(&from.vpc_ipv6_cidr_blocks, &mut to.vpc_ipv6_cidr_blocks);
    }
}

/// An entry of `interfaces` with its numbers.
struct Numbered {
    /// `interfaces[0].`, or nothing for an interface described by the instance's own keys.
    key: String,
    device: u32,
    card: Option<u32>,
    spec: InterfaceSpec,
}

impl Numbered {
    fn key_of(&self, leaf: &str) -> String {
        // The instance's own keys are singular where an interface takes a list.
        match leaf {
            "local-ipv4s" | "public-ipv4s" | "ipv6s" if self.key.is_empty() => {
                leaf.trim_end_matches('s').into()
            }
            _ => format!("{}{leaf}", self.key),
        }
    }

    fn is_primary(&self) -> bool {
        self.device == 0 && self.card.unwrap_or(0) == 0
    }
}

/// Gives every entry its device number: the next free one on its card when it names none.
fn numbered(specs: &[InterfaceSpec]) -> Checked<Vec<Numbered>> {
    let mut entries: Vec<Numbered> = Vec::with_capacity(specs.len());
    for (at, spec) in specs.iter().enumerate() {
        let key = format!("interfaces[{at}].");
        let parse = |leaf: &str, value: &Option<String>| match value {
            None => Ok(None),
            Some(value) => match value.parse::<u32>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => refuse(format!("{key}{leaf}"), format!("{value:?} is not a whole number")),
            },
        };
        let card = parse("network-card", &spec.network_card)?;
        let taken = |device: u32| {
            entries.iter().any(|other| other.device == device && other.card.unwrap_or(0) == card.unwrap_or(0))
        };
        let device = match parse("device-number", &spec.device_number)? {
            Some(device) if taken(device) => {
                return refuse(format!("{key}device-number"), format!("{device} is given twice"));
            }
            Some(device) => device,
            None => (0..).find(|device| !taken(*device)).unwrap_or_default(),
        };
        entries.push(Numbered { key, device, card, spec: spec.clone() });
    }
    Ok(entries)
}

/// The primary interface with what the instance's own keys say of it.
fn with_top_level(mut own: InterfaceSpec, at: &str, top: &InstanceSpec) -> Checked<InterfaceSpec> {
    fn agree<T: Clone + PartialEq + std::fmt::Debug>(
        at: &str,
        key: &str,
        own: &mut Option<T>,
        top: &Option<T>,
    ) -> Checked<()> {
        match (own.as_ref(), top) {
            (Some(own), Some(top)) if own != top => {
                let message = format!("says {top:?} while {at}{key} says {own:?}; keep one of them");
                refuse(key, message)
            }
            (None, Some(top)) => {
                *own = Some(top.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }
    agree(at, "interface-id", &mut own.interface_id, &top.interface_id)?;
    agree(at, "local-hostname", &mut own.local_hostname, &top.local_hostname)?;
    agree(at, "public-hostname", &mut own.public_hostname, &top.public_hostname)?;
    agree(at, "security-group-ids", &mut own.security_group_ids, &top.security_group_ids)?;
    agree(at, "security-groups", &mut own.security_groups, &top.security_groups)?;
    agree(at, "subnet-id", &mut own.subnet_id, &top.subnet_id)?;
    agree(at, "subnet-ipv4-cidr-block", &mut own.subnet_ipv4_cidr_block, &top.subnet_ipv4_cidr_block)?;
    agree(at, "vpc-id", &mut own.vpc_id, &top.vpc_id)?;
    agree(at, "vpc-ipv4-cidr-block", &mut own.vpc_ipv4_cidr_block, &top.vpc_ipv4_cidr_block)?;
    // The instance has one name unless more are given.
    if own.local_hostname.is_none() {
        own.local_hostname = top.hostname.clone().filter(|name| !name.is_empty());
    }
    let lower = |mac: &Option<String>| mac.as_deref().map(str::to_ascii_lowercase);
    own.mac = lower(&own.mac);
    agree(at, "mac", &mut own.mac, &lower(&top.mac))?;
    for (key, list, top, first) in [
        ("local-ipv4", &mut own.local_ipv4s, &top.local_ipv4, true),
        ("public-ipv4", &mut own.public_ipv4s, &top.public_ipv4, false),
        ("ipv6", &mut own.ipv6s, &top.ipv6, false),
    ] {
        let Some(top) = top else { continue };
        match list {
            None => *list = Some(vec![top.clone()]),
            Some(own) if own.first().is_some_and(|own| is_same(own, top)) => {}
            Some(own) if !first && own.iter().any(|own| is_same(own, top)) => {}
            Some(own) if own.is_empty() && top.is_empty() => {}
            Some(own) => {
                let message = format!(
                    "says {top:?} while {at}{key}s says {own:?}; keep one of them, or give that interface \
                     a device-number if it is another one"
                );
                return refuse(key, message);
            }
        }
    }
    Ok(own)
}

/// Whether two texts are equal, or the same IPv6 address.
fn is_same(one: &str, other: &str) -> bool {
    let parsed = |text: &str| text.parse::<Ipv6Addr>().ok();
    one == other || parsed(one).is_some_and(|address| parsed(other) == Some(address))
}

/// The private host name EC2 gives: after the address, or after the instance.
pub(super) fn hostname(owner: &Owner<'_>, address: Option<&String>) -> String {
    let domain = place::private_domain(owner.region);
    match (owner.hostname_type, address) {
        (Some(HostnameType::ResourceName), _) | (_, None) => format!("{}.{domain}", owner.instance_id),
        (_, Some(address)) => format!("ip-{}.{domain}", address.replace('.', "-")),
    }
}
