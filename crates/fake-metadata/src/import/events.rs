//! AEMM's events as ours. AEMM shows what is configured from a delay or a trigger time on and for ever; ours come and
//! go as EC2's do, and none is in the past.

use aemm_compat::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use toml::{Table, Value};

use super::aemm::Notes;

/// The notice of a spot interruption comes so long before it, with AEMM as on EC2.
const WARNING: i64 = 120;

/// When something begins.
enum Begin {
    /// So many seconds after the start.
    After(i64),
    At(Timestamp),
}

impl Begin {
    /// What `{name}-trigger-time` and `{name}-delay-sec` say; a trigger time that is past means from the start on.
    fn of(settings: &Settings, name: &str, now: Timestamp) -> Begin {
        let trigger = settings.text(&format!("{name}-trigger-time")).unwrap_or_default();
        match trigger.parse::<Timestamp>() {
            Ok(at) if at > now => Begin::At(at),
            Ok(_) => Begin::After(0),
            Err(_) => {
                let delay = settings.text(&format!("{name}-delay-sec")).and_then(|text| text.parse().ok());
                Begin::After(delay.unwrap_or(0).max(0))
            }
        }
    }

    /// The same, so many seconds later.
    fn later(&self, seconds: i64) -> Begin {
        match self {
            Begin::After(after) => Begin::After(after.saturating_add(seconds)),
            Begin::At(at) => {
                Begin::At(at.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX))
            }
        }
    }

    fn write(&self, event: &mut Table) {
        match self {
            Begin::After(0) => {}
            Begin::After(seconds) => set(event, "in", format!("{seconds}s")),
            Begin::At(at) => set(event, "at", at.to_string()),
        }
    }

    /// As the value of a key that takes either.
    fn text(&self) -> String {
        match self {
            Begin::After(seconds) => format!("{seconds}s"),
            Begin::At(at) => at.to_string(),
        }
    }
}

fn set(event: &mut Table, key: &str, value: impl Into<Value>) {
    event.insert(key.to_owned(), value.into());
}

fn event(kind: &str) -> Table {
    Table::from_iter([("kind".to_owned(), Value::from(kind))])
}

/// What is said of events, as `[[events]]`. `said` is the file, `settings` the file over AEMM's defaults.
pub(super) fn events(said: &Settings, settings: &Settings, now: Timestamp, notes: &mut Notes) -> Vec<Table> {
    let mut speaks_of = |keys: &[&str]| {
        let mut any = false;
        for key in said.keys().filter(|key| keys.iter().any(|start| key.starts_with(start))) {
            notes.handled(key);
            any = true;
        }
        any
    };
    let (spot, maintenance) =
        (speaks_of(&["spot.action", "spot.time"]), speaks_of(&["events.", "metadata.values.event-id"]));
    let both = speaks_of(&["mock-delay-sec", "mock-trigger-time"]) && !spot && !maintenance;
    let rebalance = speaks_of(&["spot.rebalance-rec-time", "rebalance-delay-sec", "rebalance-trigger-time"]);
    let lifecycle = speaks_of(&["asg-termination-delay-sec", "asg-termination-trigger-time"]);
    let counted = speaks_of(&["mock-ip-count"]);

    let begin = Begin::of(settings, "mock", now);
    let mut events = Vec::new();
    if spot || both {
        events.push(interruption(settings, &begin, now, notes));
    }
    if spot || both || rebalance {
        events.push(rebalance_notice(settings, now, notes));
    }
    if maintenance || both {
        events.push(maintenance_event(said, settings, &begin, now, notes));
    }
    if lifecycle {
        let mut termination = event("lifecycle");
        set(&mut termination, "state", "Terminated");
        Begin::of(settings, "asg-termination", now).write(&mut termination);
        events.push(termination);
    }
    let missing: Vec<&str> =
        [(!(spot || both), "spot"), (!(maintenance || both), "events"), (!lifecycle, "asglifecycle")]
            .iter()
            .filter_map(|(missing, command)| missing.then_some(*command))
            .collect();
    if !missing.is_empty() {
        notes.add(format!(
            "AEMM without a command shows events from the start; the file says nothing of {}, so there are none here \
             (fake-metadata event adds them)",
            missing.join(", ")
        ));
    }
    limited(events, counted, settings, notes)
}

/// `mock-ip-count` as `first`.
fn limited(mut events: Vec<Table>, counted: bool, settings: &Settings, notes: &mut Notes) -> Vec<Table> {
    let count: i64 = settings.text("mock-ip-count").and_then(|text| text.parse().ok()).unwrap_or(2);
    match count {
        0 if !events.is_empty() => {
            notes.add("mock-ip-count = 0: nobody sees an event, so none is written");
            return Vec::new();
        }
        count if count > 0 && counted => {
            for event in &mut events {
                set(event, "first", count);
            }
        }
        _ if !events.is_empty() && !counted => {
            notes.add("AEMM shows events to the first 2 clients unless told otherwise; here all see them (first = 2)");
        }
        _ => {}
    }
    events
}

fn interruption(settings: &Settings, begin: &Begin, now: Timestamp, notes: &mut Notes) -> Table {
    let mut spot = event("spot");
    let action = settings.text("spot.action").unwrap_or_default();
    let hibernates = action == "hibernate";
    set(&mut spot, "action", action);
    let time = settings.text("spot.time").unwrap_or_default();
    let fixed = time.parse::<Timestamp>().ok();
    match fixed {
        Some(at) if at > now => {
            set(&mut spot, "at", time);
            match begin {
                Begin::After(0) => set(&mut spot, "now", true),
                _ => notes.add(
                    "spot.time with a delay or trigger time: the notice comes two minutes before the time, as on EC2",
                ),
            }
            return spot;
        }
        Some(_) => {
            notes.add(format!("spot.time = {time:?} is in the past: two minutes after the notice instead"))
        }
        None => notes.add("AEMM moves the time of the interruption along with each request; here it stays"),
    }
    if hibernates {
        notes.add("hibernation begins with its notice, as on EC2; AEMM gives a time two minutes later");
        set(&mut spot, "now", true);
        match begin {
            Begin::After(0) => {}
            _ => {
                spot.remove("now");
                begin.write(&mut spot);
            }
        }
        return spot;
    }
    begin.later(WARNING).write(&mut spot);
    spot
}

fn rebalance_notice(settings: &Settings, now: Timestamp, notes: &mut Notes) -> Table {
    let mut notice = event("rebalance");
    let begin = Begin::of(settings, "rebalance", now);
    let time = settings.text("spot.rebalance-rec-time").unwrap_or_default();
    match (time.parse::<Timestamp>(), &begin) {
        (Ok(at), Begin::After(0)) if at > now => {
            notes.add("spot.rebalance-rec-time: the notice comes at its time; AEMM shows it before");
            set(&mut notice, "at", time);
            return notice;
        }
        (Ok(_), _) => notes.add(format!(
            "spot.rebalance-rec-time = {time:?}: the notice tells the time at which it comes, as on EC2"
        )),
        (Err(_), _) => {}
    }
    begin.write(&mut notice);
    notice
}

fn maintenance_event(
    said: &Settings,
    settings: &Settings,
    begin: &Begin,
    now: Timestamp,
    notes: &mut Notes,
) -> Table {
    let mut maintenance = event("maintenance");
    let text = |key: &str| settings.text(key).unwrap_or_default();
    set(&mut maintenance, "code", text("events.code"));
    set(&mut maintenance, "event-id", text("metadata.values.event-id"));
    begin.write(&mut maintenance);
    let times = [
        ("events.not-before", "not-before"),
        ("events.not-after", "not-after"),
        ("events.not-before-deadline", "deadline"),
    ];
    let given: Vec<(&str, String)> =
        times.iter().filter_map(|(key, ours)| Some((*ours, said.text(key)?))).collect();
    let announced = match begin {
        Begin::After(seconds) => now.checked_add(SignedDuration::from_secs(*seconds)).unwrap_or(now),
        Begin::At(at) => *at,
    };
    let all_ahead =
        given.iter().all(|(_, time)| time.parse::<Timestamp>().is_ok_and(|time| time > announced));
    if all_ahead {
        for (ours, time) in &given {
            set(&mut maintenance, ours, time.as_str());
        }
    } else {
        notes.add("events.not-before and the like: before the event is announced, which cannot be; left out");
    }
    if !all_ahead || given.is_empty() {
        notes.add("AEMM's maintenance may begin at the start; here it may begin a day later unless told (not-before)");
    }
    match text("events.state").as_str() {
        "canceled" => {
            notes.add("events.state = \"canceled\": told in events/maintenance/history, as on EC2");
            set(&mut maintenance, "canceled", begin.text());
        }
        "completed" => {
            notes.add("events.state = \"completed\": told in events/maintenance/history, as on EC2; without the times");
            for key in ["not-after", "deadline"] {
                maintenance.remove(key);
            }
            set(&mut maintenance, "not-before", begin.text());
            set(&mut maintenance, "completed", begin.text());
        }
        _ => {}
    }
    maintenance
}
