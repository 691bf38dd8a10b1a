//! kill -9 at every point of apply and of remove: the next run finishes or undoes it, nothing twice, nothing left.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{BACKENDS, Backend, Host};

/// More points than a run has; reaching it means that the loop did not end by itself.
const TOO_MANY: u32 = 100;
const INTERFACES: &str = "auto lo\niface lo inet loopback\n";

/// A host whose legacy tables exist: a run makes them and nothing can take them away.
fn host(backend: Backend) -> (Host, String) {
    let host = Host::with_lo_stanza(backend);
    if backend == Backend::Legacy {
        host.sh("for t in nat raw filter; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null");
    }
    let before = host.picture();
    (host, before)
}

/// With bridges too, so that every kind of step is there.
fn apply(host: &Host) -> String {
    format!("apply {}", host.config("[network]\nbridges = [\"docker0\"]\n"))
}

#[test]
fn a_killed_apply_is_finished_by_the_next_apply() {
    for backend in BACKENDS {
        let (host, before) = host(backend);
        let apply = apply(&host);
        host.must(&apply);
        let complete = state(&host);
        host.must("remove");
        for point in 1.. {
            assert!(point < TOO_MANY);
            if !host.killed_at(&apply, point) {
                assert!(point > 10, "{backend:?}: only {point} points");
                break;
            }
            host.must(&apply);
            assert_eq!(state(&host), complete, "{backend:?}: killed at point {point}");
            assert!(host.must(&apply).out.starts_with("nothing to do"));
            host.must("remove");
            assert_eq!(host.picture(), before, "{backend:?}: killed at point {point}");
        }
    }
}

#[test]
fn a_killed_apply_is_undone_by_remove() {
    for backend in BACKENDS {
        let (host, before) = host(backend);
        let apply = apply(&host);
        for point in 1.. {
            assert!(point < TOO_MANY);
            if !host.killed_at(&apply, point) {
                break;
            }
            host.must("remove");
            assert_eq!(host.picture(), before, "{backend:?}: killed at point {point}");
        }
    }
}

#[test]
fn a_killed_remove_is_finished_by_the_next_remove_or_taken_back_by_apply() {
    for backend in BACKENDS {
        let (host, before) = host(backend);
        let apply = apply(&host);
        host.must(&apply);
        let complete = state(&host);
        for point in 1.. {
            assert!(point < TOO_MANY);
            if !host.killed_at("remove", point) {
                assert!(point > 10, "{backend:?}: only {point} points");
                break;
            }
            host.must(&apply);
            assert_eq!(state(&host), complete, "{backend:?}: killed at point {point}");
            assert!(host.killed_at("remove", point));
            host.must("remove");
            assert_eq!(host.picture(), before, "{backend:?}: killed at point {point}");
            host.must(&apply);
        }
        assert_eq!(host.read_interfaces(), INTERFACES);
    }
}

/// What is in place, without the order in which a finished run has put it there.
fn state(host: &Host) -> Vec<String> {
    let listing = host.sh(
        "ip -o addr show dev lo; nft list table arp fake-metadata; cat /etc/network/interfaces; ls -A /etc/network; \
         for t in nat raw filter; do iptables -t $t -S; ip6tables -t $t -S; done",
    );
    // The guard must stay behind the rules that let the bridges through: their order is checked apart.
    let raw = host.sh("iptables -t raw -S PREROUTING");
    let position = |what: &str| raw.lines().position(|line| line.contains(what)).unwrap();
    assert!(position("fake-metadata.bridge") < position("fake-metadata.guard"), "{raw}");
    let mut lines: Vec<String> = listing.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
