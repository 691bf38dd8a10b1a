//! From a connection to its caller's role: the rules decide, and the facts they lack are found.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::containers::{Engines, Known, Lookup, Said};
use super::rules::{Container, Decision, Facts, Grant, Rules, User};
use super::sockets::SockDiag;
use crate::front::Peer;
use crate::state::Live;

/// One connection of a caller, with what has been found out about it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: Peer,
    /// The caller's address and port, as the log shows them.
    pub(crate) name: String,
    ours: SocketAddr,
    user: OnceLock<User>,
    container: OnceLock<Arc<Known>>,
}

impl Connection {
    /// `ours` is the connection's own end.
    pub(crate) fn new(peer: Peer, ours: SocketAddr) -> Self {
        let ours = SocketAddr::new(ours.ip().to_canonical(), ours.port());
        let name = peer.address.to_string();
        Connection { peer, name, ours, user: OnceLock::new(), container: OnceLock::new() }
    }

    /// Who it is, in words for `status`.
    pub(crate) fn who(&self) -> String {
        let address = &self.name;
        match (self.container.get(), self.user.get()) {
            (Some(container), _) => format!("container {} ({address})", container.name),
            (None, Some(User::Uid(uid))) => format!("user {uid} ({address})"),
            _ => address.clone(),
        }
    }
}

/// Finds callers' roles.
pub(crate) struct Finder {
    kernel: Result<SockDiag, io::Error>,
}

impl Finder {
    pub(crate) fn new() -> Self {
        Finder { kernel: SockDiag::open() }
    }

    /// Why local users cannot be told apart, when they cannot.
    pub(crate) fn users_error(&self) -> Option<String> {
        self.kernel.as_ref().err().map(|e| format!("open a sock_diag socket: {e} (allow AF_NETLINK)"))
    }

    /// Looks at a connection that was just accepted. The owner of the client's socket is looked up now
    /// and not at the first request: where conntrack had to give a redirected connection another port,
    /// a socket with that port that somebody opens later would pass for the client's.
    pub(crate) fn greet(&self, rules: &Rules, connection: &Connection) {
        if rules.ask_users() && connection.peer.local {
            self.user(connection);
        }
    }

    /// The role of a connection's caller; `None` when it cannot be told before a container engine has answered.
    pub(crate) fn role_at_once(&self, rules: &Rules, connection: &Connection) -> Option<Grant> {
        let mut facts = facts(connection);
        loop {
            match rules.decide(&facts) {
                Decision::Grant(grant) => return Some(grant),
                Decision::NeedsUser => facts.user = Some(self.user(connection)),
                Decision::NeedsContainer => return None,
            }
        }
    }

    /// The role of a connection's caller. It may be one that was made while this waited: `live` does not
    /// know it then, what is served afterwards does.
    pub(crate) async fn role(&self, live: &Live, engines: &Engines, connection: &Connection) -> Grant {
        let mut facts = facts(connection);
        loop {
            match live.rules.decide(&facts) {
                Decision::Grant(grant) => return grant,
                Decision::NeedsUser => facts.user = Some(self.user(connection)),
                Decision::NeedsContainer => {
                    facts.container = Some(container(live, engines, connection).await);
                }
            }
        }
    }

    fn user(&self, connection: &Connection) -> User {
        *connection.user.get_or_init(|| {
            let Ok(kernel) = &self.kernel else { return User::Unknown };
            kernel.user(connection.peer.address, connection.ours).unwrap_or_else(|error| {
                log::warn!("{}: look up the owner of the socket: {error}", connection.peer.address);
                User::Unknown
            })
        })
    }
}

/// What is known of a connection's caller without asking anybody.
fn facts(connection: &Connection) -> Facts {
    let peer = connection.peer;
    Facts { address: peer.address.ip(), local: peer.local, container: None, user: None }
}

/// What the container behind a connection is given.
async fn container(live: &Live, engines: &Engines, connection: &Connection) -> Container {
    let found = match engines.look_up(connection.peer.address.ip()).await {
        Lookup::Nobody => return Container::None,
        Lookup::Unknown => return Container::Unknown,
        Lookup::Container(found) => found,
    };
    let first = connection.container.get_or_init(|| found.clone());
    match &found.said {
        // An open connection stays its container's: what another one is given is not for it.
        _ if first.id != found.id => Container::Unknown,
        Said::Nothing => Container::Silent,
        Said::Wish(wish) => Container::Grant(live.grant(wish)),
        Said::Nonsense(_) => Container::Grant(None),
    }
}
