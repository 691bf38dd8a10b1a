//! Events as they are asked for: in `[[events]]`, in a script, on the command line and over the control socket.
//!
//! One flat table for every type, so that each refusal names its key. Times may be relative; they are fixed
//! against the moment the event is given.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Event, EventKind, MaintenanceEvent, SPOT_NOTICE, When};
use crate::instance::LIFECYCLE_STATES;

/// An event that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct EventError {
    /// The key of the event's table.
    pub key: &'static str,
    /// What is wrong with it and what is allowed.
    pub message: String,
}

fn refuse<T>(key: &'static str, message: impl Into<String>) -> Result<T, EventError> {
    Err(EventError { key, message: message.into() })
}

/// What kind of event is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventType {
    /// A Spot interruption.
    Spot,
    /// A rebalance recommendation.
    Rebalance,
    /// Scheduled maintenance.
    Maintenance,
    /// An Auto Scaling target lifecycle state.
    Lifecycle,
}

/// What a Spot interruption does to the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpotAction {
    /// It is terminated.
    Terminate,
    /// It is stopped.
    Stop,
    /// It is hibernated.
    Hibernate,
}

impl SpotAction {
    /// As in `spot/instance-action`.
    pub fn as_str(self) -> &'static str {
        match self {
            SpotAction::Terminate => "terminate",
            SpotAction::Stop => "stop",
            SpotAction::Hibernate => "hibernate",
        }
    }
}

/// An event as it is written. Which keys it takes depends on its type; others are refused.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EventSpec {
    /// The type.
    #[serde(rename = "type")]
    pub event_type: EventType,
    /// What commands call it; made up when left out.
    #[serde(default)]
    pub id: Option<String>,
    /// When it happens (spot: the interruption; maintenance: the announcement; else the notice). Now when
    /// neither this nor `in` is given, but for spot, where the notice then comes at once and the interruption
    /// two minutes later.
    #[serde(default)]
    pub at: Option<When>,
    /// The same, written as a delay.
    #[serde(default, rename = "in")]
    pub after: Option<When>,
    /// spot: give the notice at once, however far the interruption is.
    #[serde(default)]
    pub now: bool,
    /// spot: `terminate` when left out.
    #[serde(default)]
    pub action: Option<SpotAction>,
    /// maintenance: `system-reboot` when left out.
    #[serde(default)]
    pub code: Option<String>,
    /// maintenance: EC2's sentence for the code when left out.
    #[serde(default)]
    pub description: Option<String>,
    /// maintenance: made up when left out.
    #[serde(default)]
    pub event_id: Option<String>,
    /// maintenance: the earliest start; now when left out.
    #[serde(default)]
    pub not_before: Option<When>,
    /// maintenance: the latest end; none when left out, and then it is over at its start.
    #[serde(default)]
    pub not_after: Option<When>,
    /// maintenance: the latest time to which the start can be moved (`NotBeforeDeadline`).
    #[serde(default)]
    pub deadline: Option<When>,
    /// maintenance: when it is called off.
    #[serde(default)]
    pub cancel: Option<When>,
    /// lifecycle: the target state.
    #[serde(default)]
    pub state: Option<String>,
    /// Addresses, networks and roles that see it; everybody when left out.
    #[serde(default)]
    pub only: Vec<String>,
    /// How many callers see it, the first ones to ask.
    #[serde(default)]
    pub first: Option<u32>,
}

/// EC2's event codes and what it says of each.
const CODES: [(&str, &str); 5] = [
    ("instance-reboot", "scheduled reboot"),
    ("system-reboot", "scheduled reboot"),
    ("system-maintenance", "scheduled maintenance"),
    ("instance-retirement", "The instance is running on degraded hardware"),
    ("instance-stop", "The instance is running on degraded hardware"),
];

impl EventSpec {
    /// An event of that type with nothing else said.
    pub fn new(event_type: EventType) -> EventSpec {
        EventSpec {
            event_type,
            id: None,
            at: None,
            after: None,
            now: false,
            action: None,
            code: None,
            description: None,
            event_id: None,
            not_before: None,
            not_after: None,
            deadline: None,
            cancel: None,
            state: None,
            only: Vec::new(),
            first: None,
        }
    }

    /// Fixes the times against `base` (the start of the daemon, or the moment of the command), reads clock times
    /// in `zone`, and names the event `id` unless it has a name. Times before `base` are refused, and so is
    /// what cannot be together with `others`, which are there already.
    pub fn resolve(
        &self,
        id: &str,
        base: Timestamp,
        zone: &TimeZone,
        others: &[Event],
    ) -> Result<Event, EventError> {
        self.check_keys()?;
        let times = Times { base, zone };
        let id = self.id.clone().unwrap_or_else(|| id.to_owned());
        if others.iter().any(|other| other.id == id) {
            return refuse("id", format!("{id:?} is taken; give it another, or clear that event first"));
        }
        if self.first == Some(0) {
            return refuse("first", "0 callers would never see it; give 1 or more, or leave it out");
        }
        let time = match (&self.at, &self.after) {
            (Some(_), Some(_)) => return refuse("at", "keep one of at and in"),
            (Some(at), None) => Some(times.fix("at", at)?),
            (None, Some(after)) => Some(times.fix("in", after)?),
            (None, None) => None,
        };
        let (notice, kind) = match self.event_type {
            EventType::Spot => self.spot(time, base, others)?,
            EventType::Rebalance => (time.unwrap_or(base), EventKind::Rebalance),
            EventType::Maintenance => {
                let notice = time.unwrap_or(base);
                (notice, EventKind::Maintenance(self.maintenance(&id, notice, &times)?))
            }
            EventType::Lifecycle => (time.unwrap_or(base), self.lifecycle()?),
        };
        Ok(Event { id, notice, kind, only: self.only.clone(), first: self.first })
    }

    fn check_keys(&self) -> Result<(), EventError> {
        use EventType::{Lifecycle, Maintenance, Spot};
        for (key, given, of) in [
            ("now", self.now, Spot),
            ("action", self.action.is_some(), Spot),
            ("code", self.code.is_some(), Maintenance),
            ("description", self.description.is_some(), Maintenance),
            ("event-id", self.event_id.is_some(), Maintenance),
            ("not-before", self.not_before.is_some(), Maintenance),
            ("not-after", self.not_after.is_some(), Maintenance),
            ("deadline", self.deadline.is_some(), Maintenance),
            ("cancel", self.cancel.is_some(), Maintenance),
            ("state", self.state.is_some(), Lifecycle),
        ] {
            if given && self.event_type != of {
                let message = format!("is for {} events, not for {}", of.as_str(), self.event_type.as_str());
                return refuse(key, message);
            }
        }
        Ok(())
    }

    fn spot(
        &self,
        time: Option<Timestamp>,
        base: Timestamp,
        others: &[Event],
    ) -> Result<(Timestamp, EventKind), EventError> {
        if let Some(other) = others.iter().find(|other| matches!(other.kind, EventKind::Spot { .. })) {
            let message =
                format!("an instance is interrupted once; clear the spot event {:?} first", other.id);
            return refuse("type", message);
        }
        let action = self.action.unwrap_or(SpotAction::Terminate);
        let lead = match action {
            SpotAction::Hibernate => jiff::SignedDuration::ZERO,
            SpotAction::Stop | SpotAction::Terminate => SPOT_NOTICE,
        };
        let time = match time {
            Some(time) => time,
            None => base.checked_add(lead).or_else(|_| refuse("at", "past the end of the calendar"))?,
        };
        let notice = match self.now {
            true => base,
            false => time.checked_sub(lead).unwrap_or(base).max(base),
        };
        Ok((notice, EventKind::Spot { action, time }))
    }

    fn maintenance(
        &self,
        id: &str,
        notice: Timestamp,
        times: &Times<'_>,
    ) -> Result<MaintenanceEvent, EventError> {
        let code = self.code.clone().unwrap_or_else(|| "system-reboot".to_owned());
        let Some((_, description)) = CODES.iter().find(|(known, _)| *known == code) else {
            let codes: Vec<&str> = CODES.iter().map(|(known, _)| *known).collect();
            return refuse("code", format!("{code:?} is not one of {}", codes.join(", ")));
        };
        let fix = |key, when: &Option<When>| when.as_ref().map(|when| times.fix(key, when)).transpose();
        let not_before = fix("not-before", &self.not_before)?.unwrap_or(notice);
        let event = MaintenanceEvent {
            description: self.description.clone().unwrap_or_else(|| (*description).to_owned()),
            event_id: self.event_id.clone().unwrap_or_else(|| made_up_id(id, not_before)),
            not_after: fix("not-after", &self.not_after)?,
            not_before_deadline: fix("deadline", &self.deadline)?,
            canceled: fix("cancel", &self.cancel)?,
            code,
            not_before,
        };
        if event.end() < notice {
            return refuse("at", "the event would be over before it is announced; announce it earlier");
        }
        if event.not_after.is_some_and(|end| end < not_before) {
            return refuse("not-after", "is before not-before");
        }
        if event.not_before_deadline.is_some_and(|deadline| deadline < not_before) {
            return refuse("deadline", "is before not-before");
        }
        if event.canceled.is_some_and(|canceled| canceled < notice || canceled >= event.end()) {
            return refuse("cancel", "must lie between the announcement and the end of the event");
        }
        Ok(event)
    }

    fn lifecycle(&self) -> Result<EventKind, EventError> {
        match &self.state {
            Some(state) if LIFECYCLE_STATES.contains(&state.as_str()) => {
                Ok(EventKind::Lifecycle { state: state.clone() })
            }
            Some(state) => {
                refuse("state", format!("{state:?} is not one of {}", LIFECYCLE_STATES.join(", ")))
            }
            None => refuse("state", format!("is missing; give one of {}", LIFECYCLE_STATES.join(", "))),
        }
    }
}

impl EventType {
    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            EventType::Spot => "spot",
            EventType::Rebalance => "rebalance",
            EventType::Maintenance => "maintenance",
            EventType::Lifecycle => "lifecycle",
        }
    }
}

/// What times are fixed against.
struct Times<'a> {
    base: Timestamp,
    zone: &'a TimeZone,
}

impl Times<'_> {
    fn fix(&self, key: &'static str, when: &When) -> Result<Timestamp, EventError> {
        match when.from(self.base, self.zone) {
            None => refuse(key, "past the end of the calendar"),
            Some(at) if at < self.base => refuse(key, format!("{} is in the past", crate::date::rfc3339(at))),
            Some(at) => Ok(at),
        }
    }
}

/// `instance-event-` and 17 hex digits, the same for the same event.
fn made_up_id(id: &str, not_before: Timestamp) -> String {
    let hash = Sha256::digest(format!("{id}\n{not_before}"));
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("instance-event-0{hex}")
}
