//! Which TCP sockets listen in this network namespace, and whose they are (proc(5), `/proc/net/tcp`).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The daemon's program and user name.
const DAEMON: &str = "fake-metadata";

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) owner: Owner,
}

/// Who has it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The daemon, by its program's name or its user.
    Daemon,
    /// Another program, described for a person.
    Other(String),
}

impl Listener {
    /// Whether a connection to `to` ends here. A socket on `::` takes IPv4 too, unless told otherwise.
    pub(crate) fn takes(&self, to: SocketAddr) -> bool {
        let wildcard = match self.address.ip() {
            IpAddr::V4(ip) => ip.is_unspecified() && to.is_ipv4(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
        self.address.port() == to.port() && (wildcard || self.address.ip() == to.ip())
    }
}

/// The listeners on one of `ports`, and the daemon's on any port: perhaps it was not restarted after a change.
pub(crate) fn read(ports: &[u16]) -> Vec<Listener> {
    let mut sockets = Vec::new();
    for (path, is_v6) in [("/proc/net/tcp", false), ("/proc/net/tcp6", true)] {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        sockets.extend(text.lines().skip(1).filter_map(|line| socket(line, is_v6)));
    }
    let processes = owner_processes(&sockets);
    let user = nix::unistd::User::from_name(DAEMON).ok().flatten().map(|user| user.uid.as_raw());
    let owner = |socket: &Socket| match processes.get(&socket.inode) {
        Some((_, name)) if name == DAEMON => Owner::Daemon,
        _ if user == Some(socket.uid) => Owner::Daemon,
        Some((process, name)) => Owner::Other(format!("{name} (process {process})")),
        None => Owner::Other(format!("a program of user id {}", socket.uid)),
    };
    let listeners = sockets.iter().map(|socket| Listener { address: socket.address, owner: owner(socket) });
    let concerns = |found: &Listener| ports.contains(&found.address.port()) || found.owner == Owner::Daemon;
    listeners.filter(concerns).collect()
}

struct Socket {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// One line of `/proc/net/tcp`, if it is in state LISTEN (0A).
fn socket(line: &str, is_v6: bool) -> Option<Socket> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let ip = if is_v6 { IpAddr::V6(ipv6(ip)?) } else { IpAddr::V4(Ipv4Addr::from(word(ip)?)) };
    let port = u16::from_str_radix(port, 16).ok()?;
    let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
    Some(Socket { address: SocketAddr::new(ip, port), uid, inode })
}

/// The kernel prints each 32-bit word of an address in the machine's own byte order.
fn word(text: &str) -> Option<[u8; 4]> {
    u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
}

fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let words = (0..4).map(|index| word(text.get(index * 8..index * 8 + 8)?));
    let bytes: Vec<[u8; 4]> = words.collect::<Option<_>>()?;
    <[u8; 16]>::try_from(bytes.concat()).ok().map(Ipv6Addr::from)
}

/// For the inode of each socket the first process that has it open, and its program's name. One pass over /proc.
fn owner_processes(sockets: &[Socket]) -> HashMap<u64, (u32, String)> {
    let wanted: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let mut owners = HashMap::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        if owners.len() == wanted.len() {
            break;
        }
        let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        for inode in
            files.filter_map(|file| socket_inode(&file.path())).filter(|inode| wanted.contains(inode))
        {
            owners.entry(inode).or_insert_with(|| {
                let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
                (process, name.trim().to_owned())
            });
        }
    }
    owners
}

/// Such a link reads `socket:[INODE]`.
fn socket_inode(link: &Path) -> Option<u64> {
    let target = std::fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_socket_is_read_from_its_line() {
        let line = "   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 52881 1 0";
        let found = socket(line, false).unwrap();
        assert_eq!((found.address, found.uid, found.inode), ("127.0.0.1:8000".parse().unwrap(), 998, 52881));
        assert!(socket(&line.replace(" 0A ", " 01 "), false).is_none());
    }

    #[test]
    fn a_socket_on_the_ipv6_wildcard_takes_ipv4_too() {
        let any = Listener { address: "[::]:8000".parse().unwrap(), owner: Owner::Daemon };
        assert!(any.takes("127.0.0.1:8000".parse().unwrap()));
        let v4 = Listener { address: "0.0.0.0:8000".parse().unwrap(), owner: Owner::Daemon };
        assert!(v4.takes("127.0.0.1:8000".parse().unwrap()));
        assert!(!v4.takes("[::1]:8000".parse().unwrap()));
        assert!(!v4.takes("127.0.0.1:8001".parse().unwrap()));
    }
}
