//! Values by AEMM's keys (`spot.action`, `metadata.values.mac`), in layers: defaults, file, `AEMM_*` environment,
//! flags. A later layer wins key by key, inside documents too. Keys have no case.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::defaults::{
    CONDITIONAL, DYNAMIC_DATA, EVENT_ID, PLACEHOLDERS, STATIC, USER_DATA, USER_DATA_BASE64,
};
use crate::instant::rfc3339;

/// Maintenance events end so long after they may start, and must have started so long after that they may,
/// unless told otherwise.
const NOT_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
const NOT_BEFORE_DEADLINE: SignedDuration = SignedDuration::from_hours(9 * 24);

/// The key of an object of tags, which AEMM knows since after 1.13.
pub const TAGS: &str = "metadata.values.tags-instance";

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It is not of the kind that its name says.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What its reader says.
        message: String,
    },
}

/// Values by key; `null` is a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    values: BTreeMap<String, Value>,
}

impl Settings {
    /// What is in force when nothing is said at `start`.
    pub fn defaults(start: Timestamp) -> Settings {
        let mut settings = Settings::default();
        let metadata = STATIC.iter().chain(CONDITIONAL).map(|entry| ("metadata", entry));
        for (service, entry) in metadata.chain(DYNAMIC_DATA.iter().map(|entry| ("dynamic", entry))) {
            settings.set(&format!("{service}.paths.{}", entry.key), Value::from(entry.default_path()));
            if !CONDITIONAL.iter().any(|conditional| conditional.key == entry.key) {
                settings.set(&format!("{service}.values.{}", entry.key), entry.default_value());
            }
        }
        let later = |by| rfc3339(start.checked_add(by).unwrap_or(start));
        for (key, text) in [
            ("config-file", "$HOME/aemm-config.json".to_owned()),
            ("metadata.values.event-id", EVENT_ID.to_owned()),
            ("userdata.paths.userdata", USER_DATA.to_owned()),
            ("userdata.values.userdata", USER_DATA_BASE64.to_owned()),
            ("server.hostname", "0.0.0.0".to_owned()),
            ("server.port", "1338".to_owned()),
            ("spot.action", "terminate".to_owned()),
            ("events.code", "system-reboot".to_owned()),
            ("events.state", "active".to_owned()),
            ("events.not-before", rfc3339(start)),
            ("events.not-after", later(NOT_AFTER)),
            ("events.not-before-deadline", later(NOT_BEFORE_DEADLINE)),
        ] {
            settings.set(key, Value::from(text));
        }
        for key in [
            "mock-trigger-time",
            "rebalance-trigger-time",
            "asg-termination-trigger-time",
            "spot.time",
            "spot.rebalance-rec-time",
        ] {
            settings.set(key, Value::from(""));
        }
        for key in ["mock-delay-sec", "rebalance-delay-sec", "asg-termination-delay-sec"] {
            settings.set(key, Value::from(0));
        }
        settings.set("mock-ip-count", Value::from(2));
        for key in ["imdsv2", "save-config-to-file", "watch-config-file"] {
            settings.set(key, Value::from(false));
        }
        settings
    }

    /// What a configuration file says: JSON, or YAML or TOML where the name ends so.
    ///
    /// # Errors
    /// [`FileError`], when there is no such file or it is not of its kind.
    pub fn read(path: &Path) -> Result<Settings, FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| FileError::Read { path: path.to_owned(), cause })?;
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        let parsed = match extension.as_str() {
            "yaml" | "yml" => serde_yaml_ng::from_str(&text).map_err(|e| e.to_string()),
            "toml" => toml::from_str(&text).map_err(|e| e.message().to_owned()),
            "json" => serde_json::from_str(&text).map_err(|e| e.to_string()),
            other => Err(format!("unsupported config type {other:?}; name the file .json, .yaml or .toml")),
        };
        let refuse = |message| FileError::Parse { path: path.to_owned(), message };
        match parsed.map_err(refuse)? {
            object @ Value::Object(_) => {
                let mut settings = Settings::default();
                settings.set("", object);
                Ok(settings)
            }
            _ => Err(refuse("not an object of keys and values".to_owned())),
        }
    }

    /// What the environment says: `AEMM_` and a key of `self` in capitals, dots and dashes as underscores. An
    /// empty variable counts.
    pub(crate) fn environment(&self, variables: impl Fn(&str) -> Option<String>) -> Settings {
        let mut settings = Settings::default();
        for key in self.values.keys() {
            let name = format!("AEMM_{}", key.to_uppercase().replace(['.', '-'], "_"));
            if let Some(text) = variables(&name) {
                settings.set(key, Value::from(text));
            }
        }
        settings
    }

    /// Lays another layer on top.
    pub(crate) fn lay(&mut self, over: Settings) {
        self.values.extend(over.values);
    }

    /// Sets a key; the members of an object each get a key of their own below it. The tags stay one value, for
    /// their names have case.
    pub(crate) fn set(&mut self, key: &str, value: Value) {
        match value {
            Value::Object(members) if !key.eq_ignore_ascii_case(TAGS) => {
                for (name, value) in members {
                    let dot = if key.is_empty() { "" } else { "." };
                    self.set(&format!("{key}{dot}{name}"), value);
                }
            }
            value => {
                self.values.insert(key.to_lowercase(), value);
            }
        }
    }

    /// Lets the paths follow the values that stand in them.
    pub(crate) fn fill_placeholders(&mut self) {
        for (key, default, followers) in PLACEHOLDERS {
            let Some(value) = self.text(&format!("metadata.values.{key}")).filter(|value| value != default)
            else {
                continue;
            };
            for follower in *followers {
                let prefix = format!("metadata.paths.{follower}");
                for (path_key, path) in &mut self.values {
                    if path_key.starts_with(&prefix)
                        && let Some(text) = path.as_str()
                    {
                        *path = Value::from(text.replace(default, &value));
                    }
                }
            }
        }
    }

    /// The value at a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// The value at a key as text, as AEMM's loader makes it of numbers and switches too; nothing for `null`
    /// and lists.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            // A fraction of nothing is not written: 1338.0 is the port 1338.
            Value::Number(number) => Some(match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) => float.to_string(),
                None => number.to_string(),
            }),
            Value::Bool(switch) => Some(if *switch { "1" } else { "0" }.to_owned()),
            _ => None,
        }
    }

    /// The key of every value, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Everything as one object, keys in order, without what is `null`.
    pub fn nested(&self) -> Value {
        let mut root = Map::new();
        for (key, value) in self.values.iter().filter(|(_, value)| !value.is_null()) {
            let mut table = &mut root;
            let mut names = key.split('.').peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() {
                    table.insert(name.to_owned(), value.clone());
                    break;
                }
                let next = table.entry(name).or_insert_with(|| Value::Object(Map::new()));
                match next {
                    Value::Object(inner) => table = inner,
                    // A key that is both a value and a folder keeps the value, as AEMM's loader shadows it.
                    _ => break,
                }
            }
        }
        Value::Object(root)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults() -> Settings {
        Settings::defaults("2026-01-01T00:00:00Z".parse().unwrap())
    }

    fn object(value: Value) -> Settings {
        let mut settings = Settings::default();
        settings.set("", value);
        settings
    }

    #[test]
    fn a_layer_wins_key_by_key_whatever_the_case() {
        let mut settings = defaults();
        settings.lay(object(json!({
            "Spot": {"Action": "stop"},
            "dynamic": {"values": {"instance-identity-document": {"accountId": "9876543210"}}},
        })));
        assert_eq!(settings.text("spot.action").as_deref(), Some("stop"));
        let document = "dynamic.values.instance-identity-document";
        assert_eq!(settings.text(&format!("{document}.accountid")).as_deref(), Some("9876543210"));
        assert_eq!(settings.text(&format!("{document}.region")).as_deref(), Some("us-east-1"));
    }

    #[test]
    fn variables_are_named_after_keys() {
        let variables = |name: &str| match name {
            "AEMM_MOCK_DELAY_SEC" => Some("12".to_owned()),
            "AEMM_METADATA_VALUES_AMI_ID" => Some(String::new()),
            "AEMM_SPOT_REBALANCE_REC_TIME" => Some("x".to_owned()),
            _ => None,
        };
        let environment = defaults().environment(variables);
        assert_eq!(
            environment.nested(),
            json!({"mock-delay-sec": "12", "metadata": {"values": {"ami-id": ""}}, "spot": {"rebalance-rec-time": "x"}})
        );
    }

    #[test]
    fn paths_follow_the_values_in_them() {
        let mut settings = defaults();
        settings.lay(object(json!({"metadata": {
            "values": {"mac": "FOO", "public-ipv4": "1.2.3.4", "iam-security-credentials-role": "me"},
            "paths": {"mac-device-number": "/latest/meta-data/network/interfaces/macs/BAR/device-number"},
        }})));
        settings.fill_placeholders();
        let path = |key: &str| settings.text(&format!("metadata.paths.{key}")).unwrap();
        assert_eq!(path("mac-vpc-id"), "/latest/meta-data/network/interfaces/macs/FOO/vpc-id");
        assert_eq!(path("mac-device-number"), "/latest/meta-data/network/interfaces/macs/BAR/device-number");
        assert_eq!(
            path("mac-ipv4-associations"),
            "/latest/meta-data/network/interfaces/macs/FOO/ipv4-associations/1.2.3.4"
        );
        assert_eq!(path("iam-security-credentials"), "/latest/meta-data/iam/security-credentials/me");
        assert_eq!(path("iam-security-credentials-role"), "/latest/meta-data/iam/security-credentials");
        assert_eq!(path("mac"), "/latest/meta-data/mac");
    }

    #[test]
    fn null_is_left_out_of_what_is_written() {
        let written = defaults().nested();
        let document = &written["dynamic"]["values"]["instance-identity-document"];
        assert_eq!(document["accountid"], "0123456789");
        assert_eq!(document.get("ramdiskid"), None);
        assert_eq!(written["mock-ip-count"], 2);
    }

    #[test]
    fn tags_keep_their_case() {
        let settings = object(json!({"metadata": {"values": {"Tags-Instance": {"Team.Name": "x"}}}}));
        assert_eq!(settings.get(TAGS), Some(&json!({"Team.Name": "x"})));
    }
}
