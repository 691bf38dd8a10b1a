//! Whose socket is at the other end of a local connection: one exact lookup by sock_diag(7), no dump.
//!
//! The kernel answers within the call that asks, so the front may ask: a lookup takes a few
//! microseconds however many sockets there are, and never waits. No right is needed for it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as NetlinkAddress};

use super::rules::User;

/// Where clients connect to, before the host network redirects them to us.
const METADATA: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80),
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)), 80),
];
/// INET_DIAG_NOCOOKIE of linux/inet_diag.h: any socket with these addresses.
const NO_COOKIE: [u8; 8] = [0xff; 8];
/// `struct nlmsghdr` and what can follow it in an answer without extensions, with room to spare.
const ANSWER_BYTES: usize = 1024;
/// MSG_DONTWAIT of linux/socket.h.
const DONT_WAIT: i32 = 0x40;
/// ENOENT of errno(3): there is no such socket.
const NO_SUCH_SOCKET: i32 = 2;

/// A socket to the kernel's table of sockets.
pub(super) struct SockDiag {
    socket: Socket,
    sequence: AtomicU32,
}

impl SockDiag {
    /// Opens it, in the network namespace of this process.
    pub(super) fn open() -> io::Result<SockDiag> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&NetlinkAddress::new(0, 0))?;
        Ok(SockDiag { socket, sequence: AtomicU32::new(1) })
    }

    /// The user whose process holds the other end of a connection that we accepted from `peer` at
    /// `ours`. The client's own socket leads from there to us, or to the metadata address where the host
    /// network has redirected it.
    pub(super) fn user(&self, peer: SocketAddr, ours: SocketAddr) -> io::Result<User> {
        let direct = self.established(peer, ours)?;
        let owner = match METADATA.into_iter().find(|metadata| metadata.ip() == peer.ip()) {
            None => direct,
            Some(metadata) => match direct {
                Some(owner) => Some(owner),
                None => self.established(peer, metadata)?,
            },
        };
        Ok(owner.map_or(User::Unknown, User::Uid))
    }

    /// The owner of the established socket with these ends. `None` for one that no process holds any
    /// more: it shows the user 0 and no inode, and must not pass for root's.
    fn established(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Option<u32>> {
        let found = self.look_up(from, to)?.map(|found| found.header);
        // Without an established one the kernel names whoever listens at `from`.
        let held = found.filter(|socket| socket.state == TCP_ESTABLISHED && socket.inode != 0);
        let same = held.filter(|socket| {
            socket.socket_id.source_port == from.port() && socket.socket_id.destination_port == to.port()
        });
        Ok(same.map(|socket| socket.uid))
    }

    fn look_up(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Option<Box<InetResponse>>> {
        if from.is_ipv4() != to.is_ipv4() {
            return Ok(None);
        }
        let sequence = self.sequence.fetch_add(1, Relaxed);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = sequence;
        let request = InetRequest {
            family: if from.is_ipv4() { AF_INET } else { AF_INET6 },
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: StateFlags::all(),
            socket_id: SocketId {
                source_port: from.port(),
                destination_port: to.port(),
                source_address: from.ip(),
                destination_address: to.ip(),
                interface_id: 0,
                cookie: NO_COOKIE,
            },
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let mut answer = [0; ANSWER_BYTES];
            let length = self.socket.recv(&mut answer.as_mut_slice(), DONT_WAIT)?;
            let answer = NetlinkMessage::<SockDiagMessage>::deserialize(&answer[..length])
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
            if answer.header.sequence_number != sequence {
                continue;
            }
            return match answer.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(found)) => Ok(Some(found)),
                NetlinkPayload::Error(error) => match error.to_io() {
                    cause if cause.raw_os_error() == Some(NO_SUCH_SOCKET) => Ok(None),
                    cause => Err(cause),
                },
                _ => Err(io::ErrorKind::InvalidData.into()),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::*;

    fn connected(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        (client, accepted)
    }

    fn user(accepted: &TcpStream) -> User {
        let kernel = SockDiag::open().unwrap();
        kernel.user(accepted.peer_addr().unwrap(), accepted.local_addr().unwrap()).unwrap()
    }

    #[test]
    fn our_own_client_is_ours_over_both_families() {
        for address in ["127.0.0.1", "::1"] {
            let (_client, accepted) = connected(address);
            assert_eq!(user(&accepted), User::Uid(nix::unistd::getuid().as_raw()), "{address}");
        }
    }

    #[test]
    fn a_client_that_has_closed_is_nobody() {
        let (client, accepted) = connected("127.0.0.1");
        // The reply that is still to be sent keeps the connection, which shows the user 0 from then on.
        drop(client);
        assert_eq!(user(&accepted), User::Unknown);
    }

    #[test]
    fn a_client_that_has_said_its_last_is_not_established() {
        let (client, accepted) = connected("127.0.0.1");
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(user(&accepted), User::Unknown);
    }

    #[test]
    fn who_listens_at_the_callers_address_is_not_the_caller() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let kernel = SockDiag::open().unwrap();
        let from = listener.local_addr().unwrap();
        assert!(
            kernel.look_up(from, "127.0.0.1:9".parse().unwrap()).unwrap().is_some(),
            "the kernel names it"
        );
        assert_eq!(kernel.user(from, "127.0.0.1:9".parse().unwrap()).unwrap(), User::Unknown);
    }

    #[test]
    fn ends_of_two_families_are_no_connection() {
        let kernel = SockDiag::open().unwrap();
        let (from, to) = ("127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap());
        assert_eq!(kernel.user(from, to).unwrap(), User::Unknown);
    }
}
