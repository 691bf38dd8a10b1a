//! Containers on bridges, played by namespaces behind veth pairs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{BACKENDS, Backend, Host};

/// A host with docker0 (172.17.0.1/16) and one container on it (172.17.0.2), whose way out is the host.
fn host_and_container(backend: Backend) -> (Host, Host) {
    let (host, container) = (Host::with_lo_stanza(backend), Host::new(backend));
    host.sh("ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up");
    attach(&host, &container, "docker0", "172.17.0.1", "172.17.0.2");
    (host, container)
}

fn attach(host: &Host, container: &Host, bridge: &str, gateway: &str, address: &str) {
    let end = format!("veth{}", container.pid());
    host.link(&end, container, "eth0");
    host.sh(&format!("ip link set {end} master {bridge}"));
    container.sh(&format!("ip addr add {address}/16 dev eth0; ip route add default via {gateway}"));
}

#[test]
fn a_named_bridge_leads_to_the_daemon_with_the_containers_address() {
    for backend in BACKENDS {
        let (host, container) = host_and_container(backend);
        let apply = format!("apply {}", host.config("[network]\nbridges = [\"docker0\", \"br-*\"]\n"));
        let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000"]);
        let applied = host.must(&apply);
        assert!(
            applied.out.contains("169.254.169.254:80 from docker0 leads to 169.254.169.254:8000"),
            "{applied:?}"
        );
        assert_eq!(applied.err, "", "{backend:?}");
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{backend:?}"
        );
        assert_eq!(
            host.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 169.254.169.254",
            "{backend:?}"
        );
        assert!(container.get("169.254.169.254:8000").is_err(), "{backend:?}: only port 80 is led");

        // A network made later: its bridge's name matches br-*.
        let later = Host::new(backend);
        host.sh(
            "ip link add br-1f2e type bridge; ip addr add 172.18.0.1/16 dev br-1f2e; ip link set br-1f2e up",
        );
        attach(&host, &later, "br-1f2e", "172.18.0.1", "172.18.0.7");
        assert_eq!(later.get("169.254.169.254:80").unwrap(), "fake-metadata from 172.18.0.7", "{backend:?}");
        assert!(host.must(&apply).out.starts_with("nothing to do"), "{backend:?}");
    }
}

#[test]
fn by_default_no_bridge_is_led() {
    let (host, container) = host_and_container(Backend::Nft);
    let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000"]);
    host.must("apply");
    assert!(container.get("169.254.169.254:80").is_err());
    assert!(container.get("169.254.169.254:8000").is_err());
}

#[test]
fn a_bridge_added_to_a_running_setup_comes_before_the_guard() {
    for backend in BACKENDS {
        let (host, container) = host_and_container(backend);
        let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000"]);
        host.must("apply");
        host.must(&format!("apply {}", host.config("[network]\nbridges = [\"docker0\"]\n")));
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{backend:?}"
        );
        // And a guard that another took away comes back behind it.
        host.sh("iptables -t raw -F PREROUTING");
        host.must(&format!("apply {}", host.config("[network]\nbridges = [\"docker0\"]\n")));
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{backend:?}"
        );
        host.must("apply");
        assert!(
            container.get("169.254.169.254:80").is_err(),
            "{backend:?}: taken out of the configuration again"
        );
    }
}

#[test]
fn containers_only_leaves_the_hosts_own_way_to_a_real_service() {
    for backend in BACKENDS {
        let (host, container) = host_and_container(backend);
        // The real service, as on an EC2 host: another machine, over the default route.
        let real = Host::new(backend);
        host.link("eth0", &real, "eth0");
        host.sh("ip addr add 10.0.0.5/24 dev eth0; ip route add default via 10.0.0.1");
        real.sh("ip addr add 10.0.0.1/24 dev eth0; ip addr add 169.254.169.254/32 dev eth0");
        let _real = real.responder("real", &["169.254.169.254:80"]);

        let _daemon = host.daemon(&["0.0.0.0:8000"]);
        let text = "listen = [\"0.0.0.0:8000\"]\n[network]\nlocal = false\nbridges = [\"docker0\"]\n";
        let config = host.config(text);
        let addresses = host.sh("ip -o addr show dev lo");
        let applied = host.must(&format!("apply {config}"));
        assert_eq!(applied.err, "", "{backend:?}");
        assert_eq!(host.sh("ip -o addr show dev lo"), addresses, "{backend:?}: no address of ours");
        assert!(
            !host.sh("iptables -t nat -S OUTPUT").contains("fake-metadata."),
            "{backend:?}: no rule in OUTPUT"
        );
        assert_eq!(host.get("169.254.169.254:80").unwrap(), "real from 10.0.0.5", "{backend:?}");
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{backend:?}"
        );
        // The daemon's own port is for containers and this host, not for neighbours.
        assert_eq!(container.get("172.17.0.1:8000").unwrap(), "fake-metadata from 172.17.0.2", "{backend:?}");
        assert!(real.get("10.0.0.5:8000").is_err(), "{backend:?}");
        real.sh("ip route add 172.17.0.0/16 via 10.0.0.5");
        assert!(real.get("172.17.0.1:8000").is_err(), "{backend:?}");
        assert!(host.must(&format!("apply {config}")).out.starts_with("nothing to do"));
        host.must("remove");
        assert_eq!(host.our_rules(), 0);
    }
}

#[test]
fn under_a_default_deny_policy_of_iptables_containers_reach_the_daemon() {
    for backend in BACKENDS {
        let (host, container) = host_and_container(backend);
        // As ufw has it: a policy, and chains of its own.
        host.sh(
            "iptables -P INPUT DROP; iptables -N ufw-before-input; iptables -A INPUT -j ufw-before-input; \
             iptables -A ufw-before-input -i lo -j ACCEPT; \
             iptables -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; \
             iptables -N ufw-reject-input; iptables -A INPUT -j ufw-reject-input",
        );
        let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000"]);
        let applied = host.must(&format!("apply {}", host.config("[network]\nbridges = [\"docker0\"]\n")));
        assert_eq!(applied.err, "", "{backend:?}");
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{backend:?}"
        );
        assert!(container.get("172.17.0.1:22").is_err(), "{backend:?}: nothing else is let in");
    }
}

/// The rule that a warning names, between `(add: ` and the last `)`.
fn named_rule(warning: &str) -> &str {
    let (_, rest) = warning.split_once("(add: ").unwrap_or_else(|| panic!("no rule in {warning}"));
    rest.trim_end().strip_suffix(')').unwrap()
}

#[test]
fn another_firewall_that_drops_is_told_with_the_rule_to_add() {
    let firewalls = [
        "nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }; \
          add rule inet filter input iif lo accept; add rule inet filter input ct state established,related accept'",
        // As firewalld ends its chain.
        "nft 'add table inet firewalld; add chain inet firewalld filter_INPUT { type filter hook input priority 10; }; \
          add rule inet firewalld filter_INPUT ct state established,related accept; \
          add rule inet firewalld filter_INPUT iifname lo accept; \
          add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited'",
        "iptables-legacy -P INPUT DROP; iptables-legacy -A INPUT -i lo -j ACCEPT; \
         iptables-legacy -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ];
    for firewall in firewalls {
        let (host, container) = host_and_container(Backend::Nft);
        host.sh(firewall);
        let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000"]);
        let config = host.config("[network]\nbridges = [\"docker0\"]\n");
        let applied = host.must(&format!("apply {config}"));
        assert_eq!(applied.err.lines().count(), 1, "{applied:?}");
        assert!(container.get("169.254.169.254:80").is_err(), "{firewall}: else the warning is not needed");
        let status = host.must(&format!("status {config}"));
        assert_eq!(status.err, applied.err);

        host.sh(named_rule(&status.err));
        assert_eq!(
            container.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 172.17.0.2",
            "{firewall}"
        );
        assert_eq!(host.must(&format!("status {config}")).err, "", "{firewall}");
    }
}

#[test]
fn a_daemon_that_does_not_listen_where_bridges_lead_is_told() {
    let (host, _container) = host_and_container(Backend::Nft);
    let _daemon = host.daemon(&["127.0.0.1:8000"]);
    let applied = host.must(&format!("apply {}", host.config("[network]\nbridges = [\"docker0\"]\n")));
    assert!(applied.err.contains("does not listen on 169.254.169.254:8000"), "{applied:?}");
}
