//! What others put into the chains and tables that iptables-nft made for our rules stays there, whole.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Backend, Host};

/// The whole ruleset, without counts.
fn ruleset(host: &Host) -> String {
    host.sh("nft list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'")
}

#[test]
fn what_hides_a_table_from_iptables_stays_and_our_rules_go() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    host.sh("iptables -t nat -N DOCKER; \
         iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER; \
         nft 'add set ip nat mine { type inet_service; elements = { 81 }; }'; \
         nft add rule ip nat OUTPUT tcp dport @mine redirect to :9999; \
         iptables -t raw -A PREROUTING -d 192.0.2.0/24 -j DROP");
    let said = host.setup("remove");
    assert_eq!(said.code, Some(1), "that the table could not be looked through is told: {said:?}");
    assert!(said.err.contains("-t nat -S: "), "{said:?}");
    let left = ruleset(&host);
    for other in
        ["jump DOCKER", "chain DOCKER", "tcp dport @mine redirect", "elements = { 81 }", "192.0.2.0/24"]
    {
        assert!(left.contains(other), "{other} is gone: {left}");
    }
    assert!(!left.contains("169.254.169.254") && !left.contains("ec2"), "{left}");
    assert!(!host.sh("ip -o addr show dev lo").contains("169.254.169.254"));

    // Again: what is gone is no new error, and nothing of the others' goes now.
    assert_eq!(host.setup("remove").code, Some(1));
    assert_eq!(ruleset(&host), left);
    // Once the table can be listed the rest goes too.
    host.sh("nft flush chain ip nat OUTPUT; nft delete set ip nat mine");
    host.must("remove");
    assert!(host.must("remove").out.contains("nothing to remove"));
    assert!(host.sh("iptables -t raw -S").contains("-A PREROUTING -d 192.0.2.0/24 -j DROP"));
}

/// Of IPv6 a table that cannot be listed is no error.
#[test]
fn a_native_rule_in_a_chain_for_ipv6_stays() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    host.sh("nft 'add set ip6 nat mine { type inet_service; }'; \
         nft add rule ip6 nat OUTPUT tcp dport @mine redirect to :9999");
    host.must("remove");
    let left = ruleset(&host);
    assert!(left.contains("tcp dport @mine redirect"), "{left}");
    assert!(!left.contains("fd00:ec2::254") && !left.contains("table ip nat"), "{left}");
}

#[test]
fn a_set_in_a_table_stays_with_its_table() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    host.sh("nft 'add set ip6 raw mine { type ipv6_addr; elements = { 2001:db8::1 }; }'");
    host.must("remove");
    let left = ruleset(&host);
    assert!(left.contains("elements = { 2001:db8::1 }"), "{left}");
    assert!(!left.contains("chain"), "{left}");
}
