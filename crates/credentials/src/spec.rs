//! The `[roles.NAME]` table of the configuration, and the settings that all roles share.
//!
//! A [`RoleSpec`] is what a person wrote; nothing is checked but names and types. Which keys go with
//! which source is checked when a store takes the spec, see [`SpecError`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where a role's credentials come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Made here, well-formed and plainly fake.
    #[default]
    Generated,
    /// A JSON file, watched.
    File,
    /// Pushed from outside by `role feed`.
    Fed,
}

/// The `[roles.NAME]` table. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RoleSpec {
    /// Where the credentials come from; `generated` unless said.
    pub source: SourceKind,
    /// `file`: the path of the JSON document.
    pub file: Option<PathBuf>,
    /// What differs in this role's metadata tree. Not looked at here: the daemon reads it.
    pub tree: Option<serde_json::Value>,
}

/// What all roles share.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {}

/// What is wrong with a role's table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SpecError {
    /// The role's name.
    pub role: String,
    /// The key within `[roles.NAME]`.
    pub key: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

/// The spec of every role, by the name that callers see.
pub(crate) type Specs = BTreeMap<String, RoleSpec>;
