//! The named bounds that keep one client from costing another its answer.
//!
//! Each is a separate limit with its own unit. The values favour SDKs, which give up after one
//! second and send heads of a few hundred bytes, over anything that merely resembles a client.
//!
//! Two more are not numbers of ours. Header fields: hyper's own bound of 100, which it keeps without
//! allocating; more is answered 431 and closed. Request bodies: none is ever read, since no request to
//! the service has a meaningful one; a connection with an unread body is closed after the answer.

use std::time::Duration;

/// The bounds of the metadata address. [`Limits::DEFAULT`] is what is served with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of request line and header fields together; more is answered 431 and closed.
    pub(crate) head_bytes: usize,
    /// Connections held at once. The longest idle one gives way to a new one beyond this.
    /// So many that all of them, each with a full head and a full buffer of answers, stay below 64 MiB.
    pub(crate) connections: usize,
    /// From the first byte of a request to the end of its head.
    pub(crate) head_time: Duration,
    /// Without a byte between requests, and before the first.
    pub(crate) idle_time: Duration,
    /// Without the client taking a byte of an answer that is waiting for it.
    pub(crate) write_time: Duration,
    /// How long the reply of a token request that the hop limit swallows is kept hanging.
    pub(crate) hop_hang: Duration,
    /// How long what a client still sends is dropped once its last answer is out.
    pub(crate) linger_time: Duration,
    /// How many bytes of that are dropped before the connection is closed all the same.
    pub(crate) linger_bytes: usize,
    /// How long requests in flight may take once we were told to stop.
    pub(crate) drain_time: Duration,
}

impl Limits {
    pub(crate) const DEFAULT: Limits = Limits {
        head_bytes: 16 * 1024,
        connections: 1024,
        head_time: Duration::from_secs(5),
        idle_time: Duration::from_secs(60),
        write_time: Duration::from_secs(10),
        hop_hang: Duration::from_secs(10),
        linger_time: Duration::from_millis(500),
        linger_bytes: 256 * 1024,
        drain_time: Duration::from_secs(5),
    };
}

/// File descriptors kept free of connections: listeners, log, control, outgoing calls.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Raises the soft limit on open files as far as the hard one allows, and returns how many
/// connections fit below it, at most `wanted`.
pub(crate) fn connections_that_fit(wanted: usize) -> usize {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wanted.min(512);
    };
    let aim = hard.min(wanted as u64 + RESERVED_DESCRIPTORS).max(soft);
    let reached = if setrlimit(Resource::RLIMIT_NOFILE, aim, hard).is_ok() { aim } else { soft };
    let room = reached.saturating_sub(RESERVED_DESCRIPTORS).max(reached / 2).max(1);
    wanted.min(usize::try_from(room).unwrap_or(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connection_bound_never_exceeds_what_was_asked_for() {
        assert!(connections_that_fit(8) <= 8);
        assert!(connections_that_fit(8) >= 1);
    }
}
