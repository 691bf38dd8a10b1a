//! Containers: who has an address, and what that container says of its role.
//!
//! - `wish` is what a container says, `table` who has which address (both pure);
//! - `engine` is one engine's socket, kept on the outgoing thread, and `addresses` what it says of its networks;
//! - `roles` makes the roles that containers ask for beside those configured.
//!
//! An engine's socket is worth root, so none is asked unless the configuration says so.

mod addresses;
mod engine;
mod roles;
mod table;
mod wish;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::state::State;
use engine::Engine;
pub(crate) use engine::EngineStatus;
pub(crate) use roles::{Granted, Made};
pub(crate) use wish::{Place, Said, Wish};

/// How long a request waits for engines, where its answer depends on the caller's role. An engine that starts a
/// container may take seconds before it tells of it, and a 404 would be final: SDKs that give up after one second
/// (reference 6.2) try again, others wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// What engines know of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// No container has it.
    Nobody,
    /// This one has it.
    Container(Arc<Known>),
    /// It cannot be told.
    Unknown,
}

/// A container, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Whether it lives in another container's network namespace.
    pub(crate) guest: bool,
    pub(crate) said: Said,
}

/// How engines are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The engines' sockets.
    pub(crate) sockets: Vec<PathBuf>,
    /// Where containers' session names are written, beside our own keys.
    pub(crate) session_name: Option<Place>,
}

/// The engines that are asked.
#[derive(Debug, Default)]
pub(crate) struct Engines(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    settings: Settings,
    engines: Arc<Vec<Engine>>,
}

impl Engines {
    /// Asks these engines from now on. Those asked before are let go of.
    pub(crate) fn follow(
        &self,
        settings: Settings,
        state: &Weak<State>,
        runtime: impl FnOnce() -> std::io::Result<Handle>,
    ) -> std::io::Result<()> {
        let mut asked = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.settings == settings {
            return Ok(());
        }
        let mut engines = Vec::new();
        if !settings.sockets.is_empty() {
            let runtime = runtime()?;
            for socket in &settings.sockets {
                engines.push(Engine::start(socket.clone(), settings.session_name.clone(), state, &runtime));
            }
        }
        *asked = Asked { settings, engines: Arc::new(engines) };
        Ok(())
    }

    /// Who has this address now. Waits for the engines where need be, for [`PATIENCE`] at most.
    pub(crate) async fn look_up(&self, address: IpAddr) -> Lookup {
        let engines = self.asked();
        let answers = engines.iter().map(|engine| engine.ask(address));
        let answers = futures_util::future::join_all(answers);
        match tokio::time::timeout(PATIENCE, answers).await {
            Ok(answers) => together(answers),
            Err(_) => {
                log::warn!("{address}: no container engine answered within {PATIENCE:?}");
                Lookup::Unknown
            }
        }
    }

    /// Every engine as it stands.
    pub(crate) fn status(&self) -> Vec<EngineStatus> {
        self.asked().iter().map(Engine::status).collect()
    }

    fn asked(&self) -> Arc<Vec<Engine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).engines.clone()
    }
}

/// One answer of several engines'. A container that one of them knows is enough; that nobody has the
/// address takes all of them.
fn together(answers: Vec<Lookup>) -> Lookup {
    let mut found: Option<Lookup> = None;
    let mut unknown = false;
    for answer in answers {
        match answer {
            Lookup::Nobody => {}
            Lookup::Unknown => unknown = true,
            container if found.is_none() => found = Some(container),
            _ => return Lookup::Unknown,
        }
    }
    found.unwrap_or(if unknown { Lookup::Unknown } else { Lookup::Nobody })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_answer_together() {
        let container = |id: &str| {
            Lookup::Container(Arc::new(Known {
                id: id.into(),
                name: id.into(),
                guest: false,
                said: Said::Nothing,
            }))
        };
        assert_eq!(together(vec![Lookup::Nobody, Lookup::Nobody]), Lookup::Nobody);
        assert_eq!(together(vec![Lookup::Nobody, Lookup::Unknown]), Lookup::Unknown);
        assert_eq!(together(vec![Lookup::Unknown, container("a")]), container("a"));
        assert_eq!(together(vec![container("a"), container("b")]), Lookup::Unknown);
    }
}
