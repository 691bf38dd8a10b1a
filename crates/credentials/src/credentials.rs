//! What a role's source yields: the keys, and how long they are good for.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// How long keys without an expiration of their own are said to be good for. EC2's are good for just
/// over six hours (reference 5.1).
const SAID_VALIDITY: SignedDuration = SignedDuration::from_hours(6);
/// How often the times shown for keys without an expiration move on.
const SAID_ROTATION: i64 = 3600;
/// The same for a session whose end nobody knows: clients are to look again soon. SDKs renew when 10 to 15
/// minutes are left (reference 6.3).
const DOUBTFUL_VALIDITY: SignedDuration = SignedDuration::from_mins(20);
const DOUBTFUL_ROTATION: i64 = 60;

/// A value that must not be printed: its `Debug` shows nothing of it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Secret(value.into())
    }

    /// The value itself, for the one place that hands it out.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One set of AWS credentials. `Debug` shows neither the secret key nor the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// `ASIA...` for session credentials, `AKIA...` for long-lived ones.
    pub access_key_id: String,
    /// 40 characters as AWS makes them.
    pub secret_access_key: Secret,
    /// The session token; `None` for long-lived keys.
    pub token: Option<Secret>,
    /// Whole seconds; `None` for keys that do not expire, and for a session that does at an unknown time.
    pub expiration: Option<Timestamp>,
    /// Whole seconds: when these credentials were obtained or made.
    pub last_updated: Timestamp,
    /// The account they belong to, where the source says.
    pub account_id: Option<String>,
}

impl Credentials {
    /// The `LastUpdated` and `Expiration` to write in a document at `now`. SDKs refuse a document
    /// without `Expiration`, so keys that do not expire get one about six hours ahead that moves on
    /// hourly. A session whose end is not known gets one 20 minutes ahead.
    pub fn shown_times(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        if let Some(expiration) = self.expiration {
            return (self.last_updated, expiration);
        }
        let age = now.as_second().saturating_sub(self.last_updated.as_second()).max(0);
        let (rotation, validity) = match self.end_unknown() {
            true => (DOUBTFUL_ROTATION, DOUBTFUL_VALIDITY),
            false => (SAID_ROTATION, SAID_VALIDITY),
        };
        let steps = age - age % rotation;
        let updated = add(self.last_updated, SignedDuration::from_secs(steps));
        (updated, add(updated, validity))
    }

    /// Whether they end at a time that their source does not say: a token always does.
    pub fn end_unknown(&self) -> bool {
        self.token.is_some() && self.expiration.is_none()
    }

    /// Whether both are the same keys until the same end, whenever they were obtained.
    pub(crate) fn same_keys(&self, other: &Credentials) -> bool {
        let of = |c: &Credentials| {
            (c.access_key_id.clone(), c.secret_access_key.clone(), c.token.clone(), c.expiration)
        };
        of(self) == of(other)
    }

    /// Whether they are of no use at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.expiration.is_some_and(|expiration| expiration <= now)
    }
}

/// `time + span`, held within what a timestamp can say.
pub(crate) fn add(time: Timestamp, span: SignedDuration) -> Timestamp {
    time.checked_add(span).unwrap_or(if span.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// `time` without its fraction of a second.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_lived() -> Credentials {
        Credentials {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: Secret::new("do-not-print-1"),
            token: None,
            expiration: None,
            last_updated: "2026-11-21T10:00:00Z".parse().unwrap(),
            account_id: None,
        }
    }

    fn session() -> Credentials {
        Credentials { token: Some(Secret::new("do-not-print-2")), ..long_lived() }
    }

    #[test]
    fn a_session_of_unknown_end_is_shown_to_end_soon() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let keys = session();
        assert!(keys.end_unknown() && !long_lived().end_unknown());
        assert_eq!(
            keys.shown_times(at("2026-11-21T12:30:59Z")),
            (at("2026-11-21T12:30:00Z"), at("2026-11-21T12:50:00Z"))
        );
        let known = Credentials { expiration: Some(at("2026-11-21T16:00:00Z")), ..keys };
        assert_eq!(known.shown_times(at("2026-11-21T12:30:59Z")).1, at("2026-11-21T16:00:00Z"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:#?}", session(), session());
        assert!(!shown.contains("do-not-print"), "{shown}");
        assert!(shown.contains("AKIAEXAMPLE"));
    }

    #[test]
    fn keys_that_do_not_expire_are_shown_with_times_that_move_on() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let keys = long_lived();
        assert_eq!(
            keys.shown_times(at("2026-11-21T10:59:59Z")),
            (at("2026-11-21T10:00:00Z"), at("2026-11-21T16:00:00Z"))
        );
        assert_eq!(
            keys.shown_times(at("2026-11-23T11:00:01Z")),
            (at("2026-11-23T11:00:00Z"), at("2026-11-23T17:00:00Z"))
        );
        assert_eq!(keys.shown_times(at("2020-01-01T00:00:00Z")).0, at("2026-11-21T10:00:00Z"));
        assert!(!keys.expired(Timestamp::MAX));
    }
}
