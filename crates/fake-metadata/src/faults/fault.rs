//! One fault that is played: whether it strikes a request, and how often it did.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::glob::Glob;
use super::spec::{FaultError, FaultSpec, Kind, STATUSES, status_of};
use crate::events::duration;

/// How long ago credentials expired that are played as expired, and how long they were good before.
const EXPIRED_AGO: SignedDuration = SignedDuration::from_hours(1);
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(6);

/// A request as faults see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The path in its one spelling; `None` for one that cannot exist.
    pub(crate) path: Option<&'a str>,
    pub(crate) address: IpAddr,
    pub(crate) role: Option<&'a str>,
}

/// A fault in force, or over.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) id: String,
    pub(crate) spec: FaultSpec,
    glob: Option<Glob>,
    delay: Duration,
    status: Option<imds::Status>,
    until: Option<Timestamp>,
    left: Option<AtomicU32>,
    bucket: Option<Mutex<Bucket>>,
    played: AtomicU64,
}

impl Fault {
    /// The fault, beginning now.
    pub(crate) fn new(id: String, spec: FaultSpec, now: Timestamp) -> Result<Fault, FaultError> {
        spec.check()?;
        let glob = spec.path.as_deref().map(Glob::new).transpose().map_err(|m| FaultError::new("path", m))?;
        let until = spec.r#for.as_deref().map(duration).transpose().map_err(|m| FaultError::new("for", m))?;
        let delay = match &spec.kind {
            Kind::Delay { delay } => duration(delay).map_err(|m| FaultError::new("delay", m))?,
            _ => SignedDuration::ZERO,
        };
        let (status, bucket) = match &spec.kind {
            Kind::Status { status } => (Some(status_of(&STATUSES, *status)?), None),
            Kind::Throttle { per_second, status } => {
                (Some(status_of(&STATUSES, *status)?), Some(Mutex::new(Bucket::new(*per_second, now))))
            }
            _ => (None, None),
        };
        // It was played the moment it was asked for.
        let once = u64::from(spec.kind == Kind::ForgetTokens);
        Ok(Fault {
            id,
            glob,
            delay: delay.unsigned_abs(),
            status,
            until: until.map(|length| now.checked_add(length).unwrap_or(Timestamp::MAX)),
            left: spec.times.map(AtomicU32::new),
            bucket,
            played: AtomicU64::new(once),
            spec,
        })
    }

    /// How long the answer waits.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    /// The status it answers with, if it does.
    pub(crate) fn status(&self) -> Option<imds::Status> {
        self.status
    }

    /// Whether it will never strike again.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.spec.kind == Kind::ForgetTokens
            || self.until.is_some_and(|until| until <= now)
            || self.left.as_ref().is_some_and(|left| left.load(Relaxed) == 0)
    }

    fn matches(&self, asked: &Asked<'_>) -> bool {
        let path = match (&self.glob, asked.path) {
            (None, _) => true,
            (Some(glob), Some(path)) => glob.matches(path),
            (Some(_), None) => false,
        };
        path && self.spec.caller.as_ref().is_none_or(|caller| caller.is(asked.address, asked.role))
    }

    /// Whether it strikes this request, and counts it if so. `roll` yields numbers from 0 up to 1.
    pub(crate) fn strikes(&self, asked: &Asked<'_>, now: Timestamp, roll: &mut dyn FnMut() -> f64) -> bool {
        if self.is_over(now) || !self.matches(asked) {
            return false;
        }
        if self.spec.rate.is_some_and(|rate| roll() >= rate) {
            return false;
        }
        if let Some(bucket) = &self.bucket
            && bucket.lock().unwrap_or_else(PoisonError::into_inner).passes(now)
        {
            return false;
        }
        if let Some(left) = &self.left
            && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
        {
            return false;
        }
        self.played.fetch_add(1, Relaxed);
        true
    }

    /// What it answers in place of a role's credentials, if it needs none.
    pub(crate) fn failure(&self, role: &str, now: Timestamp) -> Option<imds::RoleAnswer> {
        let Kind::CredentialsCode { code, message } = &self.spec.kind else { return None };
        let message = message.clone().unwrap_or_else(|| match code.as_str() {
            "AssumeRoleUnauthorizedAccess" => imds::assume_role_unauthorized_message(role),
            _ => format!("{code} (played by fake-metadata fault)"),
        });
        Some(imds::RoleAnswer::Failure { code: code.clone(), message, last_updated: now })
    }

    /// A role's credentials as if their time were over.
    pub(crate) fn expired(&self, answer: imds::RoleAnswer, now: Timestamp) -> imds::RoleAnswer {
        let ago = now.checked_sub(EXPIRED_AGO).unwrap_or(now);
        match answer {
            imds::RoleAnswer::Success { access_key_id, secret_access_key, token, account_id, .. } => {
                imds::RoleAnswer::Success {
                    access_key_id,
                    secret_access_key,
                    token,
                    account_id,
                    last_updated: ago.checked_sub(GOOD_FOR).unwrap_or(ago),
                    expiration: ago,
                }
            }
            failure => failure,
        }
    }

    /// What `fault list` and `status` show.
    pub(crate) fn shown(&self, now: Timestamp) -> Value {
        let left = self.left.as_ref().map(|left| left.load(Relaxed));
        let mut value = json!({
            "id": self.id,
            "fault": self.spec.kind.describe(),
            "phase": if self.is_over(now) { "over" } else { "in force" },
            "played": self.played.load(Relaxed),
        });
        if let Some(until) = self.until {
            value["until"] = json!(imds::rfc3339(until));
        }
        for (key, shown) in [
            ("path", json!(self.spec.path)),
            ("caller", json!(self.spec.caller)),
            ("times-left", json!(left)),
            ("rate", json!(self.spec.rate)),
        ] {
            if !shown.is_null() {
                value[key] = shown;
            }
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn fault(text: &str) -> Fault {
        Fault::new("status-1".into(), serde_json::from_str(text).unwrap(), start()).unwrap()
    }

    fn asked(path: &str) -> Asked<'_> {
        Asked { path: Some(path), address: "10.0.0.1".parse().unwrap(), role: Some("app") }
    }

    fn strikes(fault: &Fault, path: &str, seconds: i64) -> bool {
        fault.strikes(&asked(path), start() + SignedDuration::from_secs(seconds), &mut || 0.5)
    }

    #[test]
    fn for_a_time_or_so_many_times() {
        let timed = fault(r#"{"fault":"hang","for":"30s"}"#);
        assert!(strikes(&timed, "/x", 0) && strikes(&timed, "/x", 29));
        assert!(!strikes(&timed, "/x", 30));
        let counted = fault(r#"{"fault":"hang","times":2}"#);
        assert_eq!([0, 0, 0].map(|at| strikes(&counted, "/x", at)), [true, true, false]);
        assert_eq!(counted.shown(start())["phase"], "over");
        assert_eq!(counted.shown(start())["played"], 2);
        let forever = fault(r#"{"fault":"hang"}"#);
        assert!(strikes(&forever, "/x", 1_000_000_000));
    }

    #[test]
    fn by_path_caller_and_chance() {
        let path = fault(r#"{"fault":"hang","path":"iam/*"}"#);
        assert!(
            strikes(&path, "/latest/meta-data/iam/info", 0) && !strikes(&path, "/latest/meta-data/mac", 0)
        );
        let nowhere = Asked { path: None, ..asked("") };
        assert!(!path.strikes(&nowhere, start(), &mut || 0.0));
        for (caller, expected) in [("10.0.0.1", true), ("10.0.0.2", false), ("app", true), ("other", false)] {
            let fault = fault(&format!(r#"{{"fault":"hang","caller":"{caller}"}}"#));
            assert_eq!(strikes(&fault, "/x", 0), expected, "{caller}");
        }
        let some = fault(r#"{"fault":"hang","rate":0.5,"times":1}"#);
        assert!(!some.strikes(&asked("/x"), start(), &mut || 0.5), "and it does not count");
        assert!(some.strikes(&asked("/x"), start(), &mut || 0.49));
    }

    #[test]
    fn throttling_strikes_what_is_too_fast() {
        let throttle = fault(r#"{"fault":"throttle","per_second":2,"status":503}"#);
        assert_eq!([0, 0, 0, 1].map(|at| strikes(&throttle, "/x", at)), [false, false, true, false]);
        assert_eq!(throttle.status(), Some(imds::Status::ServiceUnavailable));
    }

    #[test]
    fn credentials_expire_or_fail() {
        let answer = imds::RoleAnswer::Success {
            access_key_id: "ASIA".into(),
            secret_access_key: "s".into(),
            token: None,
            last_updated: start(),
            expiration: start(),
            account_id: None,
        };
        let expired = fault(r#"{"fault":"expired-credentials"}"#);
        assert!(expired.failure("app", start()).is_none());
        let imds::RoleAnswer::Success { expiration, last_updated, .. } = expired.expired(answer, start())
        else {
            panic!("credentials")
        };
        assert_eq!(expiration.to_string(), "2026-11-21T09:00:00Z");
        assert!(last_updated < expiration);
        let failing = fault(r#"{"fault":"credentials-code","code":"AssumeRoleUnauthorizedAccess"}"#);
        let Some(imds::RoleAnswer::Failure { code, message, .. }) = failing.failure("app", start()) else {
            panic!("a failure")
        };
        assert_eq!(code, "AssumeRoleUnauthorizedAccess");
        assert!(message.starts_with("EC2 cannot assume the role app."), "{message}");
    }
}
