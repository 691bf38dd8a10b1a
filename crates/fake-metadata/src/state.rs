//! What is served: configuration turned into an immutable snapshot, and the one place where it is
//! swapped. Every change goes through [`State::change`], so that a reader sees before or after.
//!
//! `played` resolves a configuration, `events` follows the events it names, `roles` who gets which role, `proxy`
//! the upstream.

mod events;
mod played;
mod proxy;
mod roles;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::callers::{Connection, Engines, Finder, Rules, Watch};
use crate::config::{ConfigError, Loaded, Sources};
use crate::control::Logins;
use crate::events::{Stages, Timeline};
use crate::faults::{Fault, Faults, Playing};
use crate::front::Hosts;
use crate::live::{self, Change, Changes};
use crate::logging::Log;
use crate::role_documents::{RoleDocuments, role_answer};
use crate::state_dir::{StateDir, random};
use crate::upstream::{Marker, Upstream};
use events::follow_configured_events;
pub(crate) use events::{add_event, events_left_out};
pub(crate) use played::Played;
use roles::Given;
pub(crate) use roles::set_profile;

const TOKEN_KEY: &str = "token.key";
const CREDENTIAL_SEED: &str = "credentials.seed";

/// Everything a request is answered from, at one moment.
pub(crate) struct Live {
    pub(crate) loaded: Arc<Loaded>,
    /// What is shown, now and once events change it.
    pub(crate) stages: Stages,
    /// The faults that are played; most often none.
    pub(crate) faults: Option<Arc<Playing>>,
    /// Who gets which role.
    pub(crate) rules: Rules,
    pub(crate) hosts: Hosts,
    pub(crate) hop_limit: Option<u8>,
    /// Whom everything but roles is asked of, in proxy mode.
    pub(crate) upstream: Option<Arc<Upstream>>,
}

/// What is served is built from: everything that a command, a signal, a timer or a file can change.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) loaded: Arc<Loaded>,
    given: Given,
    /// What the configuration comes to, with the changes to the instance and the roles of containers.
    played: Arc<Played>,
    /// Live changes over that.
    pub(crate) changes: Arc<Changes>,
    pub(crate) events: Timeline,
    pub(crate) faults: Faults,
    token_key: [u8; 32],
    upstream: Option<Arc<Upstream>>,
}

/// The running service's state.
pub(crate) struct State {
    sources: Sources,
    log: Log,
    directory: StateDir,
    /// When this instance was launched: the start of the daemon.
    launch: Timestamp,
    listening: Vec<SocketAddr>,
    store: credentials::Store,
    documents: RoleDocuments,
    pub(crate) finder: Finder,
    mapping_watch: Watch,
    pub(crate) engines: Engines,
    pub(crate) logins: Logins,
    outgoing: credentials::Outgoing,
    /// Recognises our own requests when they come back.
    pub(crate) marker: Arc<Marker>,
    /// Held while the next snapshot is built.
    world: Mutex<World>,
    live: ArcSwap<Live>,
}

impl State {
    /// The state at start. A state directory that cannot be used costs a warning and the tokens'
    /// survival of a restart, not the service.
    pub(crate) fn start(
        sources: Sources,
        loaded: Loaded,
        log: Log,
        directory: &StateDir,
    ) -> Result<Arc<State>, Box<dyn std::error::Error>> {
        let launch = Timestamp::now();
        let token_key = directory.secret(TOKEN_KEY).or_else(|error| {
            log::warn!("{error}; session tokens will not outlive this run");
            random()
        })?;
        let seed = directory.secret(CREDENTIAL_SEED).or_else(|error| {
            log::warn!("{error}; generated credentials will be others after this run");
            random()
        })?;
        let outgoing = credentials::Outgoing::own_thread();
        let environment = credentials::Environment {
            clock: Arc::new(credentials::SystemClock),
            outgoing: outgoing.clone(),
            seed: credentials::Seed::new(seed, launch),
        };
        let listening = loaded.config.listen();
        let given = Given::at_start(&loaded)?;
        let played = Arc::new(Played::from(&loaded, launch)?);
        let marker = Arc::new(Marker::new()?);
        let mut world = World {
            upstream: proxy::upstream(&loaded.config, &marker, &outgoing)?,
            given,
            events: played.events.clone(),
            played,
            loaded: Arc::new(loaded),
            changes: Arc::default(),
            faults: Faults::default(),
            token_key,
        };
        let live = match with_kept_changes(&world, directory, launch) {
            Some((with_changes, live)) => {
                world = with_changes;
                live
            }
            None => live(&world, launch)?,
        };
        let live = ArcSwap::from_pointee(live);
        let (specs, settings) = world.role_specs();
        let store = credentials::Store::new(&specs, &settings, environment)
            .map_err(|e| roles::refuse(&world.loaded, e))?;
        let state = Arc::new(State {
            sources,
            log,
            directory: directory.clone(),
            launch,
            listening,
            store,
            documents: RoleDocuments::default(),
            finder: Finder::new(),
            mapping_watch: Watch::default(),
            engines: Engines::default(),
            logins: Logins::default(),
            outgoing,
            marker,
            world: Mutex::new(world),
            live,
        });
        state.follow_callers();
        Ok(state)
    }

    /// The credentials of a role from memory, where they are there.
    pub(crate) fn credentials_at_once(
        &self,
        role: &imds::RoleKey,
        caller: &Connection,
        now: Timestamp,
    ) -> Option<imds::RoleDocument> {
        let name = name_of(role);
        let answer = self.store.current(name, now)?;
        self.store.note_asked(name, &caller.who(), now);
        Some(self.documents.of(name, &answer, now))
    }

    /// The credentials of a role: from memory where they are there, from its source otherwise.
    pub(crate) async fn credentials(
        &self,
        role: &imds::RoleKey,
        caller: &Connection,
        now: Timestamp,
    ) -> imds::RoleDocument {
        let (name, answer) = self.ask_store(role, caller, now).await;
        self.documents.of(name, &answer, now)
    }

    /// The same as a fault spoils them.
    pub(crate) async fn spoilt_credentials(
        &self,
        fault: &Fault,
        role: &imds::RoleKey,
        caller: &Connection,
        now: Timestamp,
    ) -> imds::RoleDocument {
        if let Some(failure) = fault.failure(name_of(role), now) {
            return imds::RoleDocument::new(&failure);
        }
        let (_, answer) = self.ask_store(role, caller, now).await;
        imds::RoleDocument::new(&fault.expired(role_answer(&answer, now), now))
    }

    async fn ask_store<'a>(
        &self,
        role: &'a imds::RoleKey,
        caller: &Connection,
        now: Timestamp,
    ) -> (&'a str, credentials::Answer) {
        let name = name_of(role);
        let answer = match self.store.current(name, now) {
            Some(answer) => answer,
            None => self.store.get(name).await,
        };
        self.store.note_asked(name, &caller.who(), now);
        (name, answer)
    }

    /// What is served at this moment.
    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    /// The one way to change what is served: alters a copy of the world, builds the next snapshot from
    /// it, and swaps it in. When any of that fails nothing has changed.
    pub(crate) fn change<T, E: From<ConfigError>>(
        &self,
        alter: impl FnOnce(&mut World) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = world.clone();
        let value = alter(&mut next)?;
        next.settle(self.launch)?;
        let live = live(&next, Timestamp::now())?;
        let same_roles = Arc::ptr_eq(&next.loaded, &world.loaded)
            && next.given.is_same(&world.given)
            && next.changes.profiles().eq(world.changes.profiles());
        let roles = (!same_roles).then(|| next.role_specs());
        let refused = |e| roles::refuse(&next.loaded, e);
        if let Some((specs, settings)) = &roles {
            credentials::Store::check(specs, settings).map_err(refused)?;
        }
        // The disk before the store: what cannot be kept changes no credentials.
        let keep = |changes: &Changes| live::save(&self.directory, changes).map_err(ConfigError::state);
        let kept_differs = next.changes.kept() != world.changes.kept();
        if kept_differs {
            keep(&next.changes)?;
        }
        if let Some((specs, settings)) = &roles
            && let Err(error) = self.store.replace(specs, settings)
        {
            if kept_differs && let Err(error) = keep(&world.changes) {
                log::error!("take a refused change back: {error}; after a restart it is in force");
            }
            return Err(refused(error).into());
        }
        self.live.store(Arc::new(live));
        *world = next;
        Ok(value)
    }

    /// Makes every session token issued so far worthless, here and after a restart.
    pub(crate) fn forget_tokens<E: From<ConfigError>>(&self, world: &mut World) -> Result<(), E> {
        let key: [u8; 32] = random().map_err(|e| ConfigError::state(e.to_string()))?;
        world.token_key = key;
        if let Err(error) = self.directory.replace(TOKEN_KEY, 0o600, &key) {
            log::warn!("{error}; after a restart the forgotten tokens are valid again");
        }
        Ok(())
    }

    /// Reads the configuration again and reopens the log. A configuration that is wrong is refused
    /// whole, what is in force stays, and the log says so.
    ///
    /// Live changes, and events and faults of commands, stay in force unless `reset`. Each event of the
    /// configuration stays as it is, a cleared one cleared, while what is said of it stays the same; one that
    /// is new is told now.
    pub(crate) fn reload(self: &Arc<Self>, reset: bool) -> Result<(), ConfigError> {
        let reloaded = self.sources.load().and_then(|loaded| {
            let played = Arc::new(Played::from(&loaded, self.launch)?);
            let upstream = self.reloaded_upstream(&loaded)?;
            let loaded = Arc::new(loaded);
            self.change(|world| {
                world.upstream = upstream;
                if reset {
                    world.changes = Arc::default();
                    world.faults = Faults::default();
                    world.events = played.events.clone();
                } else {
                    follow_configured_events(&mut world.events, &world.loaded, &loaded)?;
                }
                world.loaded = loaded.clone();
                world.given = world.given.with(&loaded)?;
                world.played = played;
                Ok::<_, ConfigError>(())
            })?;
            self.follow_callers();
            Ok(loaded)
        });
        // The log is reopened either way: logrotate asks for nothing else.
        let settings = reloaded.as_ref().ok().map(|loaded| &loaded.config.log);
        if let Err(error) = self.log.reopen(settings) {
            log::error!("reopen the log: {error}; the old one stays in use");
        }
        match reloaded {
            Ok(loaded) if loaded.config.listen() != self.listening => {
                log::warn!("configuration reloaded, but listen was changed: that needs a restart");
                Ok(())
            }
            Ok(_) => {
                log::info!("configuration reloaded");
                Ok(())
            }
            Err(error) => {
                log::error!("reload refused, the old configuration stays in force: {error}");
                Err(error)
            }
        }
    }

    pub(crate) fn world(&self) -> World {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `fake-metadata status` shows.
    pub(crate) fn status(&self) -> serde_json::Value {
        let live = self.live();
        let now = Timestamp::now();
        let snapshot = live.stages.at(now);
        let instance = snapshot.trees.instance();
        let world = self.world();
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "started": self.launch.to_string(),
            "configuration": self.sources.file,
            "snapshot": world.loaded.config.snapshot,
            "instance-id": instance.instance_id(),
            "tokens": snapshot.tokens,
            "endpoint": snapshot.endpoint,
            "hop-limit": live.hop_limit,
            "default-role": live.rules.default_role(),
            "mapping-file-error": self.mapping_watch.error(),
            "users-error": self.finder.users_error().filter(|_| live.rules.ask_users()),
            "upstream": live.upstream.as_ref().map(|upstream| upstream.status()),
            "engines": self.engines.status(),
            "roles": self.store.status(),
            "events": world.events.list(now),
            "changes": world.changes.list(),
            "faults": world.faults.list(now),
        })
    }
}

/// What the store calls a role.
fn name_of(role: &imds::RoleKey) -> &str {
    match role {
        imds::RoleKey::Role(name) => name,
        imds::RoleKey::Ec2Instance => credentials::IDENTITY_ROLE,
    }
}

impl World {
    /// Has what is played follow the changes to the instance and the roles of containers.
    fn settle(&mut self, launch: Timestamp) -> Result<(), ConfigError> {
        let instance = self.changes.instance();
        let made = self.given.made(&self.loaded.config, &self.credential_settings());
        let more: Vec<imds::RoleEntry> = made.into_values().map(|made| made.entry).collect();
        if instance != self.played.changed || more != self.played.more {
            self.played = Arc::new(self.played.with(&self.loaded, instance, more, launch)?);
        }
        Ok(())
    }
}

fn live(world: &World, now: Timestamp) -> Result<Live, ConfigError> {
    let config = &world.loaded.config;
    let snapshot = imds::Snapshot {
        tokens: world.changes.tokens().unwrap_or(config.tokens),
        endpoint: world.changes.endpoint().unwrap_or(config.endpoint),
        token_key: imds::TokenKey::new(world.token_key),
        trees: world.played.trees.clone(),
        modified: now,
    };
    Ok(Live {
        loaded: world.loaded.clone(),
        stages: Stages::build(&world.played.trees, &world.events, &world.changes.edits(), &snapshot, now)?,
        faults: world.faults.playing(),
        rules: world.given.rules(config, world.changes.default_role())?,
        hosts: Hosts::new(&config.hosts),
        hop_limit: config.hop_limit.map(|limit| limit.get()),
        upstream: world.upstream.clone(),
    })
}

/// The world with the live changes that were kept from before. What cannot be read costs an error in the log, not
/// the service; so does a change that no longer fits the configuration, which is kept for when it does again. The
/// others are made: that one does not fit must not open what another closed.
fn with_kept_changes(world: &World, directory: &StateDir, launch: Timestamp) -> Option<(World, Live)> {
    let kept = live::load(directory).unwrap_or_else(|error| {
        log::error!("{error}; the changes kept from before are not made");
        Vec::new()
    });
    if kept.is_empty() {
        return None;
    }
    let with = |changes: &Changes| {
        let mut world = World { changes: Arc::new(changes.clone()), ..world.clone() };
        world.settle(launch)?;
        world.check_roles()?;
        let live = live(&world, launch)?;
        Ok::<_, ConfigError>((world, live))
    };
    let all = |kept: Vec<Change>| {
        let mut changes = Changes::default();
        changes.add(kept, true).ok()?;
        with(&changes).ok()
    };
    if let Some(made) = all(kept.clone()) {
        return Some(made);
    }
    let mut changes = Changes::default();
    for change in kept {
        let mut more = changes.clone();
        let added = more.add(vec![change.clone()], true);
        match added.and_then(|()| with(&more).map_err(|error| error.to_string())) {
            Ok(_) => changes = more,
            Err(why) => {
                log::error!("{}: {why}; this change, kept from before, is not made", change.name());
                changes.set_aside(change, why);
            }
        }
    }
    // Each was tried after those before it.
    with(&changes).inspect_err(|error| log::error!("{error}; the changes kept from before are not made")).ok()
}
