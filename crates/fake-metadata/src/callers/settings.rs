//! The `[callers]` table, and what is wrong with one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::User;
use serde::Deserialize;

use super::containers::{self, Place};
use super::mapping::Mapping;
use super::networks::{Network, Networks};
use super::rules::Grant;
use crate::config::{ConfigError, KeyPath, Loaded, RoleSettings};

/// Where dockerd listens unless told otherwise.
const DOCKER_SOCKET: &str = "/run/docker.sock";

/// The `[callers]` table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct CallersSettings {
    /// The role of a caller that nothing else matches, or `false` for none.
    pub(crate) default: Option<DefaultRole>,
    /// Addresses and networks (`10.0.0.0/8`) to a role, or to `false` for none. The narrowest that holds
    /// the caller counts.
    networks: BTreeMap<String, RoleOrNone>,
    /// A file with more of them; see [`super::mapping::Mapping`]. Read again when it changes.
    mapping_file: Option<PathBuf>,
    /// Container engines to ask: `true` for Docker's own socket, or the paths of sockets. Access to one
    /// is worth root on this host, so nothing is asked unless this says so.
    docker: Option<Sockets>,
    /// Another place where containers' session names are written: `env:NAME` or `label:NAME`.
    session_name_from: Option<Place>,
    /// What roles that containers name are made from, when they are not configured: the keys of a
    /// `[roles.NAME]` table, read into `template`.
    container_role: Option<serde::de::IgnoredAny>,
    #[serde(skip)]
    pub(crate) template: Option<RoleSettings>,
    /// Local users, by name or number, to a role or to `false` for none.
    users: BTreeMap<String, RoleOrNone>,
}

/// Which engines are asked.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum Sockets {
    Switch(bool),
    One(String),
    Many(Vec<String>),
}

/// A role's name, or `false`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum DefaultRole {
    Name(String),
    Switch(bool),
}

/// A role's name, or `false` for none.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "DefaultRole")]
struct RoleOrNone(Option<String>);

impl TryFrom<DefaultRole> for RoleOrNone {
    type Error = &'static str;

    fn try_from(written: DefaultRole) -> Result<Self, Self::Error> {
        match written {
            DefaultRole::Name(name) => Ok(RoleOrNone(Some(name))),
            DefaultRole::Switch(false) => Ok(RoleOrNone(None)),
            DefaultRole::Switch(true) => Err("true says nothing (name a role, or false for none)"),
        }
    }
}

/// The table with names made numbers, roles known to exist, and the mapping file read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    pub(super) networks: Networks,
    pub(super) mapping: Mapping,
    /// The mapping file that was not there when the service started, and has not come since.
    awaited: Option<PathBuf>,
    pub(super) users: BTreeMap<u32, Grant>,
}

impl Resolved {
    /// Resolves the table of this configuration: looks up users by name, reads the mapping file.
    pub(crate) fn load(loaded: &Loaded) -> Result<Resolved, ConfigError> {
        Resolved::default().again(loaded)
    }

    /// The same for a service that starts: whoever writes the mapping file may start after us, so one that is not
    /// there is waited for.
    pub(crate) fn at_start(loaded: &Loaded) -> Result<Resolved, ConfigError> {
        let missing = loaded.config.callers.mapping_file(&loaded.folder).filter(|path| !path.exists());
        Resolved { awaited: missing, ..Resolved::default() }.again(loaded)
    }

    /// Whether the mapping file has not come yet: who is in it is not known.
    pub(crate) fn awaits_mapping(&self) -> bool {
        self.awaited.is_some()
    }

    /// The table of another configuration, or of the same one later.
    pub(crate) fn again(&self, loaded: &Loaded) -> Result<Resolved, ConfigError> {
        let settings = &loaded.config.callers;
        let table = KeyPath::root().key("callers");
        let roles = loaded.config.roles();
        let grant = |key: &KeyPath, role: &RoleOrNone| match &role.0 {
            Some(name) if !roles.contains_key(name) => Err(loaded.refuse(key, no_such_role(name))),
            name => Ok(name.as_deref().map(Arc::from)),
        };
        let (mapping, awaited) = match self.read_mapping(loaded) {
            Ok(mapping) => (mapping, None),
            Err(_) if self.still_awaits(loaded) => (Mapping::default(), self.awaited.clone()),
            Err(error) => return Err(error),
        };
        let mut resolved = Resolved { mapping, awaited, ..Resolved::default() };
        for (text, role) in &settings.networks {
            let key = table.key("networks").key(text);
            let network: Network = text.parse().map_err(|message: String| loaded.refuse(&key, message))?;
            if resolved.networks.add(network, grant(&key, role)?).is_some() {
                return Err(loaded.refuse(&key, format!("{network} is there twice")));
            }
        }
        for (name, role) in &settings.users {
            let key = table.key("users").key(name);
            let uid = uid_of(name).map_err(|message| loaded.refuse(&key, message))?;
            if resolved.users.insert(uid, grant(&key, role)?).is_some() {
                return Err(loaded.refuse(&key, format!("user {uid} is there twice")));
            }
        }
        Ok(resolved)
    }

    /// Whether this configuration's mapping file is the one that is waited for, and is still not there.
    fn still_awaits(&self, loaded: &Loaded) -> bool {
        let path = loaded.config.callers.mapping_file(&loaded.folder);
        self.awaited.is_some() && self.awaited == path && path.is_some_and(|path| !path.exists())
    }

    /// Reads the mapping file of this configuration, when there is one.
    fn read_mapping(&self, loaded: &Loaded) -> Result<Mapping, ConfigError> {
        let Some(path) = loaded.config.callers.mapping_file(&loaded.folder) else {
            return Ok(Mapping::default());
        };
        let roles = loaded.config.roles();
        Mapping::read(&path, &self.mapping, |name| roles.contains_key(name))
            .map_err(|message| loaded.refuse(&KeyPath::root().key("callers").key("mapping-file"), message))
    }

    /// The same with the mapping file's present content, or `None` where that is what it holds already.
    pub(crate) fn reread(&self, loaded: &Loaded) -> Result<Option<Resolved>, ConfigError> {
        let mapping = self.read_mapping(loaded)?;
        let differs = self.awaits_mapping() || mapping != self.mapping;
        Ok(differs.then(|| Resolved { mapping, awaited: None, ..self.clone() }))
    }
}

impl CallersSettings {
    /// How container engines are asked.
    pub(crate) fn engines(&self) -> containers::Settings {
        let written = match &self.docker {
            None | Some(Sockets::Switch(false)) => Vec::new(),
            Some(Sockets::Switch(true)) => vec![DOCKER_SOCKET.to_owned()],
            Some(Sockets::One(path)) => vec![path.clone()],
            Some(Sockets::Many(paths)) => paths.clone(),
        };
        let path = |text: &String| PathBuf::from(text.strip_prefix("unix://").unwrap_or(text));
        let sockets = written.iter().map(path).collect();
        containers::Settings { sockets, session_name: self.session_name_from.clone() }
    }

    /// The mapping file's path; relative ones start from the configuration's folder.
    pub(crate) fn mapping_file(&self, folder: &Path) -> Option<PathBuf> {
        self.mapping_file.as_ref().map(|file| folder.join(file))
    }
}

/// What to say of a role that is named and not there.
pub(super) fn no_such_role(name: &str) -> String {
    format!("there is no role {name:?} (add a table [roles.{name}])")
}

fn uid_of(name: &str) -> Result<u32, String> {
    if let Ok(uid) = name.parse() {
        return Ok(uid);
    }
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(format!("there is no user {name:?} (give the number of one that is made later)")),
        Err(error) => Err(format!("look up user {name:?}: {}", error.desc())),
    }
}
