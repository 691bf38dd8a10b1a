//! What is served: configuration turned into an immutable snapshot, and the one place where it is
//! swapped. Every change goes through [`State::change`], so that a reader sees before or after.

mod roles;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use crate::callers::{Connection, Engines, Finder, Rules, Watch};
use crate::config::{Config, ConfigError, KeyPath, Loaded, Sources};
use crate::front::Hosts;
use crate::logging::Log;
use crate::role_documents::RoleDocuments;
use crate::state_dir::{StateDir, random};
use roles::Given;

const TOKEN_KEY: &str = "token.key";
const CREDENTIAL_SEED: &str = "credentials.seed";

/// Everything a request is answered from, at one moment.
pub(crate) struct Live {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) snapshot: imds::Snapshot,
    /// Who gets which role.
    pub(crate) rules: Rules,
    pub(crate) hosts: Hosts,
    pub(crate) hop_limit: Option<u8>,
}

/// What the configuration plays, before it is anybody's snapshot.
pub(crate) struct Played {
    trees: imds::Trees,
}

impl Played {
    /// Resolves the configuration: everything derived, files read, contradictions refused.
    pub(crate) fn from(loaded: &Loaded, launch: Timestamp) -> Result<Played, ConfigError> {
        Played::with_roles(loaded, launch, Vec::new())
    }

    /// The same with roles beside those of the configuration.
    fn with_roles(
        loaded: &Loaded,
        launch: Timestamp,
        more: Vec<imds::RoleEntry>,
    ) -> Result<Played, ConfigError> {
        let config = &loaded.config;
        let key = KeyPath::root().key("instance");
        let mut spec = config.instance.clone();
        if let Some(file) = spec.user_data_file.take() {
            let path = loaded.folder.join(&file);
            let bytes = std::fs::read(&path).map_err(|e| {
                loaded.refuse(&key.key("user-data-file"), format!("read {}: {e}", path.display()))
            })?;
            spec.user_data_bytes = Some(bytes.into());
        }
        let instance = imds::Instance::resolve(&spec, launch)
            .map_err(|e| loaded.refuse(&key.below(&e.key), e.message))?;
        credentials::Store::check(&config.role_specs(), &settings(config))
            .map_err(|e| refuse_role(loaded, e))?;
        let roles: Vec<imds::RoleEntry> =
            config.roles().iter().map(|(name, role)| role.entry(name)).chain(more).collect();
        let trees = imds::Trees::build(&instance, &roles, &config.tree)
            .map_err(|e| loaded.refuse(&KeyPath::root().key("tree").key(&e.path), e.message))?;
        Ok(Played { trees })
    }

    /// The trees of every caller.
    pub(crate) fn trees(&self) -> &imds::Trees {
        &self.trees
    }
}

/// What the roles' sources share.
fn settings(_config: &Config) -> credentials::Settings {
    credentials::Settings::default()
}

fn refuse_role(loaded: &Loaded, error: credentials::SpecError) -> ConfigError {
    loaded.refuse(&KeyPath::root().key("roles").key(&error.role).key(&error.key), error.message)
}

/// What is served is built from: everything that a command, a signal, a timer or a file can change.
#[derive(Clone)]
struct World {
    loaded: Arc<Loaded>,
    given: Given,
}

/// The running service's state.
pub(crate) struct State {
    sources: Sources,
    log: Log,
    token_key: [u8; 32],
    /// When this instance was launched: the start of the daemon.
    launch: Timestamp,
    listening: Vec<SocketAddr>,
    store: credentials::Store,
    documents: RoleDocuments,
    pub(crate) finder: Finder,
    mapping_watch: Watch,
    pub(crate) engines: Engines,
    outgoing: credentials::Outgoing,
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
        let world = World { loaded: Arc::new(loaded), given };
        let live = ArcSwap::from_pointee(live(&world, token_key, launch)?);
        let config = &world.loaded.config;
        let store = credentials::Store::new(&config.role_specs(), &settings(config), environment)
            .map_err(|e| refuse_role(&world.loaded, e))?;
        let state = Arc::new(State {
            sources,
            log,
            token_key,
            launch,
            listening,
            store,
            documents: RoleDocuments::default(),
            finder: Finder::new(),
            mapping_watch: Watch::default(),
            engines: Engines::default(),
            outgoing,
            world: Mutex::new(world),
            live,
        });
        state.follow_callers();
        Ok(state)
    }

    /// The credentials of a role: from memory where they are there, from its source otherwise.
    pub(crate) async fn credentials(
        &self,
        role: &imds::RoleKey,
        caller: &Connection,
        now: Timestamp,
    ) -> imds::RoleDocument {
        let name = match role {
            imds::RoleKey::Role(name) => name,
            imds::RoleKey::Ec2Instance => credentials::IDENTITY_ROLE,
        };
        let answer = match self.store.current(name, now) {
            Some(answer) => answer,
            None => self.store.get(name).await,
        };
        self.store.note_asked(name, &caller.who(), now);
        self.documents.of(name, &answer, now)
    }

    /// What is served at this moment.
    pub(crate) fn live(&self) -> arc_swap::Guard<Arc<Live>> {
        self.live.load()
    }

    /// The one way to change what is served: alters a copy of the world, builds the next snapshot from
    /// it, and swaps it in. When either fails nothing has changed.
    fn change<T, E: From<ConfigError>>(
        &self,
        alter: impl FnOnce(&mut World) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = world.clone();
        let value = alter(&mut next)?;
        let live = live(&next, self.token_key, self.launch)?;
        let config = &next.loaded.config;
        self.store
            .replace(&next.role_specs(), &settings(config))
            .map_err(|e| refuse_role(&next.loaded, e))?;
        self.live.store(Arc::new(live));
        *world = next;
        Ok(value)
    }

    /// Reads the configuration again and reopens the log. A configuration that is wrong is refused
    /// whole, what is in force stays, and the log says so.
    pub(crate) fn reload(self: &Arc<Self>) -> Result<(), ConfigError> {
        let reloaded = self.sources.load().and_then(|loaded| {
            let loaded = Arc::new(loaded);
            self.change(|world| {
                world.loaded = loaded.clone();
                world.given = world.given.with(&loaded)?;
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

    fn world(&self) -> World {
        self.world.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `fake-metadata status` shows.
    pub(crate) fn status(&self) -> serde_json::Value {
        let live = self.live();
        let instance = live.snapshot.trees.instance();
        let world = self.world();
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "started": self.launch.to_string(),
            "configuration": self.sources.file,
            "instance-id": instance.instance_id(),
            "tokens": world.loaded.config.tokens,
            "endpoint": world.loaded.config.endpoint,
            "hop-limit": live.hop_limit,
            "default-role": live.rules.default_role(),
            "mapping-file-error": self.mapping_watch.error(),
            "users-error": self.finder.users_error().filter(|_| live.rules.ask_users()),
            "engines": self.engines.status(),
            "roles": self.store.status(),
        })
    }
}

fn live(world: &World, token_key: [u8; 32], launch: Timestamp) -> Result<Live, ConfigError> {
    let config = &world.loaded.config;
    let made = world.given.made(config).into_values().map(|made| made.entry).collect();
    let played = Played::with_roles(&world.loaded, launch, made)?;
    Ok(Live {
        loaded: world.loaded.clone(),
        snapshot: imds::Snapshot {
            tokens: config.tokens,
            endpoint: config.endpoint,
            token_key: imds::TokenKey::new(token_key),
            trees: played.trees,
            modified: Timestamp::now(),
        },
        rules: world.given.rules(config),
        hosts: Hosts::new(&config.hosts),
        hop_limit: config.hop_limit.map(|limit| limit.get()),
    })
}
