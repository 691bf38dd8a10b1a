//! A configuration of AEMM as one of ours.
//!
//! What `[instance]` can say is said there, so that everything that follows from it agrees; then the tree of that
//! instance is compared with what was asked for, and what still differs is set literally under `[tree]`. Values that
//! the file does not name are ours, not AEMM's.

use std::collections::BTreeSet;

use aemm_compat::defaults;
use aemm_compat::settings::{Settings, TAGS};
use jiff::Timestamp;
use toml::{Table, Value};

use super::keys::{BLOCK_DEVICES, DOCUMENT, Form, META_DATA};

pub(super) const DOCUMENT_KEY: &str = "dynamic.values.instance-identity-document";
const ROLE: &str = "metadata.values.iam-security-credentials-role";

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
    pub(super) fn handled_below(&mut self, key: &str) -> bool {
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
pub(super) struct Role {
    pub(super) name: String,
    table: Table,
}

pub(super) struct Import<'a> {
    /// The file.
    pub(super) said: &'a Settings,
    /// The file over AEMM's defaults, paths that hold values filled in.
    pub(super) settings: &'a Settings,
    pub(super) notes: Notes,
    /// The top level of ours.
    top: Table,
    pub(super) instance: Table,
}

impl Import<'_> {
    /// The text that the file says under a key.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
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
