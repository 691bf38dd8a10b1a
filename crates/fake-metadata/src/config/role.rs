//! A `[roles.NAME]` table: where the credentials come from, which is the credential store's to read,
//! and what the metadata tree shows of the role.

use serde::Deserialize;
use serde_aux::serde_introspection::serde_introspect;
use toml::{Table, Value};

/// One role as configured.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoleSettings {
    pub(crate) source: credentials::RoleSpec,
    shown: Shown,
}

/// What the tree shows of a role; see [`imds::RoleEntry`] for each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Shown {
    instance_profile_name: Option<String>,
    instance_profile_arn: Option<String>,
    instance_profile_id: Option<String>,
    /// Whether `iam/security-credentials-extended/` answers.
    extended: bool,
    /// Changes to the tree for callers with this role.
    tree: imds::Overrides,
}

impl RoleSettings {
    /// Every key of the table.
    pub(super) fn keys() -> Vec<&'static str> {
        let mut keys = serde_introspect::<Shown>().to_vec();
        keys.extend(
            serde_introspect::<credentials::RoleSpec>()
                .iter()
                .filter(|key| !keys.contains(key))
                .collect::<Vec<_>>(),
        );
        keys
    }

    /// The role as the tree shows it.
    pub(crate) fn entry(&self, name: &str) -> imds::RoleEntry {
        let shown = self.shown.clone();
        imds::RoleEntry {
            instance_profile_name: shown.instance_profile_name,
            instance_profile_arn: shown.instance_profile_arn,
            instance_profile_id: shown.instance_profile_id,
            extended: shown.extended,
            tree: shown.tree,
            ..imds::RoleEntry::new(name)
        }
    }

    /// Reads the two halves of a role's table.
    pub(super) fn read(table: Table) -> Result<Self, serde_path_to_error::Error<toml::de::Error>> {
        let ours = serde_introspect::<Shown>();
        let (shown, source): (Table, Table) =
            table.into_iter().partition(|(key, _)| ours.contains(&key.as_str()));
        Ok(RoleSettings {
            shown: serde_path_to_error::deserialize(Value::Table(shown))?,
            source: serde_path_to_error::deserialize(Value::Table(source))?,
        })
    }
}
