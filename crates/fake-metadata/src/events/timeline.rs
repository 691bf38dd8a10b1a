//! Every event there is: the configuration's and those of commands, in the order in which they came.
//! What cannot be beside what is there already is refused.

use std::sync::Arc;

use imds::{Ending, Event, LifecycleState};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::audience::Audience;
use super::spec::{EventError, EventSpec};
use super::stages::MOST_LIMITED;
use super::time::Clock;

/// Events beyond this many are refused: each makes further snapshots.
const MOST: usize = 200;

/// Where an event was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Configuration,
    Command,
}

/// One event that happens to some callers.
#[derive(Debug)]
pub(crate) struct Scheduled {
    pub(crate) id: String,
    pub(crate) event: Event,
    /// Shared by the copies of this event, so that who was counted stays counted.
    pub(crate) audience: Arc<Audience>,
    pub(crate) origin: Origin,
    /// As it was written.
    spec: EventSpec,
}

/// All events. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    events: Vec<Arc<Scheduled>>,
    /// Of events ever added; ids are never used twice.
    count: u64,
}

impl Timeline {
    pub(crate) fn events(&self) -> &[Arc<Scheduled>] {
        &self.events
    }

    /// Adds an event and returns the id it got. `state` is the life cycle state the instance has
    /// without events.
    ///
    /// # Errors
    /// When it cannot be, by itself or beside the others.
    pub(crate) fn add(
        &mut self,
        spec: &EventSpec,
        origin: Origin,
        clock: &Clock,
        state: Option<LifecycleState>,
        random: u128,
    ) -> Result<String, EventError> {
        let event = spec.resolve(clock, random)?;
        let only = spec.only.clone().unwrap_or_default().0;
        let audience = Audience::new(only, spec.first);
        if self.events.len() >= MOST {
            return Err(EventError::new("events", format!("there are {MOST} already: clear some first")));
        }
        let limited = self.events.iter().filter(|event| !event.audience.is_everyone()).count();
        if limited >= MOST_LIMITED && !audience.is_everyone() {
            let message =
                format!("there are {MOST_LIMITED} limited to some callers already: clear some first");
            return Err(EventError::new("events", message));
        }
        self.check(&event, &audience, state)?;
        self.count += 1;
        let id = format!("{}-{}", kind(&event), self.count);
        let audience = Arc::new(audience);
        let scheduled = Scheduled { id: id.clone(), event, audience, origin, spec: spec.clone() };
        self.events.push(Arc::new(scheduled));
        Ok(id)
    }

    fn check(
        &self,
        event: &Event,
        audience: &Audience,
        start: Option<LifecycleState>,
    ) -> Result<(), EventError> {
        let mut rivals = self.events.iter().filter(|other| other.audience.may_overlap(audience));
        match event {
            Event::Spot(_) => match rivals.find(|other| matches!(other.event, Event::Spot(_))) {
                Some(other) => Err(EventError::new(
                    "spot",
                    format!(
                        "an instance is interrupted once, and {} does that already (fake-metadata event clear {})",
                        other.id, other.id
                    ),
                )),
                None => Ok(()),
            },
            Event::Maintenance(new) => {
                let taken = self.events.iter().any(|other| match &other.event {
                    Event::Maintenance(old) => old.event_id == new.event_id,
                    _ => false,
                });
                let message = format!("{} is the id of another event: give one of its own", new.event_id);
                if taken { Err(EventError::new("event-id", message)) } else { Ok(()) }
            }
            Event::Lifecycle { state, at } => {
                let mut states: Vec<(Timestamp, LifecycleState)> = rivals
                    .filter_map(|other| match other.event {
                        Event::Lifecycle { state, at } => Some((at, state)),
                        _ => None,
                    })
                    .collect();
                // One at the same moment as another comes after it.
                let place = states.iter().filter(|(other, _)| other <= at).count();
                states.sort_by_key(|(at, _)| *at);
                states.insert(place, (*at, *state));
                let chain: Vec<LifecycleState> =
                    start.into_iter().chain(states.into_iter().map(|(_, state)| state)).collect();
                match chain.windows(2).find(|pair| !pair[0].can_become(pair[1])) {
                    Some(pair) => Err(EventError::new(
                        "state",
                        format!("an instance cannot go from {} to {}", pair[0].name(), pair[1].name()),
                    )),
                    None => Ok(()),
                }
            }
            Event::Rebalance { .. } => Ok(()),
        }
    }

    /// Takes back the events with these ids, or all. A maintenance event that was announced goes into
    /// history, as `ending` says. Returns how many were taken back.
    ///
    /// # Errors
    /// When one of the ids is nobody's; then nothing is changed.
    pub(crate) fn clear(
        &mut self,
        ids: &[String],
        ending: Ending,
        now: Timestamp,
    ) -> Result<usize, EventError> {
        if let Some(unknown) = ids.iter().find(|id| self.events.iter().all(|event| event.id != **id)) {
            let known: Vec<&str> = self.events.iter().map(|event| event.id.as_str()).collect();
            let known = match known.is_empty() {
                true => "there are none".to_owned(),
                false => format!("events are {}", known.join(", ")),
            };
            return Err(EventError::new("id", format!("there is no event {unknown:?}: {known}")));
        }
        let mut cleared = 0;
        self.events = std::mem::take(&mut self.events)
            .into_iter()
            .filter_map(|scheduled| {
                if !ids.is_empty() && !ids.contains(&scheduled.id) {
                    return Some(scheduled);
                }
                match &scheduled.event {
                    Event::Maintenance(event) if event.ending(now).is_some() => Some(scheduled),
                    Event::Maintenance(event) if event.is_shown(now) => {
                        cleared += 1;
                        let event = imds::Maintenance { ended: Some((ending, now)), ..event.clone() };
                        Some(Arc::new(Scheduled {
                            id: scheduled.id.clone(),
                            event: Event::Maintenance(event),
                            audience: scheduled.audience.clone(),
                            origin: scheduled.origin,
                            spec: scheduled.spec.clone(),
                        }))
                    }
                    _ => {
                        cleared += 1;
                        None
                    }
                }
            })
            .collect();
        Ok(cleared)
    }

    /// Drops maintenance events that are over.
    pub(crate) fn forget_history(&mut self, now: Timestamp) {
        self.events.retain(|scheduled| match &scheduled.event {
            Event::Maintenance(event) => event.ending(now).is_none(),
            _ => true,
        });
    }

    /// A timeline without events that gives out ids after this one's.
    pub(crate) fn emptied(&self) -> Timeline {
        Timeline { events: Vec::new(), count: self.count }
    }

    /// Drops an event of the configuration that was written like this; nothing when it was cleared before.
    pub(crate) fn drop_configured(&mut self, spec: &EventSpec) {
        let is_it = |event: &Arc<Scheduled>| event.origin == Origin::Configuration && event.spec == *spec;
        if let Some(place) = self.events.iter().position(is_it) {
            self.events.remove(place);
        }
    }

    /// What `event list` and `status` show.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Value> {
        self.events.iter().map(|scheduled| shown(scheduled, now)).collect()
    }
}

/// The word an event's id begins with.
fn kind(event: &Event) -> &'static str {
    match event {
        Event::Spot(_) => "spot",
        Event::Rebalance { .. } => "rebalance",
        Event::Maintenance(_) => "maintenance",
        Event::Lifecycle { .. } => "lifecycle",
    }
}

fn shown(scheduled: &Scheduled, now: Timestamp) -> Value {
    let date = |at: Timestamp| imds::rfc3339(at);
    let mut value = match &scheduled.event {
        Event::Spot(spot) => {
            json!({ "action": spot.action.name(), "notice": date(spot.notice), "time": date(spot.time) })
        }
        Event::Rebalance { notice } => json!({ "notice": date(*notice) }),
        Event::Lifecycle { state, at } => {
            json!({ "target-lifecycle-state": state.name(), "time": date(*at) })
        }
        Event::Maintenance(event) => json!({
            "code": event.code.name(),
            "event-id": event.event_id,
            "notice": date(event.announced),
            "not-before": date(event.not_before),
            "not-after": event.not_after.map(date),
            "deadline": event.not_before_deadline.map(date),
        }),
    };
    let ending = match &scheduled.event {
        Event::Maintenance(event) => event.ending(now).map(Ending::name),
        _ => None,
    };
    let phase = ending.unwrap_or(if scheduled.event.begins() <= now { "in force" } else { "due" });
    let audience = &scheduled.audience;
    value["id"] = json!(scheduled.id);
    value["kind"] = json!(kind(&scheduled.event));
    value["phase"] = json!(phase);
    value["origin"] = json!(match scheduled.origin {
        Origin::Configuration => "configuration",
        Origin::Command => "command",
    });
    if !audience.only.is_empty() {
        value["only"] = json!(audience.only);
    }
    if let Some(first) = audience.first {
        value["first"] = json!(first);
        value["reached"] = json!(audience.admitted());
    }
    value
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn clock(now: &str) -> Clock {
        Clock { now: at(now), zone: Some(TimeZone::UTC) }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn add(timeline: &mut Timeline, text: &str) -> Result<String, String> {
        let spec: EventSpec = toml::from_str(text).unwrap();
        let count = u128::from(timeline.count);
        timeline.add(&spec, Origin::Command, &clock("10:00:00"), None, count).map_err(|e| e.to_string())
    }

    fn phases(timeline: &Timeline, now: &str) -> Vec<String> {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
        let list = timeline.list(at(now));
        list.iter().map(|event| format!("{} {}", text(event, "id"), text(event, "phase"))).collect()
    }

    #[test]
    fn a_second_interruption_of_the_same_callers_is_refused() {
        let mut timeline = Timeline::default();
        assert_eq!(add(&mut timeline, "kind = \"spot\"\nonly = \"a\"").unwrap(), "spot-1");
        assert_eq!(add(&mut timeline, "kind = \"spot\"\nonly = \"b\"").unwrap(), "spot-2");
        let refused = add(&mut timeline, "kind = \"spot\"").unwrap_err();
        assert!(refused.contains("fake-metadata event clear spot-1"), "{refused}");
        timeline.clear(&["spot-1".into(), "spot-2".into()], Ending::Canceled, at("10:00:00")).unwrap();
        assert_eq!(add(&mut timeline, "kind = \"spot\"").unwrap(), "spot-3");
    }

    #[test]
    fn impossible_transitions_are_refused_wherever_they_stand() {
        let mut timeline = Timeline::default();
        add(&mut timeline, "kind = \"lifecycle\"\nstate = \"InService\"").unwrap();
        add(&mut timeline, "kind = \"lifecycle\"\nstate = \"Terminated\"\nin = \"5m\"").unwrap();
        let refused =
            add(&mut timeline, "kind = \"lifecycle\"\nstate = \"InService\"\nin = \"6m\"").unwrap_err();
        assert_eq!(refused, "state: an instance cannot go from Terminated to InService");
        assert!(add(&mut timeline, "kind = \"lifecycle\"\nstate = \"Detached\"\nin = \"2m\"").is_err());
        add(&mut timeline, "kind = \"lifecycle\"\nstate = \"Standby\"\nin = \"2m\"").unwrap();
        let spec: EventSpec = toml::from_str("kind = \"lifecycle\"\nstate = \"InService\"").unwrap();
        let from_terminated = Timeline::default().add(
            &spec,
            Origin::Command,
            &clock("10:00:00"),
            Some(LifecycleState::Terminated),
            0,
        );
        assert!(from_terminated.is_err());
    }

    #[test]
    fn events_are_due_then_in_force_then_cleared() {
        let mut timeline = Timeline::default();
        add(&mut timeline, "kind = \"spot\"\nin = \"10m\"").unwrap();
        add(&mut timeline, "kind = \"rebalance\"").unwrap();
        assert_eq!(phases(&timeline, "10:00:00"), ["spot-1 due", "rebalance-2 in force"]);
        assert_eq!(phases(&timeline, "10:08:00"), ["spot-1 in force", "rebalance-2 in force"]);
        let refused = timeline.clear(&["spot-9".into()], Ending::Canceled, at("10:08:00")).unwrap_err();
        assert_eq!(refused.to_string(), "id: there is no event \"spot-9\": events are spot-1, rebalance-2");
        assert_eq!(timeline.clear(&[], Ending::Canceled, at("10:08:00")), Ok(2));
        assert!(timeline.events().is_empty());
    }

    #[test]
    fn maintenance_is_cleared_into_history_once_it_was_told() {
        let mut timeline = Timeline::default();
        let maintenance = "kind = \"maintenance\"\ncode = \"system-reboot\"\nnot-before = \"1h\"\n";
        add(&mut timeline, maintenance).unwrap();
        add(&mut timeline, &format!("{maintenance}in = \"30m\"")).unwrap();
        add(&mut timeline, &format!("{maintenance}canceled = \"5m\"")).unwrap();
        assert_eq!(timeline.clear(&[], Ending::Completed, at("10:10:00")), Ok(2));
        assert_eq!(phases(&timeline, "10:10:00"), ["maintenance-1 completed", "maintenance-3 canceled"]);
        timeline.forget_history(at("10:10:00"));
        assert!(timeline.events().is_empty());
        add(&mut timeline, &format!("{maintenance}event-id = \"x\"")).unwrap();
        assert!(add(&mut timeline, &format!("{maintenance}event-id = \"x\"")).is_err());
    }
}
