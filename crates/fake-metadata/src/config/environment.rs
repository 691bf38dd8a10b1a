//! The environment as a layer of configuration: `FAKE_METADATA_TOKENS` is `tokens`,
//! `FAKE_METADATA_INSTANCE__REGION` is `instance.region`: two underscores for a dot, one for a dash.

use super::error::Origin;
use super::keys::KeyPath;
use super::layer::Layer;

const PREFIX: &str = "FAKE_METADATA_";
/// Variables with the prefix that name places, not keys of the configuration.
const PLACES: [&str; 3] = ["CONFIG", "STATE_DIR", "CONTROL"];
/// What the original fake-metadata service was configured with.
const ORIGINAL: [(&str, [&str; 2]); 2] = [
    ("EC2_LOCAL_HOSTNAME", ["instance", "public-hostname"]),
    ("EC2_LOCAL_IPV4", ["instance", "public-ipv4"]),
];

/// The layer of all variables that mean something to us.
pub(super) fn layer(variables: &[(String, String)]) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        let origin = Origin::Environment(name.clone());
        if let Some((_, keys)) = ORIGINAL.iter().find(|(known, _)| known == name) {
            let path = keys.iter().fold(KeyPath::root(), |path, key| path.key(key));
            layer.put(&path, toml::Value::String(value.clone()), origin);
        } else if let Some(key) = name.strip_prefix(PREFIX).filter(|key| !PLACES.contains(key)) {
            let path = key
                .split("__")
                .fold(KeyPath::root(), |path, part| path.key(&part.to_lowercase().replace('_', "-")));
            if path == KeyPath::root().key("listen") && !value.starts_with('[') {
                let many = value.split(',').map(|a| toml::Value::String(a.trim().into())).collect();
                layer.put(&path, toml::Value::Array(many), origin);
            } else {
                layer.set(&path, value, origin);
            }
        }
    }
    layer
}
