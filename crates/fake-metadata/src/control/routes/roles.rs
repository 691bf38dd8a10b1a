//! `/v1/roles`: where credentials come from, how they stand, and what a person does about it.

use std::sync::Arc;

use credentials::{FeedError, RoleStatus, UnknownRole};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refused;
use crate::live::{Change, Changes};
use crate::state::{State, World, set_profile};

/// The default role to choose, the profile that it is to resolve, or both.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Use {
    /// Callers that nothing else matches get no role.
    none: bool,
    /// Unset: the present one.
    role: Option<String>,
    profile: Option<String>,
    /// Whether all is as configured again.
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

/// Makes a choice. Answers at once, with the role whose source is asked because its profile was chosen.
pub(super) fn choose(state: &State, request: Use) -> Result<Value, Refused> {
    let mut asked = None;
    let done = state.change(|world| {
        let mut changes = Changes::clone(&world.changes);
        let done = if request.undo {
            if !changes.forget_roles() {
                return Err(Refused::wrong("no command has chosen a default role or a profile"));
            }
            let configured = world.loaded.config.default_role();
            vec![format!("default role {}, as configured", configured.as_deref().unwrap_or("none"))]
        } else {
            let chosen = choices(&request, world)?;
            let described = chosen.iter().map(Change::describe).collect();
            asked = chosen.iter().find_map(|change| match change {
                Change::Profile { role, .. } => Some(role.clone()),
                _ => None,
            });
            changes.add(chosen, request.persist).map_err(Refused::wrong)?;
            described
        };
        world.changes = Arc::new(changes);
        Ok(done)
    })?;
    log::info!("changed by command: {}", done.join(", "));
    Ok(json!({ "done": done, "asked": asked }))
}

/// The changes that a choice comes to.
fn choices(request: &Use, world: &World) -> Result<Vec<Change>, Refused> {
    let config = &world.loaded.config;
    let mut changes = Vec::new();
    if request.none || request.role.is_some() {
        changes.push(Change::DefaultRole { role: request.role.clone() });
    }
    let named = request.role.clone();
    let present = || match world.changes.default_role() {
        Some(chosen) => chosen.map(str::to_owned),
        None => config.default_role(),
    };
    let known = config.roles();
    if let Some(name) = named.as_ref().filter(|name| !known.contains_key(*name)) {
        return Err(UnknownRole(name.clone()).into());
    }
    if let Some(profile) = &request.profile {
        let Some(role) = named.or_else(present) else {
            return Err(Refused::wrong(
                "there is no default role (name the one that is to have the profile)",
            ));
        };
        let mut spec = known.get(&role).map(|role| role.source.clone()).unwrap_or_default();
        if !set_profile(&mut spec, profile) {
            return Err(Refused::wrong(format!(
                "role {role} resolves no profile (its source must be profile, assume-role or static)"
            )));
        }
        changes.push(Change::Profile { role, profile: profile.clone() });
    }
    Ok(changes)
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
