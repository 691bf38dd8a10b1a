//! What is known of one role at a moment, and what may be served from it. Pure: no clock, no waiting.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::schedule::LEAST_LEFT;
use crate::clock::Moment;
use crate::credentials::Credentials;
use crate::failure::Failure;

/// Credentials, and when they came.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) since: Moment,
    /// Pushed from outside, not fetched.
    pub(crate) fed: bool,
}

impl Held {
    /// How long they are still good: by the wall clock or by the time that has really passed, whichever
    /// is less. `Duration::MAX` for keys that do not expire.
    pub(crate) fn left(&self, now: &Moment) -> Duration {
        let Some(expiration) = self.credentials.expiration else { return Duration::MAX };
        let by_wall = span(now.wall, expiration);
        let by_ticks = span(self.since.wall, expiration).saturating_sub(now.since(&self.since));
        by_wall.min(by_ticks)
    }

    /// Whether the wall clock was set since they came, so that nobody can say when they expire.
    fn doubtful(&self, now: &Moment) -> bool {
        self.credentials.expiration.is_some() && now.jumped_since(&self.since)
    }

    /// Whether their source gave them more than the least that should be left.
    fn could_be_fresher(&self) -> bool {
        self.credentials.expiration.is_some_and(|expiration| span(self.since.wall, expiration) > LEAST_LEFT)
    }
}

/// From `start` to `end`, zero when that is past.
fn span(start: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(start)).unwrap_or(Duration::ZERO)
}

/// What is known of one role.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(crate) held: Option<Held>,
    /// The last attempt's failure; `None` after a success.
    pub(crate) failure: Option<(Arc<Failure>, Moment)>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// When the source is to be asked next, in ticks.
    pub(crate) due: Option<Duration>,
    /// The number of the last attempt that has ended; they count from 1.
    pub(crate) ended: u64,
    /// The number of the last attempt that had begun when credentials were fed. What comes of it is older
    /// than they are, and not taken.
    pub(crate) outdated: u64,
    /// The role is gone: nobody asks the source any more.
    pub(crate) closed: bool,
}

/// What a request may be told.
pub(crate) enum Verdict {
    /// These; `overdue` when the source should have been asked before now.
    Serve { credentials: Arc<Credentials>, overdue: bool },
    /// Nothing, and the source was asked not long ago.
    Fail(Arc<Failure>),
    /// The source must be asked first. If it takes long, these will do.
    Ask(Option<Arc<Credentials>>),
}

impl State {
    /// What may be served at `now`.
    pub(crate) fn judge(&self, now: &Moment) -> Verdict {
        let overdue = self.due.is_some_and(|due| now.ticks >= due);
        if let Some(held) = &self.held
            && !held.doubtful(now)
        {
            let left = held.left(now);
            let credentials = held.credentials.clone();
            if left > Duration::ZERO {
                // Woken from suspend: the refresh that should have happened meanwhile comes first.
                let slept = overdue && self.failure.is_none() && left < LEAST_LEFT && held.could_be_fresher();
                return if slept {
                    Verdict::Ask(Some(credentials))
                } else {
                    Verdict::Serve { credentials, overdue }
                };
            }
        }
        match &self.failure {
            Some((failure, at)) if !overdue && !now.jumped_since(at) => Verdict::Fail(failure.clone()),
            _ => Verdict::Ask(None),
        }
    }

    /// What may be served at `now` without asking anyone, however near its end.
    pub(crate) fn serviceable(&self, now: &Moment) -> Option<Arc<Credentials>> {
        self.held
            .as_ref()
            .filter(|held| !held.doubtful(now) && held.left(now) > Duration::ZERO)
            .map(|held| held.credentials.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;

    const START: i64 = 1_800_000_000;

    fn at(wall: i64, ticks: u64) -> Moment {
        Moment { wall: Timestamp::from_second(START + wall).unwrap(), ticks: Duration::from_secs(ticks) }
    }

    fn held(lifetime: i64) -> Held {
        let credentials = Credentials {
            access_key_id: "ASIAEXAMPLEEXAMPLE12".into(),
            secret_access_key: Secret::new("s"),
            token: None,
            expiration: Some(at(lifetime, 0).wall),
            last_updated: at(0, 0).wall,
            account_id: None,
        };
        Held { credentials: Arc::new(credentials), since: at(0, 0), fed: false }
    }

    fn failed(moment: Moment) -> Option<(Arc<Failure>, Moment)> {
        Some((Arc::new(Failure::new("no", moment.wall)), moment))
    }

    fn word(verdict: Verdict) -> &'static str {
        match verdict {
            Verdict::Serve { overdue: false, .. } => "serve",
            Verdict::Serve { overdue: true, .. } => "serve, overdue",
            Verdict::Fail(_) => "fail",
            Verdict::Ask(None) => "ask",
            Verdict::Ask(Some(_)) => "ask, or these",
        }
    }

    #[test]
    fn nothing_known_means_asking() {
        assert_eq!(word(State::default().judge(&at(0, 0))), "ask");
    }

    #[test]
    fn what_is_held_is_served_until_it_expires_and_never_after() {
        let state =
            State { held: Some(held(3600)), due: Some(Duration::from_secs(1800)), ..State::default() };
        assert_eq!(word(state.judge(&at(1799, 1799))), "serve");
        assert_eq!(word(state.judge(&at(1801, 1801))), "serve, overdue");
        let failing =
            State { failure: failed(at(3000, 3000)), due: Some(Duration::from_secs(9999)), ..state };
        assert_eq!(word(failing.judge(&at(3599, 3599))), "serve");
        assert_eq!(word(failing.judge(&at(3600, 3600))), "fail");
        assert_eq!(word(failing.judge(&at(9999, 9999))), "ask");
    }

    #[test]
    fn after_a_suspend_what_is_nearly_over_waits_for_a_fresh_answer() {
        let state =
            State { held: Some(held(3600)), due: Some(Duration::from_secs(1800)), ..State::default() };
        assert_eq!(word(state.judge(&at(3000, 3000))), "ask, or these");
        let short_lived =
            State { held: Some(held(900)), due: Some(Duration::from_secs(450)), ..State::default() };
        assert_eq!(word(short_lived.judge(&at(600, 600))), "serve, overdue");
    }

    #[test]
    fn after_the_wall_clock_was_set_only_a_new_answer_counts() {
        let state =
            State { held: Some(held(3600)), due: Some(Duration::from_secs(1800)), ..State::default() };
        for now in [at(-7200, 100), at(1200, 100)] {
            assert_eq!(word(state.judge(&now)), "ask");
            assert!(state.serviceable(&now).is_none());
            let failing = State { failure: failed(now), ..state.clone() };
            assert_eq!(word(failing.judge(&now)), "fail");
        }
    }

    #[test]
    fn a_failure_from_before_the_clock_was_set_says_nothing() {
        let state =
            State { failure: failed(at(0, 0)), due: Some(Duration::from_secs(60)), ..State::default() };
        assert_eq!(word(state.judge(&at(30, 30))), "fail");
        assert_eq!(word(state.judge(&at(3000, 30))), "ask");
    }

    #[test]
    fn keys_that_do_not_expire_care_for_no_clock() {
        let mut keys = held(0);
        Arc::make_mut(&mut keys.credentials).expiration = None;
        let state = State { held: Some(keys), ..State::default() };
        assert_eq!(word(state.judge(&at(-7200, 100))), "serve");
    }

    #[test]
    fn time_that_really_passed_counts_even_where_the_wall_clock_lags() {
        assert_eq!(held(3600).left(&at(3550, 3600)), Duration::ZERO);
        assert_eq!(held(3600).left(&at(3600, 3550)), Duration::ZERO);
    }
}
