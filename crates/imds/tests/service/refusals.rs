//! What no instance can be, refused with the key and what to do.

use imds::InstanceSpec;

use crate::common::refused;

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
