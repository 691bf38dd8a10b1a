//! What may be asked of the control API: a method, a path and a JSON body to a JSON value.

mod events;
mod faults;
mod live;
mod logins;
mod roles;

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use logins::Logins;

use crate::config::ConfigError;
use crate::state::{State, World};

/// A request that is not done, with the HTTP status to say so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refused {
    /// The request makes no sense as it is.
    pub(crate) fn wrong(message: impl Into<String>) -> Self {
        Refused { status: 400, message: message.into() }
    }

    /// It cannot be done, though it makes sense.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Refused { status: 500, message: message.into() }
    }

    /// There is no such thing.
    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Refused { status: 404, message: message.into() }
    }
}

impl From<ConfigError> for Refused {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::State(_) => Refused::failed(error.to_string()),
            _ => Refused::wrong(error.to_string()),
        }
    }
}

/// Whether the answer waits for a service elsewhere.
pub(crate) fn waits(url: &str) -> bool {
    url == "/v1/roles/login"
}

/// Refuses what would change nothing that anybody sees: in proxy mode everything but roles is the upstream's.
fn refuse_beside_an_upstream(world: &World) -> Result<(), Refused> {
    match &world.loaded.config.upstream {
        Some(address) => Err(Refused::wrong(format!(
            "this would change nothing: everything but iam/ comes from the upstream {address} (take upstream out of the configuration, or change what is there)"
        ))),
        None => Ok(()),
    }
}

/// Reads a JSON body; an empty one is an empty object.
fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|e| Refused::wrong(format!("read the request: {e}")))
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Reload {
    reset: bool,
}

/// Does what is asked.
pub(crate) fn route(state: &Arc<State>, method: &str, target: &str, body: &[u8]) -> Result<Value, Refused> {
    let path = target.split('?').next().unwrap_or(target);
    match (method, path.trim_matches('/')) {
        ("GET", "v1/status") => Ok(state.status()),
        ("POST", "v1/reload") => {
            let Reload { reset } = parsed(body)?;
            state.reload(reset)?;
            Ok(json!({}))
        }
        ("GET", "v1/events") => Ok(events::list(state)),
        ("POST", "v1/events") => events::add(state, parsed(body)?),
        ("POST", "v1/events/clear") => events::clear(state, &parsed(body)?),
        ("GET", "v1/changes") => Ok(live::list(state)),
        ("POST", "v1/changes") => live::change(state, parsed(body)?),
        ("GET", "v1/faults") => Ok(faults::list(state)),
        ("POST", "v1/faults") => faults::add(state, &parsed(body)?),
        ("POST", "v1/faults/clear") => faults::clear(state, &parsed(body)?),
        ("GET", "v1/roles") => Ok(roles::list(state)),
        ("POST", "v1/roles/use") => roles::choose(state, parsed(body)?),
        ("POST", "v1/roles/refresh") => roles::refresh(state, &parsed(body)?),
        ("POST", "v1/roles/expire") => roles::expire(state, &parsed(body)?),
        ("POST", "v1/roles/login") => logins::begin(state, &parsed(body)?),
        ("POST", "v1/roles/login/outcome") => logins::outcome(state, &parsed(body)?),
        ("POST", "v1/roles/feed") => roles::feed(state, &parsed(body)?),
        _ => Err(Refused::absent(format!("the control API has no {method} {path}"))),
    }
}
