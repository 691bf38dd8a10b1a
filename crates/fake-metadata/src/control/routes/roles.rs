//! `/v1/roles`: where credentials come from, how they stand, and what a person does about it.

use std::sync::Arc;

use credentials::{FeedError, RoleStatus, UnknownRole};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refused;
use crate::live::{Change, Changes};
use crate::state::State;

/// The default role to choose.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Use {
    /// None: callers that nothing else matches get no role.
    role: Option<String>,
    /// Whether it is the configured one again.
    undo: bool,
    /// Whether the choice outlives the daemon.
    persist: bool,
}

/// Roles to do something about.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Named {
    /// None: all.
    roles: Vec<String>,
}

/// Credentials to serve.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Feed {
    role: String,
    /// A document in any form that a credentials file may have. Any JSON at this point: an error in it
    /// must be told without quoting it.
    credentials: Value,
}

impl From<UnknownRole> for Refused {
    fn from(error: UnknownRole) -> Self {
        Refused::wrong(format!("{error} (fake-metadata role list names all)"))
    }
}

impl From<FeedError> for Refused {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Unknown(error) => error.into(),
            FeedError::Refused { .. } => Refused::wrong(error.to_string()),
        }
    }
}

pub(super) fn list(state: &State) -> Value {
    json!({ "default-role": state.live().rules.default_role(), "roles": state.roles() })
}

pub(super) fn choose(state: &State, request: Use) -> Result<Value, Refused> {
    let done = state.change(|world| {
        let mut changes = Changes::clone(&world.changes);
        let done = if request.undo {
            if !changes.forget_default_role() {
                return Err(Refused::wrong("no command has chosen a default role"));
            }
            let configured = world.loaded.config.default_role();
            format!("default role {}, as configured", configured.as_deref().unwrap_or("none"))
        } else {
            if let Some(name) = &request.role
                && !world.loaded.config.roles().contains_key(name)
            {
                return Err(UnknownRole(name.clone()).into());
            }
            let change = Change::DefaultRole { role: request.role };
            let described = change.describe();
            changes.add(vec![change], request.persist).map_err(Refused::wrong)?;
            described
        };
        world.changes = Arc::new(changes);
        Ok(done)
    })?;
    log::info!("changed by command: {done}");
    Ok(json!({ "done": [done] }))
}

/// The roles that a request is about.
fn named(state: &State, request: &Named) -> Vec<String> {
    match request.roles.is_empty() {
        true => state.roles().into_iter().map(|status| status.role).collect(),
        false => request.roles.clone(),
    }
}

/// Has sources asked. Answers at once, with the number that each role's attempts must reach.
pub(super) fn refresh(state: &State, request: &Named) -> Result<Value, Refused> {
    let asked = named(state, request).into_iter().map(|role| {
        let attempt = state.store().refresh(&role)?;
        log::info!("role {role}: refreshed by command");
        Ok(json!({ "role": role, "attempt": attempt }))
    });
    Ok(json!({ "asked": asked.collect::<Result<Vec<Value>, Refused>>()? }))
}

pub(super) fn expire(state: &State, request: &Named) -> Result<Value, Refused> {
    if request.roles.is_empty() {
        return Err(Refused::wrong("name the roles whose credentials are to be dropped"));
    }
    for role in &request.roles {
        state.store().expire(role)?;
        log::info!("role {role}: credentials dropped by command");
    }
    Ok(json!({ "expired": request.roles }))
}

pub(super) fn feed(state: &State, request: &Feed) -> Result<Value, Refused> {
    let document = request.credentials.to_string();
    let credentials = credentials::parse_document(document.as_bytes(), Timestamp::now())
        .map_err(|e| Refused::wrong(format!("feed role {}: {e}", request.role)))?;
    state.store().feed(&request.role, credentials)?;
    let fed: Option<RoleStatus> = state.roles().into_iter().find(|status| status.role == request.role);
    Ok(json!({ "roles": [fed] }))
}
