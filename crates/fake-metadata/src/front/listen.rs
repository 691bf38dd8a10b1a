//! Listening sockets.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel holds for us while we are busy; it cuts this down to `somaxconn`.
const BACKLOG: i32 = 4096;
/// Bytes of answers the kernel holds for a client that is slow to read. Left to itself it takes megabytes,
/// and then a client that reads all the time would look to us like one that does not read at all.
const SEND_BUFFER: usize = 64 * 1024;

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}: {cause}{}", hint(cause))]
pub(crate) struct ListenError {
    address: SocketAddr,
    cause: io::Error,
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            " (another program serves there; stop it or choose another port with --listen)"
        }
        io::ErrorKind::PermissionDenied => " (ports below 1024 need root; use another port with --listen)",
        _ => "",
    }
}

/// Opens a listening socket that the runtime can take.
///
/// # Errors
/// [`ListenError`], when the address is in use, not ours to use, or no socket is to be had.
pub(crate) fn open(address: SocketAddr) -> Result<std::net::TcpListener, ListenError> {
    bind(address).map_err(|cause| ListenError { address, cause })
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it: an answer must not wait 40 ms for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    match address {
        // The metadata address may be put on `lo` after us, or never (`local = false`).
        SocketAddr::V4(v4) if v4.ip().is_link_local() => socket.set_freebind_v4(true)?,
        SocketAddr::V4(_) => {}
        SocketAddr::V6(v6) => {
            socket.set_only_v6(true)?;
            if v6.ip().segments()[..2] == [0xfd00, 0xec2] {
                socket.set_freebind_v6(true)?;
            }
        }
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_said_with_its_remedy() {
        let first = open("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        let message = open(address).unwrap_err().to_string();
        assert!(message.starts_with(&format!("listen on {address}: ")), "{message}");
        assert!(message.contains("--listen"), "{message}");
    }
}
