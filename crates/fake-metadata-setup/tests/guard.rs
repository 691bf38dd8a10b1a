//! A neighbour on the network who sends packets for the metadata address to this host gets nothing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{BACKENDS, Backend, Host};

fn neighbours(backend: Backend) -> (Host, Host) {
    let (host, neighbour) = (Host::with_lo_stanza(backend), Host::new(backend));
    host.link("eth0", &neighbour, "eth0");
    host.sh("ip addr add 10.0.0.5/24 dev eth0; ip -6 addr add fd00:1::5/64 dev eth0");
    neighbour.sh("ip addr add 10.0.0.9/24 dev eth0; ip -6 addr add fd00:1::9/64 dev eth0");
    (host, neighbour)
}

#[test]
fn no_tcp_and_no_icmp_for_a_neighbour_who_routes_to_us() {
    for backend in BACKENDS {
        let (host, neighbour) = neighbours(backend);
        neighbour.sh(
            "ip route add 169.254.169.254/32 via 10.0.0.5; ip -6 route add fd00:ec2::254/128 via fd00:1::5 dev eth0",
        );
        let _daemon = host.daemon(&["127.0.0.1:8000", "169.254.169.254:8000", "[::1]:8000"]);
        // Without the guard he is answered: the test would see an answer.
        host.must(&format!("apply {}", host.config("[network]\nguard = false\n")));
        assert_eq!(
            neighbour.get("169.254.169.254:8000").unwrap(),
            "fake-metadata from 10.0.0.9",
            "{backend:?}"
        );
        assert!(neighbour.ping("169.254.169.254"), "{backend:?}");

        host.must("apply");
        assert!(neighbour.get("169.254.169.254:8000").is_err(), "{backend:?}");
        assert!(neighbour.get("169.254.169.254:80").is_err(), "{backend:?}");
        assert!(neighbour.get("[fd00:ec2::254]:80").is_err(), "{backend:?}");
        assert!(!neighbour.ping("169.254.169.254"), "{backend:?}");
        // Other addresses are treated as before, and the host itself is answered.
        assert!(neighbour.ping("10.0.0.5"), "{backend:?}");
        assert_eq!(
            host.get("169.254.169.254:80").unwrap(),
            "fake-metadata from 169.254.169.254",
            "{backend:?}"
        );
    }
}

#[test]
fn no_arp_for_a_neighbour_on_the_link() {
    for backend in BACKENDS {
        let (host, neighbour) = neighbours(backend);
        neighbour.sh("ip route add 169.254.0.0/16 dev eth0");
        let resolved = |neighbour: &Host| {
            neighbour.sh("ip neigh flush dev eth0");
            let _ = neighbour.ping("169.254.169.254");
            neighbour.sh("ip neigh show to 169.254.169.254 dev eth0").contains("lladdr")
        };
        host.must(&format!("apply {}", host.config("[network]\nguard = false\n")));
        assert!(resolved(&neighbour), "{backend:?}: without the guard the kernel answers");
        host.must("apply");
        assert!(!resolved(&neighbour), "{backend:?}");
        assert!(neighbour.ping("10.0.0.5"), "{backend:?}: ARP for other addresses is answered");
        host.must("remove");
        assert!(!resolved(&neighbour), "{backend:?}: nobody has the address any more");
    }
}
