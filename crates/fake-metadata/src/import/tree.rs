//! What `[instance]` comes to, compared with every value that was asked for: what differs is set under `[tree]`.

use std::collections::BTreeMap;

use aemm_compat::defaults::{self, Entry};
use imds::{Instance, InstanceSpec, Leaf, Overrides, RoleEntry, Trees};
use jiff::Timestamp;
use serde::Deserialize;
use toml::{Table, Value};

use super::aemm::{DOCUMENT_KEY, Import, Role};

pub(super) const DOCUMENT_PATH: &str = "dynamic/instance-identity/document";
const KEY_PATH: &str = "meta-data/public-keys/0/openssh-key";
pub(super) const LATEST: &str = "/latest/";

impl Import<'_> {
    /// What has to be set literally for every value to be where it was asked for. Keys of the instance that it
    /// cannot be resolved with are taken out first.
    pub(super) fn tree(&mut self, role: Option<&Role>, now: Timestamp) -> Result<Table, String> {
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
