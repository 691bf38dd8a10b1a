//! `target`: another host or container in place of the local daemon.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::fs;
use std::process::Stdio;

use common::{BACKENDS, Backend, Host, wait_for};

/// An application container and the mock's container on one network.
fn application_and_mock(backend: Backend) -> (Host, Host) {
    let (application, mock) = (Host::new(backend), Host::new(backend));
    application.link("eth0", &mock, "eth0");
    application.sh("ip addr add 10.5.0.10/24 dev eth0");
    mock.sh("ip addr add 10.5.0.2/24 dev eth0; ip addr add 10.5.0.3/24 dev eth0");
    (application, mock)
}

/// The application's own /etc/hosts.
fn name(application: &Host, text: &str) {
    let hosts = application.folder.path().join("hosts");
    let is_new = !hosts.exists();
    fs::write(&hosts, text).unwrap();
    if is_new {
        application.sh(&format!("mount --bind {} /etc/hosts", hosts.display()));
    }
}

#[test]
fn an_address_with_a_default_route_and_without() {
    for backend in BACKENDS {
        for default_route in [false, true] {
            let (application, mock) = application_and_mock(backend);
            if default_route {
                application.sh("ip route add default via 10.5.0.1");
            }
            let _mock = mock.responder("mock", &["10.5.0.2:1338"]);
            let config = application.config("[network]\ntarget = \"10.5.0.2:1338\"\n");
            let applied = application.must(&format!("apply {config}"));
            assert!(applied.out.contains("169.254.169.254:80 leads to 10.5.0.2:1338"), "{applied:?}");
            let answer = application.get("169.254.169.254:80");
            assert_eq!(
                answer.as_deref(),
                Ok("mock from 10.5.0.10"),
                "{backend:?}, default route: {default_route}"
            );
            assert!(application.must(&format!("apply {config}")).out.starts_with("nothing to do"));
            application.must("remove");
            assert_eq!(application.our_rules(), 0);
        }
    }
}

#[test]
fn a_second_apply_follows_a_name_to_its_new_address() {
    for backend in BACKENDS {
        let (application, mock) = application_and_mock(backend);
        name(&application, "10.5.0.2 mock\n");
        let _first = mock.responder("first", &["10.5.0.2:80"]);
        let _second = mock.responder("second", &["10.5.0.3:80"]);
        let apply = format!("apply {}", application.config("[network]\ntarget = \"mock\"\n"));
        application.must(&apply);
        assert_eq!(application.get("169.254.169.254:80").unwrap(), "first from 10.5.0.10", "{backend:?}");
        name(&application, "10.5.0.3 mock\n");
        application.must(&apply);
        assert_eq!(application.get("169.254.169.254:80").unwrap(), "second from 10.5.0.10", "{backend:?}");
        assert_eq!(application.our_rules(), 3, "{backend:?}: one DNAT, one MASQUERADE, one guard");
        // With both addresses it stays where it is.
        name(&application, "10.5.0.2 mock\n10.5.0.3 mock\n");
        assert!(application.must(&apply).out.starts_with("nothing to do"), "{backend:?}");
    }
}

#[test]
fn watch_follows_by_itself_and_ends_on_a_signal() {
    let (application, mock) = application_and_mock(Backend::Nft);
    name(&application, "10.5.0.2 mock\n");
    let _first = mock.responder("first", &["10.5.0.2:80"]);
    let _second = mock.responder("second", &["10.5.0.3:80"]);
    let config = application.config("[network]\ntarget = \"mock\"\n");
    let mut command = application.command(common::SETUP);
    let errors = application.folder.path().join("errors");
    let command = command.args(["apply", "--watch=1"]).args(config.split(' ')).stdout(Stdio::null());
    let mut watch = command.stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
    let answers =
        |who: &str| application.get("169.254.169.254:80").is_ok_and(|answer| answer.starts_with(who));
    wait_for("the first mock", || answers("first"));
    // A name that is gone for a while is told once and ends nothing.
    name(&application, "");
    wait_for("a warning", || {
        fs::read_to_string(&errors).unwrap().contains("warning: resolve target mock:80")
    });
    assert!(answers("first"));
    name(&application, "10.5.0.3 mock\n");
    wait_for("the second mock", || answers("second"));
    application.sh("iptables -t nat -F OUTPUT");
    wait_for("the rule to come back", || answers("second"));
    application.sh(&format!("kill -TERM {}", watch.id()));
    assert!(watch.wait().unwrap().success());
    assert_eq!(
        application.get("169.254.169.254:80").unwrap(),
        "second from 10.5.0.10",
        "everything stays in place"
    );
}

#[test]
fn bridges_lead_to_the_target_too() {
    for backend in BACKENDS {
        let (host, mock) = application_and_mock(backend);
        let container = Host::new(backend);
        host.sh(
            "ip link add docker0 type bridge; ip addr add 172.17.0.1/16 dev docker0; ip link set docker0 up",
        );
        host.link("veth1", &container, "eth0");
        host.sh("ip link set veth1 master docker0; echo 1 >/proc/sys/net/ipv4/ip_forward");
        container.sh("ip addr add 172.17.0.2/16 dev eth0; ip route add default via 172.17.0.1");
        let _mock = mock.responder("mock", &["10.5.0.2:80"]);
        for local in [true, false] {
            let text =
                format!("[network]\ntarget = \"10.5.0.2\"\nbridges = [\"docker0\"]\nlocal = {local}\n");
            host.must(&format!("apply {}", host.config(&text)));
            assert_eq!(
                container.get("169.254.169.254:80").unwrap(),
                "mock from 10.5.0.10",
                "{backend:?} {local}"
            );
        }
    }
}

#[test]
fn a_name_that_is_not_known_changes_nothing() {
    let (application, _mock) = application_and_mock(Backend::Nft);
    name(&application, "");
    let before = application.picture();
    let said = application
        .setup(&format!("apply {}", application.config("[network]\ntarget = \"no.such.invalid\"\n")));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("resolve target no.such.invalid:80"), "{said:?}");
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    assert_eq!(application.picture(), before);
    let boot = application
        .must(&format!("apply --boot {}", application.config("[network]\ntarget = \"no.such.invalid\"\n")));
    assert_eq!(boot.err, said.err.replace("setup: ", "setup: warning: "), "the network may not be up yet");
    assert_eq!(application.picture(), before);
}
