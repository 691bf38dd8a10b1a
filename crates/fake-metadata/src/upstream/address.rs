//! The `upstream` setting: where the other metadata service is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::Uri;
use http::uri::Authority;
use serde::Deserialize;

const HTTP_PORT: u16 = 80;

/// `http://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Address(Authority);

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What was written is not repeated: there could be a password in it.
        let uri: Uri = text.parse().map_err(|e| {
            format!("this is no URL: {e} (write http://HOST[:PORT], such as http://169.254.169.254)")
        })?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err("https is not supported: a metadata service speaks plain HTTP (write \
                            http://HOST[:PORT])"
                    .into());
            }
            _ => return Err("write http://HOST[:PORT], such as http://169.254.169.254".into()),
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or("there is no host in it (write http://HOST[:PORT])")?;
        if authority.as_str().contains('@') {
            return Err("a metadata service knows no users (write http://HOST[:PORT])".into());
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err("paths are passed on as they are (write http://HOST[:PORT] without a path)".into());
        }
        // `http://host:` parses, and has no number there.
        let port = authority.port_u16();
        if port == Some(0) || (port.is_none() && authority.as_str() != authority.host()) {
            return Err("the port is not between 1 and 65535".into());
        }
        Ok(Address(authority.clone()))
    }
}

impl Address {
    /// Host and port as they stand in a URL.
    pub(super) fn authority(&self) -> &Authority {
        &self.0
    }

    fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(HTTP_PORT)
    }

    /// The first of these addresses to listen on that this one is, as far as can be told without asking.
    pub(crate) fn among(&self, listen: &[SocketAddr]) -> Option<SocketAddr> {
        let host = self.0.host().trim_start_matches('[').trim_end_matches(']');
        let here: IpAddr = match host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical(),
            Err(_) if host.eq_ignore_ascii_case("localhost") => [127, 0, 0, 1].into(),
            Err(_) => return None,
        };
        let is_here = |listened: &&SocketAddr| {
            let ip = listened.ip().to_canonical();
            let own = here.is_loopback() || here.is_unspecified();
            listened.port() == self.port()
                && (ip == here || (own && (ip.is_unspecified() || here.is_unspecified())))
        };
        listen.iter().find(is_here).copied()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<Address, String> {
        Address::try_from(text.to_owned())
    }

    #[test]
    fn a_host_with_or_without_port() {
        for (written, shown, port) in [
            ("http://169.254.169.254", "http://169.254.169.254", 80),
            ("http://169.254.169.254/", "http://169.254.169.254", 80),
            ("http://metadata.example:8080", "http://metadata.example:8080", 8080),
            ("http://[fd00:ec2::254]", "http://[fd00:ec2::254]", 80),
            ("HTTP://host", "http://host", 80),
        ] {
            let address = address(written).unwrap();
            assert_eq!((address.to_string().as_str(), address.port()), (shown, port));
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_write() {
        for (written, word) in [
            ("https://169.254.169.254", "https is not supported"),
            ("169.254.169.254", "write http://"),
            ("ftp://host", "write http://"),
            ("", "no URL"),
            ("http://", "no URL"),
            ("http://host/latest", "without a path"),
            ("http://host/?a", "without a path"),
            ("http://host:0", "port"),
            ("http://host:", "port"),
            ("http://host:99999", "port"),
        ] {
            let message = address(written).unwrap_err();
            assert!(message.contains(word), "{written}: {message}");
        }
        let message = address("http://ann:secret@host").unwrap_err();
        assert!(message.contains("no users") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn our_own_address_is_recognised() {
        let among = |text: &str, listen: &str| address(text).unwrap().among(&[listen.parse().unwrap()]);
        assert!(among("http://127.0.0.1:8000", "127.0.0.1:8000").is_some());
        assert!(among("http://localhost:8000", "127.0.0.1:8000").is_some());
        assert!(among("http://127.0.0.1:8000", "0.0.0.0:8000").is_some());
        assert!(among("http://0.0.0.0:8000", "127.0.0.1:8000").is_some());
        assert!(among("http://[::1]:8000", "[::]:8000").is_some());
        assert!(among("http://10.0.0.1", "10.0.0.1:80").is_some());
        assert!(among("http://127.0.0.1:8001", "127.0.0.1:8000").is_none());
        assert!(among("http://127.0.0.2:8000", "127.0.0.1:8000").is_none());
        assert!(among("http://169.254.169.254", "127.0.0.1:8000").is_none());
    }
}
