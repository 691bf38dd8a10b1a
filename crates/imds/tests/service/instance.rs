//! One instance from little configuration: what follows from what, and what is refused.

use imds::{Instance, InstanceError, InstanceSpec, Status, TokenMode};
use proptest::prelude::*;
use serde_json::Value;

use crate::common::{TestService, body, now};

fn parse(text: &str) -> InstanceSpec {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn service(text: &str) -> TestService {
    TestService::new(&parse(text), &["app"], TokenMode::Optional)
}

fn refused(text: &str) -> InstanceError {
    match Instance::resolve(&parse(text), now()) {
        Ok(_) => panic!("not refused: {text}"),
        Err(error) => error,
    }
}

fn leaf(service: &TestService, path: &str) -> String {
    let reply = service.get_as("app", &format!("/latest/meta-data/{path}"));
    match reply.status() {
        Status::Ok => body(&reply).to_owned(),
        status => format!("<{}>", status.code()),
    }
}

fn document(service: &TestService) -> Value {
    serde_json::from_str(body(&service.get("/latest/dynamic/instance-identity/document"))).unwrap()
}

/// The leaf of the primary interface.
fn own(service: &TestService, path: &str) -> String {
    leaf(service, &format!("network/interfaces/macs/{}/{path}", leaf(service, "mac")))
}

#[test]
fn the_default_instance_is_complete() {
    let service = service("");
    for (path, value) in [
        ("ami-id", "ami-0abcdef1234567890"),
        ("ami-launch-index", "0"),
        ("ami-manifest-path", "(unknown)"),
        ("block-device-mapping/ami", "xvda"),
        ("block-device-mapping/root", "/dev/xvda"),
        ("events/maintenance/history", "[]"),
        ("events/maintenance/scheduled", "[]"),
        ("hostname", "ip-172-31-16-10.ec2.internal"),
        ("instance-action", "none"),
        ("instance-id", "i-1234567890abcdef0"),
        ("instance-life-cycle", "on-demand"),
        ("instance-type", "t3.micro"),
        ("local-hostname", "ip-172-31-16-10.ec2.internal"),
        ("local-ipv4", "172.31.16.10"),
        ("metrics/vhostmd", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"),
        ("placement/availability-zone", "us-east-1a"),
        ("placement/availability-zone-id", "use1-az1"),
        ("placement/region", "us-east-1"),
        ("profile", "default-hvm"),
        ("security-groups", "default"),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
        ("system", "nitro"),
    ] {
        assert_eq!(leaf(&service, path), value, "{path}");
    }
    for (path, value) in [
        ("device-number", "0"),
        ("local-hostname", "ip-172-31-16-10.ec2.internal"),
        ("local-ipv4s", "172.31.16.10"),
        ("owner-id", "123456789012"),
        ("security-groups", "default"),
        ("subnet-ipv4-cidr-block", "172.31.16.0/20"),
        ("vpc-ipv4-cidr-block", "172.31.0.0/16"),
        ("vpc-ipv4-cidr-blocks", "172.31.0.0/16"),
    ] {
        assert_eq!(own(&service, path), value, "{path}");
    }
    for (path, prefix) in [
        ("interface-id", "eni-"),
        ("subnet-id", "subnet-"),
        ("vpc-id", "vpc-"),
        ("security-group-ids", "sg-"),
    ] {
        let id = own(&service, path);
        assert!(id.starts_with(prefix) && id.len() == prefix.len() + 17, "{path}: {id}");
    }
    assert_eq!(own(&service, "mac"), leaf(&service, "mac"));
    assert_eq!(
        body(&service.get("/latest/dynamic/instance-identity/document")),
        "{\n  \"accountId\" : \"123456789012\",\n  \"architecture\" : \"x86_64\",\n  \
         \"availabilityZone\" : \"us-east-1a\",\n  \"billingProducts\" : null,\n  \
         \"devpayProductCodes\" : null,\n  \"marketplaceProductCodes\" : null,\n  \
         \"imageId\" : \"ami-0abcdef1234567890\",\n  \"instanceId\" : \"i-1234567890abcdef0\",\n  \
         \"instanceType\" : \"t3.micro\",\n  \"kernelId\" : null,\n  \
         \"pendingTime\" : \"2026-09-26T12:00:00Z\",\n  \"privateIp\" : \"172.31.16.10\",\n  \
         \"ramdiskId\" : null,\n  \"region\" : \"us-east-1\",\n  \"version\" : \"2017-09-30\"\n}"
    );
}

#[test]
fn the_region_is_changed_in_one_place() {
    for (region, partition, domain, private, public) in [
        ("us-east-1", "aws", "amazonaws.com", "ec2.internal", "compute-1.amazonaws.com"),
        (
            "eu-west-3",
            "aws",
            "amazonaws.com",
            "eu-west-3.compute.internal",
            "eu-west-3.compute.amazonaws.com",
        ),
        (
            "cn-north-1",
            "aws-cn",
            "amazonaws.com.cn",
            "cn-north-1.compute.internal",
            "cn-north-1.compute.amazonaws.com.cn",
        ),
        (
            "us-gov-west-1",
            "aws-us-gov",
            "amazonaws.com",
            "us-gov-west-1.compute.internal",
            "us-gov-west-1.compute.amazonaws.com",
        ),
        (
            "us-iso-east-1",
            "aws-iso",
            "c2s.ic.gov",
            "us-iso-east-1.compute.internal",
            "us-iso-east-1.compute.c2s.ic.gov",
        ),
        (
            "us-isob-east-1",
            "aws-iso-b",
            "sc2s.sgov.gov",
            "us-isob-east-1.compute.internal",
            "us-isob-east-1.compute.sc2s.sgov.gov",
        ),
    ] {
        let service = service(&format!("region = '{region}'\npublic-ipv4 = '192.0.2.54'"));
        assert_eq!(leaf(&service, "placement/region"), region);
        assert_eq!(leaf(&service, "placement/availability-zone"), format!("{region}a"));
        assert_eq!(leaf(&service, "services/partition"), partition);
        assert_eq!(leaf(&service, "services/domain"), domain);
        assert_eq!(leaf(&service, "hostname"), format!("ip-172-31-16-10.{private}"));
        assert_eq!(leaf(&service, "local-hostname"), leaf(&service, "hostname"));
        assert_eq!(own(&service, "local-hostname"), leaf(&service, "hostname"));
        assert_eq!(leaf(&service, "public-hostname"), format!("ec2-192-0-2-54.{public}"));
        assert_eq!(own(&service, "public-hostname"), leaf(&service, "public-hostname"));
        let info: Value = serde_json::from_str(&leaf(&service, "iam/info")).unwrap();
        let arn = format!("arn:{partition}:iam::123456789012:instance-profile/app");
        assert_eq!(info["InstanceProfileArn"], arn);
        assert_eq!(document(&service)["region"], region);
        assert_eq!(document(&service)["availabilityZone"], format!("{region}a"));
    }
}

#[test]
fn zones_name_their_region() {
    for (text, zone, id, region) in [
        ("availability-zone = 'eu-central-1c'", "eu-central-1c", "euc1-az3", "eu-central-1"),
        ("availability-zone = 'us-west-2-lax-1a'", "us-west-2-lax-1a", "usw2-lax1-az1", "us-west-2"),
        ("availability-zone-id = 'apse2-az2'", "ap-southeast-2b", "apse2-az2", "ap-southeast-2"),
        ("region = 'us-east-1'\navailability-zone-id = 'use1-az6'", "us-east-1f", "use1-az6", "us-east-1"),
    ] {
        let service = service(text);
        assert_eq!(leaf(&service, "placement/availability-zone"), zone, "{text}");
        assert_eq!(leaf(&service, "placement/availability-zone-id"), id, "{text}");
        assert_eq!(leaf(&service, "placement/region"), region, "{text}");
    }
}

#[test]
fn the_address_is_changed_in_one_place() {
    for key in ["local-ipv4", "private-ipv4"] {
        let service = service(&format!("{key} = '10.9.8.7'"));
        assert_eq!(leaf(&service, "local-ipv4"), "10.9.8.7");
        assert_eq!(leaf(&service, "hostname"), "ip-10-9-8-7.ec2.internal");
        assert_eq!(own(&service, "local-ipv4s"), "10.9.8.7");
        assert_eq!(own(&service, "subnet-ipv4-cidr-block"), "10.9.0.0/20");
        assert_eq!(own(&service, "vpc-ipv4-cidr-blocks"), "10.9.0.0/16");
        assert_eq!(document(&service)["privateIp"], "10.9.8.7");
    }
}

#[test]
fn the_instance_id_is_changed_in_one_place() {
    let (one, other) = (service(""), service("instance-id = 'i-0aaaaaaaaaaaaaaaa'"));
    assert_eq!(leaf(&other, "instance-id"), "i-0aaaaaaaaaaaaaaaa");
    assert_eq!(document(&other)["instanceId"], "i-0aaaaaaaaaaaaaaaa");
    for path in ["mac", "reservation-id"] {
        assert_ne!(leaf(&one, path), leaf(&other, path), "two instances share a {path}");
    }
    assert_ne!(own(&one, "interface-id"), own(&other, "interface-id"));
    assert_eq!(
        own(&one, "vpc-id"),
        own(&other, "vpc-id"),
        "instances of one account and region share its VPC"
    );
    let named = service("instance-id = 'i-0aaaaaaaaaaaaaaaa'\nhostname-type = 'resource-name'");
    assert_eq!(leaf(&named, "hostname"), "i-0aaaaaaaaaaaaaaaa.ec2.internal");
    assert_eq!(own(&named, "local-hostname"), "i-0aaaaaaaaaaaaaaaa.ec2.internal");
}

#[test]
fn an_ipv6_only_instance() {
    let service = service(include_str!("../data/ipv6-only.toml"));
    assert_eq!(leaf(&service, "local-ipv4"), "<404>");
    assert_eq!(leaf(&service, "ipv6"), "2001:db8:9:8::7");
    assert_eq!(leaf(&service, "hostname"), "i-0123456789abcdef0.us-west-2.compute.internal");
    assert_eq!(own(&service, "ipv6s"), "2001:db8:9:8::7");
    assert_eq!(own(&service, "subnet-ipv6-cidr-blocks"), "2001:db8:9:8:0:0:0:0/64");
    assert_eq!(own(&service, "vpc-ipv6-cidr-blocks"), "2001:db8:9:0:0:0:0:0/56");
    assert_eq!(own(&service, "local-ipv4s"), "<404>");
    assert_eq!(own(&service, "subnet-ipv4-cidr-block"), "<404>");
    assert_eq!(document(&service)["privateIp"], Value::Null);
}

#[test]
fn the_type_says_architecture_and_hypervisor() {
    for (instance_type, architecture, system) in [
        ("t3.micro", "x86_64", "nitro"),
        ("t4g.small", "arm64", "nitro"),
        ("c7gn.xlarge", "arm64", "nitro"),
        ("a1.large", "arm64", "nitro"),
        ("im4gn.large", "arm64", "nitro"),
        ("g4dn.xlarge", "x86_64", "nitro"),
        ("g5g.xlarge", "arm64", "nitro"),
        ("u-6tb1.metal", "x86_64", "nitro"),
        ("mac2.metal", "arm64_mac", "nitro"),
        ("mac1.metal", "x86_64_mac", "nitro"),
        ("t2.micro", "x86_64", "xen"),
        ("i3.metal", "x86_64", "nitro"),
    ] {
        let service = service(&format!("instance-type = '{instance_type}'"));
        assert_eq!(document(&service)["architecture"], architecture, "{instance_type}");
        assert_eq!(leaf(&service, "system"), system, "{instance_type}");
    }
    assert_eq!(
        document(&service("instance-type = 't2.micro'\narchitecture = 'i386'"))["architecture"],
        "i386"
    );
}

#[test]
fn product_codes_are_in_the_document_too() {
    let service = service("product-codes = ['a', 'b']\nbilling-products = 'bp-1'\nkernel-id = 'aki-1'");
    assert_eq!(leaf(&service, "product-codes"), "a\nb");
    assert_eq!(leaf(&service, "kernel-id"), "aki-1");
    let text = body(&service.get("/latest/dynamic/instance-identity/document")).to_owned();
    for line in [
        r#""billingProducts" : [ "bp-1" ],"#,
        r#""marketplaceProductCodes" : [ "a", "b" ],"#,
        r#""kernelId" : "aki-1","#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn tags_are_shown_as_told() {
    let named = service("tags = { Name = 'x', 'a:b' = '' }");
    assert_eq!(leaf(&named, "tags/instance"), "Name\na:b");
    assert_eq!(leaf(&named, "tags/instance/a:b"), "");
    assert_eq!(leaf(&named, "tag-sets/instance"), r#"{"Name":"x","a:b":""}"#);
    let empty = service("instance-metadata-tags = 'enabled'");
    assert_eq!((leaf(&empty, "tags"), leaf(&empty, "tags/instance")), ("<404>".into(), "<404>".into()));
    assert_eq!(leaf(&empty, "tag-sets/instance"), "{}");
    let hidden = service("instance-metadata-tags = 'disabled'\ntags = { 'not a/name' = 'x' }");
    assert_eq!((leaf(&hidden, "tags"), leaf(&hidden, "tag-sets")), ("<404>".into(), "<404>".into()));
}

#[test]
fn an_empty_text_says_there_is_none() {
    let service = service("profile = ''\nsystem = ''\npublic-ipv4 = '192.0.2.1'\npublic-hostname = ''");
    for path in ["profile", "system", "public-hostname"] {
        assert_eq!(leaf(&service, path), "<404>", "{path}");
    }
    assert_eq!(own(&service, "public-hostname"), "<404>");
    assert_eq!(own(&service, "public-ipv4s"), "192.0.2.1");
}

/// As the original fake-metadata service has it: a public host name with no address behind it.
#[test]
fn a_public_hostname_alone() {
    let service = service("public-hostname = 'box.example.com'");
    assert_eq!(leaf(&service, "public-hostname"), "box.example.com");
    assert_eq!(leaf(&service, "public-ipv4"), "<404>");
}

#[test]
fn a_second_interface_needs_next_to_nothing() {
    let service = service("[[interfaces]]\n[[interfaces]]\n[[interfaces]]\npublic-ipv4s = ['192.0.2.9']");
    let macs = leaf(&service, "network/interfaces/macs");
    let at = |mac: &str, path: &str| leaf(&service, &format!("network/interfaces/macs/{mac}{path}"));
    let mut numbers = Vec::new();
    for mac in macs.lines() {
        let device: u32 = at(mac, "device-number").parse().unwrap();
        assert_eq!(at(mac, "local-ipv4s"), format!("172.31.16.{}", 10 + device));
        assert_eq!(at(mac, "local-hostname"), format!("ip-172-31-16-{}.ec2.internal", 10 + device));
        assert_eq!(at(mac, "vpc-id"), own(&service, "vpc-id"));
        assert_eq!(at(mac, "subnet-ipv4-cidr-block"), "172.31.16.0/20");
        let association = if device == 2 { format!("172.31.16.{}", 10 + device) } else { "<404>".into() };
        assert_eq!(at(mac, "ipv4-associations/192.0.2.9"), association);
        numbers.push(device);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(leaf(&service, "public-ipv4"), "<404>", "it is the third interface's");
}

#[test]
fn a_made_up_address_is_none_that_is_given_to_an_interface() {
    for (text, primary) in [
        ("[[interfaces]]\n[[interfaces]]\nlocal-ipv4s = ['172.31.16.10', '172.31.16.11']", "172.31.16.12"),
        ("local-ipv4 = '172.31.16.10'\n[[interfaces]]\ndevice-number = 1", "172.31.16.10"),
        ("[[interfaces]]\ndevice-number = 1\nlocal-ipv4s = '172.31.16.10'", "172.31.16.11"),
    ] {
        assert_eq!(leaf(&service(text), "local-ipv4"), primary, "{text}");
    }
}

/// What the leaves of the interface with a device number say.
fn of_device<'a>(service: &'a TestService, device: &str) -> impl Fn(&str) -> String + 'a {
    let at = |mac: &str, path: &str| leaf(service, &format!("network/interfaces/macs/{mac}{path}"));
    let macs = leaf(service, "network/interfaces/macs");
    let mac = macs.lines().find(|mac| at(mac, "device-number") == device).unwrap().to_owned();
    move |path| at(&mac, path)
}

#[test]
fn interfaces_of_one_vpc_agree_on_its_blocks() {
    let service = service(
        "vpc-id = 'vpc-1'\nlocal-ipv4 = '10.1.0.5'\n[[interfaces]]\ndevice-number = 1\nlocal-ipv4s = '10.2.0.5'\n\
         ipv6s = '2001:db8:1:2::5'\n[[interfaces]]\nvpc-id = 'vpc-1'\ndevice-number = 2\nlocal-ipv4s = '10.1.0.6'\n\
         [[interfaces]]\nvpc-id = 'vpc-2'\ndevice-number = 3\n",
    );
    for device in ["0", "1", "2"] {
        let own = of_device(&service, device);
        assert_eq!(own("vpc-id"), "vpc-1");
        assert_eq!(own("vpc-ipv4-cidr-block"), "10.1.0.0/16");
        assert_eq!(own("vpc-ipv4-cidr-blocks"), "10.1.0.0/16\n10.2.0.0/16");
        assert_eq!(own("vpc-ipv6-cidr-blocks"), "2001:db8:1:0:0:0:0:0/56");
    }
    let [first, second, third] = ["0", "1", "2"].map(|device| of_device(&service, device)("subnet-id"));
    assert_eq!(first, third);
    assert_ne!(first, second, "another block is another subnet");
    let other = of_device(&service, "3");
    assert_eq!(other("vpc-ipv4-cidr-blocks"), "172.31.0.0/16");
    assert!(other("subnet-id").starts_with("subnet-") && other("subnet-id") != first);
}

#[test]
fn a_block_that_a_vpc_grows_by_does_not_overlap_it() {
    let service = service(
        "vpc-ipv4-cidr-block = '10.1.0.0/24'\n[[interfaces]]\ndevice-number = 1\nlocal-ipv4s = '10.1.1.5'",
    );
    assert_eq!(own(&service, "vpc-ipv4-cidr-blocks"), "10.1.0.0/24\n10.1.1.0/24");
    assert_eq!(of_device(&service, "1")("subnet-ipv4-cidr-block"), "10.1.1.0/24");
}

#[test]
fn one_subnet_has_one_block_and_two_have_two() {
    let with = |second: &str| {
        service(&format!(
            "subnet-id = 'subnet-1'\nlocal-ipv4 = '10.1.0.5'\n[[interfaces]]\ndevice-number = 1\n{second}"
        ))
    };
    let same = with("subnet-id = 'subnet-1'");
    assert_eq!(of_device(&same, "1")("subnet-ipv4-cidr-block"), own(&same, "subnet-ipv4-cidr-block"));
    let two = with("subnet-id = 'subnet-2'");
    assert_eq!(own(&two, "subnet-ipv4-cidr-block"), "10.1.0.0/20");
    assert_eq!(of_device(&two, "1")("subnet-ipv4-cidr-block"), "10.1.16.0/20");
    assert_eq!(of_device(&two, "1")("local-ipv4s"), "10.1.16.10");
    let error = refused(
        "subnet-id = 'subnet-1'\nsubnet-ipv4-cidr-block = '10.1.0.0/24'\n[[interfaces]]\ndevice-number = 1\n\
         subnet-id = 'subnet-1'\nsubnet-ipv4-cidr-block = '10.1.1.0/24'",
    );
    assert_eq!(error.key, "interfaces[0].subnet-ipv4-cidr-block");
    assert!(
        error.message.starts_with("10.1.1.0/24 is not that of subnet-1, which has 10.1.0.0/24"),
        "{error}"
    );
}

#[test]
fn what_is_given_alone_brings_what_belongs_to_it() {
    let arm = service("architecture = 'arm64'");
    assert_eq!(leaf(&arm, "instance-type"), "t4g.micro");
    assert_eq!(document(&arm)["architecture"], "arm64");
    let named = service("hostname = 'web.example.test'");
    for name in [leaf(&named, "hostname"), leaf(&named, "local-hostname"), own(&named, "local-hostname")] {
        assert_eq!(name, "web.example.test");
    }
    let both = service(
        "hostname = 'web.example.test'\nlocal-hostname = 'ip-1.ec2.internal'\n[[interfaces]]\ndevice-number = 1",
    );
    assert_eq!(leaf(&both, "local-hostname"), "ip-1.ec2.internal");
    assert!(of_device(&both, "1")("local-hostname").starts_with("ip-172-31-"));
    let on_it = service("hostname = 'web.example.test'\n[[interfaces]]\nlocal-hostname = 'a.test'");
    assert_eq!(leaf(&on_it, "local-hostname"), "a.test");
}

#[test]
fn ipv6_addresses_are_the_same_however_they_are_written() {
    let same = service("ipv6 = '2001:DB8::1'\n[[interfaces]]\nipv6s = ['2001:db8:0:0::1', '2001:db8::2']");
    assert_eq!(own(&same, "ipv6s"), "2001:db8:0:0::1\n2001:db8::2");
    let error = refused("ipv6 = '2001:db8::1'\n[[interfaces]]\n[[interfaces]]\nipv6s = '2001:DB8:0::1'");
    assert_eq!(error.key, "interfaces[1].ipv6s");
    assert!(error.message.contains("too"), "{error}");
}

#[test]
fn user_data_comes_as_text_or_base64() {
    for text in ["user-data = 'hello'", "user-data-base64 = 'aGVs\nbG8='"] {
        let text = text.replace('\n', "\\n").replace("'aGVs\\nbG8='", "\"aGVs\\nbG8=\"");
        assert_eq!(body(&service(&text).get("/latest/user-data")), "hello");
    }
    assert_eq!(service("user-data = ''").get("/latest/user-data").status(), Status::NotFound);
    let most = format!("user-data = '{}'", "x".repeat(16_384));
    assert_eq!(service(&most).get("/latest/user-data").content_length(), 16_384);
}

#[test]
fn contradictions_are_refused_with_key_and_cure() {
    for (text, key, says) in [
        ("availability-zone = 'eu-west-1a'\nregion = 'us-east-1'", "availability-zone", "not in region"),
        ("availability-zone-id = 'euw1-az1'\nregion = 'us-east-1'", "availability-zone-id", "eu-west-1"),
        ("availability-zone = 'a'", "availability-zone", "us-east-1a"),
        ("region = 'mars'", "region", "us-east-1"),
        ("region = 'us-east-1a'", "region", "us-east-1"),
        ("partition = 'aws-cn'", "partition", "leave it out"),
        ("domain = 'example.com'", "domain", "[tree]"),
        ("instance-type = 't4g.micro'\narchitecture = 'x86_64'", "architecture", "arm64"),
        ("account-id = '12'", "account-id", "12 digits"),
        ("account-id = 'abcdefghijkl'", "account-id", "12 digits"),
        ("instance-id = ''", "instance-id", "empty"),
        ("instance-id = \"i-1\\n\"", "instance-id", "control character"),
        ("mac = '0e:00'", "mac", "MAC address"),
        ("local-ipv4 = '10.0.0'", "local-ipv4", "IPv4"),
        ("ipv6 = '10.0.0.1'", "ipv6", "IPv6"),
        ("subnet-ipv4-cidr-block = '10.0.1.1/24'", "subnet-ipv4-cidr-block", "10.0.1.0/24"),
        ("local-ipv4 = '10.0.2.1'\nsubnet-ipv4-cidr-block = '10.0.1.0/24'", "local-ipv4", "10.0.1.0/24"),
        (
            "vpc-ipv4-cidr-block = '10.1.0.0/16'\nsubnet-ipv4-cidr-block = '10.0.1.0/24'",
            "subnet-ipv4-cidr-block",
            "vpc-ipv4-cidr-blocks",
        ),
        ("mac = '0e:00:00:00:00:01'\n[[interfaces]]\nmac = '0e:00:00:00:00:02'", "mac", "keep one"),
        (
            "local-ipv4 = '10.0.0.9'\n[[interfaces]]\nlocal-ipv4s = ['10.0.0.8', '10.0.0.9']",
            "local-ipv4",
            "device-number",
        ),
        (
            "public-ipv4 = '192.0.2.1'\n[[interfaces]]\npublic-ipv4s = ['192.0.2.2']",
            "public-ipv4",
            "keep one",
        ),
        (
            "[[interfaces]]\ndevice-number = 1\n[[interfaces]]\ndevice-number = 1",
            "interfaces[1].device-number",
            "twice",
        ),
        ("[[interfaces]]\ndevice-number = 'x'", "interfaces[0].device-number", "whole number"),
        (
            "[[interfaces]]\nmac = '0e:00:00:00:00:01'\n[[interfaces]]\nmac = '0E:00:00:00:00:01'",
            "interfaces[1].mac",
            "too",
        ),
        (
            "local-ipv4 = '10.0.0.1'\n[[interfaces]]\n[[interfaces]]\nlocal-ipv4s = ['10.0.0.2', '10.0.0.1']",
            "interfaces[1].local-ipv4s",
            "10.0.0.1",
        ),
        (
            "[[interfaces]]\npublic-ipv4s = ['192.0.2.1', '192.0.2.2']",
            "interfaces[0].public-ipv4s",
            "ipv4-associations",
        ),
        (
            "[[interfaces]]\npublic-ipv4s = ['192.0.2.1']\nipv4-associations = { '192.0.2.2' = '172.31.16.10' }",
            "interfaces[0].ipv4-associations",
            "public-ipv4s",
        ),
        (
            "[[interfaces]]\nipv4-associations = { '192.0.2.2' = '10.0.0.1' }",
            "interfaces[0].ipv4-associations",
            "local-ipv4s",
        ),
        ("[[interfaces]]\nowner-id = '1'", "interfaces[0].owner-id", "12 digits"),
        ("[[volumes]]\ndevice-name = 'sdb'\nvirtual-name = 'root'", "volumes[0].virtual-name", "twice"),
        (
            "ipv6 = '2001:db8::1'\n[[interfaces]]\nsubnet-ipv6-cidr-blocks = '2001:db8:1::/64'",
            "interfaces[0].ipv6s",
            "none of",
        ),
        ("pending-time = 'yesterday'", "pending-time", "2026-09-26T11:03:58Z"),
        ("target-lifecycle-state = 'Gone'", "target-lifecycle-state", "InService"),
        ("user-data = 'x'\nuser-data-base64 = 'eA=='", "user-data", "keep one"),
        ("user-data-base64 = '!'", "user-data-base64", "base64"),
        ("user-data-file = '/etc/passwd'", "user-data-file", "not read"),
        ("tags = { 'a b' = 'x' }", "tags", "instance-metadata-tags"),
        ("tags = { _index = 'x' }", "tags", "_index"),
        ("versions = []", "versions", "2026"),
        ("versions = ['2021-03-23']", "versions", "latest"),
        ("versions = ['latest', '2001-01-01']", "versions", "2007-01-19"),
        ("partition-number = 'one'", "partition-number", "whole number"),
        ("public-keys = { 'a/b' = 'ssh-rsa x' }", "public-keys", "path"),
        ("public-keys = { a = '' }", "public-keys", "empty"),
    ] {
        let error = refused(text);
        assert_eq!(error.key, key, "{text}: {error}");
        assert!(error.message.contains(says), "{text}: {error}");
    }
    let long = format!("user-data = '{}'", "x".repeat(16_385));
    assert!(refused(&long).message.contains("16384"));
}

#[test]
fn misspelt_keys_and_wrong_types_are_refused() {
    for text in [
        "instance_id = 'i-1'",
        "instance-ID = 'i-1'",
        "instance-id = true",
        "interfaces = 'eth0'",
        "instance-metadata-tags = 'on'",
        "[[interfaces]]\nlocal-ipv4 = '10.0.0.1'",
        "[[volumes]]\nname = 'sdb'",
        "tags = { a = 1 }",
    ] {
        assert!(toml::from_str::<InstanceSpec>(text).is_err(), "{text}");
    }
}

#[test]
fn spellings_that_mean_the_same() {
    for (one, other) in [
        ("account-id = 12345678901", "account-id = '012345678901'"),
        ("pending-time = 2026-09-26T11:03:58Z", "pending-time = '2026-09-26T11:03:58Z'"),
        ("security-groups = 'a'", "security-groups = ['a']"),
        ("security-groups = \"a\\nb\"", "security-groups = ['a', 'b']"),
        ("ami-launch-index = 2", "ami-launch-index = '2'"),
        ("public-keys = { a = 'k' }", "public-keys = [{ name = 'a', openssh-key = 'k' }]"),
        ("mac = '0E:00:00:00:00:0A'", "[[interfaces]]\nmac = '0e:00:00:00:00:0a'"),
        ("local-ipv4 = '10.0.0.1'", "[[interfaces]]\nlocal-ipv4s = ['10.0.0.1']"),
    ] {
        let tree = |text: &str| {
            let service = service(text);
            let tree = service.snapshot.trees.tree(None).clone();
            let leaves: Vec<String> =
                tree.walk("latest").map(|(path, leaf)| format!("{path} {leaf:?}")).collect();
            leaves
        };
        assert_eq!(tree(one), tree(other));
    }
}

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
