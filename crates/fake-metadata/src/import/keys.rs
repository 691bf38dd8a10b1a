//! Which keys of AEMM are which keys of `[instance]`.

/// How a value of AEMM, which is one text, stands under `[instance]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    /// A text with a value a line.
    List,
}

use Form::{List, Text};

/// Keys of `metadata.values`, and keys of `[instance]`.
pub(super) const META_DATA: &[(&str, &str, Form)] = &[
    ("ami-id", "ami-id", Text),
    ("ami-launch-index", "ami-launch-index", Text),
    ("ami-manifest-path", "ami-manifest-path", Text),
    ("hostname", "hostname", Text),
    ("instance-action", "instance-action", Text),
    ("instance-id", "instance-id", Text),
    ("instance-life-cycle", "instance-life-cycle", Text),
    ("instance-type", "instance-type", Text),
    ("kernel-id", "kernel-id", Text),
    ("local-hostname", "local-hostname", Text),
    ("local-ipv4", "local-ipv4", Text),
    ("mac", "mac", Text),
    ("mac-network-interface-id", "interface-id", Text),
    ("mac-security-group-ids", "security-group-ids", List),
    ("mac-subnet-id", "subnet-id", Text),
    ("mac-subnet-ipv4-cidr-block", "subnet-ipv4-cidr-block", Text),
    ("mac-vpc-id", "vpc-id", Text),
    ("mac-vpc-ipv4-cidr-block", "vpc-ipv4-cidr-block", Text),
    ("placement-availability-zone", "availability-zone", Text),
    ("placement-availability-zone-id", "availability-zone-id", Text),
    ("placement-group-name", "group-name", Text),
    ("placement-host-id", "host-id", Text),
    ("placement-partition-number", "partition-number", Text),
    ("placement-region", "region", Text),
    ("product-codes", "product-codes", List),
    ("public-hostname", "public-hostname", Text),
    ("public-ipv4", "public-ipv4", Text),
    ("ramdisk-id", "ramdisk-id", Text),
    ("reservation-id", "reservation-id", Text),
    ("security-groups", "security-groups", List),
    ("services-domain", "domain", Text),
    ("services-partition", "partition", Text),
];

/// Keys of the identity document, in lower case as AEMM's loader has them, and keys of `[instance]`. They count
/// where `metadata.values` says nothing of the same key.
pub(super) const DOCUMENT: &[(&str, &str, Form)] = &[
    ("accountid", "account-id", Text),
    ("architecture", "architecture", Text),
    ("availabilityzone", "availability-zone", Text),
    ("billingproducts", "billing-products", List),
    ("devpayproductcodes", "devpay-product-codes", List),
    ("imageid", "ami-id", Text),
    ("instanceid", "instance-id", Text),
    ("instancetype", "instance-type", Text),
    ("kernelid", "kernel-id", Text),
    ("marketplaceproductcodes", "marketplace-product-codes", List),
    ("pendingtime", "pending-time", Text),
    ("privateip", "local-ipv4", Text),
    ("ramdiskid", "ramdisk-id", Text),
    ("region", "region", Text),
];

/// Keys of `metadata.values`, and leaves of `block-device-mapping/`.
pub(super) const BLOCK_DEVICES: &[(&str, &str)] = &[
    ("block-device-mapping-ami", "ami"),
    ("block-device-mapping-ebs", "ebs0"),
    ("block-device-mapping-ephemeral", "ephemeral0"),
    ("block-device-mapping-root", "root"),
    ("block-device-mapping-swap", "swap"),
];
