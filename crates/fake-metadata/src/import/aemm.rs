//! A configuration of AEMM as one of ours.
//!
//! What `[instance]` can say is said there, so that everything that follows from it agrees; then the tree of that
//! instance is compared with what was asked for, and what still differs is set literally under `[tree]`. Values that
//! the file does not name are ours, not AEMM's.

use std::collections::{BTreeMap, BTreeSet};

use aemm_compat::defaults::{self, Entry};
use aemm_compat::settings::{Settings, TAGS};
use imds::{Instance, InstanceSpec, Leaf, Overrides, RoleEntry, Trees};
use jiff::Timestamp;
use serde::Deserialize;
use toml::{Table, Value};

use super::keys::{BLOCK_DEVICES, DOCUMENT, Form, META_DATA};

const DOCUMENT_KEY: &str = "dynamic.values.instance-identity-document";
const DOCUMENT_PATH: &str = "dynamic/instance-identity/document";
const KEY_PATH: &str = "meta-data/public-keys/0/openssh-key";
const ROLE: &str = "metadata.values.iam-security-credentials-role";
const LATEST: &str = "/latest/";

/// Our configuration, and what could not be taken over.
#[derive(Clone, Debug)]
pub(crate) struct Imported {
    pub(crate) text: String,
    pub(crate) notes: Vec<String>,
}

/// What is to be said, and which keys of the file have been dealt with.
#[derive(Debug, Default)]
pub(super) struct Notes {
    notes: Vec<String>,
    left: BTreeSet<String>,
}

impl Notes {
    pub(super) fn add(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn handled(&mut self, key: &str) {
        self.left.remove(key);
    }

    /// The same with everything below the key; tells whether there was anything.
    fn handled_below(&mut self, key: &str) -> bool {
        let before = self.left.len();
        let below = format!("{key}.");
        self.left.retain(|left| left != key && !left.starts_with(&below));
        self.left.len() < before
    }
}

/// Makes a configuration of ours from what a file of AEMM says.
///
/// # Errors
/// One line, when AEMM would refuse the file too.
pub(crate) fn import(said: &Settings, from: &str, now: Timestamp) -> Result<Imported, String> {
    let settings = aemm_compat::config::complete(said, now)?;
    let notes = Notes { notes: Vec::new(), left: said.keys().map(str::to_owned).collect() };
    let mut import = Import { said, settings: &settings, notes, top: Table::new(), instance: Table::new() };
    import.service();
    let events = super::events::events(said, &settings, now, &mut import.notes);
    let terminates =
        events.iter().any(|event| event.get("kind").and_then(Value::as_str) == Some("lifecycle"));
    if terminates {
        import.instance.insert("target-lifecycle-state".into(), "InService".into());
    }
    let role = import.role();
    import.values();
    let tree = import.tree(role.as_ref(), now)?;
    let Import { mut notes, mut top, instance, .. } = import;
    for key in &notes.left {
        notes.notes.push(format!("{key}: nothing here is like it"));
    }
    if !instance.is_empty() {
        top.insert("instance".into(), Value::Table(instance));
    }
    if !events.is_empty() {
        top.insert("events".into(), Value::Array(events.into_iter().map(Value::Table).collect()));
    }
    if !tree.is_empty() {
        top.insert("tree".into(), Value::Table(tree));
    }
    if let Some(role) = role {
        let roles = Table::from_iter([(role.name.clone(), Value::Table(role.table))]);
        top.insert("roles".into(), Value::Table(roles));
    }
    Ok(Imported { text: text(&top, from, &notes.notes), notes: notes.notes })
}

fn text(top: &Table, from: &str, notes: &[String]) -> String {
    let mut text = format!(
        "# Made from {from}, a configuration of ec2-metadata-mock (AEMM), by: fake-metadata import aemm\n"
    );
    if !notes.is_empty() {
        text.push_str("#\n# Not taken over, or taken over otherwise:\n");
    }
    for note in notes {
        text.push_str(&format!("# - {}\n", note.replace('\n', " ")));
    }
    text.push('\n');
    text.push_str(&top.to_string());
    text
}

/// The role, and its table.
struct Role {
    name: String,
    table: Table,
}

struct Import<'a> {
    /// The file.
    said: &'a Settings,
    /// The file over AEMM's defaults, paths that hold values filled in.
    settings: &'a Settings,
    notes: Notes,
    /// The top level of ours.
    top: Table,
    instance: Table,
}

impl Import<'_> {
    /// The text that the file says under a key.
    fn text(&mut self, key: &str) -> Option<String> {
        self.notes.handled(key);
        self.said.text(key)
    }

    /// `server`, `imdsv2`, and what concerns AEMM's program alone.
    fn service(&mut self) {
        let (host, port) = (self.text("server.hostname"), self.text("server.port"));
        if host.is_some() || port.is_some() {
            let port = port.unwrap_or_else(|| "1338".to_owned());
            let host = match host.as_deref() {
                None => {
                    self.notes
                        .add("AEMM listens on every address unless told otherwise; here it is 127.0.0.1");
                    "127.0.0.1".to_owned()
                }
                Some("") => "0.0.0.0".to_owned(),
                Some("localhost") => "127.0.0.1".to_owned(),
                Some(host) if host.contains(':') => format!("[{}]", host.trim_matches(['[', ']'])),
                Some(host) => host.to_owned(),
            };
            match format!("{host}:{port}").parse::<std::net::SocketAddr>() {
                Ok(address) => {
                    self.top.insert("listen".into(), address.to_string().into());
                }
                Err(_) => self.notes.add(format!(
                    "server: {host}:{port} is no address and port; name an address with listen"
                )),
            }
        }
        if let Some(required) = self.text("imdsv2") {
            let mode = if matches!(required.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True") {
                "required"
            } else {
                "optional"
            };
            self.top.insert("tokens".into(), mode.into());
        }
        for (key, instead) in [
            ("config-file", "name the file with --config"),
            ("save-config-to-file", "this file is the configuration"),
            ("watch-config-file", "fake-metadata reload takes a changed file"),
        ] {
            if let Some(value) = self.text(key).filter(|value| !matches!(value.as_str(), "0" | "false" | ""))
            {
                self.notes.add(format!("{key} = {value:?}: {instead}"));
            }
        }
    }

    /// The role, where the file says anything of one.
    fn role(&mut self) -> Option<Role> {
        let named = self.text(ROLE);
        let info = "metadata.values.iam-info";
        let arn = self.text(&format!("{info}.instanceprofilearn"));
        let id = self.text(&format!("{info}.instanceprofileid"));
        if self.notes.handled_below(info) {
            self.notes.add("iam-info: Code and LastUpdated are always Success and a recent time");
        }
        if self.notes.handled_below("metadata.values.iam-security-credentials") {
            self.notes.add(
                "iam-security-credentials: no secret belongs into config.toml; credentials are generated and always \
                 fresh (source = \"file\" under [roles] gives those of a file)",
            );
        }
        if named.is_none() && arn.is_none() && id.is_none() {
            return None;
        }
        let name = named.or_else(|| self.settings.text(ROLE)).filter(|name| !name.is_empty())?;
        let mut table = Table::from_iter([("source".to_owned(), Value::from("generated"))]);
        for (key, value) in [("instance-profile-arn", arn), ("instance-profile-id", id)] {
            if let Some(value) = value {
                table.insert(key.into(), value.into());
            }
        }
        Some(Role { name, table })
    }

    /// Everything that `[instance]` can say.
    fn values(&mut self) {
        for (key, ours, form) in META_DATA {
            if let Some(value) = self.said.text(&format!("metadata.values.{key}")) {
                self.instance.insert((*ours).to_owned(), formed(&value, *form));
            }
        }
        for (key, ours, form) in DOCUMENT {
            let value = match self.said.get(&format!("{DOCUMENT_KEY}.{key}")) {
                Some(serde_json::Value::String(text)) => formed(text, *form),
                Some(serde_json::Value::Array(items)) => items
                    .iter()
                    .filter_map(serde_json::Value::as_str)
                    .map(Value::from)
                    .collect::<Vec<_>>()
                    .into(),
                _ => continue,
            };
            self.instance.entry((*ours).to_owned()).or_insert(value);
        }
        // Leaves of the interface lie where AEMM's interface is.
        if self.said.keys().any(|key| key.starts_with("metadata.values.mac-"))
            && let Some(mac) = self.settings.text("metadata.values.mac")
        {
            self.instance.insert("mac".into(), mac.into());
        }
        let mut devices = Table::new();
        for (key, leaf) in BLOCK_DEVICES {
            if let Some(device) = self.said.text(&format!("metadata.values.{key}")) {
                devices.insert((*leaf).to_owned(), device.into());
            }
        }
        self.insert_table("block-device-mapping", devices);
        if let Some(line) = self.said.text("metadata.values.public-key") {
            let name = line.split_whitespace().nth(2).unwrap_or("key").to_owned();
            self.insert_table("public-keys", Table::from_iter([(name, Value::from(line))]));
        }
        let mut tags = Table::new();
        for (key, tag) in [("tags-instance-name", "Name"), ("tags-instance-test", "Test")] {
            if let Some(value) = self.said.text(&format!("metadata.values.{key}")) {
                tags.insert(tag.to_owned(), value.into());
            }
        }
        if let Some(serde_json::Value::Object(more)) = self.said.get(TAGS) {
            tags.extend(
                more.iter().filter_map(|(tag, value)| Some((tag.clone(), Value::from(value.as_str()?)))),
            );
        }
        self.notes.handled(TAGS);
        self.insert_table("tags", tags);
        if let Some(data) = self.text("userdata.values.userdata").filter(|data| !data.is_empty()) {
            self.instance.insert("user-data-base64".into(), data.into());
        }
        if self.text("userdata.paths.userdata").is_some_and(|path| path != defaults::USER_DATA) {
            self.notes.add("userdata.paths.userdata: user data lies at /latest/user-data");
        }
    }

    fn insert_table(&mut self, key: &str, table: Table) {
        if !table.is_empty() {
            self.instance.insert(key.to_owned(), Value::Table(table));
        }
    }

    /// What has to be set literally for every value to be where it was asked for. Keys of the instance that it
    /// cannot be resolved with are taken out first.
    fn tree(&mut self, role: Option<&Role>, now: Timestamp) -> Result<Table, String> {
        let instance = self.resolved(now)?;
        let roles: Vec<RoleEntry> = role.iter().map(|role| RoleEntry::new(&role.name)).collect();
        let trees =
            Trees::build(&instance, &roles, &Overrides::default()).map_err(|error| error.to_string())?;
        let tree = trees.tree(role.map(|role| role.name.as_str()));
        let served: BTreeMap<String, &Leaf> = tree.walk("latest").collect();
        let value = |path: &str| match served.get(path) {
            Some(Leaf::Value(value)) => String::from_utf8(value.to_vec()).ok(),
            _ => None,
        };
        let asked = self.asked();
        let mut table = Table::new();
        for (path, (key, text)) in &asked {
            let has = value(path).map(|value| match path.as_str() {
                KEY_PATH => value.trim_end_matches('\n').to_owned(),
                _ => value,
            });
            if has.as_ref() == Some(text) {
                continue;
            }
            let folder = format!("{path}/");
            let below = |other: &String| other.starts_with(&folder);
            if asked.keys().any(below) || served.keys().any(below) {
                let names: Vec<&str> =
                    asked.keys().chain(served.keys()).filter_map(|p| p.strip_prefix(&folder)).collect();
                if !names.contains(&text.as_str()) {
                    self.notes.add(format!(
                        "{key}: something lies below {LATEST}{path}, so it lists that and holds no value"
                    ));
                }
                continue;
            }
            table.insert(path.clone(), text.as_str().into());
        }
        if let Some(document) = value(DOCUMENT_PATH).and_then(|document| self.document(&document)) {
            table.insert(DOCUMENT_PATH.into(), document.into());
        }
        self.moved(&served, &asked, &mut table);
        Ok(table)
    }

    /// The instance as far as it can be.
    fn resolved(&mut self, now: Timestamp) -> Result<Instance, String> {
        loop {
            let table = Value::Table(self.instance.clone());
            let spec = InstanceSpec::deserialize(table).map_err(|error| error.message().to_owned())?;
            let error = match Instance::resolve(&spec, now) {
                Ok(instance) => return Ok(instance),
                Err(error) => error,
            };
            let key = error.key.split(['.', '[']).next().unwrap_or_default().to_owned();
            if self.instance.remove(&key).is_none() {
                return Err(format!("instance.{}: {}", error.key, error.message));
            }
            self.notes.add(format!(
                "{key}: EC2 could not have it ({}); it is set literally where it was asked for, and nothing else \
                 follows it",
                error.message
            ));
        }
    }

    /// Values of the file by path below the version, with AEMM's keys.
    fn asked(&mut self) -> BTreeMap<String, (String, String)> {
        let mut asked = BTreeMap::new();
        let metadata = defaults::STATIC.iter().map(|entry| ("metadata", entry));
        for (service, entry) in metadata.chain(defaults::DYNAMIC_DATA.iter().map(|entry| ("dynamic", entry)))
        {
            let key = format!("{service}.values.{}", entry.key);
            let path_key = format!("{service}.paths.{}", entry.key);
            let is_moved = self.is_moved(&path_key, entry);
            let is_said = self.notes.handled_below(&key) || self.said.get(&key).is_some() || is_moved;
            self.notes.handled(&path_key);
            if !is_said {
                continue;
            }
            let text = match entry.key {
                // Roles and the document are dealt with as what they are.
                "iam-info"
                | "iam-security-credentials"
                | "iam-security-credentials-role"
                | "instance-identity-document" => continue,
                "instance-identity-pkcs" | "instance-identity-signature" => {
                    self.notes
                        .add(format!("{key}: signatures are made here, over the document that is served"));
                    continue;
                }
                "elastic-inference-accelerator" => self.accelerator(&key),
                _ => self.settings.text(&key).unwrap_or_default(),
            };
            let path = self.settings.text(&path_key).unwrap_or_default();
            match path.strip_prefix(LATEST).map(|path| path.trim_matches('/')) {
                Some(path) if !path.is_empty() => {
                    asked.insert(path.to_owned(), (key, text));
                }
                _ => self.notes.add(format!("{path_key}: {path} does not lie below /latest")),
            }
        }
        asked
    }

    /// Whether the file puts something elsewhere than its value would.
    fn is_moved(&self, path_key: &str, entry: &Entry) -> bool {
        self.said.text(path_key).is_some_and(|path| {
            let mac = self.settings.text("metadata.values.mac").unwrap_or_default();
            let default = entry.default_path();
            path != default && path != default.replace(defaults::MAC, &mac)
        })
    }

    fn accelerator(&self, key: &str) -> String {
        let inner = |name: &str| self.settings.text(&format!("{key}.version_2018_04_12.{name}"));
        let names = ["elastic-inference-accelerator-id", "elastic-inference-accelerator-type"];
        let members: serde_json::Map<String, serde_json::Value> =
            names.iter().filter_map(|name| Some(((*name).to_owned(), inner(name)?.into()))).collect();
        serde_json::json!({ "version_2018_04_12": members }).to_string()
    }

    /// The identity document with what the file says of it; nothing where it says that already.
    fn document(&mut self, ours: &str) -> Option<String> {
        let mut differs = false;
        let lines: Vec<String> = ours
            .split('\n')
            .map(|line| {
                let key = line.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let said =
                    key.and_then(|key| self.said.get(&format!("{DOCUMENT_KEY}.{}", key.to_lowercase())));
                let (Some(key), Some(said)) = (key, said) else { return line.to_owned() };
                let said = match said {
                    serde_json::Value::Array(items) => {
                        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                        format!("[ {} ]", items.join(", "))
                    }
                    other => other.to_string(),
                };
                let comma = if line.ends_with(',') { "," } else { "" };
                let other = format!("  \"{key}\" : {said}{comma}");
                differs |= other != line;
                other
            })
            .collect();
        differs.then(|| lines.join("\n"))
    }

    /// Paths that the file puts elsewhere are not where they are by default; events cannot be moved.
    fn moved(
        &mut self,
        served: &BTreeMap<String, &Leaf>,
        asked: &BTreeMap<String, (String, String)>,
        table: &mut Table,
    ) {
        for entry in defaults::STATIC.iter().chain(defaults::DYNAMIC_DATA) {
            let service = if defaults::DYNAMIC_DATA.iter().any(|e| e.key == entry.key) {
                "dynamic"
            } else {
                "metadata"
            };
            if !self.is_moved(&format!("{service}.paths.{}", entry.key), entry) {
                continue;
            }
            let path = entry.default_path();
            let path = path.trim_start_matches(LATEST);
            if served.contains_key(path) && !asked.contains_key(path) {
                table.insert(path.to_owned(), false.into());
            }
        }
        for entry in defaults::CONDITIONAL {
            let key = format!("metadata.paths.{}", entry.key);
            if self.text(&key).is_some_and(|path| path != entry.default_path()) {
                self.notes.add(format!("{key}: it lies where EC2 has it, at {}", entry.default_path()));
            }
        }
    }
}

fn formed(value: &str, form: Form) -> Value {
    match form {
        Form::Text => value.into(),
        Form::List => {
            let lines = value.split('\n').map(str::trim).filter(|line| !line.is_empty());
            Value::Array(lines.map(Value::from).collect())
        }
    }
}

#[cfg(test)]
mod tests;
