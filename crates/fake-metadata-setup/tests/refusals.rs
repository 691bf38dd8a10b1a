//! Bad input and hosts that are someone else's: one line that says what to do, and nothing changed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{BACKENDS, Backend, Host, Said};

/// A run that must fail with one line, and change nothing; the line without the program's name.
fn refused(host: &Host, arguments: &str, code: i32) -> String {
    let before = host.picture();
    let said = host.setup(arguments);
    assert_eq!(said.code, Some(code), "{arguments}: {said:?}");
    let line = one_line(&said);
    assert_eq!(host.picture(), before, "{arguments}: something changed");
    line
}

fn one_line(said: &Said) -> String {
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    said.err.trim().strip_prefix("fake-metadata-setup: ").unwrap().to_owned()
}

/// The same by `--boot`: a warning and exit 0; and with `--force`: done.
fn warned_at_boot_and_forced(host: &Host, line: &str) {
    let before = host.picture();
    let boot = host.must("apply --boot");
    assert_eq!(one_line(&boot), format!("warning: {line}"));
    assert_eq!(host.picture(), before, "--boot changed something");

    let forced = host.must("apply --force");
    assert_eq!(one_line(&forced), format!("warning: {line}"));
    // Later runs, at boot, go by the same word.
    host.sh("ip addr del 169.254.169.254/32 dev lo");
    host.must("apply --boot");
    assert!(host.sh("ip -o addr show dev lo").contains("169.254.169.254/32"));
    host.must("remove");
    assert_eq!(host.picture(), before, "after remove");
}

#[test]
fn not_root() {
    let host = Host::with_lo_stanza(Backend::Nft);
    for arguments in ["apply", "remove", "status", "plan"] {
        let before = host.picture();
        let mut command = host.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", common::SETUP, arguments]);
        let said = common::said(&command.output().unwrap());
        assert_eq!(said.code, Some(1), "{said:?}");
        assert_eq!(one_line(&said), "change the host network: not root (run with sudo)");
        assert_eq!(host.picture(), before);
    }
}

#[test]
fn root_without_net_admin_is_for_later() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let before = host.picture();
    let run = |arguments: &[&str]| {
        let mut command = host.command("setpriv");
        command.args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", common::SETUP]).args(arguments);
        common::said(&command.output().unwrap())
    };
    let plain = run(&["apply"]);
    assert_eq!(plain.code, Some(1));
    let line = one_line(&plain);
    assert!(line.contains("operation not permitted (give the container NET_ADMIN"), "{line}");
    let boot = run(&["apply", "--boot"]);
    assert_eq!((boot.code, one_line(&boot)), (Some(0), format!("warning: {line}")));
    // Removing the package from an image is no error: there is nothing.
    assert_eq!(run(&["remove"]).code, Some(0));
    assert_eq!(host.picture(), before);
}

#[test]
fn json_is_json_also_when_nothing_was_done() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let mut command = host.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", common::SETUP, "status", "--json"]);
    let said = common::said(&command.output().unwrap());
    assert_eq!(said.code, Some(1));
    assert_eq!(said.out, "{\"error\":\"change the host network: not root (run with sudo)\"}\n");

    let _other = host.responder("webserver", &["127.0.0.1:8000"]);
    for run in ["apply --json", "plan --json"] {
        let said = host.setup(run);
        let line = one_line(&said);
        assert_eq!((said.code, said.out), (Some(1), format!("{{\"error\":\"{line}\"}}\n")), "{run}");
    }
    let boot = host.must("apply --boot --json");
    let line = one_line(&boot);
    let warning = line.strip_prefix("warning: ").unwrap();
    let expected = format!(r#"{{"changed":false,"leads":[],"steps":[],"warnings":["{warning}"]}}"#);
    assert_eq!(boot.out, format!("{expected}\n"));

    let said = host.setup(&format!("apply --json {}", host.config("[network]\nlocal = 1\n")));
    assert_eq!(said.code, Some(78), "{said:?}");
    assert!(said.out.starts_with("{\"error\":\"read ") && said.out.ends_with("\"}\n"), "{said:?}");
}

#[test]
fn no_iptables_program() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let before = host.picture();
    // An empty /usr/sbin, for this program only.
    let hidden = "mkdir -p /run/sbin; mount --bind /run/sbin /usr/sbin";
    let run = |arguments: &str| {
        let line = format!("unshare --mount sh -ec '{hidden}; exec {} {arguments}'", common::SETUP);
        common::said(&host.command("sh").args(["-c", &line]).output().unwrap())
    };
    let plain = run("apply");
    assert_eq!(plain.code, Some(1), "{plain:?}");
    assert_eq!(
        one_line(&plain),
        "run iptables: program not found in /usr/sbin or /sbin (apt install iptables)"
    );
    let boot = run("apply --boot");
    assert_eq!(boot.code, Some(0), "{boot:?}");
    host.sh("rm -rf /run/sbin");
    assert_eq!(host.picture(), before);
}

#[test]
fn read_only_etc() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        if backend == Backend::Legacy {
            host.sh(
                "for t in nat raw; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null",
            );
        }
        host.sh("mount -o remount,bind,ro /etc/network");
        let line = refused(&host, "apply", 1);
        assert!(line.starts_with("edit /etc/network/interfaces: Read-only file system"), "{line}");
        assert!(line.contains("set ifupdown = false in [network]"), "{line}");
        host.must(&format!("apply {}", host.config("[network]\nifupdown = false\n")));
        host.must("remove");
        assert_eq!(host.our_rules(), 0);
    }
}

#[test]
fn a_lone_marker_in_the_interfaces_file() {
    let begin = "# >>> fake-metadata: do not edit, `fake-metadata-setup remove` takes it out";
    let end = "# <<< fake-metadata";
    for (text, number) in [
        (format!("auto lo\niface lo inet loopback\n{begin}\n"), 3),
        (format!("auto lo\niface lo inet loopback\n{end}\n"), 3),
        (format!("{begin}\n{begin}\n{end}\n"), 1),
        (format!("{begin}\n{end}\n{begin}\n{end}\n"), 3),
    ] {
        let host = Host::new(Backend::Nft);
        host.write_interfaces(&text);
        for arguments in ["apply", "apply --force", "plan", "remove"] {
            let line = refused(&host, arguments, 1);
            assert!(line.starts_with(&format!("edit /etc/network/interfaces: line {number} ")), "{line}");
        }
    }
}

#[test]
fn remove_goes_on_after_a_lone_marker() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    let torn = host.read_interfaces().replace("# <<< fake-metadata\n", "");
    host.write_interfaces(&torn);
    let said = host.setup("remove");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(one_line(&said).contains("no line ends it"), "{said:?}");
    assert_eq!(host.our_rules(), 0, "the rest is removed");
    assert!(!host.sh("ip -o addr show dev lo").contains("169.254.169.254"));
    assert_eq!(host.read_interfaces(), torn);
    host.write_interfaces("auto lo\niface lo inet loopback\n");
    host.must("remove");
}

#[test]
fn remove_goes_on_when_the_rules_cannot_be_listed_and_keeps_the_journal() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.must("apply");
    host.sh("printf '#!/bin/sh\\nexit 4\\n' >/run/broken; chmod +x /run/broken; mount --bind /run/broken /usr/sbin/xtables-nft-multi");
    let said = host.setup("remove");
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("/usr/sbin/iptables-nft -t nat -S: "), "{said:?}");
    assert!(!host.sh("ip -o addr show dev lo").contains("169.254.169.254"), "the rest is removed");
    assert_eq!(host.read_interfaces(), "auto lo\niface lo inet loopback\n");
    host.sh("umount /usr/sbin/xtables-nft-multi");
    host.must("remove");
    assert_eq!(host.our_rules(), 0);
}

#[test]
fn the_port_is_another_programs() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let _other = host.responder("webserver", &["127.0.0.1:8000"]);
    let line = refused(&host, "apply", 1);
    assert!(line.starts_with("lead 169.254.169.254 to 127.0.0.1:8000: webserver (process "), "{line}");
    assert!(line.contains("(stop it, or give listen in config.toml another port"), "{line}");
    warned_at_boot_and_forced(&host, &line);
    let config = host.config("listen = [\"127.0.0.1:8111\"]\n");
    assert_eq!(host.must(&format!("apply {config}")).err, "", "another port is free");
}

#[test]
fn the_address_is_on_another_interface() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh(
        "ip link add dummy0 type bridge; ip addr add 169.254.169.254/32 dev dummy0; ip link set dummy0 up",
    );
    let line = refused(&host, "apply", 1);
    assert!(line.starts_with("lead 169.254.169.254: dummy0 has that address already"), "{line}");
    host.sh("ip addr del 169.254.169.254/32 dev dummy0");
    host.must("apply");
}

#[test]
fn the_address_is_routed_to_a_clouds_service() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh("ip link add eth0 type bridge; ip addr add 10.0.0.5/24 dev eth0; ip link set eth0 up; \
         ip route add 169.254.169.254/32 via 10.0.0.1");
    let line = refused(&host, "apply", 1);
    assert!(line.contains("it is routed via 10.0.0.1 through eth0 already"), "{line}");
    warned_at_boot_and_forced(&host, &line);
    // Zeroconf's route on a desktop is nobody's.
    host.sh("ip route del 169.254.169.254/32; ip route add 169.254.0.0/16 dev eth0 scope link");
    assert_eq!(host.must("apply").err, "");
}

#[test]
fn another_mock_serves_or_leads_the_address() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        if backend == Backend::Legacy {
            host.sh(
                "for t in nat raw; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null",
            );
        }
        // As the post-install script of the Flask service did it.
        let rule = "OUTPUT -d 169.254.169.254/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8000";
        host.sh(&format!("iptables -t nat -A {rule}"));
        let line = refused(&host, "apply", 1);
        assert!(line.contains("another's rule does so already"), "{line}");
        // What the line says to do, does it.
        let (_, advice) = line.rsplit_once(" (").unwrap();
        host.sh(advice.split_once(", or").unwrap().0);
        assert_eq!(host.must("apply").err, "");
    }
    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh("ip addr add 169.254.169.254/32 dev lo");
    let _mock = host.responder("ec2-mock", &["169.254.169.254:80"]);
    let line = refused(&host, "apply", 1);
    assert!(line.contains("ec2-mock (process "), "{line}");
    assert!(line.contains("serves 169.254.169.254:80 already (stop it"), "{line}");

    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh("nft 'add table ip kube; add chain ip kube out { type nat hook output priority -100; }; \
              add rule ip kube out ip daddr 169.254.169.254 tcp dport 80 redirect to :8181'");
    let line = refused(&host, "apply", 1);
    assert!(line.contains("a rule of the nftables chain ip kube out does so already"), "{line}");
}

/// DMI as a machine of some vendor shows it.
fn dmi(host: &Host, values: &str) {
    host.sh(&format!(
        "mount -t tmpfs tmpfs /sys/class; mkdir -p /sys/class/dmi/id; cd /sys/class/dmi/id; {values}"
    ));
}

#[test]
fn a_real_ec2_instance_is_refused_without_force() {
    let host = Host::with_lo_stanza(Backend::Nft);
    dmi(&host, "echo 'Amazon EC2' >sys_vendor; echo t3.micro >product_name");
    let line = refused(&host, "apply", 1);
    assert!(line.contains("this is a real EC2 instance"), "{line}");
    assert!(line.contains("set local = false in [network]"), "{line}");
    warned_at_boot_and_forced(&host, &line);
    let containers =
        host.config("listen = [\"0.0.0.0:8000\"]\n[network]\nlocal = false\nbridges = [\"docker0\"]\n");
    assert_eq!(host.must(&format!("apply {containers}")).err, "", "containers only needs no --force");
}

#[test]
fn an_instance_of_another_cloud_is_told() {
    let host = Host::with_lo_stanza(Backend::Nft);
    dmi(&host, "echo Google >sys_vendor; echo 'Google Compute Engine' >product_name");
    let applied = host.must("apply");
    assert!(one_line(&applied).contains("this is an instance of Google Compute Engine"), "{applied:?}");
}

#[test]
fn bad_configuration_is_exit_code_78_with_its_line() {
    let host = Host::with_lo_stanza(Backend::Nft);
    for (text, expected) in [
        ("[network]\nbridgse = []\n", "line 2: unknown key bridgse in [network] (did you mean bridges?)"),
        ("\n[network]\nlocal = \"no\"\n", "line 3: local is true or false"),
        ("listen = [\"127.0.0.1\"]\n", "line 1: listen 127.0.0.1: not ADDRESS:PORT"),
        ("listen = \"127.0.0.1:0\"\n", "line 1: listen 127.0.0.1:0: no rule can lead to port 0"),
        ("[network]\nlocal = false\n", "line 2: local = false leads nobody without bridges"),
        ("[network]\nbridges = [\"a*b\"]\n", "line 2: bridges \"a*b\": not the name of an interface"),
        ("[network]\ntarget = \"mock:http\"\n", "line 2: target \"mock:http\": not HOST or HOST:PORT"),
        ("[network\n", "line 1: "),
    ] {
        let config = host.config(text);
        let line = refused(&host, &format!("apply {config}"), 78);
        assert!(line.contains(expected), "{text:?} gives {line:?}");
        assert!(line.contains("config.toml: line "), "{line}");
        refused(&host, &format!("status {config}"), 78);
        // A broken configuration does not keep anybody from taking all off again.
        host.must(&format!("remove {config}"));
    }
    refused(&host, "apply --config /no/such/file", 78);
    let daemons = host
        .config("hop-limit = 2\n[instance]\nregion = \"eu-west-1\"\n[roles.app]\nsource = \"generated\"\n");
    host.must(&format!("apply {daemons}"));
}

#[test]
fn a_listen_that_no_rule_can_lead_to_is_refused() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let line = refused(&host, &format!("apply {}", host.config("listen = [\"10.0.0.5:8000\"]\n")), 1);
    assert!(line.contains("(add \"127.0.0.1:8000\" to listen)"), "{line}");
}

#[test]
fn a_state_directory_that_others_can_write_to_is_not_trusted() {
    let host = Host::with_lo_stanza(Backend::Nft);
    host.sh("mkdir /var/lib/fake-metadata-setup; chmod 777 /var/lib/fake-metadata-setup");
    let line = refused(&host, "apply", 1);
    assert!(line.contains("trust the state directory /var/lib/fake-metadata-setup"), "{line}");
}

#[test]
fn a_step_that_fails_takes_the_steps_before_it_back() {
    for backend in BACKENDS {
        let host = Host::with_lo_stanza(backend);
        if backend == Backend::Legacy {
            host.sh(
                "for t in nat raw; do iptables-legacy -t $t -S; ip6tables-legacy -t $t -S; done >/dev/null",
            );
        }
        // The journal can take some entries and then no more: the disk is full.
        host.sh("mkdir /var/lib/fake-metadata-setup; mount -t tmpfs -o mode=755,size=4k tmpfs /var/lib/fake-metadata-setup");
        host.sh("head -c 3800 /dev/zero | tr '\\0' '\\n' >/var/lib/fake-metadata-setup/journal");
        let rules = "ip -o addr; nft list ruleset; iptables -t nat -S; iptables -t raw -S; cat /etc/network/interfaces";
        let before = host.sh(rules);
        let said = host.setup("apply");
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.err.contains("write the journal /var/lib/fake-metadata-setup/journal: No space left"),
            "{said:?}"
        );
        assert_eq!(host.sh(rules), before, "{backend:?}");
    }
}

#[test]
fn a_step_that_fails_leaves_what_an_earlier_run_did_at_work() {
    for backend in BACKENDS {
        let host = Host::new(backend);
        let _daemon = host.daemon(&["127.0.0.1:8000"]);
        host.must("apply");
        let rules = "ip -o addr; nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'; \
             iptables -t nat -S; iptables -t raw -S; cat /var/lib/fake-metadata-setup/journal";
        let before = host.sh(rules);
        // One step more to do, and it fails.
        host.write_interfaces("auto lo\niface lo inet loopback\n");
        host.sh("mount -o remount,bind,ro /etc/network");
        let said = host.setup("apply");
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(one_line(&said).starts_with("edit /etc/network/interfaces: Read-only"), "{said:?}");
        assert_eq!(host.sh(rules), before, "{backend:?}");
        assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");
        host.must("remove");
        assert_eq!(host.our_rules(), 0, "{backend:?}");
    }
}

#[test]
fn ipv6_that_failed_is_left_out_and_not_tried_by_each_run() {
    let host = Host::with_lo_stanza(Backend::Nft);
    let before = host.picture();
    // An ip6tables whose nat does not work, as where the kernel lacks that module.
    host.sh("mkdir /run/sbin; cp -a /usr/sbin/*tables* /usr/sbin/nft /run/sbin; rm /run/sbin/ip6tables-nft; \
         mkdir /run/real; ln -s /usr/sbin/xtables-nft-multi /run/real/ip6tables-nft; \
         printf '#!/bin/sh\ncase \"$*\" in *\"-t nat\"*\" -I \"*) echo broken nat >&2; exit 3;; esac\nexec /run/real/ip6tables-nft \"$@\"\n' \
             >/run/sbin/ip6tables-nft; \
         chmod +x /run/sbin/ip6tables-nft; mount --bind /run/sbin /usr/sbin");
    let _daemon = host.daemon(&["127.0.0.1:8000"]);
    let line = one_line(&host.must("apply"));
    assert!(
        line.starts_with("warning: fd00:ec2::254 is left out: ") && line.contains("broken nat"),
        "{line}"
    );
    assert!(line.ends_with("(set ipv6 = false in [network], or true to try again)"), "{line}");
    let rules = "ip -o addr; nft -a list ruleset | sed 's/packets [0-9]* bytes [0-9]*//'";
    let applied = host.sh(rules);
    assert!(!applied.contains("ec2"), "{applied}");

    let second = host.must("apply");
    assert!(second.out.starts_with("nothing to do\n"), "{second:?}");
    assert!(host.must("status").out.starts_with("applied\n"));
    // Handles are the kernel's: a rule that was made again would have another.
    assert_eq!(host.sh(rules), applied);
    assert_eq!(host.get("169.254.169.254:80").unwrap(), "fake-metadata from 169.254.169.254");

    let asked = host.config("[network]\nipv6 = true\n");
    assert!(one_line(&host.setup(&format!("apply {asked}"))).contains("broken nat"));
    assert_eq!(host.sh(rules), applied);
    host.must("remove");
    assert_eq!(host.picture(), before);
}

#[test]
fn usage_is_exit_code_2() {
    let host = Host::with_lo_stanza(Backend::Nft);
    assert_eq!(host.setup("aply").code, Some(2));
    assert_eq!(host.setup("apply --watch=0").code, Some(2));
    assert_eq!(host.setup("").code, Some(2));
}
