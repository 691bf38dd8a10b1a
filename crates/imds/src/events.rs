//! Spot interruptions, rebalance recommendations, maintenance events and Auto Scaling transitions: what each
//! puts into the tree, and from when to when.
//!
//! Everything here is a function of the events and the time. [`in_force`] says what the tree shows now and when
//! that changes next; whoever holds the trees applies the one and waits for the other. Who gets to see an event
//! (`only`, `first`) is carried along and decided by the front.

mod spec;
mod when;

use jiff::{SignedDuration, Timestamp};

use crate::documents::{self, Maintenance};
use crate::tree::Overrides;

pub use spec::{EventError, EventSpec, EventType, SpotAction};
pub use when::When;

/// How long before an interruption EC2 tells (stop and terminate; hibernation begins with the notice).
const SPOT_NOTICE: SignedDuration = SignedDuration::from_secs(120);

/// An event, its times fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What commands call it.
    pub id: String,
    /// When the instance is told: nothing but the life cycle shows before.
    pub notice: Timestamp,
    /// What it is.
    pub kind: EventKind,
    /// Addresses and roles that see it; everybody when empty.
    pub only: Vec<String>,
    /// How many callers see it, the first ones to ask; all when not given.
    pub first: Option<u32>,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `spot/instance-action`, for a termination `spot/termination-time` too; `instance-life-cycle` is `spot`.
    Spot {
        /// What happens to the instance.
        action: SpotAction,
        /// When it happens.
        time: Timestamp,
    },
    /// `events/recommendations/rebalance`, with the notice as its time; `instance-life-cycle` is `spot`.
    Rebalance,
    /// An entry of `events/maintenance/scheduled`, later of `events/maintenance/history`.
    Maintenance(MaintenanceEvent),
    /// `autoscaling/target-lifecycle-state`, until a later one.
    Lifecycle {
        /// Such as `Terminated`.
        state: String,
    },
}

/// A scheduled maintenance event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceEvent {
    /// `instance-reboot`, `system-reboot`, `system-maintenance`, `instance-retirement` or `instance-stop`.
    pub code: String,
    /// EC2's sentence.
    pub description: String,
    /// `instance-event-` and 17 hex digits.
    pub event_id: String,
    /// The earliest start.
    pub not_before: Timestamp,
    /// The latest end; a retirement has none.
    pub not_after: Option<Timestamp>,
    /// The latest time to which the start can be moved.
    pub not_before_deadline: Option<Timestamp>,
    /// When it was called off.
    pub canceled: Option<Timestamp>,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The notice is still to come.
    Pending,
    /// The tree shows it.
    Active,
    /// Maintenance that is over, shown in the history; a lifecycle state that a later one took over from.
    Completed,
    /// Maintenance that was called off, shown in the history.
    Canceled,
}

impl Phase {
    /// As `event list` prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Pending => "pending",
            Phase::Active => "active",
            Phase::Completed => "completed",
            Phase::Canceled => "canceled",
        }
    }
}

impl MaintenanceEvent {
    /// When it is over: at its end, or where it has none at its start.
    pub fn end(&self) -> Timestamp {
        self.not_after.unwrap_or(self.not_before)
    }

    fn phase(&self, notice: Timestamp, now: Timestamp) -> Phase {
        match self.canceled {
            _ if now < notice => Phase::Pending,
            // What is over cannot be called off.
            Some(canceled) if canceled <= now && canceled < self.end() => Phase::Canceled,
            _ if now < self.end() => Phase::Active,
            _ => Phase::Completed,
        }
    }

    fn printed(&self, phase: Phase) -> Maintenance<'_> {
        let (prefix, state) = match phase {
            Phase::Completed => ("[Completed] ", "completed"),
            Phase::Canceled => ("[Canceled] ", "canceled"),
            Phase::Pending | Phase::Active => ("", "active"),
        };
        Maintenance {
            not_before: self.not_before,
            not_after: self.not_after,
            not_before_deadline: self.not_before_deadline,
            code: &self.code,
            description: format!("{prefix}{}", self.description),
            event_id: &self.event_id,
            state,
        }
    }
}

impl Event {
    /// Where the event stands by itself; a later lifecycle state or spot event is not looked at.
    pub fn phase(&self, now: Timestamp) -> Phase {
        match &self.kind {
            EventKind::Maintenance(event) => event.phase(self.notice, now),
            _ if now < self.notice => Phase::Pending,
            _ => Phase::Active,
        }
    }

    /// The instants at which what it shows changes.
    fn changes(&self) -> impl Iterator<Item = Timestamp> {
        let (end, canceled) = match &self.kind {
            EventKind::Maintenance(event) => (Some(event.end()), event.canceled),
            _ => (None, None),
        };
        [Some(self.notice), end, canceled].into_iter().flatten()
    }

    /// Calls maintenance off at `now`; `false` for what is over or was called off before, and for other kinds.
    pub fn cancel(&mut self, now: Timestamp) -> bool {
        let phase = self.phase(now);
        match &mut self.kind {
            EventKind::Maintenance(event) if matches!(phase, Phase::Pending | Phase::Active) => {
                event.canceled = Some(now);
                true
            }
            _ => false,
        }
    }
}

/// What the tree shows of some events at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// The changes to the tree.
    pub edits: Overrides,
    /// When they change next; never again when `None`.
    pub next_change: Option<Timestamp>,
}

/// What `events` (those that one caller sees) put into the tree at `now`.
pub fn in_force<'a>(events: impl IntoIterator<Item = &'a Event>, now: Timestamp) -> InForce {
    let events: Vec<&Event> = events.into_iter().collect();
    let next_change = events.iter().flat_map(|event| event.changes()).filter(|at| *at > now).min();
    let mut edits = Overrides::default();
    let mut show = |path: &'static str, value: String| {
        edits.set(path, value).expect("the paths of this file are well-formed");
    };
    // The latest notice wins; of two at once the one that was given later.
    let latest = |wanted: fn(&EventKind) -> bool| {
        let told = events.iter().filter(|event| event.notice <= now && wanted(&event.kind));
        told.max_by_key(|event| event.notice).copied()
    };
    if events.iter().any(|event| matches!(event.kind, EventKind::Spot { .. } | EventKind::Rebalance)) {
        // Nothing but a Spot Instance is interrupted or told to rebalance, and it is one from its launch.
        show("meta-data/instance-life-cycle", "spot".to_owned());
    }
    if let Some(Event { kind: EventKind::Spot { action, time }, .. }) =
        latest(|kind| matches!(kind, EventKind::Spot { .. }))
    {
        show("meta-data/spot/instance-action", documents::spot_action(action.as_str(), *time));
        if *action == SpotAction::Terminate {
            show("meta-data/spot/termination-time", crate::date::rfc3339(*time));
        }
    }
    if let Some(event) = latest(|kind| matches!(kind, EventKind::Rebalance)) {
        show("meta-data/events/recommendations/rebalance", documents::rebalance(event.notice));
    }
    if let Some(Event { kind: EventKind::Lifecycle { state }, .. }) =
        latest(|kind| matches!(kind, EventKind::Lifecycle { .. }))
    {
        show("meta-data/autoscaling/target-lifecycle-state", state.clone());
    }
    let (scheduled, history) = maintenance(&events, now);
    if !scheduled.is_empty() {
        show("meta-data/events/maintenance/scheduled", documents::maintenance(&scheduled));
    }
    if !history.is_empty() {
        show("meta-data/events/maintenance/history", documents::maintenance(&history));
    }
    InForce { edits, next_change }
}

/// Maintenance that is to come or under way, and maintenance that is over, each by its start.
fn maintenance<'a>(events: &[&'a Event], now: Timestamp) -> (Vec<Maintenance<'a>>, Vec<Maintenance<'a>>) {
    let mut told: Vec<(&MaintenanceEvent, Phase)> = events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Maintenance(kind) => Some((kind, kind.phase(event.notice, now))),
            _ => None,
        })
        .collect();
    told.sort_by_key(|(event, _)| event.not_before);
    let printed = |wanted: fn(Phase) -> bool| {
        let of_phase = told.iter().filter(|(_, phase)| wanted(*phase));
        of_phase.map(|(event, phase)| event.printed(*phase)).collect()
    };
    (
        printed(|phase| phase == Phase::Active),
        printed(|phase| matches!(phase, Phase::Completed | Phase::Canceled)),
    )
}

/// Where each of `events` stands at `now`, in their order: as [`Event::phase`], but of several lifecycle states
/// (or spot events, or rebalance notices) that were told only the latest is active.
pub fn phases(events: &[Event], now: Timestamp) -> Vec<Phase> {
    let superseded = |at: usize, event: &Event| {
        events.iter().enumerate().any(|(other_at, other)| {
            let same = std::mem::discriminant(&other.kind) == std::mem::discriminant(&event.kind);
            let later = (other.notice, other_at) > (event.notice, at);
            same && later && other.notice <= now && !matches!(event.kind, EventKind::Maintenance(_))
        })
    };
    let phase = |(at, event): (usize, &Event)| match event.phase(now) {
        Phase::Active if superseded(at, event) => Phase::Completed,
        phase => phase,
    };
    events.iter().enumerate().map(phase).collect()
}
