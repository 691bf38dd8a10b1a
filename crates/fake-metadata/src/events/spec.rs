//! One event as it is written, in `[[events]]`, in a script or on the command line, and the event it
//! comes to once it is known what time it is.

use imds::{Ending, Event, LifecycleState, Maintenance, MaintenanceCode, SpotAction, SpotInterruption};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::audience::Names;
use super::time::{Clock, When};

/// How long ahead things are when nobody says: a spot interruption by EC2's notice, maintenance by a day.
const MAINTENANCE_AHEAD: SignedDuration = SignedDuration::from_hours(24);

/// An event that cannot be, with the key that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub(crate) struct EventError {
    pub(crate) key: &'static str,
    pub(crate) message: String,
}

impl EventError {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        EventError { key, message: message.into() }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Spot,
    Rebalance,
    Maintenance,
    Lifecycle,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Spot => "spot",
            Kind::Rebalance => "rebalance",
            Kind::Maintenance => "maintenance",
            Kind::Lifecycle => "lifecycle",
        }
    }
}

/// `[[events]]`. `in` and `at` say when: when a spot instance is interrupted, when a rebalance notice or a
/// maintenance event is told, when an instance goes to another life cycle state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct EventSpec {
    /// What happens; the one key that every event needs.
    pub(crate) kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#in: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<When>,
    /// Spot: the notice is given at once, not two minutes before.
    pub(crate) now: bool,
    /// Spot: terminate, stop or hibernate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<String>,
    /// Life cycle: the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// Maintenance: EC2's code, and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<When>,
    /// `NotBeforeDeadline`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deadline: Option<When>,
    /// When it is completed, where that is not at `not-after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) completed: Option<When>,
    /// When it is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) canceled: Option<When>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// Only these callers: addresses or roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<Names>,
    /// Only the first so many addresses that ask for what it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first: Option<u32>,
}

/// A script of events: a file with `[[events]]` tables and nothing else.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    pub(crate) events: Vec<EventSpec>,
}

impl EventSpec {
    pub(crate) fn new(kind: Kind) -> Self {
        EventSpec { kind: Some(kind), ..EventSpec::default() }
    }

    /// The event with this specification, told to us now. `id` makes up the id of a maintenance event.
    ///
    /// # Errors
    /// Times in the past, values that are none, keys of another kind of event, and contradictions.
    pub(crate) fn resolve(&self, clock: &Clock, id: u128) -> Result<Event, EventError> {
        let kind = self.kind.ok_or_else(|| {
            EventError::new("kind", "an event needs a kind: spot, rebalance, maintenance or lifecycle")
        })?;
        self.only_keys_of(kind)?;
        if self.first == Some(0) {
            return Err(EventError::new("first", "0 callers would see nothing: give 1 or more"));
        }
        if self.only.as_ref().is_some_and(|names| names.0.is_empty()) {
            return Err(EventError::new(
                "only",
                "nobody is named: give an address or a role, or leave it out",
            ));
        }
        match kind {
            Kind::Spot => self.spot(clock),
            Kind::Rebalance => Ok(Event::Rebalance { notice: self.moment(clock)?.unwrap_or(clock.now) }),
            Kind::Maintenance => self.maintenance(clock, id),
            Kind::Lifecycle => {
                let state = named("state", self.state.as_deref(), LifecycleState::ALL, LifecycleState::name)?;
                Ok(Event::Lifecycle { state, at: self.moment(clock)?.unwrap_or(clock.now) })
            }
        }
    }

    /// A key whose date or time of the day is over, and that time.
    pub(crate) fn passed(&self, clock: &Clock) -> Option<(&'static str, &When)> {
        let times = [
            ("at", &self.at),
            ("not-before", &self.not_before),
            ("not-after", &self.not_after),
            ("deadline", &self.deadline),
            ("completed", &self.completed),
            ("canceled", &self.canceled),
        ];
        times.into_iter().find_map(|(key, when)| {
            when.as_ref().filter(|when| when.has_passed(clock)).map(|when| (key, when))
        })
    }

    /// The same specification, meaning the same to a process with another clock face.
    pub(crate) fn fixed(&self, clock: &Clock) -> Result<EventSpec, EventError> {
        let fix = |key: &'static str, when: &Option<When>| {
            when.as_ref().map(|w| w.fixed(clock)).transpose().map_err(|m| EventError::new(key, m))
        };
        Ok(EventSpec {
            r#in: fix("in", &self.r#in)?,
            at: fix("at", &self.at)?,
            not_before: fix("not-before", &self.not_before)?,
            not_after: fix("not-after", &self.not_after)?,
            deadline: fix("deadline", &self.deadline)?,
            completed: fix("completed", &self.completed)?,
            canceled: fix("canceled", &self.canceled)?,
            ..self.clone()
        })
    }

    fn only_keys_of(&self, kind: Kind) -> Result<(), EventError> {
        let foreign: [(&'static str, bool, Kind); 10] = [
            ("now", self.now, Kind::Spot),
            ("action", self.action.is_some(), Kind::Spot),
            ("state", self.state.is_some(), Kind::Lifecycle),
            ("code", self.code.is_some(), Kind::Maintenance),
            ("not-before", self.not_before.is_some(), Kind::Maintenance),
            ("not-after", self.not_after.is_some(), Kind::Maintenance),
            ("deadline", self.deadline.is_some(), Kind::Maintenance),
            ("completed", self.completed.is_some(), Kind::Maintenance),
            ("canceled", self.canceled.is_some(), Kind::Maintenance),
            ("event-id", self.event_id.is_some(), Kind::Maintenance),
        ];
        let description = [("description", self.description.is_some(), Kind::Maintenance)];
        match foreign.into_iter().chain(description).find(|(_, given, owner)| *given && *owner != kind) {
            Some((key, _, owner)) => Err(EventError::new(
                key,
                format!("belongs to {} events, this is a {} event", owner.name(), kind.name()),
            )),
            None => Ok(()),
        }
    }

    /// What `in` or `at` says.
    fn moment(&self, clock: &Clock) -> Result<Option<Timestamp>, EventError> {
        match (&self.r#in, &self.at) {
            (Some(_), Some(_)) => Err(EventError::new("at", "give either in or at, not both")),
            (Some(when), None) if !when.is_duration() => {
                Err(EventError::new("in", format!("{when} is no duration: write 90s or 2m, or give at")))
            }
            (Some(when), None) => moment("in", when, clock).map(Some),
            (None, Some(when)) => moment("at", when, clock).map(Some),
            (None, None) => Ok(None),
        }
    }

    fn spot(&self, clock: &Clock) -> Result<Event, EventError> {
        let action = match &self.action {
            None => SpotAction::Terminate,
            some => named("action", some.as_deref(), SpotAction::ALL, SpotAction::name)?,
        };
        let Clock { now, .. } = *clock;
        let hibernates = action == SpotAction::Hibernate;
        let ahead = if self.now && hibernates { SignedDuration::ZERO } else { imds::SPOT_NOTICE };
        let time = self.moment(clock)?.unwrap_or_else(|| later(now, ahead));
        let notice = match (self.now, hibernates) {
            (true, _) => now,
            (false, true) => time,
            (false, false) => time.checked_sub(imds::SPOT_NOTICE).unwrap_or(now).max(now),
        };
        Ok(Event::Spot(SpotInterruption { action, known: now, notice, time }))
    }

    fn maintenance(&self, clock: &Clock, id: u128) -> Result<Event, EventError> {
        let code = named("code", self.code.as_deref(), MaintenanceCode::ALL, MaintenanceCode::name)?;
        let at = |key: &'static str, when: &Option<When>| {
            when.as_ref().map(|when| moment(key, when, clock)).transpose()
        };
        let announced = self.moment(clock)?.unwrap_or(clock.now);
        let not_before =
            at("not-before", &self.not_before)?.unwrap_or_else(|| later(announced, MAINTENANCE_AHEAD));
        let not_after = at("not-after", &self.not_after)?;
        let deadline = at("deadline", &self.deadline)?;
        let completed = at("completed", &self.completed)?;
        let canceled = at("canceled", &self.canceled)?;
        let order = |key, late: Option<Timestamp>, early: Timestamp, message: &str| match late {
            Some(late) if late < early => Err(EventError::new(key, message)),
            _ => Ok(()),
        };
        order("not-before", Some(not_before), announced, "is before the event is announced")?;
        if not_after.is_some_and(|end| end <= not_before) {
            return Err(EventError::new("not-after", "must be later than not-before"));
        }
        order("deadline", deadline, not_before, "is before not-before, which it is the deadline of")?;
        order(
            "completed",
            completed,
            not_before,
            "is before not-before: what has not begun is not completed",
        )?;
        order("canceled", canceled, announced, "is before the event is announced")?;
        let ended = match (completed, canceled) {
            (Some(_), Some(_)) => {
                return Err(EventError::new("canceled", "an event is completed or canceled, not both"));
            }
            (completed, canceled) => {
                let completed = completed.map(|at| (Ending::Completed, at));
                completed.or(canceled.map(|at| (Ending::Canceled, at)))
            }
        };
        if let (Some((ending, at)), Some(end)) = (ended, not_after)
            && at > end
        {
            let key = if ending == Ending::Completed { "completed" } else { "canceled" };
            return Err(EventError::new(key, "is after not-after, when the event is over"));
        }
        let event_id = match &self.event_id {
            Some(id) => checked_id(id)?,
            // As long as EC2's: 17 hex digits.
            None => format!("instance-event-0{:016x}", id & u128::from(u64::MAX)),
        };
        Ok(Event::Maintenance(Maintenance {
            code,
            event_id,
            description: self.description.clone().unwrap_or_else(|| code.description().to_owned()),
            announced,
            not_before,
            not_after,
            not_before_deadline: deadline,
            ended,
        }))
    }
}

fn checked_id(id: &str) -> Result<String, EventError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || id.len() > 64 || !id.chars().all(fits) {
        let message =
            format!("{id:?}: write letters, digits and dashes, as in instance-event-0d59937288b749b32");
        return Err(EventError::new("event-id", message));
    }
    Ok(id.to_owned())
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

fn moment(key: &'static str, when: &When, clock: &Clock) -> Result<Timestamp, EventError> {
    when.resolve(clock).map_err(|message| EventError::new(key, message))
}

/// The value with that name.
fn named<T: Copy>(
    key: &'static str,
    given: Option<&str>,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, EventError> {
    let found = given.and_then(|given| all.iter().copied().find(|value| name(*value) == given));
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().copied().map(&name).collect();
        let what = given.map_or("is missing".to_owned(), |given| format!("{given:?} is not known"));
        EventError::new(key, format!("{what}: give one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn clock() -> Clock {
        Clock { now: at("10:00:00"), zone: Some(TimeZone::UTC) }
    }

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn resolve(text: &str) -> Result<Event, String> {
        let spec: EventSpec = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        spec.resolve(&clock(), 0xd599_3728_8b74_9b32).map_err(|e| e.to_string())
    }

    fn spot(text: &str) -> (Timestamp, Timestamp) {
        match resolve(&format!("kind = \"spot\"\n{text}")) {
            Ok(Event::Spot(spot)) => (spot.notice, spot.time),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_spot_notice_comes_two_minutes_before_or_at_once() {
        assert_eq!(spot(""), (at("10:00:00"), at("10:02:00")));
        assert_eq!(spot("in = \"10m\""), (at("10:08:00"), at("10:10:00")));
        assert_eq!(spot("in = \"10m\"\nnow = true"), (at("10:00:00"), at("10:10:00")));
        assert_eq!(spot("at = \"10:30\"\naction = \"stop\""), (at("10:28:00"), at("10:30:00")));
        assert_eq!(spot("in = \"30s\""), (at("10:00:00"), at("10:00:30")));
        assert_eq!(spot("action = \"hibernate\"\nin = \"5m\""), (at("10:05:00"), at("10:05:00")));
        assert_eq!(spot("action = \"hibernate\"\nnow = true"), (at("10:00:00"), at("10:00:00")));
    }

    #[test]
    fn maintenance_has_defaults_for_all_but_its_code() {
        let Ok(Event::Maintenance(event)) = resolve("kind = \"maintenance\"\ncode = \"system-reboot\"")
        else {
            panic!("a maintenance event");
        };
        assert_eq!(event.event_id, "instance-event-0d59937288b749b32");
        assert_eq!(
            (event.announced, event.not_before),
            (at("10:00:00"), "2026-11-22T10:00:00Z".parse().unwrap())
        );
        assert_eq!((event.not_after, event.not_before_deadline, event.ended), (None, None, None));
        assert_eq!(event.description, "scheduled reboot");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        let refused = |text: &str| resolve(text).unwrap_err();
        for (text, reason) in [
            ("", "kind: an event needs a kind"),
            ("kind = \"reboot\"", "unknown variant `reboot`, expected one of `spot`"),
            ("kind = \"spot\"\naction = \"explode\"", "give one of terminate, stop, hibernate"),
            ("kind = \"spot\"\nin = \"1m\"\nat = \"10:30\"", "at: give either in or at"),
            ("kind = \"spot\"\nin = \"10:30\"", "in: 10:30 is no duration"),
            ("kind = \"spot\"\nat = \"2020-01-01T00:00:00Z\"", "at: \"2020-01-01T00:00:00Z\" is in the past"),
            ("kind = \"spot\"\ncode = \"x\"", "code: belongs to maintenance events"),
            ("kind = \"rebalance\"\nnow = true", "now: belongs to spot events"),
            ("kind = \"lifecycle\"", "state: is missing: give one of Detached, InService"),
            ("kind = \"lifecycle\"\nstate = \"Gone\"", "\"Gone\" is not known: give one of Detached"),
            ("kind = \"spot\"\nfirst = 0", "first: 0 callers"),
            ("kind = \"spot\"\nonly = []", "only: nobody is named"),
            ("kind = \"spot\"\nonly = \"10.0.0.300\"", "an IP address or the name of a role"),
            ("kind = \"spot\"\nsoon = 1", "unknown field `soon`"),
        ] {
            assert!(refused(text).contains(reason), "{text:?}: {}", refused(text));
        }
    }

    #[test]
    fn maintenance_that_contradicts_itself_is_refused() {
        for (text, reason) in [
            ("", "code: is missing: give one of instance-reboot, system-reboot"),
            ("code = \"x\"", "code: \"x\" is not known"),
            ("not-before = \"2h\"\nnot-after = \"1h\"", "not-after: must be later than not-before"),
            ("not-before = \"2h\"\ndeadline = \"1h\"", "deadline: is before not-before"),
            ("not-before = \"1h\"\nin = \"2h\"", "not-before: is before the event is announced"),
            ("not-before = \"1h\"\ncompleted = \"30m\"", "completed: is before not-before"),
            ("not-before = \"1h\"\nnot-after = \"2h\"\ncompleted = \"3h\"", "completed: is after not-after"),
            ("not-before = \"1h\"\nnot-after = \"2h\"\ncanceled = \"3h\"", "canceled: is after not-after"),
            ("not-before = \"1h\"\ncompleted = \"2h\"\ncanceled = \"2h\"", "canceled: an event is"),
            ("event-id = \"a b\"", "event-id: \"a b\": write letters"),
        ] {
            let code =
                if text.contains("code") || text.is_empty() { "" } else { "code = \"system-reboot\"\n" };
            let refused = resolve(&format!("kind = \"maintenance\"\n{code}{text}")).unwrap_err();
            assert!(refused.contains(reason), "{text:?}: {refused}");
        }
    }

    #[test]
    fn a_specification_survives_the_way_to_the_daemon() {
        let text = "kind = \"maintenance\"\ncode = \"system-reboot\"\nnot-before = \"11:00\"\nin = \"5m\"\nonly = \"app\"\n";
        let spec: EventSpec = toml::from_str(text).unwrap();
        let sent = serde_json::to_string(&spec.fixed(&clock()).unwrap()).unwrap();
        let arrived: EventSpec = serde_json::from_str(&sent).unwrap();
        assert_eq!(arrived.resolve(&clock(), 1), spec.resolve(&clock(), 1));
        assert!(sent.contains("2026-11-21T11:00:00Z"), "{sent}");
    }
}
