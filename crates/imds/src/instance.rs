//! The instance that is played: what its configuration says, and everything that follows from it.
//!
//! [`InstanceSpec`] is the `[instance]` table, every key optional. [`Instance::resolve`] completes it, so that
//! every leaf, host name, zone, ARN and the identity document agree, and refuses what contradicts itself.

mod cidr;
mod location;
mod network;
mod place;
mod resolve;
mod spec;
mod value;

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

pub(crate) use network::Interface;
pub use place::Partition;
pub use spec::{HostnameType, InstanceSpec, InterfaceSpec, PublicKeySpec, TagsSetting, VolumeSpec};

/// A contradiction or a bad value in the `[instance]` table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct InstanceError {
    /// The key as written below `[instance]`: `availability-zone`, `interfaces[1].mac`.
    pub key: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

/// A complete, coherent instance.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(crate) account_id: String,
    pub(crate) ami_id: String,
    pub(crate) ami_launch_index: String,
    pub(crate) ami_manifest_path: String,
    pub(crate) ancestor_ami_ids: Vec<String>,
    pub(crate) architecture: String,
    pub(crate) availability_zone: String,
    pub(crate) availability_zone_id: String,
    pub(crate) billing_products: Vec<String>,
    /// Leaf name to device: `ami`, `root`, `ebs1`, ...
    pub(crate) block_devices: BTreeMap<String, String>,
    pub(crate) devpay_product_codes: Vec<String>,
    pub(crate) domain: String,
    pub(crate) group_name: Option<String>,
    pub(crate) host_id: Option<String>,
    pub(crate) hostname: String,
    pub(crate) instance_action: String,
    pub(crate) instance_id: String,
    pub(crate) instance_life_cycle: String,
    pub(crate) instance_type: String,
    /// By device number and network card; the primary one first.
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) ipv6: Option<String>,
    pub(crate) kernel_id: Option<String>,
    pub(crate) launched: Timestamp,
    pub(crate) local_hostname: Option<String>,
    pub(crate) local_ipv4: Option<String>,
    pub(crate) mac: String,
    pub(crate) marketplace_product_codes: Vec<String>,
    pub(crate) partition: Partition,
    pub(crate) partition_number: Option<String>,
    pub(crate) pending_time: Timestamp,
    pub(crate) product_codes: Vec<String>,
    pub(crate) profile: Option<String>,
    pub(crate) public_hostname: Option<String>,
    pub(crate) public_ipv4: Option<String>,
    /// Name and key line, in the order of their numbers.
    pub(crate) public_keys: Vec<(String, String)>,
    pub(crate) ramdisk_id: Option<String>,
    pub(crate) region: String,
    pub(crate) reservation_id: String,
    pub(crate) security_groups: Vec<String>,
    pub(crate) system: Option<String>,
    /// The tags, where the metadata shows them.
    pub(crate) tags: Option<BTreeMap<String, String>>,
    pub(crate) target_lifecycle_state: Option<String>,
    pub(crate) user_data: Option<Bytes>,
    /// The names of the API versions offered.
    pub(crate) versions: Vec<String>,
}

impl Instance {
    /// The instance id; also EC2's session name for its roles.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The 12 digits of the account.
    pub fn account_id(&self) -> &str {
        &self.account_id
    }

    /// The region, such as `us-east-1`.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The partition of ARNs: `aws`, `aws-cn`, `aws-us-gov`, ...
    pub fn partition(&self) -> &'static str {
        self.partition.name
    }

    /// When the instance last entered the pending state; the date in its identity document.
    pub fn pending_time(&self) -> Timestamp {
        self.pending_time
    }

    /// The instance identity document, byte for byte as it is served and signed.
    pub fn document(&self) -> Bytes {
        Bytes::from(crate::documents::identity_document(self))
    }
}
