//! `role feed`: credentials of a person's own login, pushed to the daemon for as long as this runs.
//!
//! They go from memory over the control socket into memory, and are never written to a file. The daemon
//! forgets them when it ends, so this looks now and then whether they are still there, and gives them again:
//! nobody is asked for another code because of that.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use credentials::{Credentials, Person};
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::{Outcome, Usage, chain, output, plain};
use super::person::person;
use crate::cli::FeedRole;
use crate::control::client::{ControlError, Daemon};

/// The longest document that is read.
const LONGEST: u64 = 64 * 1024;
/// How often this looks whether the daemon still has what it was given.
const LOOK: Duration = Duration::from_secs(5);
/// What clients should find left when they renew (reference 6.3), and time for a slow login before that.
const LEAST_LEFT: Duration = Duration::from_secs(16 * 60);
/// The shortest time between two renewals.
const SHORTEST: Duration = Duration::from_secs(5);
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(30);

pub(super) fn feed(args: &FeedRole) -> Outcome {
    let daemon = Daemon::at(args.daemon.path());
    if let Some(file) = &args.file {
        tell(&push(&daemon, &args.name, &document(file)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    // Whether there is such a role is found out before a person is asked for a code.
    super::find(&super::ask_list(&daemon)?, &args.name)?;
    let instance = plain(&daemon.ask(Method::GET, "/v1/status", None)?["instance-id"]);
    let asked = Arc::new(AtomicBool::new(false));
    let person = person(instance, asked.clone());
    let profile = args.profile.as_deref();
    let mut feeder = Feeder { daemon, role: &args.name, profile, person, asked, kept: None };
    feeder.give()?;
    if args.once {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        feeder.rest();
        let mut told = String::new();
        while let Err(error) = feeder.give() {
            let text = chain(&*error);
            if text != told {
                output::remark(format_args!("fake-metadata: {text}; trying again every {RETRY:?}"));
                told = text;
            }
            std::thread::sleep(RETRY);
        }
    }
}

/// A person's profile, and the role that it is for.
struct Feeder<'a> {
    daemon: Daemon,
    role: &'a str,
    profile: Option<&'a str>,
    person: Person,
    /// The person was asked for a code.
    asked: Arc<AtomicBool>,
    /// What was obtained last, to be given again to a daemon that has lost it.
    kept: Option<Kept>,
}

/// Credentials, and when others are to be obtained.
struct Kept {
    credentials: Credentials,
    due: Timestamp,
}

impl Kept {
    fn new(credentials: Credentials, now: Timestamp, by_code: bool) -> Self {
        let wait = renew_after(left(&credentials, now), by_code);
        let due = SignedDuration::try_from(wait).ok().and_then(|wait| now.checked_add(wait).ok());
        Kept { credentials, due: due.unwrap_or(now) }
    }

    /// Whether the daemon may be given them again at `now`.
    fn serves(&self, now: Timestamp) -> bool {
        now < self.due && left(&self.credentials, now) > LEAST_LEFT
    }
}

fn left(credentials: &Credentials, now: Timestamp) -> Duration {
    let left = credentials.expiration.map(|end| end.duration_since(now));
    left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default()
}

impl Feeder<'_> {
    /// Hands the daemon what was obtained last, or where that will not do what the profile yields now.
    fn give(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let kept = match self.kept.take().filter(|kept| kept.serves(Timestamp::now())) {
            Some(kept) => kept,
            None => {
                self.asked.store(false, Relaxed);
                let credentials = self.person.credentials(self.profile).map_err(|failure| failure.detail)?;
                Kept::new(credentials, Timestamp::now(), self.asked.load(Relaxed))
            }
        };
        let kept = self.kept.insert(kept);
        tell(&push(&self.daemon, self.role, &written(&kept.credentials))?);
        Ok(())
    }

    /// Waits until others are due, or until the daemon has lost what it was given: it was started again,
    /// or told to drop it. What somebody else feeds meanwhile stays.
    fn rest(&self) {
        let Some(kept) = &self.kept else { return };
        loop {
            let wait = Duration::try_from(kept.due.duration_since(Timestamp::now())).unwrap_or_default();
            if wait.is_zero() {
                return;
            }
            std::thread::sleep(wait.min(LOOK));
            if let Ok(answer) = super::ask_list(&self.daemon)
                && let Ok(found) = super::find(&answer, self.role)
                && found["fed"] != true
            {
                return;
            }
        }
    }
}

/// How long to wait with credentials that have `left` to go: half of that, or less where clients would
/// find less than a quarter of an hour. Nobody is asked for a code (`by_code`) before that is so.
fn renew_after(left: Duration, by_code: bool) -> Duration {
    let half = left / 2;
    let latest = left.checked_sub(LEAST_LEFT).filter(|latest| !latest.is_zero()).unwrap_or(half);
    if by_code { latest } else { half.min(latest) }.max(SHORTEST)
}

/// Hands credentials to the daemon; how the role stands then.
fn push(daemon: &Daemon, role: &str, credentials: &Value) -> Result<Value, ControlError> {
    let request = json!({ "role": role, "credentials": credentials });
    let answer = daemon.ask(Method::POST, "/v1/roles/feed", Some(&request))?;
    Ok(answer["roles"][0].clone())
}

fn tell(role: &Value) {
    // Whoever has seen enough of it wants the daemon fed all the same.
    let _ =
        output::line(format_args!("{}: {}", plain(&role["role"]), super::state_of(role, Timestamp::now())));
}

/// Credentials as the daemon reads them.
fn written(credentials: &Credentials) -> Value {
    json!({
        "Version": 1,
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.expose(),
        "SessionToken": credentials.token.as_ref().map(|token| token.expose()),
        "Expiration": credentials.expiration.map(|end| end.to_string()),
        "AccountId": credentials.account_id,
    })
}

/// The document in a file. What is wrong with it is told without quoting it.
fn document(file: &Path) -> Result<Value, Usage> {
    let name = if file == Path::new("-") { "standard input".into() } else { plain(&json!(file)) };
    let wrong = |cause: String| Usage(format!("read {name}: {cause}"));
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(LONGEST + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|e| wrong(e.to_string()))?;
    let parsed = credentials::parse_document(&bytes, Timestamp::now()).map_err(|e| wrong(e.to_string()))?;
    Ok(written(&parsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fed_is_renewed_while_a_quarter_of_an_hour_is_left_where_it_can_be() {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        assert_eq!(renew_after(minutes(720), false), minutes(360));
        assert_eq!(renew_after(minutes(60), false), minutes(30));
        assert_eq!(renew_after(minutes(20), false), minutes(4));
        assert_eq!(renew_after(minutes(10), false), minutes(5));
        assert_eq!(renew_after(Duration::ZERO, false), SHORTEST);
        assert_eq!(renew_after(minutes(720), true), minutes(704), "a code was typed for them");
        assert_eq!(renew_after(minutes(10), true), minutes(5));
    }

    #[test]
    fn what_was_obtained_is_given_again_while_it_has_more_than_16_minutes() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let after = |minutes: i64| start.checked_add(SignedDuration::from_mins(minutes)).unwrap();
        let session = json!({ "AccessKeyId": "ASIAEXAMPLEEXAMPLE12", "SecretAccessKey": "s", "Token": "t",
            "Expiration": after(60).to_string() });
        let session = credentials::parse_document(session.to_string().as_bytes(), start).unwrap();
        let serves = |by_code, at| Kept::new(session.clone(), start, by_code).serves(after(at));
        assert_eq!([serves(false, 0), serves(false, 29), serves(false, 30)], [true, true, false]);
        assert_eq!([serves(true, 30), serves(true, 43), serves(true, 44)], [true, true, false]);
        let late = Kept::new(session.clone(), after(50), true);
        assert!(!late.serves(after(51)), "9 minutes are too few");
    }

    #[test]
    fn a_document_is_read_again_as_it_was() {
        let given = json!({ "AccessKeyId": "ASIAEXAMPLEEXAMPLE12", "SecretAccessKey": "s", "Token": "t",
            "Expiration": "2026-11-21T12:00:00Z" });
        let now = "2026-11-21T11:00:00Z".parse().unwrap();
        let parsed = credentials::parse_document(given.to_string().as_bytes(), now).unwrap();
        let again = credentials::parse_document(written(&parsed).to_string().as_bytes(), now).unwrap();
        assert_eq!(again, parsed);
    }
}
