//! Events over time, with the clock as an argument: what each shows, from when to when, and that the whole tree
//! agrees at every instant.

use std::collections::BTreeSet;

use imds::events::{Event, EventError, EventSpec, Phase, in_force, phases};
use imds::{Instance, InstanceSpec, Overrides, Status, TokenMode, Trees};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde::Deserialize;

use crate::common::{TestService, body, now};

#[derive(Deserialize)]
struct Script {
    events: Vec<EventSpec>,
}

fn specs(text: &str) -> Vec<EventSpec> {
    toml::from_str::<Script>(text).unwrap_or_else(|error| panic!("{text}: {error}")).events
}

fn resolved(text: &str) -> Result<Vec<Event>, EventError> {
    let mut events = Vec::new();
    for (number, spec) in specs(text).iter().enumerate() {
        let event = spec.resolve(&format!("e{number}"), now(), &TimeZone::UTC, &events)?;
        events.push(event);
    }
    Ok(events)
}

fn events(text: &str) -> Vec<Event> {
    resolved(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn trees() -> Trees {
    let instance = Instance::resolve(&InstanceSpec::default(), now()).unwrap();
    Trees::build(&instance, &[], &Overrides::default()).unwrap()
}

/// The service as it is so many seconds after the events were given.
fn service(events: &[Event], seconds: i64) -> TestService {
    let trees = trees().edited(&in_force(events, after(seconds)).edits).unwrap();
    TestService::of(trees, TokenMode::Optional)
}

fn read(events: &[Event], seconds: i64, path: &str) -> String {
    let reply = service(events, seconds).get(&format!("/latest/meta-data/{path}"));
    match reply.status() {
        Status::Ok => body(&reply).to_owned(),
        status => format!("<{}>", status.code()),
    }
}

#[test]
fn a_termination_is_told_two_minutes_before() {
    let events = events("[[events]]\ntype = 'spot'\nin = '10m'");
    for (seconds, action, time, menu) in [
        (0, "<404>", "<404>", false),
        (479, "<404>", "<404>", false),
        (480, r#"{"action": "terminate", "time": "2026-09-26T12:10:00Z"}"#, "2026-09-26T12:10:00Z", true),
        (6000, r#"{"action": "terminate", "time": "2026-09-26T12:10:00Z"}"#, "2026-09-26T12:10:00Z", true),
    ] {
        assert_eq!(read(&events, seconds, "spot/instance-action"), action, "{seconds}");
        assert_eq!(read(&events, seconds, "spot/termination-time"), time, "{seconds}");
        assert_eq!(read(&events, seconds, "").contains("\nspot/\n"), menu, "{seconds}");
        assert_eq!(read(&events, seconds, "instance-life-cycle"), "spot");
    }
    assert_eq!(in_force(&events, after(0)).next_change, Some(after(480)));
    assert_eq!(in_force(&events, after(480)).next_change, None);
}

#[test]
fn stop_and_hibernate_have_their_own_rules() {
    let stop = events("[[events]]\ntype = 'spot'\naction = 'stop'\nin = '5m'");
    assert_eq!(read(&stop, 179, "spot/instance-action"), "<404>");
    let told = r#"{"action": "stop", "time": "2026-09-26T12:05:00Z"}"#;
    assert_eq!(read(&stop, 180, "spot/instance-action"), told);
    assert_eq!(read(&stop, 180, "spot/termination-time"), "<404>", "it is not terminated");
    assert_eq!(read(&stop, 180, "spot/"), "instance-action");
    let hibernate = events("[[events]]\ntype = 'spot'\naction = 'hibernate'\nin = '5m'");
    assert_eq!(read(&hibernate, 299, "spot/"), "<404>", "hibernation begins with the notice");
    assert_eq!(read(&hibernate, 300, "spot/"), "instance-action");
}

#[test]
fn an_interruption_can_be_told_at_once() {
    for (text, time) in [
        ("now = true\nin = '1h'", "13:00:00"),
        ("in = '30s'", "12:00:30"),
        ("", "12:02:00"),
        ("at = '12:01'", "12:01:00"),
        ("at = 12:01:00", "12:01:00"),
        ("at = 2026-09-26T14:00:00+02:00\nnow = true", "12:00:00"),
    ] {
        let events = events(&format!("[[events]]\ntype = 'spot'\n{text}"));
        assert_eq!(read(&events, 0, "spot/termination-time"), format!("2026-09-26T{time}Z"), "{text}");
    }
}

#[test]
fn a_rebalance_recommendation() {
    let events = events("[[events]]\ntype = 'rebalance'\nin = '30s'");
    assert_eq!(read(&events, 29, "events/"), "maintenance/");
    assert_eq!(read(&events, 30, "events/"), "maintenance/\nrecommendations/");
    let text = r#"{"noticeTime": "2026-09-26T12:00:30Z"}"#;
    assert_eq!(read(&events, 30, "events/recommendations/rebalance"), text);
    assert_eq!(read(&events, 0, "instance-life-cycle"), "spot");
}

#[test]
fn maintenance_is_scheduled_then_history() {
    let events = events(
        "[[events]]\ntype = 'maintenance'\ncode = 'system-reboot'\nnot-before = '1h'\nnot-after = '2h'\n\
         deadline = '3h'\nevent-id = 'instance-event-0d59937288b749b32'\nin = '1m'",
    );
    assert_eq!(read(&events, 59, "events/maintenance/scheduled"), "[]");
    let text = |prefix: &str, state: &str| {
        format!(
            "[ {{\n  \"NotBefore\" : \"26 Sep 2026 13:00:00 GMT\",\n  \"Code\" : \"system-reboot\",\n  \
             \"Description\" : \"{prefix}scheduled reboot\",\n  \
             \"EventId\" : \"instance-event-0d59937288b749b32\",\n  \
             \"NotAfter\" : \"26 Sep 2026 14:00:00 GMT\",\n  \"State\" : \"{state}\",\n  \
             \"NotBeforeDeadline\" : \"26 Sep 2026 15:00:00 GMT\"\n}} ]"
        )
    };
    for seconds in [60, 3600, 7199] {
        assert_eq!(read(&events, seconds, "events/maintenance/scheduled"), text("", "active"));
        assert_eq!(read(&events, seconds, "events/maintenance/history"), "[]");
    }
    assert_eq!(read(&events, 7200, "events/maintenance/scheduled"), "[]");
    assert_eq!(read(&events, 7200, "events/maintenance/history"), text("[Completed] ", "completed"));
    assert_eq!(read(&events, 7200, "events/maintenance"), "history\nscheduled");
    let changes: Vec<Option<Timestamp>> =
        [0, 60, 7200].map(|seconds| in_force(&events, after(seconds)).next_change).into();
    assert_eq!(changes, [Some(after(60)), Some(after(7200)), None]);
    let canceled = {
        let mut events = events.clone();
        assert!(events[0].cancel(after(120)) && !events[0].cancel(after(130)));
        events
    };
    assert_eq!(read(&canceled, 119, "events/maintenance/scheduled"), text("", "active"));
    assert_eq!(read(&canceled, 120, "events/maintenance/scheduled"), "[]");
    assert_eq!(read(&canceled, 9000, "events/maintenance/history"), text("[Canceled] ", "canceled"));
}

#[test]
fn what_is_over_cannot_be_called_off() {
    let mut events =
        events("[[events]]\ntype = 'maintenance'\nnot-after = '1h'\n[[events]]\ntype = 'rebalance'");
    assert!(!events[0].cancel(after(3600)) && !events[1].cancel(after(0)));
    assert_eq!(phases(&events, after(3600)), [Phase::Completed, Phase::Active]);
}

#[test]
fn several_maintenance_events_at_once() {
    let events = events(
        "[[events]]\ntype = 'maintenance'\ncode = 'instance-retirement'\nnot-before = '3h'\n\
         [[events]]\ntype = 'maintenance'\ncode = 'instance-stop'\nnot-before = '1h'\n\
         [[events]]\ntype = 'maintenance'\ncode = 'system-maintenance'\nnot-before = '2h'\nnot-after = '4h'\ncancel = '30m'",
    );
    let codes = |seconds, list: &str| {
        let text = read(&events, seconds, &format!("events/maintenance/{list}"));
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        let codes: Vec<String> =
            list.as_array().unwrap().iter().map(|event| event["Code"].as_str().unwrap().to_owned()).collect();
        codes.join(" ")
    };
    assert_eq!(codes(0, "scheduled"), "instance-stop system-maintenance instance-retirement");
    assert_eq!(
        (codes(1800, "scheduled"), codes(1800, "history")),
        ("instance-stop instance-retirement".into(), "system-maintenance".into())
    );
    assert_eq!(
        (codes(3600, "scheduled"), codes(3600, "history")),
        ("instance-retirement".into(), "instance-stop system-maintenance".into())
    );
    assert_eq!(codes(10_800, "scheduled"), "");
    assert_eq!(phases(&events, after(3600)), [Phase::Active, Phase::Completed, Phase::Canceled]);
    let retirement = read(&events, 0, "events/maintenance/scheduled");
    assert_eq!(retirement.matches("NotAfter").count(), 1, "a retirement has no end: {retirement}");
}

#[test]
fn lifecycle_states_follow_each_other() {
    let events = events(
        "[[events]]\ntype = 'lifecycle'\nstate = 'Terminated'\nin = '2m'\n\
         [[events]]\ntype = 'lifecycle'\nstate = 'InService'\nin = '1m'",
    );
    let path = "autoscaling/target-lifecycle-state";
    assert_eq!(read(&events, 59, path), "<404>");
    assert_eq!(read(&events, 60, path), "InService");
    assert_eq!(read(&events, 120, path), "Terminated");
    assert_eq!(
        read(&events, 0, "instance-life-cycle"),
        "on-demand",
        "Auto Scaling has nothing to do with Spot"
    );
    assert_eq!(phases(&events, after(0)), [Phase::Pending, Phase::Pending]);
    assert_eq!(phases(&events, after(60)), [Phase::Pending, Phase::Active]);
    assert_eq!(phases(&events, after(120)), [Phase::Active, Phase::Completed]);
}

#[test]
fn what_cannot_be_is_refused() {
    for (text, key, says) in [
        ("type = 'spot'\nat = '2026-09-26T11:59:59Z'", "at", "past"),
        ("type = 'spot'\nat = '12:30'\nin = '1m'", "at", "keep one"),
        ("type = 'spot'\ncode = 'system-reboot'", "code", "maintenance"),
        ("type = 'rebalance'\naction = 'stop'", "action", "spot"),
        ("type = 'rebalance'\nnow = true", "now", "spot"),
        ("type = 'lifecycle'", "state", "Warmed:Stopped"),
        ("type = 'lifecycle'\nstate = 'Gone'", "state", "InService"),
        ("type = 'maintenance'\nstate = 'InService'", "state", "lifecycle"),
        ("type = 'maintenance'\ncode = 'reboot'", "code", "instance-retirement"),
        ("type = 'maintenance'\nnot-before = '2h'\nnot-after = '1h'", "not-after", "before"),
        ("type = 'maintenance'\nnot-before = '2h'\ndeadline = '1h'", "deadline", "before"),
        ("type = 'maintenance'\nnot-before = '2026-09-25T00:00:00Z'", "not-before", "past"),
        ("type = 'maintenance'\nin = '3h'\nnot-before = '1h'\nnot-after = '2h'", "at", "over before"),
        ("type = 'maintenance'\nnot-before = '1h'\ncancel = '2h'", "cancel", "between"),
        ("type = 'spot'\nfirst = 0", "first", "1 or more"),
        ("type = 'spot'\nin = '99999999999999s'", "in", "calendar"),
        ("type = 'spot'\n[[events]]\ntype = 'spot'\nin = '1h'", "type", "interrupted once"),
        ("type = 'rebalance'\nid = 'a'\n[[events]]\ntype = 'rebalance'\nid = 'a'", "id", "taken"),
    ] {
        let error = resolved(&format!("[[events]]\n{text}")).unwrap_err();
        assert_eq!(error.key, key, "{text}: {error}");
        assert!(error.message.contains(says), "{text}: {error}");
    }
    for text in [
        "type = 'storm'",
        "in = '1m'",
        "type = 'spot'\nwhen = '1m'",
        "type = 'spot'\nin = 'soon'",
        "type = 'spot'\naction = 'explode'",
    ] {
        assert!(toml::from_str::<Script>(&format!("[[events]]\n{text}")).is_err(), "{text}");
    }
}

fn any_event() -> impl Strategy<Value = String> {
    let time = 0u32..600;
    let maintenance = (time.clone(), 0u32..300, 1u32..300, proptest::bool::ANY).prop_map(|(notice, start, length, cancel)| {
        let (begin, end) = (notice + start, notice + start + length);
        let cancel = if cancel { format!("cancel = '{}s'", end - 1) } else { String::new() };
        format!("type = 'maintenance'\nin = '{notice}s'\nnot-before = '{begin}s'\nnot-after = '{end}s'\n{cancel}")
    });
    prop_oneof![
        time.clone().prop_map(|at| format!("type = 'rebalance'\nin = '{at}s'")),
        (time, "(InService|Standby|Terminated)")
            .prop_map(|(at, state)| format!("type = 'lifecycle'\nin = '{at}s'\nstate = '{state}'")),
        maintenance,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Waiting from change to change misses nothing, and between changes nothing moves.
    #[test]
    fn next_change_is_exactly_when_something_changes(
        texts in proptest::collection::vec(any_event(), 0..5),
        spot in proptest::option::of((0u32..600, "(terminate|stop|hibernate)")),
    ) {
        let mut text: String = texts.iter().map(|event| format!("[[events]]\n{event}\n")).collect();
        if let Some((at, action)) = spot {
            text.push_str(&format!("[[events]]\ntype = 'spot'\nin = '{at}s'\naction = '{action}'\n"));
        }
        if text.is_empty() { text.push_str("events = []"); }
        let events = events(&text);
        let mut waited = in_force(&events, now());
        for seconds in 1..1300 {
            let at = after(seconds);
            if waited.next_change == Some(at) {
                waited = in_force(&events, at);
            }
            prop_assert_eq!(&in_force(&events, at), &waited, "{} s: {}", seconds, text);
        }
        prop_assert_eq!(waited.next_change, None);
    }

    /// At any instant everything listed answers, and the leaves agree with each other.
    #[test]
    fn every_listing_and_leaf_agree(texts in proptest::collection::vec(any_event(), 1..5), seconds in 0i64..1300) {
        let text: String = texts.iter().map(|event| format!("[[events]]\n{event}\n")).collect();
        let events = events(&text);
        let service = service(&events, seconds);
        let tree = service.snapshot.trees.tree(None);
        let paths: BTreeSet<String> = tree.walk("latest").map(|(path, _)| path).collect();
        let told = |kind: &str| specs(&text).iter().zip(&events).any(|(spec, event)| {
            spec.event_type.as_str() == kind && event.notice <= after(seconds)
        });
        prop_assert_eq!(paths.contains("meta-data/events/recommendations/rebalance"), told("rebalance"));
        prop_assert_eq!(paths.contains("meta-data/autoscaling/target-lifecycle-state"), told("lifecycle"));
        let count = |list: &str| {
            let text = read(&events, seconds, &format!("events/maintenance/{list}"));
            serde_json::from_str::<serde_json::Value>(&text).unwrap().as_array().unwrap().len()
        };
        let maintenance = specs(&text).iter().zip(&events)
            .filter(|(spec, event)| spec.event_type.as_str() == "maintenance" && event.notice <= after(seconds))
            .count();
        prop_assert_eq!(count("scheduled") + count("history"), maintenance);
    }
}
