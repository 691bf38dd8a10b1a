//! What is wrong with the upstream: one line in the log when it begins and one when it is over, however many
//! requests meet it, and the present state for `status`.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often at most the log says that something is wrong, for an upstream that comes and goes.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The upstream's state, as the last requests found it.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether it was ever asked.
    asked: bool,
    failing: Option<String>,
    /// When the log was told last that it fails.
    told: Option<Instant>,
    /// What the log knows to be wrong now.
    known: Option<String>,
}

/// What the log is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nothing,
    Fails(String),
    Answers,
}

impl Health {
    /// Notes how a request went: `None`, or what was wrong.
    pub(super) fn note(&self, wrong: Option<String>, now: Instant) -> Tell {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = true;
        state.failing = wrong;
        match state.failing.clone() {
            Some(wrong) => {
                let lately = state.told.is_some_and(|told| now.duration_since(told) < TELL_EVERY);
                if lately || state.known.as_ref() == Some(&wrong) {
                    return Tell::Nothing;
                }
                state.told = Some(now);
                state.known = Some(wrong.clone());
                Tell::Fails(wrong)
            }
            None => state.known.take().map_or(Tell::Nothing, |_| Tell::Answers),
        }
    }

    /// Whether it answered when it was last asked, and what was wrong if not; `None` before that.
    pub(super) fn now(&self) -> Option<Result<(), String>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked.then(|| state.failing.clone().map_or(Ok(()), Err))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_and_its_end_once() {
        let health = Health::default();
        let now = Instant::now();
        let bad = || Some("gone".to_owned());
        assert_eq!(health.now(), None);
        assert_eq!(health.note(None, now), Tell::Nothing);
        assert_eq!(health.note(bad(), now), Tell::Fails("gone".into()));
        assert_eq!(health.note(Some("gone otherwise".into()), now), Tell::Nothing);
        assert_eq!(health.now(), Some(Err("gone otherwise".into())));
        assert_eq!(health.note(bad(), now + TELL_EVERY * 2), Tell::Nothing);
        assert_eq!(health.note(None, now), Tell::Answers);
        assert_eq!(health.now(), Some(Ok(())));
        // It comes and goes: not a line each time.
        assert_eq!(health.note(bad(), now), Tell::Nothing);
        assert_eq!(health.note(None, now), Tell::Nothing);
        let later = now + TELL_EVERY;
        assert_eq!(health.note(bad(), later), Tell::Fails("gone".into()));
        assert_eq!(health.note(bad(), later + TELL_EVERY * 10), Tell::Nothing);
        let other = Some("gone otherwise".to_owned());
        assert_eq!(health.note(other, later + TELL_EVERY * 10), Tell::Fails("gone otherwise".into()));
    }
}
