//! The block in `/etc/network/interfaces`, by ifupdown's own parser and its own ifup.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use common::{BACKENDS, Backend, Host};
use hostnet::interfaces;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

#[test]
fn apply_and_remove_keep_mode_owner_and_every_other_byte() {
    let host = Host::new(Backend::Nft);
    let text = "# a comment\r\nauto\tlo eth0\r\n\r\niface lo inet loopback\r\n\tpost-up true\r\niface eth0 inet dhcp";
    host.write_interfaces(text);
    fs::set_permissions(host.interfaces(), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(host.interfaces(), Some(12), Some(34)).unwrap();
    host.must("apply");
    let edited = host.read_interfaces();
    assert!(edited.contains("iface lo inet loopback\r\n# >>> fake-metadata"), "{edited}");
    let check = || {
        let metadata = fs::metadata(host.interfaces()).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o640, 12, 34));
    };
    check();
    host.must("remove");
    check();
    assert_eq!(host.read_interfaces(), text);
}

#[test]
fn a_symlink_is_edited_at_its_target() {
    let host = Host::new(Backend::Nft);
    let target = host.folder.path().join("network/interfaces.real");
    fs::write(&target, "auto lo\niface lo inet loopback\n").unwrap();
    symlink("interfaces.real", host.interfaces()).unwrap();
    host.must("apply");
    assert!(fs::read_to_string(&target).unwrap().contains("fake-metadata-setup apply --boot"));
    assert!(fs::symlink_metadata(host.interfaces()).unwrap().is_symlink());
    host.must("remove");
    assert_eq!(fs::read_to_string(&target).unwrap(), "auto lo\niface lo inet loopback\n");
}

#[test]
fn nothing_is_invented_where_there_is_no_place() {
    for text in [None, Some("source /etc/network/interfaces.d/*\n"), Some("")] {
        let host = Host::new(Backend::Nft);
        if let Some(text) = text {
            host.write_interfaces(text);
        }
        host.must("apply");
        assert!(host.must("apply").out.starts_with("nothing to do"));
        assert_eq!(fs::read_to_string(host.interfaces()).ok().as_deref(), text);
    }
}

#[test]
fn a_persons_own_stanza_for_the_address_is_left_to_itself() {
    let host = Host::new(Backend::Nft);
    let text =
        "auto lo lo:1\niface lo inet loopback\niface lo:1 inet static\n    address 169.254.169.254/32\n";
    host.write_interfaces(text);
    let applied = host.must("apply");
    assert!(
        applied.err.contains("/etc/network/interfaces line 4 sets 169.254.169.254 up itself"),
        "{applied:?}"
    );
    assert_eq!(host.read_interfaces(), text);
}

/// The block calls /usr/sbin/fake-metadata-setup; a mount puts the program under test there.
fn install(host: &Host, program: &str) {
    host.sh(&format!(
        "mkdir /run/sbin /run/work; mount -t tmpfs tmpfs /run/work; mkdir /run/work/up /run/work/work; \
         cp {program} /run/work/up/fake-metadata-setup; \
         mount -t overlay overlay -o lowerdir=/usr/sbin,upperdir=/run/work/up,workdir=/run/work/work /usr/sbin"
    ));
}

#[test]
fn ifup_brings_the_address_back_and_ifdown_keeps_the_loopback() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        install(&host, common::SETUP);
        let _daemon = host.daemon(&["127.0.0.1:8000"]);
        host.must("apply");
        // As after a reboot: the kernel has nothing, the file has our block.
        host.sh("ip addr flush dev lo; ip link set lo down; iptables -t nat -F; iptables -t raw -F; \
             nft delete table arp fake-metadata; ifup lo");
        assert_eq!(
            host.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 169.254.169.254",
            "{backend:?}"
        );
        assert!(host.sh("ip -o addr show dev lo").contains("127.0.0.1/8"), "{backend:?}");
        assert!(host.must("apply").out.starts_with("nothing to do"), "{backend:?}");
        host.sh("ifdown lo; ifup lo");
        assert_eq!(
            host.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 169.254.169.254",
            "{backend:?}"
        );
    }
}

#[test]
fn a_program_that_fails_or_is_gone_does_not_fail_the_stanza() {
    for program in ["/bin/false", ""] {
        let host = Host::with_lo_stanza(Backend::Nft);
        host.must("apply");
        if !program.is_empty() {
            install(&host, program);
        }
        host.sh("ip link set lo down; ifup lo");
        assert!(host.sh("ifquery --state").contains("lo=lo"));
    }
}

/// Lines of an interfaces file as people and programs write them.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("iface lo inet loopback".to_owned()),
        1 => Just("iface lo inet6 loopback".to_owned()),
        1 => Just("\tiface   lo\tinet loopback  ".to_owned()),
        1 => Just("iface lo inet \\\n  loopback".to_owned()),
        1 => Just("auto lo".to_owned()),
        1 => Just("auto lo eth0".to_owned()),
        1 => Just("allow-hotplug eth0".to_owned()),
        1 => Just("iface eth0 inet dhcp".to_owned()),
        1 => Just("iface eth1 inet static\n    address 10.1.2.3/24\n\tgateway 10.1.2.1".to_owned()),
        1 => Just("source /etc/network/interfaces.d/*".to_owned()),
        1 => Just("# iface lo inet loopback".to_owned()),
        1 => Just("# a comment with a backslash \\".to_owned()),
        1 => Just("mapping eth2\n    script /bin/true\n    map home".to_owned()),
        1 => Just(String::new()),
        1 => Just("   \t".to_owned()),
    ]
}

/// Whole files: lines with LF or CRLF, the last one with or without.
fn file() -> impl Strategy<Value = String> {
    (prop::collection::vec(line(), 0..12), any::<bool>(), any::<bool>()).prop_map(|(lines, crlf, ended)| {
        let mut text = lines.join("\n");
        if ended && !text.is_empty() {
            text.push('\n');
        }
        // ifupdown takes "\<CR><LF>" for no continuation: those files keep LF.
        if crlf && !text.contains("\\\n") { text.replace('\n', "\r\n") } else { text }
    })
}

#[test]
fn ifupdowns_own_parser_takes_what_the_editor_makes() {
    let host = Host::new(Backend::Nft);
    let path = host.interfaces();
    let query = |text: &[u8]| {
        fs::write(&path, text).unwrap();
        let line = "ifquery --list --all 2>&1 || true; ifup --no-act --force lo 2>&1 || echo failed";
        host.sh(line)
    };
    let calls = "up /usr/sbin/fake-metadata-setup apply --boot >/dev/null 2>&1 || true";
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let edited_files = Cell::new(0);
    runner
        .run(&file(), |text| {
            let plain = query(text.as_bytes());
            let edited = interfaces::insert(text.as_bytes(), "/usr/sbin/fake-metadata-setup").unwrap();
            let with_block = query(&edited);
            let call = calls.strip_prefix("up ").unwrap();
            let without_call: String =
                with_block.split_inclusive('\n').filter(|line| line.trim_end() != call).collect();
            prop_assert_eq!(&without_call, &plain, "the block changes what else ifupdown does");
            let is_edited = edited.as_ref() != text.as_bytes();
            let runs_lo = plain.contains("ip link set dev lo up");
            prop_assert!(!is_edited || !runs_lo || with_block.contains(call), "{}", with_block);
            edited_files.set(edited_files.get() + u32::from(is_edited && runs_lo));
            Ok(())
        })
        .unwrap();
    assert!(edited_files.get() > 10, "only {edited_files:?} of the files had a place for the block");
}
