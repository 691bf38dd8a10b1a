//! Whatever the configuration: everything agrees, and nothing breaks.

use imds::{Instance, InstanceSpec, Status, TokenMode};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{TestService, document, leaf, now, own};

const KEYS: [&str; 24] = [
    "account-id",
    "ami-launch-index",
    "architecture",
    "availability-zone",
    "availability-zone-id",
    "block-device-mapping",
    "hostname",
    "instance-id",
    "instance-type",
    "interfaces",
    "ipv6",
    "local-ipv4",
    "mac",
    "partition-number",
    "pending-time",
    "public-ipv4",
    "public-keys",
    "region",
    "security-groups",
    "subnet-ipv4-cidr-block",
    "tags",
    "user-data-base64",
    "versions",
    "vpc-ipv4-cidr-block",
];

/// Values near to right ones, and others.
fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "\\PC{0,12}",
        "[0-9./:-]{0,16}",
        "(10.0.0.1|10.0.0.0/8|0.0.0.0/0|255.255.255.255/32|::1|use1-az1|us-east-1a|us-east-1|a-b-1-c-2z)",
        "(t4g.x|mac|latest|2021-01-01|2026-09-26T00:00:00Z|0e:00:00:00:00:01)",
    ]
    .prop_map(Value::from);
    let number = any::<u32>().prop_map(Value::from);
    let leaf = prop_oneof![4 => text, 1 => number, 1 => any::<bool>().prop_map(Value::from)];
    let names = "(device-number|network-card|local-ipv4s|public-ipv4s|mac|a|b/c|ami|root)";
    let table = proptest::collection::btree_map(names, leaf.clone(), 0..3)
        .prop_map(|table| Value::Object(table.into_iter().collect()));
    let list =
        proptest::collection::vec(prop_oneof![leaf.clone(), table.clone()], 0..4).prop_map(Value::from);
    prop_oneof![4 => leaf, 2 => table, 2 => list]
}

proptest! {
    /// Whatever address, subnet and region: everything that names them agrees.
    #[test]
    fn everything_agrees(
        address: std::net::Ipv4Addr, bits in 8u32..=28, give_subnet: bool, give_vpc: bool,
        region in "(us|eu|ap)-(east|west|central|south|northeast)-[1-9]", letter in "[a-f]", id in "i-0[0-9a-f]{16}",
    ) {
        let block = |bits: u32| {
            let mask = u32::MAX << (32 - bits);
            format!("{}/{bits}", std::net::Ipv4Addr::from(u32::from(address) & mask))
        };
        let spec = InstanceSpec {
            local_ipv4: Some(address.to_string()),
            subnet_ipv4_cidr_block: give_subnet.then(|| block(bits)),
            vpc_ipv4_cidr_block: give_vpc.then(|| block(bits.min(16))),
            availability_zone: Some(format!("{region}{letter}")),
            instance_id: Some(id.clone()),
            ..InstanceSpec::default()
        };
        let service = TestService::new(&spec, &["app"], TokenMode::Optional);
        prop_assert_eq!(leaf(&service, "placement/region"), region.clone());
        let name = leaf(&service, "hostname");
        let label = address.to_string().replace('.', "-");
        prop_assert!(name.starts_with(&format!("ip-{label}.")), "{}", name);
        prop_assert_eq!(own(&service, "local-hostname"), name);
        prop_assert_eq!(own(&service, "local-ipv4s"), address.to_string());
        let document = document(&service);
        prop_assert_eq!(&document["privateIp"], &address.to_string());
        prop_assert_eq!(&document["region"], &region);
        prop_assert_eq!(&document["instanceId"], &id);
        let inside = |text: String| {
            let (base, bits) = text.split_once('/').unwrap();
            let (base, bits): (std::net::Ipv4Addr, u32) = (base.parse().unwrap(), bits.parse().unwrap());
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            u32::from(base) == u32::from(address) & mask
        };
        prop_assert!(inside(own(&service, "subnet-ipv4-cidr-block")));
        prop_assert!(inside(own(&service, "vpc-ipv4-cidr-block")));
    }

    /// Whatever is written into whichever key: refused, or an instance whose menu can be read.
    #[test]
    fn any_value_is_refused_or_served(
        keys in proptest::collection::vec(0..KEYS.len(), 1..4),
        values in proptest::collection::vec(any_value(), 4),
    ) {
        let table: serde_json::Map<String, Value> =
            keys.iter().zip(&values).map(|(key, value)| (KEYS[*key].to_owned(), value.clone())).collect();
        let spec = serde_json::from_value::<InstanceSpec>(Value::Object(table));
        if let Some(instance) = spec.ok().and_then(|spec| Instance::resolve(&spec, now()).ok()) {
            let trees = imds::Trees::build(&instance, &[], &imds::Overrides::default()).unwrap();
            let service = TestService::of(trees, TokenMode::Optional);
            prop_assert_eq!(service.get("/latest/meta-data/").status(), Status::Ok);
            prop_assert!(document(&service)["instanceId"].is_string());
        }
    }

    #[test]
    fn resolving_is_the_same_every_time(id in "i-0[0-9a-f]{16}", account in "[0-9]{12}") {
        let spec = InstanceSpec { instance_id: Some(id), account_id: Some(account), ..InstanceSpec::default() };
        let resolve = || format!("{:?}", Instance::resolve(&spec, now()));
        prop_assert_eq!(resolve(), resolve());
    }
}
