//! Each event at each moment, and what a whole tree shows of it.

use proptest::prelude::*;

use super::*;
use crate::{Delivery, Instance, InstanceSpec, Outcome, RoleEntry, Snapshot, TokenKey, Trees};

fn at(text: &str) -> Timestamp {
    format!("2026-11-21T{text}Z").parse().unwrap()
}

fn shown(events: &[Event], now: &str) -> Vec<(String, String)> {
    let edits = in_force(events, at(now)).edits;
    edits
        .iter()
        .map(|(path, edit)| match edit {
            Override::Value(value) => (path, String::from_utf8(value.to_vec()).unwrap()),
            Override::Remove => (path, "removed".to_owned()),
        })
        .collect()
}

fn spot(action: SpotAction) -> Event {
    Event::Spot(SpotInterruption {
        action,
        known: at("10:00:00"),
        notice: at("10:08:00"),
        time: at("10:10:00"),
    })
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_spot_interruption_is_a_life_cycle_then_a_notice() {
    let events = [spot(SpotAction::Terminate)];
    let life_cycle = ("meta-data/instance-life-cycle", "spot");
    assert_eq!(shown(&events, "09:59:59.999"), []);
    assert_eq!(shown(&events, "10:00:00"), pairs(&[life_cycle]));
    assert_eq!(shown(&events, "10:07:59.999"), pairs(&[life_cycle]));
    let whole = pairs(&[
        life_cycle,
        ("meta-data/spot/instance-action", "{\"action\": \"terminate\", \"time\": \"2026-11-21T10:10:00Z\"}"),
        ("meta-data/spot/termination-time", "2026-11-21T10:10:00Z"),
    ]);
    assert_eq!(shown(&events, "10:08:00"), whole);
    assert_eq!(shown(&events, "23:00:00"), whole, "it stays until it is cleared");
}

#[test]
fn only_a_termination_has_a_termination_time() {
    for action in [SpotAction::Stop, SpotAction::Hibernate] {
        let paths: Vec<String> = in_force(&[spot(action)], at("10:09:00")).paths().collect();
        assert_eq!(paths, ["meta-data/instance-life-cycle", "meta-data/spot/instance-action"]);
    }
    // The later of two replaces the earlier whole.
    let stop = Event::Spot(SpotInterruption {
        action: SpotAction::Stop,
        known: at("10:00:00"),
        notice: at("10:30:00"),
        time: at("10:32:00"),
    });
    let events = [stop, spot(SpotAction::Terminate)];
    assert_eq!(shown(&events, "10:31:00")[1].1, "{\"action\": \"stop\", \"time\": \"2026-11-21T10:32:00Z\"}");
    assert_eq!(shown(&events, "10:31:00").len(), 2);
}

#[test]
fn rebalance_notices_and_life_cycle_states_follow_each_other() {
    let events = [
        Event::Lifecycle { state: LifecycleState::Terminated, at: at("10:20:00") },
        Event::Lifecycle { state: LifecycleState::InService, at: at("10:10:00") },
        Event::Rebalance { notice: at("10:15:00") },
    ];
    let state = "meta-data/autoscaling/target-lifecycle-state";
    assert_eq!(shown(&events, "10:00:00"), []);
    assert_eq!(shown(&events, "10:10:00"), pairs(&[(state, "InService")]));
    let notice = ("meta-data/events/recommendations/rebalance", "{\"noticeTime\": \"2026-11-21T10:15:00Z\"}");
    assert_eq!(shown(&events, "10:15:00"), pairs(&[(state, "InService"), notice]));
    assert_eq!(shown(&events, "10:20:00"), pairs(&[(state, "Terminated"), notice]));
}

fn maintenance_event(id: &str, announced: &str, not_before: &str, not_after: Option<&str>) -> Maintenance {
    Maintenance {
        code: MaintenanceCode::SystemReboot,
        event_id: id.to_owned(),
        description: "scheduled reboot".to_owned(),
        announced: at(announced),
        not_before: at(not_before),
        not_after: not_after.map(at),
        not_before_deadline: None,
        ended: None,
    }
}

fn lists(events: &[Maintenance], now: &str) -> [Vec<String>; 2] {
    let events: Vec<Event> = events.iter().cloned().map(Event::Maintenance).collect();
    let shown = shown(&events, now);
    ["scheduled", "history"].map(|list| {
        let found = shown.iter().find(|(path, _)| path.ends_with(list));
        let Some((_, text)) = found else { return Vec::new() };
        let parsed: serde_json::Value = serde_json::from_str(text).unwrap();
        let text = |event: &serde_json::Value, key: &str| event[key].as_str().unwrap().to_owned();
        let line = |event| {
            format!("{} {} {}", text(event, "EventId"), text(event, "State"), text(event, "Description"))
        };
        parsed.as_array().unwrap().iter().map(line).collect()
    })
}

#[test]
fn maintenance_goes_from_the_schedule_into_history() {
    let two = maintenance_event("two", "10:05:00", "11:00:00", None);
    let one = maintenance_event("one", "10:00:00", "10:30:00", Some("10:40:00"));
    let three = Maintenance {
        ended: Some((Ending::Canceled, at("10:20:00"))),
        ..maintenance_event("three", "10:00:00", "12:00:00", None)
    };
    let events = [two, one, three];
    let none: Vec<String> = Vec::new();
    assert_eq!(lists(&events, "09:00:00"), [none.clone(), none.clone()]);
    let (one, two) = ("one active scheduled reboot", "two active scheduled reboot");
    assert_eq!(
        lists(&events, "10:05:00"),
        [vec![one.into(), two.into(), "three active scheduled reboot".into()], none]
    );
    let canceled = "three canceled [Canceled] scheduled reboot";
    assert_eq!(lists(&events, "10:20:00"), [vec![one.to_owned(), two.to_owned()], vec![canceled.to_owned()]]);
    let completed = "one completed [Completed] scheduled reboot";
    assert_eq!(
        lists(&events, "10:40:00"),
        [vec![two.to_owned()], vec![completed.to_owned(), canceled.to_owned()]]
    );
}

#[test]
fn maintenance_that_ended_is_not_ended_again_and_what_was_never_told_stays_untold() {
    let completed_first = Maintenance {
        ended: Some((Ending::Canceled, at("11:00:00"))),
        ..maintenance_event("x", "10:00:00", "10:30:00", Some("10:40:00"))
    };
    assert_eq!(completed_first.ending(at("12:00:00")), Some(Ending::Completed));
    let early = Maintenance {
        ended: Some((Ending::Completed, at("10:35:00"))),
        ..maintenance_event("x", "10:00:00", "10:30:00", Some("10:40:00"))
    };
    assert_eq!(early.ending(at("10:34:59")), None);
    assert_eq!(early.ending(at("10:35:00")), Some(Ending::Completed));
    let untold = Maintenance {
        ended: Some((Ending::Canceled, at("09:59:00"))),
        ..maintenance_event("x", "10:00:00", "10:30:00", None)
    };
    assert!(!untold.is_shown(at("10:10:00")));
}

#[test]
fn every_moment_of_change_is_told_in_advance() {
    let maintenance = maintenance_event("one", "10:05:00", "10:30:00", Some("10:40:00"));
    let events = [
        spot(SpotAction::Stop),
        Event::Rebalance { notice: at("10:06:00") },
        Event::Maintenance(maintenance),
    ];
    let mut now = at("09:00:00");
    let mut moments = Vec::new();
    while let Some(next) = in_force(&events, now).next {
        moments.push(next);
        now = next;
    }
    let expected = ["10:00:00", "10:05:00", "10:06:00", "10:08:00", "10:40:00"].map(at);
    assert_eq!(moments, expected);
}

#[test]
fn life_cycle_transitions() {
    use LifecycleState::*;
    assert!(InService.can_become(Terminated) && InService.can_become(Standby));
    assert!(WarmedStopped.can_become(InService) && WarmedStopped.can_become(WarmedTerminated));
    assert!(Detached.can_become(InService) && Standby.can_become(InService));
    assert!(!Terminated.can_become(InService) && !WarmedTerminated.can_become(WarmedRunning));
    assert!(!Detached.can_become(Terminated) && !InService.can_become(WarmedTerminated));
    assert!(!WarmedRunning.can_become(Standby));
    assert!(LifecycleState::ALL.iter().all(|state| state.can_become(*state)));
}

#[test]
fn names_are_found_again() {
    assert!(LifecycleState::ALL.iter().all(|state| LifecycleState::named(state.name()) == Some(*state)));
    assert!(MaintenanceCode::ALL.iter().all(|code| MaintenanceCode::named(code.name()) == Some(*code)));
    assert_eq!(SpotAction::named("explode"), None);
}

fn read(trees: &Trees, path: &str, now: Timestamp) -> Option<String> {
    let snapshot = Snapshot {
        tokens: Default::default(),
        endpoint: Default::default(),
        token_key: TokenKey::new([0; 32]),
        trees: trees.clone(),
        modified: now,
    };
    let mut request = crate::Request::new("GET", path);
    request.role = Some("app");
    match crate::respond(&snapshot, &request, now) {
        Outcome::Reply(reply) => {
            assert_eq!(reply.delivery(), Delivery::V1);
            (reply.status().code() == 200).then(|| String::from_utf8(reply.body().to_vec()).unwrap())
        }
        Outcome::Needs(_) => Some(String::new()),
    }
}

/// Everything that is listed can be read, and a listing names exactly what answers.
fn check_agreement(trees: &Trees, dir: &str, now: Timestamp) {
    let listing = read(trees, dir, now).unwrap_or_else(|| panic!("{dir} is listed and answers"));
    for entry in listing.lines() {
        let name = entry.split('=').next().unwrap();
        match name.strip_suffix('/') {
            Some(_) => check_agreement(trees, &format!("{dir}{name}"), now),
            None => assert!(read(trees, &format!("{dir}{name}"), now).is_some(), "{dir}{name} is listed"),
        }
    }
    for name in ["spot", "events", "autoscaling"] {
        let answers = read(trees, &format!("{dir}{name}"), now).is_some();
        let listed = listing.lines().any(|entry| entry == format!("{name}/"));
        assert_eq!(answers && dir.ends_with("meta-data/"), listed, "{name}/ in {dir}");
    }
}

#[test]
fn at_every_moment_listings_and_leaves_agree_under_every_version() {
    let base = at("09:00:00");
    let instance = Instance::resolve(&InstanceSpec::default(), base).unwrap();
    let trees = Trees::build(&instance, &[RoleEntry::new("app")], &Overrides::default()).unwrap();
    let maintenance = maintenance_event("one", "10:05:00", "10:30:00", Some("10:40:00"));
    let events = [
        spot(SpotAction::Terminate),
        Event::Rebalance { notice: at("10:06:00") },
        Event::Maintenance(maintenance),
        Event::Lifecycle { state: LifecycleState::InService, at: at("10:07:00") },
    ];
    let mut now = base;
    loop {
        let state = in_force(&events, now);
        let edited = trees.edited(&state.edits).unwrap();
        for version in ["latest", "2021-07-15", "2018-03-28", "2014-11-05", "1.0"] {
            check_agreement(&edited, &format!("/{version}/meta-data/"), now);
        }
        let Some(next) = state.next else { break };
        now = next;
    }
    let all = trees.edited(&in_force(&events, now).edits).unwrap();
    let read = |path| read(&all, path, now);
    assert_eq!(read("/latest/meta-data/spot").unwrap(), "instance-action\ntermination-time");
    assert_eq!(read("/2014-11-05/meta-data/spot").unwrap(), "termination-time");
    assert_eq!(read("/latest/meta-data/events").unwrap(), "maintenance/\nrecommendations/");
    assert_eq!(read("/latest/meta-data/instance-life-cycle").unwrap(), "spot");
    assert_eq!(read("/1.0/meta-data/spot"), None);
}

proptest! {
    /// Between two moments nothing changes: a reader may be given the state of the earlier one.
    #[test]
    fn nothing_changes_before_the_next_moment(
        seconds in proptest::collection::vec(0i64..100, 6), now in 0i64..100, later in 0i64..100,
    ) {
        let time = |second: i64| at("10:00:00") + SignedDuration::from_secs(second);
        let times: Vec<Timestamp> = seconds.into_iter().map(time).collect();
        let maintenance = Maintenance {
            announced: times[0], not_before: times[1], not_after: Some(times[1]),
            ended: Some((Ending::Canceled, times[2])), ..maintenance_event("x", "10:00:00", "10:00:00", None)
        };
        let events = [
            Event::Maintenance(maintenance),
            Event::Spot(SpotInterruption {
                action: SpotAction::Stop, known: times[3], notice: times[4], time: times[4],
            }),
            Event::Rebalance { notice: times[5] },
        ];
        let state = in_force(&events, time(now));
        let later = time(now.max(later));
        prop_assume!(state.next.is_none_or(|next| later < next));
        prop_assert_eq!(in_force(&events, later), state);
    }
}
