//! The events of the configuration, as the service learns of them at its start and at a reload.

use crate::config::{ConfigError, KeyPath, Loaded};
use crate::events::{Clock, EventError, EventSpec, Origin, Timeline};
use crate::state_dir::random;

/// Adds events of the configuration, told to us at the clock's time, but for those that were over then: a daemon
/// must start again however long its machine was off.
pub(super) fn add_configured_events(
    events: &mut Timeline,
    loaded: &Loaded,
    which: impl IntoIterator<Item = usize>,
    clock: &Clock,
) -> Result<(), ConfigError> {
    for i in which {
        match event_left_out(loaded, i, clock) {
            Some(why) => log::warn!("{why}"),
            None => {
                let key = KeyPath::root().key("events").index(i);
                add_event(events, loaded, &loaded.config.events[i], Origin::Configuration, clock)
                    .map_err(|e| loaded.refuse(&key.key(e.key), e.message))?;
            }
        }
    }
    Ok(())
}

/// Has events follow another configuration. Those it says the same of stay as they are, cleared ones cleared;
/// new ones are told to us now.
pub(super) fn follow_configured_events(
    events: &mut Timeline,
    before: &Loaded,
    loaded: &Loaded,
) -> Result<(), ConfigError> {
    let mut gone: Vec<&EventSpec> = before.config.events.iter().collect();
    let mut new = Vec::new();
    for (i, spec) in loaded.config.events.iter().enumerate() {
        match gone.iter().position(|old| *old == spec) {
            Some(place) => {
                gone.swap_remove(place);
            }
            None => new.push(i),
        }
    }
    for spec in gone {
        events.drop_configured(spec);
    }
    add_configured_events(events, loaded, new, &Clock::system())
}

/// What is said of an event of the configuration that is over.
fn event_left_out(loaded: &Loaded, index: usize, clock: &Clock) -> Option<ConfigError> {
    let (key, when) = loaded.config.events[index].passed(clock)?;
    let key = KeyPath::root().key("events").index(index).key(key);
    Some(loaded.refuse(&key, format!("{:?} is over: the event is left out", when.to_string())))
}

/// The same of every one that a daemon started now would leave out.
pub(crate) fn events_left_out(loaded: &Loaded) -> impl Iterator<Item = ConfigError> {
    let clock = Clock::system();
    (0..loaded.config.events.len()).filter_map(move |index| event_left_out(loaded, index, &clock))
}

/// Adds an event to those of an instance with this configuration.
pub(crate) fn add_event(
    events: &mut Timeline,
    loaded: &Loaded,
    spec: &EventSpec,
    origin: Origin,
    clock: &Clock,
) -> Result<String, EventError> {
    let roles = loaded.config.roles();
    for name in spec.only.iter().flat_map(|names| &names.0) {
        name.known(roles.keys()).map_err(|message| EventError::new("only", message))?;
    }
    let random = random().map_err(|e| EventError::new("event-id", e.to_string()))?;
    events.add(spec, origin, clock, loaded.target_lifecycle_state(), u128::from_be_bytes(random))
}
