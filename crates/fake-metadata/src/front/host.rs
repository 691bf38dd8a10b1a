//! Which `Host` a request may name. A page in a browser can point a name of its own at our address
//! (DNS rebinding) and read credentials; it cannot make the browser send an address literal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The names that are answered beside address literals and localhost: the `hosts` setting.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    names: Vec<String>,
    /// The last value that was allowed: most often the next one too.
    last: Mutex<Option<Vec<u8>>>,
}

impl Hosts {
    pub(crate) fn new(names: &[String]) -> Self {
        let names = names.iter().map(|n| n.trim_end_matches('.').to_ascii_lowercase()).collect();
        Hosts { names, ..Hosts::default() }
    }

    fn last(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this `Host` value is the last one that was allowed.
    pub(crate) fn allowed_last(&self, host: &[u8]) -> bool {
        self.last().as_deref() == Some(host)
    }

    /// Whether a request with this `Host` value is answered.
    pub(crate) fn allows(&self, host: &str) -> bool {
        let allowed = self.is_allowed(host);
        if allowed {
            *self.last() = Some(host.as_bytes().to_vec());
        }
        allowed
    }

    fn is_allowed(&self, host: &str) -> bool {
        let name = without_port(host.trim());
        if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
            // A zone (`fe80::1%eth0`) stays part of a literal.
            return inner.split('%').next().is_some_and(|a| a.parse::<Ipv6Addr>().is_ok());
        }
        if name.parse::<IpAddr>().is_ok() || name.parse::<Ipv4Addr>().is_ok() {
            return true;
        }
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        name == "localhost" || self.names.contains(&name)
    }
}

/// `name:80` to `name`; a bare IPv6 address is left whole.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_localhost_are_answered() {
        let hosts = Hosts::default();
        for host in [
            "169.254.169.254",
            "169.254.169.254:80",
            "127.0.0.1:8000",
            "[fd00:ec2::254]",
            "[fd00:ec2::254]:80",
            "[fe80::1%eth0]:80",
            "fd00:ec2::254",
            "localhost",
            "LocalHost:8000",
            "localhost.",
        ] {
            assert!(hosts.allows(host), "{host}");
        }
    }

    #[test]
    fn what_was_allowed_last_is_known_and_nothing_else() {
        let hosts = Hosts::default();
        assert!(!hosts.allowed_last(b"") && !hosts.allowed_last(b"localhost"));
        assert!(hosts.allows("localhost") && hosts.allowed_last(b"localhost"));
        assert!(!hosts.allows("evil.example") && !hosts.allowed_last(b"evil.example"));
        assert!(hosts.allows("127.0.0.1") && !hosts.allowed_last(b"localhost"));
    }

    #[test]
    fn names_are_refused_unless_configured() {
        let hosts = Hosts::new(&["Metadata.Test.".into()]);
        assert!(hosts.allows("metadata.test"));
        assert!(hosts.allows("METADATA.TEST:8000"));
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "a.metadata.test",
            "localhost.evil",
            "[evil]",
            "2130706433",
            "0x7f.1",
        ] {
            assert!(!hosts.allows(host), "{host}");
        }
    }
}
