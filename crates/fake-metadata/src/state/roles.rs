//! Who is given which role, as far as it changes while the service runs: the mapping file, the roles
//! that containers ask for. The default role that a command chose is one of the live changes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Live, State, World};
use crate::callers::{Connection, Granted, Made, Resolved, Rules, Wish};
use crate::config::{Config, ConfigError, KeyPath, Loaded};

/// What the roles of callers follow from, beside the configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// `[callers]`, with the mapping file's present content.
    callers: Arc<Resolved>,
    /// What running containers ask for, by their engine's socket.
    wishes: Arc<BTreeSet<(PathBuf, Wish)>>,
}

impl Given {
    /// What a configuration says at start.
    pub(super) fn at_start(loaded: &Loaded) -> Result<Given, ConfigError> {
        Ok(Given { callers: Arc::new(Resolved::at_start(loaded)?), ..Given::default() })
    }

    /// The same with another configuration: what was found out and chosen meanwhile stays.
    pub(super) fn with(&self, loaded: &Loaded) -> Result<Given, ConfigError> {
        let engines = loaded.config.callers.engines();
        let wishes = self.wishes.iter().filter(|(socket, _)| engines.sockets.contains(socket));
        let callers = Arc::new(self.callers.again(loaded)?);
        Ok(Given { callers, wishes: Arc::new(wishes.cloned().collect()) })
    }

    /// Whether nothing was changed between the two.
    pub(super) fn is_same(&self, other: &Given) -> bool {
        Arc::ptr_eq(&self.callers, &other.callers) && Arc::ptr_eq(&self.wishes, &other.wishes)
    }

    /// The rules of this configuration, with the default role that a command chose.
    pub(super) fn rules(&self, config: &Config, chosen: Option<Option<&str>>) -> Result<Rules, ConfigError> {
        if let Some(Some(name)) = chosen
            && !config.roles().contains_key(name)
        {
            let message = format!(
                "role use chose {name}, and there is no such role (choose another, take the choice back with role use --undo, or reload --reset)"
            );
            return Err(ConfigError::Contradiction { key: "callers.default".into(), message });
        }
        let default = chosen.map_or_else(|| config.default_role(), |role| role.map(str::to_owned));
        Ok(Rules::new(&self.callers, !config.callers.engines().sockets.is_empty(), default))
    }

    /// The roles made for containers, by key. One that cannot be is told in the log and left out: it
    /// concerns nobody but its container.
    pub(super) fn made(&self, config: &Config, settings: &credentials::Settings) -> BTreeMap<String, Made> {
        let wishes: BTreeSet<&Wish> = self.wishes.iter().map(|(_, wish)| wish).collect();
        let granted = wishes.into_iter().filter_map(|wish| match Granted::of(wish, config) {
            Granted::Made(made) => Some((made.key.clone(), *made)),
            Granted::Configured(_) | Granted::Refused(_) => None,
        });
        granted
            .filter(|(key, made)| {
                let alone = BTreeMap::from([(key.clone(), made.spec.clone())]);
                let checked = credentials::Store::check(&alone, settings);
                checked.inspect_err(|e| log::warn!("role {key}, asked for by a container: {e}")).is_ok()
            })
            .collect()
    }
}

/// Refuses roles that cannot be, and a template that no container's role could be made from.
pub(super) fn check(loaded: &Loaded, instance: &imds::Instance) -> Result<(), ConfigError> {
    let settings = loaded.credential_settings(instance);
    let checked = |specs: &BTreeMap<_, _>| credentials::Store::check(specs, &settings);
    checked(&loaded.config.role_specs()).map_err(|e| refuse(loaded, e))?;
    match &loaded.config.callers.template {
        Some(template) => {
            let example = BTreeMap::from([(String::new(), Granted::example(template))]);
            let key = KeyPath::root().key("callers").key("container-role");
            checked(&example).map_err(|e| loaded.refuse_role(&key, &e.key, e.message))
        }
        None => Ok(()),
    }
}

/// Has a source resolve another profile; whether it resolves one at all.
pub(crate) fn set_profile(spec: &mut credentials::RoleSpec, profile: &str) -> bool {
    use credentials::SourceKind::{AssumeRole, Profile, Static};
    match spec.source {
        Profile | Static => spec.profile = Some(profile.to_owned()),
        AssumeRole => spec.source_profile = Some(profile.to_owned()),
        _ => return false,
    }
    true
}

/// The error for what is wrong with a role's source, where it was written.
pub(super) fn refuse(loaded: &Loaded, error: credentials::SpecError) -> ConfigError {
    loaded.refuse_role(&KeyPath::root().key("roles").key(&error.role), &error.key, error.message)
}

impl World {
    /// The source of every role, those made for containers among them, and what they share.
    pub(super) fn role_specs(&self) -> (BTreeMap<String, credentials::RoleSpec>, credentials::Settings) {
        let config = &self.loaded.config;
        let settings = self.credential_settings();
        let mut specs = config.role_specs();
        for (role, profile) in self.changes.profiles() {
            // A reload may have taken the role away, or given it a source that has no profile.
            if let Some(spec) = specs.get_mut(role) {
                set_profile(spec, profile);
            }
        }
        specs.extend(self.given.made(config, &settings).into_iter().map(|(key, made)| (key, made.spec)));
        (specs, settings)
    }

    /// Refuses sources that cannot be.
    pub(super) fn check_roles(&self) -> Result<(), ConfigError> {
        let (specs, settings) = self.role_specs();
        credentials::Store::check(&specs, &settings).map_err(|e| refuse(&self.loaded, e))
    }

    /// What the sources of all roles share.
    pub(super) fn credential_settings(&self) -> credentials::Settings {
        self.loaded.credential_settings(self.played.trees().instance())
    }
}

impl Live {
    /// The key of the role that a container's wish is granted; `None`: there is none.
    pub(crate) fn grant(&self, wish: &Wish) -> Option<Arc<str>> {
        Granted::of(wish, &self.loaded.config).key().map(Arc::from)
    }
}

impl State {
    /// The role of a connection's caller by what is live, and what is live then, to be answered from. No container engine is waited
    /// for unless the role `matters` to the answer; there may be none here where it does not.
    pub(crate) async fn role(
        &self,
        live: Arc<Live>,
        caller: &Connection,
        matters: impl FnOnce(&Live) -> bool,
    ) -> (Option<Arc<str>>, Arc<Live>) {
        if let Some(role) = self.finder.role_at_once(&live.rules, caller) {
            return (role, live);
        }
        if !matters(&live) {
            return (None, live);
        }
        let role = self.finder.role(&live, &self.engines, caller).await;
        // The role may have been made while this waited.
        (role, self.live().clone())
    }

    /// Follows what the callers' rules in force depend on outside of the configuration.
    pub(super) fn follow_callers(self: &Arc<Self>) {
        let world = self.world();
        let callers = &world.loaded.config.callers;
        self.mapping_watch.follow(callers.mapping_file(&world.loaded.folder), Arc::downgrade(self));
        match world.given.callers.awaits_mapping() {
            true => self.reread_mapping(),
            // It has just been read.
            false => self.mapping_watch.note(None, ""),
        }
        let engines = callers.engines();
        let followed = self.engines.follow(engines, &Arc::downgrade(self), || self.outgoing.handle());
        if let Err(error) = followed {
            log::error!("ask container engines: start a thread: {error}");
        }
    }

    /// Every role as it stands, by name.
    pub(crate) fn roles(&self) -> Vec<credentials::RoleStatus> {
        self.store.status()
    }

    /// Where the credentials of roles are kept.
    pub(crate) fn store(&self) -> &credentials::Store {
        &self.store
    }

    /// Reads the mapping file again. What is wrong with it is kept for `status` and logged.
    pub(crate) fn reread_mapping(&self) {
        let read = |world: &World| world.given.callers.reread(&world.loaded);
        // Other files of the folder change too: only another content makes another snapshot.
        let reread = read(&self.world()).and_then(|changed| match changed {
            None => Ok(()),
            Some(_) => self.change(|world| {
                if let Some(changed) = read(world)? {
                    world.given.callers = Arc::new(changed);
                    log::info!("mapping file read again");
                }
                Ok(())
            }),
        });
        let follows = match self.world().given.callers.awaits_mapping() {
            true => "until it can be read, only callers in [callers.networks] have a role",
            false => "the old mapping stays in force",
        };
        self.mapping_watch.note(reread.err().map(|e| e.to_string()), follows);
    }

    /// Makes the role that a container asks for, unless it is there. Its credentials are fetched from
    /// now on, before the container's first request where that can be.
    pub(crate) fn adopt(&self, engine: &Path, wish: &Wish) {
        let wanted = (engine.to_owned(), wish.clone());
        let world = self.world();
        if let Granted::Refused(why) = Granted::of(wish, &world.loaded.config) {
            log::warn!("a container asks for a role: {why}");
        }
        if !world.given.wishes.contains(&wanted) {
            self.change_wishes(|wishes| {
                wishes.insert(wanted);
            });
        }
    }

    /// Lets go of the roles that no container of this engine asks for any more.
    pub(crate) fn keep_adopted(&self, engine: &Path, running: &HashSet<Wish>) {
        let gone = |(socket, wish): &(PathBuf, Wish)| socket == engine && !running.contains(wish);
        if self.world().given.wishes.iter().any(gone) {
            self.change_wishes(|wishes| wishes.retain(|known| !gone(known)));
        }
    }

    fn change_wishes(&self, alter: impl FnOnce(&mut BTreeSet<(PathBuf, Wish)>)) {
        let changed = self.change(|world| {
            alter(Arc::make_mut(&mut world.given.wishes));
            Ok::<_, ConfigError>(())
        });
        if let Err(error) = changed {
            log::error!("give containers their roles: {error}");
        }
    }
}
