//! `/v1/faults`: failures played on purpose.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refused;
use crate::faults::{FaultError, FaultSpec, Kind};
use crate::state::State;

/// Faults to end.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct Clear {
    /// None: all.
    ids: Vec<String>,
}

impl From<FaultError> for Refused {
    fn from(error: FaultError) -> Self {
        Refused::wrong(error.to_string())
    }
}

pub(super) fn list(state: &State) -> Value {
    json!({ "faults": state.world().faults.list(Timestamp::now()) })
}

pub(super) fn add(state: &State, request: &Value) -> Result<Value, Refused> {
    let spec = FaultSpec::read(request)?;
    let now = Timestamp::now();
    let fault = state.change(|world| {
        if let Some(caller) = &spec.caller {
            let config = &world.loaded.config;
            caller.known(config.roles().keys()).map_err(|m| Refused::wrong(format!("caller: {m}")))?;
        }
        let forget = spec.kind == Kind::ForgetTokens;
        let fault = world.faults.add(spec, now)?;
        if forget {
            state.forget_tokens::<Refused>(world)?;
        }
        Ok::<_, Refused>(fault)
    })?;
    let shown = fault.shown(now);
    log::info!("fault added: {shown}");
    Ok(json!({ "faults": [shown] }))
}

pub(super) fn clear(state: &State, request: &Clear) -> Result<Value, Refused> {
    let cleared = state.change(|world| Ok::<_, Refused>(world.faults.clear(&request.ids)?))?;
    log::info!("faults cleared: {cleared}");
    Ok(json!({ "cleared": cleared }))
}
