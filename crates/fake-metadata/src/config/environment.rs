//! The environment as a layer of configuration: `FAKE_METADATA_TOKENS` is `tokens`,
//! `FAKE_METADATA_INSTANCE__REGION` is `instance.region`: two underscores for a dot, one for a dash. Where any
//! name may stand (a tag's, a role's, a path's), it is taken as it is written.

use super::DEFAULT_ROLE;
use super::error::Origin;
use super::keys::{self, KeyPath};
use super::layer::{Layer, toml_value};

const PREFIX: &str = "FAKE_METADATA_";
/// Variables with the prefix that name places, not keys of the configuration.
const PLACES: [&str; 3] = ["CONFIG", "STATE_DIR", "CONTROL"];
/// What Kubernetes and `docker run --link` set in a container for a service or a container that is itself called
/// fake-metadata: no key of ours. Followed by nothing, or by an underscore and more.
/// Source: Kubernetes, "Service: environment variables"; Docker, "Legacy container links".
const LINKS: [&str; 3] = ["SERVICE_HOST", "SERVICE_PORT", "ENV"];
/// Keys whose items may stand with commas between them.
const LISTS: [&str; 2] = ["listen", "hosts"];
/// What the original fake-metadata service was configured with.
const ORIGINAL: [(&str, [&str; 2]); 2] = [
    ("EC2_LOCAL_HOSTNAME", ["instance", "public-hostname"]),
    ("EC2_LOCAL_IPV4", ["instance", "public-ipv4"]),
];

/// The layer of all variables that mean something to us. It is to lie over `file`, whose roles it may name.
pub(super) fn layer(variables: &[(String, String)], file: &Layer) -> Layer {
    let roles = match file.table(&KeyPath::root().key("roles")) {
        Some(roles) => roles.keys().map(String::as_str).collect(),
        None => vec![DEFAULT_ROLE],
    };
    let mut layer = Layer::default();
    for (name, value) in variables {
        let origin = Origin::Environment(name.clone());
        if let Some((_, keys)) = ORIGINAL.iter().find(|(known, _)| known == name) {
            let path = keys.iter().fold(KeyPath::root(), |path, key| path.key(key));
            layer.put(&path, toml::Value::String(value.clone()), origin);
        } else if let Some(key) = name.strip_prefix(PREFIX)
            && !PLACES.contains(&key)
            && !is_link(key, value)
        {
            let path =
                key.split("__").fold(KeyPath::root(), |path, part| path.key(&name_in(&path, part, &roles)));
            let is_list = LISTS.iter().any(|key| path == KeyPath::root().key(key));
            if is_list && value.trim().is_empty() {
                continue;
            }
            if is_list && toml_value(value).is_none() {
                // An IPv6 address has a bracket too, so TOML is what can be read as TOML.
                let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
                let many = items.map(|item| toml::Value::String(item.into())).collect();
                layer.put(&path, toml::Value::Array(many), origin);
            } else {
                layer.set(&path, value, origin);
            }
        }
    }
    layer
}

/// The name that a part of a variable's name stands for in the table at `path`.
fn name_in(path: &KeyPath, part: &str, roles: &[&str]) -> String {
    let as_key = |name: &str| name.to_lowercase().replace('_', "-");
    if *path == KeyPath::root().key("roles") {
        let exact = roles.iter().find(|role| **role == part);
        let meant = exact.or_else(|| roles.iter().find(|role| as_key(role) == as_key(part)));
        return meant.map_or(part, |role| role).to_owned();
    }
    if keys::known(path).is_some() { as_key(part) } else { part.to_owned() }
}

/// Whether the rest of a variable's name is one of those that a container is given for its neighbours.
fn is_link(key: &str, value: &str) -> bool {
    let starts =
        |word: &str| key.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    // As in PORT_8000_TCP_ADDR.
    let of_a_port = || {
        let mut words = key.strip_prefix("PORT_")?.split('_');
        let number = words.next()?.parse::<u16>();
        Some(number.is_ok() && matches!(words.next()?, "TCP" | "UDP" | "SCTP"))
    };
    LINKS.iter().any(|word| starts(word))
        || key == "PORT" && value.contains("://")
        || key == "NAME" && value.starts_with('/')
        || of_a_port().unwrap_or(false)
}
