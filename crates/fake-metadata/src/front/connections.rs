//! The table of open connections: bounded, swept for the overdue, and able to make room by closing
//! the one that has been idle longest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::activity::{Activity, Clock, Phase};
use super::limits::Limits;

struct Entry {
    activity: Arc<Activity>,
    task: AbortHandle,
}

/// Every open connection by a number of its own.
pub(crate) struct Connections {
    limits: Limits,
    clock: Clock,
    open: Mutex<HashMap<u64, Entry>>,
    /// Told whenever a connection ends.
    pub(crate) closed: Notify,
}

impl Connections {
    pub(crate) fn new(limits: Limits, clock: Clock) -> Self {
        Connections { limits, clock, open: Mutex::default(), closed: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u64, activity: Arc<Activity>, task: AbortHandle) {
        self.table().insert(id, Entry { activity, task });
    }

    pub(crate) fn remove(&self, id: u64) {
        self.table().remove(&id);
        self.closed.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.table().len()
    }

    /// True when one more connection fits.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limits.connections
    }

    /// Closes the connection that waits longest for its client, to make room for a new one. One
    /// between requests goes before one with half a head; one that is being answered never goes.
    /// Returns whether there was one.
    pub(crate) fn close_longest_idle(&self) -> bool {
        let mut table = self.table();
        let victim = table
            .iter()
            .filter(|(_, e)| matches!(e.activity.phase(), Phase::Idle | Phase::Head))
            .min_by_key(|(_, e)| (e.activity.phase() == Phase::Head, e.activity.since()))
            .map(|(id, _)| *id);
        // Out of the table at once: its task ends a little later, and must not be chosen twice.
        victim.and_then(|id| table.remove(&id)).inspect(|entry| entry.task.abort()).is_some()
    }

    /// Closes every connection that has passed a limit.
    pub(crate) fn sweep(&self) {
        let now = self.clock.now();
        for (id, entry) in self.table().iter() {
            if let Some(reason) = entry.activity.overdue(now, &self.limits) {
                log::debug!("connection {id} closed: {reason}");
                entry.task.abort();
            }
        }
    }

    /// Closes every connection that has been waiting for its client for longer than `grace`.
    pub(crate) fn close_silent(&self, grace: Duration) {
        let latest = self.clock.now().saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        for entry in self.table().values() {
            if matches!(entry.activity.phase(), Phase::Idle | Phase::Head) && entry.activity.since() <= latest
            {
                entry.task.abort();
            }
        }
    }
}
