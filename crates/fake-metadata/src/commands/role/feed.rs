//! `role feed`: credentials of a person's own login, pushed to the daemon for as long as this runs.
//!
//! They go from memory over the control socket into memory, and are never written to a file. The daemon
//! forgets them when it ends, so this looks now and then whether they are still there.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use credentials::{Credentials, Person};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::{Outcome, Usage, chain, plain};
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
    let feeder =
        Feeder { daemon, role: &args.name, profile: args.profile.as_deref(), person: person(instance) };
    let mut given = feeder.renew()?;
    if args.once {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        feeder.rest(given);
        let mut told = String::new();
        given = loop {
            match feeder.renew() {
                Ok(given) => break given,
                Err(error) => {
                    let text = chain(&*error);
                    if text != told {
                        eprintln!("fake-metadata: {text}; trying again every {RETRY:?}");
                        told = text;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        };
    }
}

/// A person's profile, and the role that it is for.
struct Feeder<'a> {
    daemon: Daemon,
    role: &'a str,
    profile: Option<&'a str>,
    person: Person,
}

impl Feeder<'_> {
    /// Resolves the profile and hands the daemon what comes of it; when to do that again.
    fn renew(&self) -> Result<Instant, Box<dyn std::error::Error>> {
        let credentials = self.person.credentials(self.profile).map_err(|failure| failure.detail)?;
        let left = credentials.expiration.map(|end| end.duration_since(Timestamp::now()));
        let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
        tell(&push(&self.daemon, self.role, &written(&credentials))?);
        Ok(Instant::now() + renew_after(left))
    }

    /// Waits until others are due, or until the daemon has lost what it was given: it was started again,
    /// or told to drop it. What somebody else feeds meanwhile stays.
    fn rest(&self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
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
/// find less than a quarter of an hour.
fn renew_after(left: Duration) -> Duration {
    let half = left / 2;
    let latest = left.checked_sub(LEAST_LEFT).filter(|latest| !latest.is_zero()).unwrap_or(half);
    half.min(latest).max(SHORTEST)
}

/// Hands credentials to the daemon; how the role stands then.
fn push(daemon: &Daemon, role: &str, credentials: &Value) -> Result<Value, ControlError> {
    let request = json!({ "role": role, "credentials": credentials });
    let answer = daemon.ask(Method::POST, "/v1/roles/feed", Some(&request))?;
    Ok(answer["roles"][0].clone())
}

fn tell(role: &Value) {
    println!("{}: {}", plain(&role["role"]), super::state_of(role, Timestamp::now()));
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
        assert_eq!(renew_after(minutes(720)), minutes(360));
        assert_eq!(renew_after(minutes(60)), minutes(30));
        assert_eq!(renew_after(minutes(20)), minutes(4));
        assert_eq!(renew_after(minutes(10)), minutes(5));
        assert_eq!(renew_after(Duration::ZERO), SHORTEST);
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
