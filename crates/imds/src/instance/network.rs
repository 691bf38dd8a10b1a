//! Network interfaces: each as its leaves say, completed and checked against each other.

use std::collections::BTreeMap;

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
