//! Who is at the other end of a connection, as far as addresses tell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The metadata addresses; a local caller led here by a REDIRECT shows up with them as its own.
const METADATA_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
const METADATA_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));

/// One connection's ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The caller's address and port, IPv4 as such.
    pub(crate) address: SocketAddr,
    /// Whether the caller is on this host itself, not behind a bridge or on a network.
    pub(crate) local: bool,
}

impl Peer {
    /// `ours` is the connection's own address, asked for only when `address` does not decide.
    pub(crate) fn new(address: SocketAddr, ours: impl FnOnce() -> Option<IpAddr>) -> Self {
        let ip = address.ip().to_canonical();
        let local = ip.is_loopback()
            || ip == METADATA_V4
            || ip == METADATA_V6
            || ours().is_some_and(|own| own.to_canonical() == ip);
        Peer { address: SocketAddr::new(ip, address.port()), local }
    }

    /// Whether a token reply with this IP time-to-live reaches the caller on EC2. There the service is
    /// one hop further away than we are, so a caller behind a bridge needs two.
    pub(crate) fn is_reached_with(self, hop_limit: u8) -> bool {
        self.local || hop_limit >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str, ours: &str) -> Peer {
        Peer::new(format!("{address}:9").parse().unwrap(), || ours.parse().ok())
    }

    #[test]
    fn callers_of_this_host_are_local_by_every_way_in() {
        assert!(peer("127.0.0.1", "127.0.0.1").local);
        assert!(peer("169.254.169.254", "127.0.0.1").local);
        assert!(peer("[fd00:ec2::254]", "::1").local);
        assert!(peer("[::ffff:127.0.0.1]", "::1").local);
        assert!(peer("192.168.1.5", "192.168.1.5").local);
        assert!(!peer("172.17.0.2", "169.254.169.254").local);
    }

    #[test]
    fn only_a_hop_limit_of_one_keeps_a_token_from_a_container() {
        let container = peer("172.17.0.2", "172.17.0.1");
        assert!(!container.is_reached_with(1));
        assert!(container.is_reached_with(2));
        assert!(peer("127.0.0.1", "127.0.0.1").is_reached_with(1));
    }
}
