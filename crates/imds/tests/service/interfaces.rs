//! Several interfaces: what one has of another, and what must differ.

use crate::common::{leaf, of_device, own, refused, service};

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
fn ipv6_addresses_are_the_same_however_they_are_written() {
    let same = service("ipv6 = '2001:DB8::1'\n[[interfaces]]\nipv6s = ['2001:db8:0:0::1', '2001:db8::2']");
    assert_eq!(own(&same, "ipv6s"), "2001:db8:0:0::1\n2001:db8::2");
    let error = refused("ipv6 = '2001:db8::1'\n[[interfaces]]\n[[interfaces]]\nipv6s = '2001:DB8:0::1'");
    assert_eq!(error.key, "interfaces[1].ipv6s");
    assert!(error.message.contains("too"), "{error}");
}
