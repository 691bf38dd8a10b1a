//! Configuration: flag, then environment, then file, then built-in default, in that order of
//! precedence, merged key by key. It is either taken whole or refused whole.
//!
//! `layer` reads one source and remembers where each value was written, `keys` knows which keys there
//! are, `environment` turns variables into a layer. `[network]` is `fake-metadata-setup`'s and is not
//! looked into.

mod aws;
mod environment;
mod error;
mod keys;
mod layer;
mod list;
mod recorded;
mod role;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

pub(crate) use error::{ConfigError, Origin};
pub(crate) use keys::KeyPath;

use crate::callers::{CallersSettings, DefaultRole};
use crate::events::EventSpec;
use crate::logging::LogSettings;
use crate::places::AwsPlaces;
use crate::upstream;
use aws::AwsSettings;
use error::one_line;
use layer::Layer;
pub(crate) use role::RoleSettings;

/// The role that callers are given when no role is configured.
pub(crate) const DEFAULT_ROLE: &str = "BaseIAMRole";
/// Where the daemon listens unless told otherwise: loopback, on the port that the host network
/// redirects to.
const DEFAULT_LISTEN: &str = "127.0.0.1:8000";

/// Everything that config.toml can say to the daemon. Every key has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Config {
    #[serde(deserialize_with = "list::one_or_many")]
    listen: Vec<SocketAddr>,
    /// Whether requests without a session token are answered (IMDSv1).
    pub(crate) tokens: imds::TokenMode,
    /// Whether anything is answered at all.
    pub(crate) endpoint: imds::Endpoint,
    /// EC2's HttpPutResponseHopLimit, 1 to 64. Unset: token replies always arrive.
    pub(crate) hop_limit: Option<HopLimit>,
    /// Names that a `Host` header may carry beside address literals and localhost.
    #[serde(deserialize_with = "list::one_or_many")]
    pub(crate) hosts: Vec<String>,
    /// Another metadata service, to which everything but roles is passed on.
    pub(crate) upstream: Option<upstream::Address>,
    /// A recording to serve in place of an instance.
    pub(crate) snapshot: Option<PathBuf>,
    /// The instance that is played.
    pub(crate) instance: imds::InstanceSpec,
    /// Paths set, replaced or (`false`) removed literally.
    pub(crate) tree: imds::Overrides,
    /// Roles by name, read one by one so that an error names its key.
    #[serde(skip)]
    roles: BTreeMap<String, RoleSettings>,
    /// The name of the recorded instance's role (`Some(None)`: it had none), where a recording is served.
    #[serde(skip)]
    recorded_role: Option<Option<String>>,
    /// What roles that ask AWS share.
    pub(crate) aws: AwsSettings,
    /// Who gets which role.
    pub(crate) callers: CallersSettings,
    /// What happens to the instance, at a time or so long after the start.
    pub(crate) events: Vec<EventSpec>,
    /// Where and how much is logged.
    pub(crate) log: LogSettings,
    /// `fake-metadata-setup`'s table; not read here.
    network: Option<serde::de::IgnoredAny>,
}

/// EC2's HttpPutResponseHopLimit: 1 to 64.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "i64")]
pub(crate) struct HopLimit(u8);

impl HopLimit {
    pub(crate) fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<i64> for HopLimit {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        u8::try_from(value)
            .ok()
            .filter(|v| (1..=64).contains(v))
            .map(HopLimit)
            .ok_or(format!("{value} is not between 1 and 64"))
    }
}

impl Config {
    /// The addresses to listen on.
    pub(crate) fn listen(&self) -> Vec<SocketAddr> {
        match self.listen.as_slice() {
            [] => vec![DEFAULT_LISTEN.parse().expect("a literal address and port")],
            addresses => addresses.to_vec(),
        }
    }

    /// The roles there are: those configured, or the generated default; with a recording, the recorded
    /// instance's, if it had one.
    pub(crate) fn roles(&self) -> Cow<'_, BTreeMap<String, RoleSettings>> {
        let default = match &self.recorded_role {
            _ if !self.roles.is_empty() => None,
            Some(recorded) => recorded.as_deref(),
            None => Some(DEFAULT_ROLE),
        };
        match default {
            Some(name) => Cow::Owned(BTreeMap::from([(name.to_owned(), RoleSettings::default())])),
            None => Cow::Borrowed(&self.roles),
        }
    }

    /// Where the credentials of each role come from.
    pub(crate) fn role_specs(&self) -> BTreeMap<String, credentials::RoleSpec> {
        self.roles().iter().map(|(name, role)| (name.clone(), role.source.clone())).collect()
    }

    /// The role of a caller that nothing else matches. Unset, it is the recorded instance's where that is
    /// served, else the only role, or the one named [`DEFAULT_ROLE`]; with several others there is none.
    pub(crate) fn default_role(&self) -> Option<String> {
        match &self.callers.default {
            Some(DefaultRole::Name(name)) => Some(name.clone()),
            Some(DefaultRole::Switch(false)) => None,
            Some(DefaultRole::Switch(true)) | None => {
                let roles = self.roles();
                let recorded = self.recorded_role.iter().flatten().map(String::as_str);
                let named = recorded.chain([DEFAULT_ROLE]).find(|name| roles.contains_key(*name));
                named.map(str::to_owned).or_else(|| roles.keys().next().filter(|_| roles.len() == 1).cloned())
            }
        }
    }
}

/// What the configuration is put together from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file, when there is one.
    pub(crate) file: Option<PathBuf>,
    /// The environment's variables, in any order.
    pub(crate) environment: Vec<(String, String)>,
    /// Options: the option as typed, the key it sets, and its value.
    pub(crate) flags: Vec<(String, KeyPath, String)>,
    /// Events that options add to those of the file.
    pub(crate) events: Vec<EventSpec>,
    /// Where AWS's files are unless `[aws]` says.
    pub(crate) aws: AwsPlaces,
}

/// A configuration together with the knowledge of where its values were written.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The folder that relative file names of the configuration start from.
    pub(crate) folder: PathBuf,
    /// What is served in place of an instance.
    pub(crate) recording: Option<Arc<imds::Recording>>,
    /// Where AWS's files are unless `[aws]` says.
    aws: AwsPlaces,
    layer: Layer,
}

impl Loaded {
    /// The error for a role's key, or for the key of `[aws]` that stands in for it.
    pub(crate) fn refuse_role(&self, table: &KeyPath, key: &str, message: String) -> ConfigError {
        let (own, shared) = (table.key(key), KeyPath::root().key("aws").key(key));
        let written = |key: &KeyPath| self.layer.origins.contains_key(key);
        self.refuse(if written(&shared) && !written(&own) { &shared } else { &own }, message)
    }

    /// What the sources of all roles share, for this instance.
    pub(crate) fn credential_settings(&self, instance: &imds::Instance) -> credentials::Settings {
        let account = self.config.instance.account_id.as_deref();
        let shared = self.config.aws.shared(&self.aws, &self.folder, instance, account);
        let upstream = self.config.upstream.as_ref().map(upstream::Address::to_string);
        credentials::Settings { upstream, ..shared }
    }

    /// The error for a value that is well-formed but wrong, at the place where it was written.
    pub(crate) fn refuse(&self, key: &KeyPath, message: impl Into<String>) -> ConfigError {
        value_error(&self.layer, key, message.into())
    }
}

impl Loaded {
    /// Refuses roles that no path could name.
    fn check_role_names(&self) -> Result<(), ConfigError> {
        let roles = KeyPath::root().key("roles");
        self.config.roles.keys().try_for_each(|name| {
            credentials::check_role_name(name).map_err(|why| self.refuse(&roles.key(name), why))
        })
    }

    /// Refuses an upstream that is plainly ourselves, or beside another thing to serve.
    fn check_upstream(&self) -> Result<(), ConfigError> {
        let Some(upstream) = &self.config.upstream else { return Ok(()) };
        let refuse = |message: String| Err(self.refuse(&KeyPath::root().key("upstream"), message));
        if let Some(own) = upstream.among(&self.config.listen()) {
            return refuse(format!("{upstream} {} (listen has {own})", upstream::LEADS_BACK));
        }
        if self.config.snapshot.is_some() {
            return refuse("a snapshot is served or an upstream asked (leave out one of the two)".into());
        }
        Ok(())
    }
}

impl Sources {
    /// Reads and merges everything. Values are checked by type and range here; whether they agree
    /// with each other is decided where they are used.
    ///
    /// An empty variable is a text where one is wanted; elsewhere it counts as unset.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigError> {
        let mut environment = self.environment.clone();
        loop {
            let loaded = self.load_with(&environment);
            let Err(ConfigError::Value { origin: Origin::Environment(name), .. }) = &loaded else {
                return loaded;
            };
            let before = environment.len();
            environment.retain(|(variable, value)| variable != name || !value.is_empty());
            if environment.len() == before {
                return loaded;
            }
        }
    }

    fn load_with(&self, environment: &[(String, String)]) -> Result<Loaded, ConfigError> {
        let mut layer = Layer::default();
        let mut folder = PathBuf::new();
        if let Some(path) = &self.file {
            let text = std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::Read { path: path.clone(), cause })?;
            folder = path.parent().unwrap_or(Path::new("")).to_owned();
            layer.lay(Layer::from_file(&text, path)?);
        }
        layer.lay(environment::layer(environment, &layer));
        let mut flags = Layer::default();
        for (typed, path, value) in &self.flags {
            flags.set(path, value, Origin::Flag(typed.clone()));
        }
        layer.lay(flags);
        let mut config = read(&layer)?;
        config.events.extend(self.events.iter().cloned());
        let mut loaded = Loaded { config, folder, recording: None, aws: self.aws.clone(), layer };
        loaded.check_upstream()?;
        loaded.check_role_names()?;
        loaded.read_recording()?;
        if let Some((keys, message)) = loaded.config.aws.wrong() {
            let key = keys.iter().fold(KeyPath::root().key("aws"), |path, key| path.key(key));
            return Err(loaded.refuse(&key, message));
        }
        if let Some(DefaultRole::Name(name)) = &loaded.config.callers.default
            && !loaded.config.roles().contains_key(name)
        {
            let key = KeyPath::root().key("callers").key("default");
            return Err(
                loaded.refuse(&key, format!("there is no role {name:?} (add a table [roles.{name}])"))
            );
        }
        Ok(loaded)
    }
}

/// Turns merged values into a [`Config`].
fn read(layer: &Layer) -> Result<Config, ConfigError> {
    if let Some((path, hint)) = keys::first_unknown(&layer.values) {
        let origin = layer.origin(&path).cloned().unwrap_or(Origin::Flag(String::new()));
        return Err(ConfigError::UnknownKey { origin, key: path.to_string(), hint });
    }
    let root = KeyPath::root();
    let roles = match layer.values.get("roles") {
        Some(Value::Table(tables)) => {
            let path = root.key("roles");
            let read = |name: &str| read_as_written(layer, &path.key(name), RoleSettings::read);
            tables.keys().map(|name| Ok((name.clone(), read(name)?))).collect::<Result<_, ConfigError>>()?
        }
        Some(_) => {
            return Err(value_error(layer, &root.key("roles"), "write tables, as in [roles.NAME]".into()));
        }
        None => BTreeMap::new(),
    };
    let mut config: Config = read_as_written(layer, &root, |mut table| {
        table.remove("roles");
        serde_path_to_error::deserialize(Value::Table(table))
    })?;
    let template = root.key("callers").key("container-role");
    if layer.table(&template).is_some() {
        config.callers.template = Some(read_as_written(layer, &template, RoleSettings::read)?);
    }
    Ok(Config { roles, ..config })
}

/// Reads the table at `path`. A value from the environment or a flag that looked like TOML but is wanted
/// as text (an account id, say) is read again as text, and the other way round.
fn read_as_written<T>(
    layer: &Layer,
    path: &KeyPath,
    read: impl Fn(Table) -> Result<T, serde_path_to_error::Error<toml::de::Error>>,
) -> Result<T, ConfigError> {
    let mut layer = layer.clone();
    let mut tried: Vec<KeyPath> = Vec::new();
    // What was wrong in a list or table before that was read as text.
    let mut inside: Option<(KeyPath, ConfigError)> = None;
    loop {
        let Some(table) = layer.table(path) else {
            return Err(value_error(&layer, path, "write a table".into()));
        };
        let error = match read(table.clone()) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let wrong = path.join(&KeyPath::from(error.path()));
        let told = value_error(&layer, &wrong, one_line(error.inner().message()));
        let untried = wrong.ancestors().filter(|around| !tried.contains(around));
        let again = untried.filter_map(|at| layer.other_form(&at).map(|form| (at, form))).next();
        match again {
            Some((at, form)) => {
                if layer.value(&at).is_some_and(|value| value.is_table() || value.is_array()) {
                    inside = Some((at.clone(), told));
                }
                layer.replace(&at, form);
                tried.push(at);
            }
            None => {
                let first = inside.filter(|(at, _)| wrong.ancestors().any(|around| around == *at));
                return Err(first.map_or(told, |(_, first)| first));
            }
        }
    }
}

fn value_error(layer: &Layer, path: &KeyPath, message: String) -> ConfigError {
    let key = layer.as_written(path).to_string();
    match layer.origin(path).cloned() {
        Some(origin) => ConfigError::Value { origin, key, message },
        None => ConfigError::Contradiction { key, message },
    }
}

#[cfg(test)]
mod tests;
