//! This host's own requests: apply, look, remove; under both back ends of iptables.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::io::{BufRead, BufReader};

use common::{BACKENDS, Backend, Host};

#[test]
fn apply_makes_the_address_answer_and_remove_leaves_nothing() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        // Legacy tables, once made by a first rule, stay: they are part of the picture before.
        if backend == Backend::Legacy {
            host.sh(
                "for t in nat raw; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null",
            );
        }
        let before = host.picture();
        let _daemon = host.daemon(&["127.0.0.1:8000", "[::1]:8000"]);

        let first = host.must("apply");
        assert!(first.out.contains("169.254.169.254:80 leads to 127.0.0.1:8000"), "{backend:?} {first:?}");
        assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");
        assert_eq!(host.get("[fd00:ec2::254]:80").unwrap(), "fake-metadata from fd00:ec2::254");
        assert!(host.sh("ip -o addr show dev lo").contains("inet 169.254.169.254/32 scope host"));
        assert_eq!(host.our_rules(), 4, "{backend:?}: two families, a redirect and a guard each");

        host.must("remove");
        assert_eq!(host.picture(), before, "{backend:?}");
        assert!(host.must("remove").out.contains("nothing to remove"));
        assert_eq!(host.picture(), before, "{backend:?}");
    }
}

#[test]
fn a_second_apply_changes_nothing_and_says_so() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        host.must("apply");
        let after_one = host.picture();
        let second = host.must("apply");
        assert!(second.out.starts_with("nothing to do\n"), "{backend:?} {second:?}");
        assert_eq!(host.picture(), after_one, "{backend:?}");
        assert!(host.must("apply --json").out.contains(r#""changed":false"#));
    }
}

#[test]
fn status_and_dry_runs_change_nothing_and_tell_the_state() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let before = host.picture();
    let status = host.setup("status --json");
    assert_eq!(status.code, Some(1));
    assert!(status.out.contains(r#""state":"absent""#), "{status:?}");
    let plan = host.must("plan");
    assert!(plan.out.contains("would add 169.254.169.254/32 to lo"), "{plan:?}");
    assert_eq!(host.must("apply --dry-run").out, plan.out);
    assert!(host.must("plan --json").out.contains(r#""step":"add-address""#));
    assert_eq!(host.picture(), before, "looking changed something");

    host.must("apply");
    let applied = host.picture();
    assert!(host.must("status").out.starts_with("applied\n"));
    assert!(host.must("remove --dry-run").out.contains("would remove 169.254.169.254 from lo"));
    assert_eq!(host.picture(), applied, "looking changed something");

    host.sh("ip addr del 169.254.169.254/32 dev lo");
    let status = host.setup("status");
    assert_eq!(status.code, Some(1));
    assert!(status.out.starts_with("partial"), "{status:?}");
    host.must("apply");
    assert_eq!(host.picture(), applied, "apply puts back what is missing");
}

#[test]
fn others_rules_and_addresses_stay_in_order() {
    let others = "\
        ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up; \
        ip addr add 10.99.0.1/32 dev lo; \
        iptables -t nat -N DOCKER; \
        iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; \
        iptables -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER; \
        iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 80 -j DNAT --to-destination 172.17.0.2:80; \
        iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE; \
        iptables -t raw -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP; \
        iptables -P INPUT DROP; iptables -N ufw-before-input; iptables -A INPUT -j ufw-before-input; \
        iptables -A ufw-before-input -i lo -j ACCEPT; iptables -A INPUT -m comment --comment 'ours, too' -j DROP; \
        nft 'add table inet filter; add chain inet filter input { type filter hook input priority 0; policy drop; }; \
             add rule inet filter input iif lo accept; add rule inet filter input tcp dport 22 accept'";
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        host.sh(others);
        if backend == Backend::Legacy {
            host.sh("for t in nat raw; do ip6tables-legacy -t $t -S; done >/dev/null");
        }
        let listing = "for t in nat raw filter; do iptables -t $t -S; done; nft list table inet filter; \
             ip -o addr show docker0; ip -o addr show lo | grep 10.99.0.1";
        let (before, rules) = (host.picture(), host.sh(listing));
        let _daemon = host.daemon(&["127.0.0.1:8000"]);
        host.must("apply");
        // Docker's rule for a published port 80 stands behind ours.
        assert_eq!(
            host.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 169.254.169.254",
            "{backend:?}"
        );
        let after = host.sh(listing);
        let others: Vec<&str> = after.lines().filter(|line| !line.contains("fake-metadata.")).collect();
        assert_eq!(others, rules.lines().collect::<Vec<_>>(), "{backend:?}");
        assert_eq!(after.lines().count(), others.len() + 2, "{backend:?}: our redirect and our guard");
        host.must("remove");
        assert_eq!(host.picture(), before, "{backend:?}");
    }
}

#[test]
fn rules_in_the_other_back_end_are_moved_and_removed() {
    let host = Host::with_lo_stanza(Backend::Legacy);
    let _daemon = host.daemon(&["127.0.0.1:8000"]);
    host.must("apply");
    let nft = "for n in iptables ip6tables; do ln -sf /usr/sbin/$n-nft /etc/alternatives/$n; done";
    host.sh(nft);
    host.must("apply");
    assert!(!host.sh("iptables-legacy -t nat -S").contains("fake-metadata."));
    assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");
    assert_eq!(host.our_rules(), 4);
    host.must("remove");
    assert_eq!(host.our_rules(), 0);
}

#[test]
fn another_port_replaces_the_rule() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    let config = host.config("listen = [\"127.0.0.1:8111\"]\n[network]\nipv6 = false\n");
    let _daemon = host.daemon(&["127.0.0.1:8111"]);
    host.must(&format!("apply {config}"));
    assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");
    assert_eq!(host.our_rules(), 2, "one redirect, one guard, and nothing for IPv6 any more");
    assert!(!host.sh("ip -o addr show dev lo").contains("fd00:ec2::254"));
}

#[test]
fn a_daemon_that_was_not_restarted_is_told() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let _daemon = host.daemon(&["127.0.0.1:8000", "[::1]:8000"]);
    let _other = host.responder("webserver", &["127.0.0.1:7000"]);
    assert_eq!(host.must("apply").err, "");
    let config = host.config("listen = [\"127.0.0.1:9000\"]\n[network]\nipv6 = true\n");
    let warning = "fake-metadata-setup: warning: the daemon does not listen on 127.0.0.1:9000 and [::1]:9000, \
         where rules lead, but on 127.0.0.1:8000 and [::1]:8000 (see to listen, restart the daemon)\n";
    assert_eq!(host.must(&format!("apply {config}")).err, warning);
    let status = host.must(&format!("status {config}"));
    assert!(status.out.starts_with("applied\n") && status.err == warning, "{status:?}");
    let _restarted = host.daemon(&["127.0.0.1:9000", "[::1]:9000"]);
    assert_eq!(host.must(&format!("status {config}")).err, "");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let host = Host::with_lo_stanza(Backend::Nft);
    for run in ["plan", "apply", "status", "status --json", "remove"] {
        // Its other end is closed before the first line: every write fails.
        let (stdout, _) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut command = host.command(common::SETUP);
        command.args(run.split(' ')).stdout(std::os::fd::OwnedFd::from(stdout));
        let said = common::said(&command.output().unwrap());
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{run}");
    }
    // A full disk is one.
    let said =
        host.command("sh").args(["-c", &format!("{} plan >/dev/full", common::SETUP)]).output().unwrap();
    let said = common::said(&said);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.starts_with("fake-metadata-setup: write to stdout: No space left"), "{said:?}");
}

#[test]
fn without_its_journal_remove_goes_by_the_marks() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        let addresses = host.sh("ip -o addr show dev lo");
        host.must("apply");
        host.sh("rm -r /var/lib/fake-metadata-setup");
        host.must("remove");
        assert_eq!(host.our_rules(), 0, "{backend:?}");
        assert_eq!(host.sh("ip -o addr show dev lo"), addresses, "{backend:?}");
        assert_eq!(host.read_interfaces(), "auto lo\niface lo inet loopback\n");
        assert!(!host.sh("nft list ruleset").contains("fake-metadata"));
    }
}

#[test]
fn an_address_that_was_there_before_stays() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh("ip addr add 169.254.169.254/32 dev lo scope host");
    let _daemon = host.daemon(&["127.0.0.1:8000"]);
    let applied = host.must("apply");
    assert!(applied.err.contains("169.254.169.254 was on lo before us"), "{applied:?}");
    assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");
    host.must("remove");
    assert!(host.sh("ip -o addr show dev lo").contains("169.254.169.254/32"));
}

#[test]
fn a_journal_of_another_boot_claims_nothing() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    // After a reboot the address is there again, but a person's stanza put it there.
    host.sh("sed -i 's/\"boot\":\"[^\"]*\"/\"boot\":\"earlier\"/' /var/lib/fake-metadata-setup/journal; \
         ip addr del 169.254.169.254/32 dev lo; ip addr add 169.254.169.254/32 dev lo scope host");
    host.must("remove");
    assert!(host.sh("ip -o addr show dev lo").contains("169.254.169.254/32"), "that one was not ours");
    assert_eq!(host.our_rules(), 0);
    assert_eq!(host.read_interfaces(), "auto lo\niface lo inet loopback\n", "a file outlives a boot");
}

#[test]
fn two_runs_at_once_wait_for_each_other() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let runs: Vec<_> = (0..6)
        .map(|_| {
            host.command(common::SETUP).arg("apply").stdout(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> =
        runs.into_iter().map(|run| common::said(&run.wait_with_output().unwrap())).collect();
    assert!(outputs.iter().all(|said| said.code == Some(0)), "{outputs:?}");
    assert_eq!(
        outputs.iter().filter(|said| !said.out.starts_with("nothing to do")).count(),
        1,
        "{outputs:?}"
    );
    assert_eq!(host.our_rules(), 4);
}

#[test]
fn only_root_can_hold_the_lock_and_nobody_for_ever() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let state = "/var/lib/fake-metadata-setup";
    host.must("apply");
    let mode = |host: &Host| host.sh(&format!("stat -c %a {state}"));
    assert_eq!(mode(&host), "700\n");
    // As an earlier version has left it.
    host.sh(&format!("chmod 755 {state}"));
    host.must("apply");
    assert_eq!(mode(&host), "700\n");
    let mut other = host.command("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "flock", "--nonblock", state, "true"]);
    assert_ne!(other.output().unwrap().status.code(), Some(0), "another user took the lock");

    let mut holder = host.command("flock");
    let mut holder = holder.args([state, "sh", "-c", "echo held; exec cat"]);
    holder = holder.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let expected = format!(
        "lock {state}: another run has held it for 1 s \
         (fuser -v {state} names it: wait for it or end it, then run again)\n"
    );
    for run in ["apply", "remove"] {
        let said = host.setup(&format!("{run} --lock-wait 1"));
        assert_eq!((said.code, said.err), (Some(1), format!("fake-metadata-setup: {expected}")), "{run}");
    }
    let boot = host.must("apply --boot --lock-wait 1");
    assert_eq!(boot.err, format!("fake-metadata-setup: warning: {expected}"));
    // It ends with its standard input.
    drop(holder.stdin.take());
    holder.wait().unwrap();
    host.must("remove");
}

#[test]
fn a_chain_that_another_came_to_use_stays() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    host.sh("iptables -t nat -A OUTPUT -d 10.9.9.9/32 -p tcp --dport 80 -j REDIRECT --to-ports 9; iptables -t raw -P OUTPUT DROP");
    let removed = host.must("remove");
    let left = host.sh("iptables -t nat -S OUTPUT; iptables -t raw -S OUTPUT");
    assert!(left.contains("-A OUTPUT -d 10.9.9.9/32"), "{left}");
    assert!(left.contains("-P OUTPUT DROP"), "{left}");
    assert!(!removed.out.contains("delete empty nftables chain ip nat OUTPUT"), "{removed:?}");
    assert_eq!(host.our_rules(), 0);
}

/// The commands of docs/network.md, "Undoing it by hand".
#[test]
fn the_documented_way_to_undo_by_hand_works() {
    let page = include_str!("../../../docs/network.md");
    let (_, section) = page.split_once("### Undoing it by hand").unwrap();
    let commands = section.split("```").nth(1).unwrap();
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        let addresses = host.sh("ip -o addr show dev lo");
        let config = host.config("[network]\nbridges = [\"docker0\"]\n");
        host.must(&format!("apply {config}"));
        assert_eq!(host.our_rules(), 7, "{backend:?}");
        host.sh(&format!("export PATH=/usr/sbin:/usr/bin:/sbin:/bin; set +e\n{commands}\ntrue"));
        assert_eq!(host.our_rules(), 0, "{backend:?}");
        assert_eq!(host.sh("ip -o addr show dev lo"), addresses, "{backend:?}");
        assert_eq!(host.read_interfaces(), "auto lo\niface lo inet loopback\n", "{backend:?}");
        assert!(host.must("remove").out.starts_with("nothing to remove"), "{backend:?}");
        assert!(host.setup("status --json").out.contains(r#""state":"absent""#), "{backend:?}");
    }
}
