//! The snapshots of a timeline, one after another, all made when something is changed. A request is
//! answered from the one of its own moment, so no timer can be late and nobody sees half of an event.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use imds::{Event, Overrides, Snapshot, TreeError, Trees};
use jiff::Timestamp;

use super::timeline::{Scheduled, Timeline};

/// The most events that may be limited to some callers: one bit of a word each.
pub(crate) const MOST_LIMITED: usize = u64::BITS as usize;

/// What is served from one moment to the next change.
#[derive(Debug)]
struct Stage {
    from: Timestamp,
    /// To callers that no limited event reaches.
    snapshot: Snapshot,
    /// To the others, by the limited events that reach them; made when the first of them asks.
    others: Mutex<HashMap<u64, Snapshot>>,
}

/// Every stage there will be.
#[derive(Debug)]
pub(crate) struct Stages {
    /// By `from`; the first one stands for the time before it too. Never empty.
    stages: Vec<Stage>,
    timeline: Timeline,
    limited: Vec<Arc<Scheduled>>,
    base: Trees,
    edits: Overrides,
}

impl Stages {
    /// The stages from `now` on: `base` with what the events show, and `edits` over that. The trees of
    /// `snapshot` are replaced; each stage is modified when it begins.
    ///
    /// # Errors
    /// When an edit cannot be made at some stage.
    pub(crate) fn build(
        base: &Trees,
        timeline: &Timeline,
        edits: &Overrides,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Stages, TreeError> {
        let limited: Vec<_> =
            timeline.events().iter().filter(|event| !event.audience.is_everyone()).cloned().collect();
        let mut stages = Stages {
            stages: Vec::new(),
            timeline: timeline.clone(),
            limited,
            base: base.clone(),
            edits: edits.clone(),
        };
        let mut next = Some(now);
        while let Some(from) = next {
            let snapshot = Snapshot { trees: stages.trees(0, from)?, modified: from, ..snapshot.clone() };
            if !stages.limited.is_empty() {
                // Whoever is reached by which events, all of it can be made.
                stages.trees(u64::MAX, from)?;
            }
            stages.stages.push(Stage { from, snapshot, others: Mutex::default() });
            next = imds::in_force(timeline.events().iter().map(|scheduled| &scheduled.event), from).next;
        }
        Ok(stages)
    }

    fn trees(&self, reached: u64, at: Timestamp) -> Result<Trees, TreeError> {
        let mut trees = self.base.clone();
        let shown = imds::in_force(self.events_for(reached), at).edits;
        for edits in [&shown, &self.edits] {
            if !edits.is_empty() {
                trees = trees.edited(edits)?;
            }
        }
        Ok(trees)
    }

    /// The events of everyone, and those limited ones whose bits are set.
    fn events_for(&self, reached: u64) -> impl Iterator<Item = &Event> {
        self.timeline.events().iter().filter_map(move |scheduled| {
            let bit = self.limited.iter().position(|limited| Arc::ptr_eq(limited, scheduled));
            bit.is_none_or(|bit| reached & (1 << bit) != 0).then_some(&scheduled.event)
        })
    }

    fn stage(&self, now: Timestamp) -> &Stage {
        // The first one until a change is due, which most often never is.
        let begun = self.stages.iter().skip(1).take_while(|stage| stage.from <= now).count();
        &self.stages[begun]
    }

    /// Whether what a caller sees may depend on its role: at this target's place in the tree, or because an
    /// event is limited to roles.
    pub(crate) fn depend_on_role(&self, target: &str, now: Timestamp) -> bool {
        self.limited.iter().any(|scheduled| scheduled.audience.names_roles())
            || self.at(now).trees.depend_on_role(target)
    }

    /// What callers see that no limited event reaches.
    pub(crate) fn at(&self, now: Timestamp) -> &Snapshot {
        &self.stage(now).snapshot
    }

    /// What this caller sees; `target` is what it asks for.
    pub(crate) fn seen_by(
        &self,
        address: IpAddr,
        role: Option<&str>,
        target: &str,
        now: Timestamp,
    ) -> Cow<'_, Snapshot> {
        let stage = self.stage(now);
        if self.limited.is_empty() {
            return Cow::Borrowed(&stage.snapshot);
        }
        let mut reached = 0;
        for (bit, scheduled) in self.limited.iter().enumerate() {
            let begun = scheduled.event.begins() <= now;
            let asks =
                begun && scheduled.audience.first.is_some() && concerns(target, scheduled.event.paths());
            if scheduled.audience.reaches(address, role, asks) {
                reached |= 1 << bit;
            }
        }
        if reached == 0 {
            return Cow::Borrowed(&stage.snapshot);
        }
        let mut others = stage.others.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = others.entry(reached).or_insert_with(|| match self.trees(reached, stage.from) {
            Ok(trees) => Snapshot { trees, ..stage.snapshot.clone() },
            // Tried with all of them when this was built; fewer cannot be worse.
            Err(error) => {
                log::error!("events limited to some callers: {error}; they are not shown");
                stage.snapshot.clone()
            }
        });
        Cow::Owned(snapshot.clone())
    }
}

/// Whether the answer at `target` can differ when something changes at `paths`: it is one of them, lies
/// below one, or lists the way to one.
fn concerns(target: &str, paths: &[&str]) -> bool {
    let Some(path) = imds::canonical(target) else { return false };
    let below = path.trim_start_matches('/').split_once('/').map_or("", |(_, below)| below);
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !below.is_empty() && paths.iter().any(|path| within(below, path) || within(path, below))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{Clock, EventSpec, Origin};
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn stages(events: &[&str], edits: &[(&str, &str)]) -> Result<Stages, TreeError> {
        let clock = Clock { now: at("10:00:00"), zone: Some(TimeZone::UTC) };
        let mut timeline = Timeline::default();
        for text in events {
            let spec: EventSpec = toml::from_str(text).unwrap();
            timeline.add(&spec, Origin::Command, &clock, None, 1).unwrap();
        }
        let instance = imds::Instance::resolve(&imds::InstanceSpec::default(), clock.now).unwrap();
        let base = Trees::build(&instance, &[imds::RoleEntry::new("app")], &Overrides::default()).unwrap();
        let mut overrides = Overrides::default();
        for (path, value) in edits {
            overrides.set(path, (*value).to_owned()).unwrap();
        }
        let snapshot = Snapshot {
            tokens: imds::TokenMode::Optional,
            endpoint: imds::Endpoint::Enabled,
            token_key: imds::TokenKey::new([1; 32]),
            trees: base.clone(),
            modified: clock.now,
        };
        Stages::build(&base, &timeline, &overrides, &snapshot, clock.now)
    }

    fn get(snapshot: &Snapshot, path: &str, now: Timestamp) -> Option<String> {
        let target = format!("/latest/meta-data/{path}");
        match imds::respond(snapshot, &imds::Request::new("GET", &target), now) {
            imds::Outcome::Reply(reply) if reply.status() == imds::Status::Ok => {
                Some(String::from_utf8(reply.body().to_vec()).unwrap())
            }
            _ => None,
        }
    }

    #[test]
    fn an_event_for_a_role_makes_the_role_matter_everywhere() {
        let depends = |only: &str, target: &str| {
            let event = format!("kind = \"spot\"\nin = \"10m\"\n{only}");
            stages(&[&event], &[]).unwrap().depend_on_role(target, at("10:00:00"))
        };
        assert!(depends("only = \"app\"", "/latest/meta-data/instance-id"));
        assert!(!depends("only = \"10.0.0.1\"", "/latest/meta-data/instance-id"));
        assert!(depends("", "/latest/meta-data/iam/info"));
    }

    #[test]
    fn what_is_seen_depends_on_the_moment_alone() {
        let stages =
            stages(&["kind = \"spot\"\nin = \"10m\"", "kind = \"rebalance\"\nin = \"1m\""], &[]).unwrap();
        let sees = |path: &str, now: &str| get(stages.at(at(now)), path, at(now));
        for (now, spot, rebalance) in [
            ("09:00:00", None, None),
            ("10:00:59.999", None, None),
            ("10:01:00", None, Some("{\"noticeTime\": \"2026-11-21T10:01:00Z\"}")),
            ("10:07:59.999", None, Some("{\"noticeTime\": \"2026-11-21T10:01:00Z\"}")),
            ("10:08:00", Some("2026-11-21T10:10:00Z"), Some("{\"noticeTime\": \"2026-11-21T10:01:00Z\"}")),
            ("10:00:30", None, None),
        ] {
            assert_eq!(sees("spot/termination-time", now).as_deref(), spot, "{now}");
            assert_eq!(sees("events/recommendations/rebalance", now).as_deref(), rebalance, "{now}");
            let menu = sees("", now).unwrap();
            assert_eq!(menu.lines().any(|line| line == "spot/"), spot.is_some(), "{now}");
        }
        assert_eq!(stages.at(at("10:30:00")).modified, at("10:08:00"));
    }

    #[test]
    fn some_callers_see_what_others_do_not() {
        let stages = stages(
            &[
                "kind = \"spot\"\nonly = [\"10.0.0.1\", \"app\"]",
                "kind = \"rebalance\"\nfirst = 1",
                "kind = \"lifecycle\"\nstate = \"InService\"",
            ],
            &[],
        )
        .unwrap();
        let now = at("10:00:01");
        let sees = |address: &str, role: Option<&str>, path: &str| {
            let target = format!("/latest/meta-data/{path}");
            get(&stages.seen_by(address.parse().unwrap(), role, &target, now), path, now).is_some()
        };
        assert!(sees("10.0.0.1", None, "spot/instance-action"));
        assert!(sees("10.0.0.9", Some("app"), "spot/instance-action"));
        assert!(!sees("10.0.0.9", None, "spot/instance-action"));
        assert!(sees("10.0.0.9", None, "autoscaling/target-lifecycle-state"));
        // Asking for something else does not count.
        assert!(sees("10.0.0.5", None, "instance-id"));
        assert!(sees("10.0.0.2", None, "events/recommendations/rebalance"));
        assert!(!sees("10.0.0.5", None, "events/recommendations/rebalance"));
        assert!(sees("10.0.0.2", None, "events/recommendations/rebalance"));
    }

    #[test]
    fn nobody_is_counted_before_there_is_something_to_see() {
        let stages = stages(&["kind = \"rebalance\"\nin = \"5m\"\nfirst = 1"], &[]).unwrap();
        let target = "/latest/meta-data/events/recommendations/rebalance";
        let sees = |address: &str, now: &str| {
            let seen = stages.seen_by(address.parse().unwrap(), None, target, at(now));
            get(&seen, "events/recommendations/rebalance", at(now)).is_some()
        };
        assert!(!sees("10.0.0.1", "10:04:59"));
        assert!(sees("10.0.0.2", "10:05:00"));
        assert!(!sees("10.0.0.1", "10:05:00"));
    }

    #[test]
    fn an_edit_that_will_be_in_the_way_is_refused_now() {
        let event = ["kind = \"spot\"\nin = \"10m\""];
        assert!(stages(&event, &[("meta-data/spot/instance-action/x", "1")]).is_err());
        assert!(stages(&[], &[("meta-data/spot/instance-action/x", "1")]).is_ok());
        let over = stages(&event, &[("meta-data/instance-life-cycle", "mine")]).unwrap();
        let now = at("10:09:00");
        assert_eq!(get(over.at(now), "instance-life-cycle", now).as_deref(), Some("mine"));
    }

    #[test]
    fn what_concerns_an_event() {
        let spot = ["meta-data/instance-life-cycle", "meta-data/spot"];
        for target in
            ["/latest/meta-data/spot/instance-action", "//1.0/meta-data//spot/", "/latest/meta-data"]
        {
            assert!(concerns(target, &spot), "{target}");
        }
        for target in
            ["/latest/meta-data/spotless", "/latest/", "/", "/latest/api/token", "/latest/user-data"]
        {
            assert!(!concerns(target, &spot), "{target}");
        }
    }
}
