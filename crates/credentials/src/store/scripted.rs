//! What tests of the store are made with: a clock that they move, and sources that do as told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::credentials::{Secret, add};

pub(super) const START: i64 = 1_800_000_000;

pub(super) fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

/// Tokio's time, plus what was slept through and what the wall clock was set by.
pub(super) struct TestClock {
    start: Instant,
    slept: AtomicU64,
    set: AtomicI64,
}

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(TestClock { start: Instant::now(), slept: AtomicU64::new(0), set: AtomicI64::new(0) })
    }

    /// The machine was suspended for so long: both clocks move, no timer does.
    pub(super) fn suspend(&self, span: Duration) {
        self.slept.fetch_add(span.as_secs(), SeqCst);
    }

    /// Somebody set the wall clock.
    pub(super) fn set_wall(&self, by: i64) {
        self.set.fetch_add(by, SeqCst);
    }
}

impl Clock for TestClock {
    fn moment(&self) -> Moment {
        let ticks = self.start.elapsed() + Duration::from_secs(self.slept.load(SeqCst));
        let wall = Timestamp::from_second(START + self.set.load(SeqCst)).unwrap();
        Moment { wall: add(wall, ticks.try_into().unwrap()), ticks }
    }
}

type Step = dyn Fn(usize, Timestamp) -> (Duration, Result<Credentials, Failure>) + Send + Sync;

/// A source that answers as a closure says, given the number of the call, and counts.
#[derive(Clone)]
pub(crate) struct Script {
    step: Arc<Step>,
    calls: Arc<AtomicUsize>,
}

impl Script {
    pub(super) fn new(
        step: impl Fn(usize, Timestamp) -> (Duration, Result<Credentials, Failure>) + Send + Sync + 'static,
    ) -> Self {
        Script { step: Arc::new(step), calls: Arc::new(AtomicUsize::new(0)) }
    }

    /// Credentials good for `lifetime` seconds, each time after `delay`.
    pub(super) fn lasting(lifetime: i64, delay: Duration) -> Self {
        Script::new(move |n, now| (delay, Ok(made(n, now, lifetime))))
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    pub(crate) async fn fetch(&self, clock: &dyn Clock) -> Result<Credentials, Failure> {
        let number = self.calls.fetch_add(1, SeqCst) + 1;
        let (delay, _) = (self.step)(number, clock.moment().wall);
        sleep(delay).await;
        (self.step)(number, clock.moment().wall).1
    }
}

impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.calls, &other.calls)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

pub(super) fn made(number: usize, now: Timestamp, lifetime: i64) -> Credentials {
    Credentials {
        access_key_id: format!("ASIA{number:016}"),
        secret_access_key: Secret::new(format!("secret{number}")),
        token: Some(Secret::new("token")),
        expiration: Some(add(now, seconds(lifetime))),
        last_updated: now,
        account_id: None,
    }
}

pub(super) fn failing(now: Timestamp) -> Result<Credentials, Failure> {
    Err(Failure::new("ask the script: it was told to fail", now))
}

pub(super) fn environment(clock: Arc<dyn Clock>, outgoing: Outgoing) -> Environment {
    let seed = Seed::new([5; 32], Timestamp::from_second(START).unwrap());
    Environment { clock, outgoing, seed }
}

pub(super) fn store_of(sources: &[(&str, Source)]) -> (Arc<Store>, Arc<TestClock>) {
    let clock = TestClock::new();
    let store = Store::empty(environment(clock.clone(), Outgoing::on(Handle::current())));
    store
        .install(sources.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect())
        .unwrap();
    (Arc::new(store), clock)
}

pub(super) fn scripted(script: &Script) -> (Arc<Store>, Arc<TestClock>) {
    store_of(&[("app", Source::Scripted(script.clone()))])
}

/// Lets background tasks run until nothing moves, without time passing to speak of.
pub(super) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

pub(super) fn key(answer: &Answer) -> &str {
    answer
        .as_ref()
        .map_or_else(|failure| failure.code.as_str(), |credentials| credentials.access_key_id.as_str())
}

pub(super) fn now(clock: &TestClock) -> Timestamp {
    clock.moment().wall
}
