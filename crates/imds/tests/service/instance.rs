//! One instance from little configuration: what follows from what.

use imds::Status;
use serde_json::Value;

use crate::common::{body, document, leaf, of_device, own, service};

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
