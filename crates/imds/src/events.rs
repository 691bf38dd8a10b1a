//! What happens to an instance, and what its metadata shows of it at any one moment.
//!
//! Events are data with times in them; [`in_force`] turns them and a time into changes of the tree, and says
//! when the next change is due. Whether an event is possible beside others is not decided here.
//! Shapes and presence of each path: reference sections 4.2 and 5.5 to 5.7.

use jiff::{SignedDuration, Timestamp};

use crate::documents;
use crate::tree::{Override, Overrides};

/// How long before a spot interruption that stops or terminates EC2 gives notice. A hibernation begins with
/// its notice.
pub const SPOT_NOTICE: SignedDuration = SignedDuration::from_secs(120);

/// Something that happens to an instance at known times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `spot/`, and an `instance-life-cycle` of `spot`.
    Spot(SpotInterruption),
    /// `events/recommendations/rebalance`.
    Rebalance {
        /// `noticeTime`, and the moment from which the notice is shown.
        notice: Timestamp,
    },
    /// `events/maintenance/`.
    Maintenance(Maintenance),
    /// `autoscaling/target-lifecycle-state`.
    Lifecycle {
        /// The state the instance goes to.
        state: LifecycleState,
        /// When it does.
        at: Timestamp,
    },
}

/// A spot instance that EC2 takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpotInterruption {
    /// What becomes of the instance.
    pub action: SpotAction,
    /// From when on the instance is a spot instance.
    pub known: Timestamp,
    /// From when on the interruption is announced.
    pub notice: Timestamp,
    /// When it happens: the time in `spot/instance-action`.
    pub time: Timestamp,
}

/// The names that a value has in metadata and on the command line.
macro_rules! names {
    ($type:ty { $($variant:ident => $name:literal,)+ }) => {
        impl $type {
            /// Every value.
            pub const ALL: &[$type] = &[$(<$type>::$variant,)+];

            /// The name, as EC2 writes it.
            pub fn name(self) -> &'static str {
                match self { $(<$type>::$variant => $name,)+ }
            }

            /// The value of exactly that name.
            pub fn named(name: &str) -> Option<$type> {
                <$type>::ALL.iter().copied().find(|value| value.name() == name)
            }
        }
    };
}

/// What a spot interruption does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpotAction {
    /// `terminate`; the one action that shows `spot/termination-time`.
    Terminate,
    /// `stop`
    Stop,
    /// `hibernate`
    Hibernate,
}

names!(SpotAction { Terminate => "terminate", Stop => "stop", Hibernate => "hibernate", });

/// A maintenance event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// What is done.
    pub code: MaintenanceCode,
    /// `instance-event-` and 17 hex digits.
    pub event_id: String,
    /// A sentence for people.
    pub description: String,
    /// From when on it is listed.
    pub announced: Timestamp,
    /// The earliest start.
    pub not_before: Timestamp,
    /// The latest end. Then the event is completed, where nothing else ended it.
    pub not_after: Option<Timestamp>,
    /// Until when `not_before` may be moved.
    pub not_before_deadline: Option<Timestamp>,
    /// How and when it ends other than at `not_after`. A cancellation before `announced` leaves nothing.
    pub ended: Option<(Ending, Timestamp)>,
}

/// EC2's codes of maintenance events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaintenanceCode {
    /// `instance-reboot`
    InstanceReboot,
    /// `system-reboot`
    SystemReboot,
    /// `system-maintenance`
    SystemMaintenance,
    /// `instance-retirement`
    InstanceRetirement,
    /// `instance-stop`
    InstanceStop,
}

names!(MaintenanceCode {
    InstanceReboot => "instance-reboot",
    SystemReboot => "system-reboot",
    SystemMaintenance => "system-maintenance",
    InstanceRetirement => "instance-retirement",
    InstanceStop => "instance-stop",
});

impl MaintenanceCode {
    /// A description in the manner of EC2's. Its own for a reboot is the one in reference 5.7; those of the
    /// others in metadata are not known, so they say what EC2's API and user guide say of them.
    pub fn description(self) -> &'static str {
        match self {
            MaintenanceCode::InstanceReboot | MaintenanceCode::SystemReboot => "scheduled reboot",
            MaintenanceCode::SystemMaintenance => "scheduled maintenance",
            MaintenanceCode::InstanceRetirement | MaintenanceCode::InstanceStop => {
                "The instance is running on degraded hardware"
            }
        }
    }
}

/// How a maintenance event leaves the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// `completed`
    Completed,
    /// `canceled`
    Canceled,
}

names!(Ending { Completed => "completed", Canceled => "canceled", });

impl Ending {
    /// What EC2 puts before the description.
    fn prefix(self) -> &'static str {
        match self {
            Ending::Completed => "[Completed] ",
            Ending::Canceled => "[Canceled] ",
        }
    }
}

/// The values of `autoscaling/target-lifecycle-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LifecycleState {
    /// `Detached`
    Detached,
    /// `InService`
    InService,
    /// `Standby`
    Standby,
    /// `Terminated`
    Terminated,
    /// `Warmed:Hibernated`
    WarmedHibernated,
    /// `Warmed:Running`
    WarmedRunning,
    /// `Warmed:Stopped`
    WarmedStopped,
    /// `Warmed:Terminated`
    WarmedTerminated,
}

names!(LifecycleState {
    Detached => "Detached",
    InService => "InService",
    Standby => "Standby",
    Terminated => "Terminated",
    WarmedHibernated => "Warmed:Hibernated",
    WarmedRunning => "Warmed:Running",
    WarmedStopped => "Warmed:Stopped",
    WarmedTerminated => "Warmed:Terminated",
});

impl LifecycleState {
    /// Whether an instance with this target state can be given that one next. To stay is possible. Source: the
    /// life cycle of Auto Scaling instances and of warm pools in Auto Scaling's user guide.
    pub fn can_become(self, next: LifecycleState) -> bool {
        use LifecycleState::*;
        match (self, next) {
            (one, other) if one == other => true,
            (Terminated | WarmedTerminated, _) => false,
            (Detached, _) => next == InService,
            (Standby, _) => matches!(next, InService | Terminated | Detached),
            (InService, _) => next != WarmedTerminated,
            (WarmedHibernated | WarmedRunning | WarmedStopped, _) => {
                !matches!(next, Detached | Standby | Terminated)
            }
        }
    }
}

impl Maintenance {
    /// How the event has left the schedule by `now`, if it has.
    pub fn ending(&self, now: Timestamp) -> Option<Ending> {
        let completed = self.not_after.map(|at| (Ending::Completed, at));
        // Whichever comes first; something that completed cannot be cancelled later.
        let first = [self.ended, completed].into_iter().flatten().min_by_key(|(_, at)| *at);
        first.filter(|(_, at)| *at <= now).map(|(ending, _)| ending)
    }

    /// Whether the event is in either list at `now`.
    pub fn is_shown(&self, now: Timestamp) -> bool {
        let never_announced =
            self.ended.is_some_and(|(ending, at)| ending == Ending::Canceled && at < self.announced);
        self.announced <= now && !never_announced
    }

    fn printed(&self, now: Timestamp) -> documents::Maintenance<'_> {
        let ending = self.ending(now);
        documents::Maintenance {
            not_before: self.not_before,
            not_after: self.not_after,
            not_before_deadline: self.not_before_deadline,
            code: self.code.name(),
            description: format!("{}{}", ending.map_or("", Ending::prefix), self.description),
            event_id: &self.event_id,
            state: ending.map_or("active", Ending::name),
        }
    }
}

impl Event {
    /// The moments at which what the event shows changes, in no particular order.
    fn moments(&self) -> [Option<Timestamp>; 3] {
        match self {
            Event::Spot(spot) => [Some(spot.known), Some(spot.notice), None],
            Event::Rebalance { notice: at } | Event::Lifecycle { at, .. } => [Some(*at), None, None],
            Event::Maintenance(event) => {
                [Some(event.announced), event.not_after, event.ended.map(|(_, at)| at)]
            }
        }
    }

    /// When the event is first told of: the notice, the announcement, the transition.
    pub fn begins(&self) -> Timestamp {
        match self {
            Event::Spot(spot) => spot.notice,
            Event::Rebalance { notice: at } | Event::Lifecycle { at, .. } => *at,
            Event::Maintenance(event) => event.announced,
        }
    }

    /// The paths whose answers the event changes, below a version's root.
    pub fn paths(&self) -> &'static [&'static str] {
        match self {
            Event::Spot(_) => &[LIFE_CYCLE, "meta-data/spot"],
            Event::Rebalance { .. } => &[REBALANCE],
            Event::Maintenance(_) => &["meta-data/events/maintenance"],
            Event::Lifecycle { .. } => &[LIFECYCLE_STATE],
        }
    }
}

const LIFE_CYCLE: &str = "meta-data/instance-life-cycle";
const INSTANCE_ACTION: &str = "meta-data/spot/instance-action";
const TERMINATION_TIME: &str = "meta-data/spot/termination-time";
const REBALANCE: &str = "meta-data/events/recommendations/rebalance";
const SCHEDULED: &str = "meta-data/events/maintenance/scheduled";
const HISTORY: &str = "meta-data/events/maintenance/history";
const LIFECYCLE_STATE: &str = "meta-data/autoscaling/target-lifecycle-state";

/// What events do to the metadata at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// The changes to the tree.
    pub edits: Overrides,
    /// The next moment at which they are others; `None` when nothing more is to come.
    pub next: Option<Timestamp>,
}

/// What `events` do to the metadata at the time `now`. Of several spot interruptions or rebalance notices at
/// once the one told of last is shown, of several life cycle states the latest; of those at the same moment,
/// the last of the list.
pub fn in_force<'a>(events: impl IntoIterator<Item = &'a Event>, now: Timestamp) -> InForce {
    let events: Vec<&Event> = events.into_iter().collect();
    let mut edits = Overrides::default();
    let mut put = |path: &str, value: String| {
        edits.set(path, value).expect("the paths of events are fixed and can be set");
    };
    let mut by_time = events.clone();
    by_time.sort_by_key(|event| event.begins());
    for event in by_time {
        match event {
            Event::Spot(spot) => {
                if spot.known <= now {
                    put(LIFE_CYCLE, "spot".to_owned());
                }
            }
            Event::Rebalance { notice } if *notice <= now => put(REBALANCE, documents::rebalance(*notice)),
            Event::Lifecycle { state, at } if *at <= now => put(LIFECYCLE_STATE, state.name().to_owned()),
            Event::Rebalance { .. } | Event::Lifecycle { .. } | Event::Maintenance(_) => {}
        }
    }
    let spots = events.iter().filter_map(|event| match event {
        Event::Spot(spot) if spot.notice <= now => Some(spot),
        _ => None,
    });
    // One interruption is shown whole: an earlier one's termination time must not stay beside it.
    if let Some(spot) = spots.max_by_key(|spot| spot.notice) {
        put(INSTANCE_ACTION, documents::spot_action(spot.action.name(), spot.time));
        if spot.action == SpotAction::Terminate {
            put(TERMINATION_TIME, crate::date::rfc3339(spot.time));
        }
    }
    let (over, scheduled): (Vec<&Maintenance>, Vec<&Maintenance>) = maintenance(&events, now);
    for (path, list) in [(HISTORY, over), (SCHEDULED, scheduled)] {
        if !list.is_empty() {
            let printed: Vec<_> = list.into_iter().map(|event| event.printed(now)).collect();
            put(path, documents::maintenance(&printed));
        }
    }
    let next = events.iter().flat_map(|event| event.moments()).flatten().filter(|at| *at > now).min();
    InForce { edits, next }
}

/// The maintenance events that are over at `now`, and those that are not, each by their start.
fn maintenance<'a>(events: &[&'a Event], now: Timestamp) -> (Vec<&'a Maintenance>, Vec<&'a Maintenance>) {
    let mut shown: Vec<&Maintenance> = events
        .iter()
        .filter_map(|event| match event {
            Event::Maintenance(event) if event.is_shown(now) => Some(event),
            _ => None,
        })
        .collect();
    shown.sort_by_key(|event| event.not_before);
    shown.into_iter().partition(|event| event.ending(now).is_some())
}

impl InForce {
    /// The paths that hold something of the events, in order; for a log line or a status.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        self.edits.iter().filter(|(_, edit)| matches!(edit, Override::Value(_))).map(|(path, _)| path)
    }
}

#[cfg(test)]
mod tests;
