//! The store: every role's credentials, kept fresh, shared by all who ask, never handed out expired.
//!
//! `schedule` says when to ask a source, `state` what may be served at a moment (both pure), `role` holds
//! one role and answers for it, `keeper` is its background task, `status` shows it.

mod keeper;
mod role;
mod schedule;
#[cfg(test)]
pub(crate) mod scripted;
mod state;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::clock::{Clock, Moment};
use crate::credentials::Credentials;
use crate::document::check_keys;
use crate::failure::Failure;
use crate::login::{self, Login};
use crate::outgoing::Outgoing;
use crate::source::Source;
use crate::source::generated::Seed;
#[cfg(test)]
use crate::spec::RoleSpec;
use crate::spec::{Settings, SpecError, Specs};
use role::Role;
pub use status::RoleStatus;

/// The role of the instance's own identity (`identity-credentials/ec2/security-credentials/ec2-instance`).
/// Always there, always generated. IAM allows no colon in a role's name, so it is nobody else's.
pub const IDENTITY_ROLE: &str = "aws:ec2-instance";

/// Sources asked at the same time.
const SLOTS: usize = 64;

/// Credentials that may be served, or why there are none.
pub type Answer = Result<Arc<Credentials>, Arc<Failure>>;

/// What a store needs of the world.
#[derive(Clone)]
pub struct Environment {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where sources are asked.
    pub outgoing: Outgoing,
    /// What generated credentials are made from.
    pub seed: Seed,
}

pub(crate) struct Tools {
    clock: Arc<dyn Clock>,
    outgoing: Outgoing,
    seed: Seed,
    slots: Arc<Semaphore>,
}

type Roles = HashMap<String, Arc<Role>>;

/// There is no role of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no role {0:?}")]
pub struct UnknownRole(pub String);

/// Why fed credentials were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// There is no such role.
    #[error(transparent)]
    Unknown(#[from] UnknownRole),
    /// They are of no use any more, or have no end.
    #[error("feed role {role}: {problem}")]
    Refused {
        /// The role's name.
        role: String,
        /// What is wrong with them.
        problem: String,
    },
}

/// Why a login did not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// There is no such role.
    #[error(transparent)]
    Unknown(#[from] UnknownRole),
    /// The role's profile has no login, or the service gave no code.
    #[error("{}", .0.detail)]
    Failed(Failure),
}

impl From<Failure> for LoginError {
    fn from(failure: Failure) -> Self {
        LoginError::Failed(failure)
    }
}

/// What [`Store::replace`] did, by role name, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Roles that were not there before.
    pub added: Vec<String>,
    /// Roles whose source is another now; what was held is gone.
    pub changed: Vec<String>,
    /// Roles that are gone.
    pub removed: Vec<String>,
}

/// Every role's credentials. Share it by `Arc`; dropping it ends all background work.
pub struct Store {
    roles: ArcSwap<Roles>,
    tools: Arc<Tools>,
    /// Held while the set of roles changes.
    changing: Mutex<()>,
}

impl Store {
    /// A store of these roles, whose sources are asked at once in the background.
    pub fn new(specs: &Specs, settings: &Settings, environment: Environment) -> Result<Store, SpecError> {
        let store = Store::empty(environment);
        store.replace(specs, settings)?;
        Ok(store)
    }

    fn empty(environment: Environment) -> Store {
        let Environment { clock, outgoing, seed } = environment;
        let tools = Arc::new(Tools { clock, outgoing, seed, slots: Arc::new(Semaphore::new(SLOTS)) });
        let identity = Arc::new(Role::new(IDENTITY_ROLE.into(), Source::Generated));
        let roles = HashMap::from([(IDENTITY_ROLE.to_owned(), identity)]);
        Store { roles: ArcSwap::from_pointee(roles), tools, changing: Mutex::new(()) }
    }

    /// Whether these roles would be taken, and if not, which key is wrong. Starts and reads nothing.
    pub fn check(specs: &Specs, settings: &Settings) -> Result<(), SpecError> {
        resolve(specs, settings).map(|_| ())
    }

    /// Makes these the roles, whole or not at all. A role whose source stays the same keeps what it
    /// holds.
    pub fn replace(&self, specs: &Specs, settings: &Settings) -> Result<Changes, SpecError> {
        self.install(resolve(specs, settings)?)
    }

    fn install(&self, sources: BTreeMap<String, Source>) -> Result<Changes, SpecError> {
        sources.keys().try_for_each(|name| not_ours(name))?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.roles.load_full();
        let runtime = match sources.iter().find(|(_, source)| source.outgoing()) {
            Some((role, _)) => Some(self.tools.outgoing.handle().map_err(|e| SpecError {
                role: role.clone(),
                key: "source".into(),
                message: format!("start the thread for outgoing work: {e}"),
            })?),
            None => None,
        };
        let mut changes = Changes::default();
        let mut roles = Roles::from([(IDENTITY_ROLE.to_owned(), old[IDENTITY_ROLE].clone())]);
        for (name, source) in sources {
            let role = match old.get(&name) {
                Some(kept) if kept.source == source => kept.clone(),
                other => {
                    if other.is_some() { &mut changes.changed } else { &mut changes.added }
                        .push(name.clone());
                    let role = Arc::new(Role::new(name.clone(), source));
                    if let Some(runtime) = runtime.as_ref().filter(|_| role.source.outgoing()) {
                        runtime.spawn(keeper::keep(role.clone(), self.tools.clone()));
                    }
                    role
                }
            };
            roles.insert(name, role);
        }
        changes.removed = old.keys().filter(|name| !roles.contains_key(*name)).cloned().collect();
        changes.removed.sort();
        self.roles.store(Arc::new(roles));
        for name in changes.removed.iter().chain(&changes.changed) {
            old[name].close();
        }
        Ok(changes)
    }

    /// The answer for `role` from memory, without waiting; `None` when [`get`](Self::get) must be
    /// awaited. `now` is the wall clock.
    pub fn current(&self, role: &str, now: Timestamp) -> Option<Answer> {
        let now = Moment { wall: now, ..self.tools.clock.moment() };
        match self.roles.load().get(role) {
            Some(role) => role.at_once(&self.tools, &now),
            None => Some(Err(Arc::new(Failure::new(UnknownRole(role.into()).to_string(), now.wall)))),
        }
    }

    /// The answer for `role`, waiting for its source where need be; from any runtime. What could be
    /// served without waiting is served after 0.7 s at the latest.
    pub async fn get(&self, role: &str) -> Answer {
        let find = || self.roles.load().get(role).cloned();
        let Some(mut found) = find() else {
            let now = self.tools.clock.moment().wall;
            return Err(Arc::new(Failure::new(UnknownRole(role.into()).to_string(), now)));
        };
        loop {
            let answer = found.answer(&self.tools).await;
            // A reload may have put another source in the place of the one that was waited for.
            match find().filter(|present| found.state().closed && !Arc::ptr_eq(present, &found)) {
                Some(present) => found = present,
                None => return answer,
            }
        }
    }

    /// Notes that `who` was given an answer for `role`; shown by [`status`](Self::status).
    pub fn note_asked(&self, role: &str, who: &str, now: Timestamp) {
        if let Some(role) = self.roles.load().get(role) {
            role.note_asked(who, now);
        }
    }

    /// Has the role's source asked now; what is held is served meanwhile. Yields what
    /// [`RoleStatus::attempts`] will have reached when the source has answered; `None` where there is
    /// nothing to wait for.
    pub fn refresh(&self, role: &str) -> Result<Option<u64>, UnknownRole> {
        Ok(self.find(role)?.refresh(self.tools.clock.moment().wall))
    }

    /// Drops what the role holds, fed or fetched: the next answer comes from the source.
    pub fn expire(&self, role: &str) -> Result<(), UnknownRole> {
        self.find(role)?.expire(self.tools.clock.moment().wall);
        Ok(())
    }

    /// Serves `credentials` for `role` from now on. A role with another source than `fed` goes back to
    /// it a quarter of an hour before they expire.
    pub fn feed(&self, role: &str, credentials: Credentials) -> Result<(), FeedError> {
        let found = self.find(role)?;
        let now = self.tools.clock.moment();
        let refused = |problem: &str| FeedError::Refused { role: role.into(), problem: problem.into() };
        let (secret, token) = (&credentials.secret_access_key, &credentials.token);
        check_keys(&credentials.access_key_id, secret.expose(), token.as_ref().map(|token| token.expose()))
            .map_err(|error| refused(&error.to_string()))?;
        match credentials.expiration {
            None => Err(refused("they have no expiration (feed session credentials)")),
            Some(at) if at <= now.wall => Err(refused(&format!("they expired at {at}"))),
            Some(_) => {
                found.feed(credentials, now);
                Ok(())
            }
        }
    }

    /// Begins a login to IAM Identity Center for the role's profile, kept under [`Settings::home`]; waits
    /// for the service's answer, so not to be called from within a runtime. Once the person has said yes,
    /// the role's source is asked again.
    pub fn login(&self, role: &str) -> Result<Login, LoginError> {
        let found = self.find(role)?;
        let now = self.tools.clock.moment().wall;
        let action = format!("log in for role {role}");
        let failed = |cause: String| Failure::new(format!("{action}: {cause}"), now);
        let runtime =
            self.tools.outgoing.handle().map_err(|e| failed(format!("start the outgoing thread: {e}")))?;
        let (show, shown) = std::sync::mpsc::sync_channel(1);
        let (end, outcome) = tokio::sync::oneshot::channel();
        let (tools, words) = (self.tools.clone(), action.clone());
        runtime.spawn(async move {
            let pending = match login::begin(&found.source, now).await {
                Ok(pending) => pending,
                Err(trouble) => {
                    let _ = show.send(Err(trouble.failure(&words, now)));
                    return;
                }
            };
            let _ = show.send(Ok(pending.prompt.clone()));
            let finished = pending.finish(&*tools.clock).await;
            let now = tools.clock.moment().wall;
            let finished = finished.map_err(|trouble| trouble.failure(&words, now));
            match &finished {
                Ok(()) => {
                    log::info!("{words}: done");
                    found.refresh(now);
                }
                Err(failure) => log::warn!("{}", failure.detail),
            }
            let _ = end.send(finished);
        });
        let broken = |_| failed("the attempt was broken off".into());
        let prompt = shown.recv().map_err(broken)??;
        Ok(Login { prompt, outcome })
    }

    /// Every role as it stands, by name; the identity role is left out.
    pub fn status(&self) -> Vec<RoleStatus> {
        let now = self.tools.clock.moment();
        let roles = self.roles.load();
        let mut all: Vec<_> = roles
            .values()
            .filter(|role| role.name != IDENTITY_ROLE)
            .map(|role| status::of(role, &self.tools, &now))
            .collect();
        all.sort_by(|a, b| a.role.cmp(&b.role));
        all
    }

    fn find(&self, role: &str) -> Result<Arc<Role>, UnknownRole> {
        self.roles.load().get(role).cloned().ok_or_else(|| UnknownRole(role.into()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.roles.load().values().for_each(|role| role.close());
    }
}

fn resolve(specs: &Specs, settings: &Settings) -> Result<BTreeMap<String, Source>, SpecError> {
    let source = |name: &String, spec| not_ours(name).and_then(|()| Source::resolve(name, spec, settings));
    specs.iter().map(|(name, spec)| Ok((name.clone(), source(name, spec)?))).collect()
}

/// Refuses the name of the instance's identity: a role in its place would hand its credentials to every caller.
fn not_ours(name: &str) -> Result<(), SpecError> {
    if name != IDENTITY_ROLE {
        return Ok(());
    }
    let message = "is the instance's own identity (give the role another name)".into();
    Err(SpecError { role: name.into(), key: "name".into(), message })
}
