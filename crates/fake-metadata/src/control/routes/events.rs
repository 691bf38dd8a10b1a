//! `/v1/events`: what happens to the instance.

use imds::Ending;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Refused, refuse_beside_an_upstream};
use crate::events::{Clock, EventError, EventSpec, Origin, Timeline};
use crate::state::{State, add_event};

/// Events to add, all or none.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Add {
    events: Vec<EventSpec>,
    /// Whether they take the place of all there are.
    #[serde(default)]
    replace: bool,
}

/// Events to take back.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[derive(Default)]
pub(super) struct Clear {
    /// None: all.
    ids: Vec<String>,
    /// Whether maintenance is completed instead of canceled.
    completed: bool,
    /// Whether the history of maintenance goes too.
    history: bool,
}

impl From<EventError> for Refused {
    fn from(error: EventError) -> Self {
        Refused::wrong(error.to_string())
    }
}

pub(super) fn list(state: &State) -> Value {
    json!({ "events": state.world().events.list(Clock::system().now) })
}

pub(super) fn add(state: &State, request: Add) -> Result<Value, Refused> {
    let clock = Clock::system();
    let several = request.events.len() > 1;
    let added = state.change(|world| {
        refuse_beside_an_upstream(world)?;
        if request.replace {
            // Ids are not used again: whoever still has an old one must not clear a new event.
            world.events = world.events.emptied();
        }
        let ids = request.events.iter().enumerate().map(|(i, spec)| {
            add_event(&mut world.events, &world.loaded, spec, Origin::Command, &clock).map_err(|error| {
                let place = if several { format!("events[{i}].") } else { String::new() };
                Refused::wrong(format!("{place}{error}"))
            })
        });
        let ids = ids.collect::<Result<Vec<String>, Refused>>()?;
        Ok::<_, Refused>(shown(&world.events, &ids, &clock))
    })?;
    for event in &added {
        log::info!("event added: {event}");
    }
    Ok(json!({ "events": added }))
}

fn shown(events: &Timeline, ids: &[String], clock: &Clock) -> Vec<Value> {
    let is_new = |event: &Value| event["id"].as_str().is_some_and(|id| ids.iter().any(|new| new == id));
    events.list(clock.now).into_iter().filter(is_new).collect()
}

pub(super) fn clear(state: &State, request: &Clear) -> Result<Value, Refused> {
    let now = Clock::system().now;
    let ending = if request.completed { Ending::Completed } else { Ending::Canceled };
    let cleared = state.change(|world| {
        let cleared = world.events.clear(&request.ids, ending, now)?;
        if request.history {
            world.events.forget_history(now);
        }
        Ok::<_, Refused>(cleared)
    })?;
    log::info!("events cleared: {cleared}");
    Ok(json!({ "cleared": cleared }))
}
