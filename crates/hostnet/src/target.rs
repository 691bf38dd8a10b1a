//! `target = "HOST[:PORT]"`: another host in place of the local daemon.
//!
//! Only IPv4 targets: the rule rewrites 169.254.169.254, an IPv4 address.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, ToSocketAddrs};

/// A host name or IPv4 address, and a TCP port (80 when none is written, the metadata service's own).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

/// A target whose name gives no address that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The resolver failed.
    #[error("resolve target {0} (is the other host or container up, and on a network of ours?)")]
    Resolver(Target, #[source] std::io::Error),
    /// The name has only IPv6 addresses.
    #[error("resolve target {0}: it has no IPv4 address")]
    NoIpv4(Target),
}

impl Target {
    /// All IPv4 addresses of the name, sorted, by the system's resolver; at least one.
    ///
    /// # Errors
    /// [`ResolveError`].
    pub fn resolve(&self) -> Result<Vec<SocketAddrV4>, ResolveError> {
        let found = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| ResolveError::Resolver(self.clone(), error))?;
        let mut addresses: Vec<SocketAddrV4> = found
            .filter_map(|address| match address {
                SocketAddr::V4(address) => Some(address),
                SocketAddr::V6(_) => None,
            })
            .collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() { Err(ResolveError::NoIpv4(self.clone())) } else { Ok(addresses) }
    }
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("target {text:?}: not HOST or HOST:PORT, such as mock:80 or 10.0.0.5");
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
            None => (text, 80),
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if host.is_empty() || host.len() > 253 || !host.bytes().all(known) {
            return Err(wrong());
        }
        if host.parse::<Ipv4Addr>() == Ok(crate::IPV4) {
            return Err(format!("target {text:?}: that is the metadata address itself"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
