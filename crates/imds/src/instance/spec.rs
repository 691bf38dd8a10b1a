//! The `[instance]` table as it is written. Keys are the leaf names of the metadata tree.
//!
//! Texts may be given as numbers and lists as a single text. An empty text or list says that this instance has
//! no such leaf. Nothing is checked here but shapes; see `resolve`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// `[instance]`. What is left out takes a value that agrees with what is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the fields are the leaves of the same name")]
pub struct InstanceSpec {
    #[serde(deserialize_with = "account")]
    pub account_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub ami_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub ami_launch_index: Option<String>,
    #[serde(deserialize_with = "text")]
    pub ami_manifest_path: Option<String>,
    #[serde(deserialize_with = "list")]
    pub ancestor_ami_ids: Option<Vec<String>>,
    /// `i386`, `x86_64` or `arm64`, of the identity document; by the instance type when left out.
    #[serde(deserialize_with = "text")]
    pub architecture: Option<String>,
    #[serde(deserialize_with = "text")]
    pub availability_zone: Option<String>,
    #[serde(deserialize_with = "text")]
    pub availability_zone_id: Option<String>,
    /// `billingProducts` of the identity document.
    #[serde(deserialize_with = "list")]
    pub billing_products: Option<Vec<String>>,
    /// The leaves of `block-device-mapping/` as they are: `ami`, `root`, `ebs1`, `ephemeral0`, `swap`. An empty
    /// text removes one.
    pub block_device_mapping: BTreeMap<String, String>,
    /// `devpayProductCodes` of the identity document.
    #[serde(deserialize_with = "list")]
    pub devpay_product_codes: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub domain: Option<String>,
    #[serde(deserialize_with = "text")]
    pub group_name: Option<String>,
    #[serde(deserialize_with = "text")]
    pub host_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub hostname: Option<String>,
    /// How host names are made where none is given.
    pub hostname_type: Option<HostnameType>,
    #[serde(deserialize_with = "text")]
    pub instance_action: Option<String>,
    #[serde(deserialize_with = "text")]
    pub instance_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub instance_life_cycle: Option<String>,
    /// Whether the metadata shows the tags; when left out, it does if there is a `tags` table.
    pub instance_metadata_tags: Option<TagsSetting>,
    #[serde(deserialize_with = "text")]
    pub instance_type: Option<String>,
    /// Of the primary interface.
    #[serde(deserialize_with = "text")]
    pub interface_id: Option<String>,
    /// All interfaces; the primary one (device number 0) may be left to the keys of this table.
    pub interfaces: Vec<InterfaceSpec>,
    #[serde(deserialize_with = "text")]
    pub ipv6: Option<String>,
    #[serde(deserialize_with = "text")]
    pub kernel_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub local_hostname: Option<String>,
    /// Also `private-ipv4`.
    #[serde(deserialize_with = "text", alias = "private-ipv4")]
    pub local_ipv4: Option<String>,
    #[serde(deserialize_with = "text")]
    pub mac: Option<String>,
    /// `marketplaceProductCodes` of the identity document; the `product-codes` when left out.
    #[serde(deserialize_with = "list")]
    pub marketplace_product_codes: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub partition: Option<String>,
    #[serde(deserialize_with = "text")]
    pub partition_number: Option<String>,
    /// `pendingTime` of the identity document, RFC 3339; the time of launch when left out.
    #[serde(deserialize_with = "text")]
    pub pending_time: Option<String>,
    #[serde(deserialize_with = "list")]
    pub product_codes: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub profile: Option<String>,
    #[serde(deserialize_with = "text")]
    pub public_hostname: Option<String>,
    #[serde(deserialize_with = "text")]
    pub public_ipv4: Option<String>,
    /// A table of names and key lines, or a list of tables where the order of several keys matters.
    #[serde(deserialize_with = "public_keys")]
    pub public_keys: Vec<PublicKeySpec>,
    #[serde(deserialize_with = "text")]
    pub ramdisk_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub region: Option<String>,
    #[serde(deserialize_with = "text")]
    pub reservation_id: Option<String>,
    /// Of the primary interface.
    #[serde(deserialize_with = "list")]
    pub security_group_ids: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub security_groups: Option<Vec<String>>,
    /// Of the primary interface.
    #[serde(deserialize_with = "text")]
    pub subnet_id: Option<String>,
    /// Of the primary interface.
    #[serde(deserialize_with = "text")]
    pub subnet_ipv4_cidr_block: Option<String>,
    #[serde(deserialize_with = "text")]
    pub system: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    /// `autoscaling/target-lifecycle-state`; there is none when left out.
    #[serde(deserialize_with = "text")]
    pub target_lifecycle_state: Option<String>,
    /// User data as text.
    pub user_data: Option<String>,
    /// User data in base64.
    pub user_data_base64: Option<String>,
    /// A file of user data. Whoever reads the configuration takes it out and sets
    /// [`InstanceSpec::user_data_bytes`]; nothing here opens files.
    pub user_data_file: Option<String>,
    /// User data as bytes, from a file.
    #[serde(skip)]
    pub user_data_bytes: Option<Bytes>,
    /// The names that `GET /` lists; the 31 of a 2026 instance when left out. Dates the tree does not know show
    /// what the version before them shows.
    #[serde(deserialize_with = "list")]
    pub versions: Option<Vec<String>>,
    /// Data volumes attached at launch, in the order in which they become `ebs1`, `ebs2`, ...
    pub volumes: Vec<VolumeSpec>,
    /// Of the primary interface.
    #[serde(deserialize_with = "text")]
    pub vpc_id: Option<String>,
    /// Of the primary interface.
    #[serde(deserialize_with = "text")]
    pub vpc_ipv4_cidr_block: Option<String>,
}

/// `[[instance.interfaces]]`: a network interface, keys as in `network/interfaces/macs/MAC/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the fields are the leaves of the same name")]
pub struct InterfaceSpec {
    #[serde(deserialize_with = "text")]
    pub device_number: Option<String>,
    #[serde(deserialize_with = "text")]
    pub interface_id: Option<String>,
    /// Public address to the private address or addresses behind it; by order when left out.
    pub ipv4_associations: Option<BTreeMap<String, ListOrText>>,
    #[serde(deserialize_with = "list")]
    pub ipv4_prefix: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub ipv6_prefix: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub ipv6s: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub local_hostname: Option<String>,
    #[serde(deserialize_with = "list")]
    pub local_ipv4s: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub mac: Option<String>,
    #[serde(deserialize_with = "text")]
    pub network_card: Option<String>,
    #[serde(deserialize_with = "account")]
    pub owner_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub public_hostname: Option<String>,
    #[serde(deserialize_with = "list")]
    pub public_ipv4s: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub security_group_ids: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub security_groups: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub subnet_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub subnet_ipv4_cidr_block: Option<String>,
    #[serde(deserialize_with = "list")]
    pub subnet_ipv6_cidr_blocks: Option<Vec<String>>,
    #[serde(deserialize_with = "text")]
    pub vpc_id: Option<String>,
    #[serde(deserialize_with = "text")]
    pub vpc_ipv4_cidr_block: Option<String>,
    #[serde(deserialize_with = "list")]
    pub vpc_ipv4_cidr_blocks: Option<Vec<String>>,
    #[serde(deserialize_with = "list")]
    pub vpc_ipv6_cidr_blocks: Option<Vec<String>>,
}

/// `[[instance.volumes]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VolumeSpec {
    /// Such as `/dev/sdf` or `sdf`.
    pub device_name: String,
    /// The leaf's name: `ephemeral0`, `swap`, `ebs3`; the next `ebsN` when left out.
    pub virtual_name: Option<String>,
}

/// A key pair's public half.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PublicKeySpec {
    /// The key pair's name.
    pub name: String,
    /// The key line, with or without its line end.
    pub openssh_key: String,
}

/// EC2's private DNS name options, `HostnameType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostnameType {
    /// `ip-10-0-1-23`, after the first private address.
    IpName,
    /// After the instance id.
    ResourceName,
}

/// EC2's metadata option `InstanceMetadataTags`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TagsSetting {
    /// `tags/` and `tag-sets/` are shown.
    Enabled,
    /// They are not.
    Disabled,
}

/// A list that may be written as one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOrText(pub Vec<String>);

impl<'de> Deserialize<'de> for ListOrText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ListOrText, D::Error> {
        deserializer.deserialize_any(ListVisitor).map(ListOrText)
    }
}

struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(TextVisitor).map(Some)
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    deserializer.deserialize_any(ListVisitor).map(Some)
}

fn account<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    deserializer.deserialize_any(AccountVisitor).map(Some)
}

fn public_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicKeySpec>, D::Error> {
    deserializer.deserialize_any(PublicKeysVisitor)
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    /// A TOML date without quotes: the toml crate hands it over as a table with one private key.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, date)) if key.starts_with("$__toml") => Ok(date),
            _ => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

/// An account id; written as a number it has lost its leading zeros and gets them back.
struct AccountVisitor;

impl Visitor<'_> for AccountVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an account id of 12 digits")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        Ok(format!("{value:012}"))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        Ok(format!("{value:012}"))
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Vec<String>, E> {
        Ok(value.lines().map(str::to_owned).collect())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
        let mut values = Vec::new();
        while let Some(Text(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(values)
    }
}

struct PublicKeysVisitor;

impl<'de> Visitor<'de> for PublicKeysVisitor {
    type Value = Vec<PublicKeySpec>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of key names and key lines, or a list of tables with name and openssh-key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<PublicKeySpec>, A::Error> {
        let mut keys = Vec::new();
        while let Some((name, openssh_key)) = map.next_entry()? {
            keys.push(PublicKeySpec { name, openssh_key });
        }
        Ok(keys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<PublicKeySpec>, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = seq.next_element()? {
            keys.push(key);
        }
        Ok(keys)
    }
}
