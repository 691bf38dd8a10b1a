//! What may be asked of the control API: a method, a path and a JSON body to a JSON value.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::state::State;

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

    /// There is no such thing.
    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Refused { status: 404, message: message.into() }
    }
}

/// Does what is asked.
pub(crate) fn route(state: &Arc<State>, method: &str, target: &str, _body: &[u8]) -> Result<Value, Refused> {
    let path = target.split('?').next().unwrap_or(target);
    match (method, path.trim_matches('/')) {
        ("GET", "v1/status") => Ok(state.status()),
        ("POST", "v1/reload") => {
            state.reload().map_err(|e| Refused::wrong(e.to_string()))?;
            Ok(json!({}))
        }
        _ => Err(Refused::absent(format!("the control API has no {method} {path}"))),
    }
}
