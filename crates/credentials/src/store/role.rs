//! One role: what is known of it, the answer to those who ask, and the changes that befall it. Asking
//! its source is the keeper's business.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::schedule::{LEAST_LEFT, renew_after, retry_after};
use super::state::{Held, State, Verdict};
use super::{Answer, Tools};
use crate::clock::Moment;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::source::{Source, generated};

/// How long a request waits for something fresher than what could be served at once. SDKs give up
/// after one second (reference 6.2).
const PATIENCE: Duration = Duration::from_millis(700);
/// How often keys without an expiration are looked up again, and a session whose end is not known.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(60);
/// No renewal of generated credentials was asked for.
const NEVER: i64 = i64::MIN;

/// Who asked for a role's credentials, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) who: String,
    pub(crate) at: Timestamp,
}

/// One role. Shared by the front, the keeper and the control API.
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) source: Source,
    state: watch::Sender<State>,
    /// Wakes the keeper.
    pub(crate) wake: Notify,
    /// The keeper is to ask the source whatever is held.
    wanted: AtomicBool,
    /// Attempts begun so far.
    begun: AtomicU64,
    /// The credentials generated last.
    made: ArcSwapOption<Credentials>,
    /// When generated credentials were last renewed by hand, in seconds.
    renewed: AtomicI64,
    asked: Mutex<Option<Asked>>,
}

impl Role {
    pub(crate) fn new(name: String, source: Source) -> Self {
        Role {
            name,
            source,
            state: watch::Sender::new(State::default()),
            wake: Notify::new(),
            wanted: AtomicBool::new(true),
            begun: AtomicU64::new(0),
            made: ArcSwapOption::empty(),
            renewed: AtomicI64::new(NEVER),
            asked: Mutex::new(None),
        }
    }

    /// The answer from memory; `None` when the source must be asked first.
    pub(crate) fn at_once(&self, tools: &Tools, now: &Moment) -> Option<Answer> {
        let state = self.state.borrow();
        let fed =
            || state.held.as_ref().is_some_and(|held| held.fed).then(|| state.serviceable(now)).flatten();
        match self.source {
            Source::Generated => Some(Ok(fed().unwrap_or_else(|| self.generated(tools, now.wall)))),
            Source::Fed => Some(fed().ok_or_else(|| Arc::new(self.not_fed(&state, now.wall)))),
            _ if self.source.watched() => fed().map(Ok),
            _ => match state.judge(now) {
                Verdict::Serve { credentials, overdue } => {
                    if overdue {
                        self.wake.notify_one();
                    }
                    Some(Ok(credentials))
                }
                Verdict::Fail(failure) => Some(Err(failure)),
                Verdict::Ask(_) => None,
            },
        }
    }

    /// The answer, waiting for the source where need be. Any number may wait for one attempt, and one
    /// who stops waiting changes nothing for the others.
    pub(crate) async fn answer(&self, tools: &Tools) -> Answer {
        let now = tools.clock.moment();
        if let Some(answer) = self.at_once(tools, &now) {
            return answer;
        }
        let mut states = self.state.subscribe();
        let (after, meanwhile) = {
            let state = states.borrow_and_update();
            match (self.source.watched(), state.judge(&now)) {
                // Only an attempt that begins from now on sees what is in the file now.
                (true, _) => (self.begun.load(SeqCst), state.serviceable(&now)),
                (false, Verdict::Ask(meanwhile)) => (state.ended, meanwhile),
                (false, _) => return state.answer(self, &now),
            }
        };
        if self.source.watched() {
            self.wanted.store(true, SeqCst);
        }
        self.wake.notify_one();
        let asked_anew = |state: &State| {
            let unasked =
                !self.source.watched() && !matches!(state.judge(&tools.clock.moment()), Verdict::Ask(_));
            state.closed || state.ended > after || unasked
        };
        let settled = states.wait_for(asked_anew);
        match meanwhile {
            None => {
                let _ = settled.await;
            }
            Some(credentials) => {
                if tokio::time::timeout(PATIENCE, settled).await.is_err() {
                    return Ok(credentials);
                }
            }
        }
        self.state.borrow().answer(self, &tools.clock.moment())
    }

    /// Notes who asked; shown in `status`.
    pub(crate) fn note_asked(&self, who: &str, at: Timestamp) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *asked {
            Some(last) => {
                last.at = at;
                if last.who != who {
                    last.who.clear();
                    last.who.push_str(who);
                }
            }
            None => *asked = Some(Asked { who: who.into(), at }),
        }
    }

    pub(crate) fn asked(&self) -> Option<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known now.
    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What status shows as held: for generated credentials, those of this moment.
    pub(crate) fn shown(&self, tools: &Tools, now: &Moment) -> Option<Arc<Credentials>> {
        match (&self.source, self.state.borrow().serviceable(now)) {
            (_, Some(held)) => Some(held),
            (Source::Generated, None) => Some(self.generated(tools, now.wall)),
            (_, None) => None,
        }
    }

    /// Has the source asked now; what is held is served until it has answered. Yields the number of the
    /// first attempt that is sure to begin after this, `None` for a source that nobody asks.
    pub(crate) fn refresh(&self, now: Timestamp) -> Option<u64> {
        self.renewed.store(now.as_second(), SeqCst);
        let begun = self.begun.load(SeqCst);
        self.wanted.store(true, SeqCst);
        self.wake.notify_one();
        self.source.outgoing().then_some(begun + 1)
    }

    /// Drops what is held: the next answer comes from the source.
    pub(crate) fn expire(&self, now: Timestamp) {
        self.state.send_modify(|state| {
            state.held = None;
            state.failure = None;
            state.outdated = 0;
        });
        self.refresh(now);
    }

    /// Serves `credentials` from now on, until shortly before they expire.
    pub(crate) fn feed(&self, credentials: Credentials, now: Moment) {
        log::info!("role {}: credentials were fed, {}", self.name, until(&credentials));
        let held = Held { credentials: Arc::new(credentials), since: now, fed: true };
        let left = held.left(&now);
        self.state.send_modify(|state| {
            let wait = left.saturating_sub(LEAST_LEFT + Duration::from_secs(60));
            state.due = now.ticks.checked_add(if wait.is_zero() { left } else { wait });
            state.held = Some(held);
            state.failure = None;
            state.failures = 0;
            state.outdated = self.begun.load(SeqCst);
        });
        self.wake.notify_one();
    }

    /// Ends the keeper and tells everyone who waits that the role is gone.
    pub(crate) fn close(&self) {
        self.state.send_modify(|state| state.closed = true);
        self.wake.notify_one();
    }

    /// The keeper's question: is the source to be asked now? Answers yes once to a wish.
    pub(crate) fn to_be_asked(&self, now: &Moment) -> bool {
        if self.wanted.swap(false, SeqCst) {
            return true;
        }
        let state = self.state.borrow();
        if self.source.watched() && !state.held.as_ref().is_some_and(|held| held.fed) {
            return false;
        }
        !matches!(state.judge(now), Verdict::Serve { overdue: false, .. } | Verdict::Fail(_))
    }

    /// Counts an attempt; its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, SeqCst) + 1
    }

    /// Has those who wait look again.
    pub(crate) fn touch(&self) {
        self.state.send_modify(|_| ());
    }

    /// Takes the outcome of attempt `number`.
    pub(crate) fn settle(
        &self,
        tools: &Tools,
        number: u64,
        outcome: Result<Credentials, Failure>,
        now: Moment,
    ) {
        let jitter =
            tools.seed.number("jitter", &[self.name.as_bytes(), &number.to_be_bytes()]).to_be_bytes()[0];
        let outcome =
            outcome.map(|credentials| Held { credentials: Arc::new(credentials), since: now, fed: false });
        self.state.send_modify(|state| {
            state.ended = number;
            if number <= state.outdated {
                return;
            }
            match outcome {
                Ok(held) if !held.left(&now).is_zero() => self.take(state, held, jitter),
                Ok(held) => {
                    let failure = self.expired(&held.credentials, now.wall);
                    // What a file says holds, even that there is nothing to be had.
                    if self.source.watched() {
                        state.held = Some(held);
                    }
                    self.take_failure(state, failure, &now, jitter);
                }
                Err(failure) => self.take_failure(state, failure, &now, jitter),
            }
        });
    }

    fn take(&self, state: &mut State, held: Held, jitter: u8) {
        let now = held.since;
        let same = state.held.as_ref().is_some_and(|old| old.credentials.same_keys(&held.credentials));
        if !same || state.failure.is_some() {
            log::info!(
                "role {}: new credentials from {}, {}",
                self.name,
                self.source.kind(),
                until(&held.credentials)
            );
        }
        let wait = if held.credentials.expiration.is_some() {
            renew_after(held.left(&now), jitter)
        } else if held.credentials.end_unknown() {
            LOOK_AGAIN_SOON
        } else {
            LOOK_AGAIN
        };
        state.due = if self.source.watched() { None } else { now.ticks.checked_add(wait) };
        state.held = Some(held);
        state.failure = None;
        state.failures = 0;
    }

    fn take_failure(&self, state: &mut State, failure: Failure, now: &Moment, jitter: u8) {
        let left = state.held.as_ref().map_or(Duration::ZERO, |held| held.left(now));
        state.failures = state.failures.saturating_add(1);
        let wait = retry_after(state.failures, left, jitter);
        let known = state.failure.as_ref().is_some_and(|(last, _)| last.repeats(&failure));
        let level = if known { log::Level::Debug } else { log::Level::Warn };
        let serving = if left.is_zero() { "nothing to serve" } else { "the last good ones are served" };
        log::log!(level, "role {}: {} ({serving})", self.name, failure.detail);
        state.failure = Some((Arc::new(failure), *now));
        state.due = if self.source.watched() { None } else { now.ticks.checked_add(wait) };
    }

    fn generated(&self, tools: &Tools, now: Timestamp) -> Arc<Credentials> {
        let renewed = Some(self.renewed.load(SeqCst)).filter(|second| *second != NEVER);
        let issued = generated::issued_at(
            &tools.seed,
            now,
            renewed.and_then(|second| Timestamp::from_second(second).ok()),
        );
        if let Some(made) = &*self.made.load()
            && made.last_updated == issued
        {
            return made.clone();
        }
        let made = Arc::new(generated::generate(&tools.seed, &self.name, issued));
        self.made.store(Some(made.clone()));
        made
    }

    fn not_fed(&self, state: &State, now: Timestamp) -> Failure {
        let name = &self.name;
        let what = match &state.held {
            Some(held) => held
                .credentials
                .expiration
                .map_or("they are in doubt".into(), |at| format!("those fed last expired at {at}")),
            None => "none have been fed".into(),
        };
        Failure::new(format!("get credentials for role {name}: {what} (run fake-metadata role feed {name} --profile PROFILE)"), now)
            .for_a_person()
    }

    fn expired(&self, credentials: &Credentials, now: Timestamp) -> Failure {
        let at = credentials.expiration.unwrap_or(now);
        let (kind, target) = (self.source.kind(), self.source.target());
        let gap = if target.is_empty() { "" } else { " " };
        Failure::new(format!("get credentials from {kind}{gap}{target}: they expired at {at}"), now)
    }
}

impl State {
    /// What those who waited are told.
    fn answer(&self, role: &Role, now: &Moment) -> Answer {
        if self.closed {
            return Err(Arc::new(Failure::new(
                format!("get credentials for role {}: the role is no longer configured", role.name),
                now.wall,
            )));
        }
        match (self.serviceable(now), &self.failure) {
            (Some(credentials), _) => Ok(credentials),
            (None, Some((failure, _))) => Err(failure.clone()),
            (None, None) => Err(Arc::new(Failure::new(
                format!("get credentials for role {}: they expired meanwhile", role.name),
                now.wall,
            ))),
        }
    }
}

/// "good until ..." for the log.
fn until(credentials: &Credentials) -> String {
    match credentials.expiration {
        Some(at) => format!("good until {at}"),
        None if credentials.end_unknown() => {
            "and when they end is not known: the source is asked again every minute".into()
        }
        None => "they do not expire".into(),
    }
}
