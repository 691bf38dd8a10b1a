//! The table of open connections: bounded, swept for the overdue, and able to make room by closing
//! the one that has been idle longest.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::activity::{Activity, Phase, now};
use super::limits::Limits;

/// How many connections are chosen to give way at a time: looking through the whole table for every new
/// connection would cost a flood of them too much.
const CHOSEN_AT_ONCE: usize = 64;

struct Entry {
    activity: Arc<Activity>,
    task: AbortHandle,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Entry>,
    /// Those that give way next and what they were doing since when, the longest idle first.
    chosen: VecDeque<(u64, Phase, u64)>,
}

impl Table {
    /// The connection that waits longest for its client.
    fn longest_idle(&mut self) -> Option<u64> {
        loop {
            if self.chosen.is_empty() {
                self.choose();
            }
            let (id, phase, since) = self.chosen.pop_front()?;
            // One that has done something meanwhile has begun to wait anew, after all that are in the row.
            let still = |e: &Entry| e.activity.phase() == phase && e.activity.since() == since;
            if self.open.get(&id).is_some_and(still) {
                return Some(id);
            }
        }
    }

    fn choose(&mut self) {
        for phase in [Phase::Idle, Phase::Hanging, Phase::Head] {
            let waiting = self.open.iter().filter(|(_, e)| e.activity.phase() == phase);
            let mut waiting: Vec<_> = waiting.map(|(id, e)| (*id, phase, e.activity.since())).collect();
            if !waiting.is_empty() {
                waiting.sort_unstable_by_key(|&(id, _, since)| (since, id));
                waiting.truncate(CHOSEN_AT_ONCE);
                self.chosen = waiting.into();
                return;
            }
        }
    }
}

/// Every open connection by a number of its own.
pub(crate) struct Connections {
    limits: Limits,
    table: Mutex<Table>,
    /// Told whenever a connection ends.
    pub(crate) closed: Notify,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        Connections { limits, table: Mutex::default(), closed: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u64, activity: Arc<Activity>, task: AbortHandle) {
        self.table().open.insert(id, Entry { activity, task });
    }

    pub(crate) fn remove(&self, id: u64) {
        self.table().open.remove(&id);
        self.closed.notify_one();
    }

    pub(crate) fn len(&self) -> usize {
        self.table().open.len()
    }

    /// True when one more connection fits.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < self.limits.connections
    }

    /// Closes the connection that waits longest for its client, to make room for a new one. One
    /// between requests goes before one that hangs, and that before one with half a head; one that is being answered never goes.
    /// Returns whether there was one.
    pub(crate) fn close_longest_idle(&self) -> bool {
        let mut table = self.table();
        // Out of the table at once: its task ends a little later, and must not be chosen twice.
        let victim = table.longest_idle().and_then(|id| table.open.remove(&id));
        victim.inspect(|entry| entry.task.abort()).is_some()
    }

    /// Closes every connection that has passed a limit.
    pub(crate) fn sweep(&self) {
        let now = now();
        for (id, entry) in self.table().open.iter() {
            if let Some(reason) = entry.activity.overdue(now, &self.limits) {
                log::debug!("connection {id} closed: {reason}");
                entry.task.abort();
            }
        }
    }

    /// Closes every connection that has been waiting for its client for longer than `grace`.
    pub(crate) fn close_silent(&self, grace: Duration) {
        let latest = now().saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        for entry in self.table().open.values() {
            let waits = matches!(entry.activity.phase(), Phase::Idle | Phase::Head | Phase::Hanging);
            if waits && entry.activity.since() <= latest {
                entry.task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full_of(phases: &[Phase]) -> (Connections, Vec<Arc<Activity>>) {
        let limits = Limits { connections: phases.len(), ..Limits::DEFAULT };
        let connections = Connections::new(limits);
        let activities: Vec<_> = phases.iter().map(|_| Arc::new(Activity::new())).collect();
        for (id, (activity, phase)) in activities.iter().zip(phases).enumerate() {
            activity.enter(*phase);
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            connections.add(id as u64, activity.clone(), task);
        }
        (connections, activities)
    }

    fn left(connections: &Connections) -> Vec<u64> {
        let mut left: Vec<_> = connections.table().open.keys().copied().collect();
        left.sort_unstable();
        left
    }

    #[tokio::test]
    async fn idle_ones_give_way_before_half_heads_and_those_being_answered_never() {
        use Phase::{Busy, Hanging, Head, Idle, Writing};
        let (connections, _) = full_of(&[Busy, Head, Idle, Writing, Idle, Hanging]);
        for gone in [vec![0, 1, 3, 4, 5], vec![0, 1, 3, 5], vec![0, 1, 3], vec![0, 3]] {
            assert!(connections.close_longest_idle());
            assert_eq!(left(&connections), gone);
        }
        assert!(!connections.close_longest_idle());
        assert_eq!(left(&connections), [0, 3]);
    }

    #[tokio::test]
    async fn one_that_was_used_since_it_was_chosen_stays() {
        let (connections, activities) = full_of(&[Phase::Idle, Phase::Idle, Phase::Idle]);
        assert!(connections.close_longest_idle());
        activities[1].enter(Phase::Busy);
        assert!(connections.close_longest_idle());
        assert_eq!(left(&connections), [1]);
        assert!(!connections.close_longest_idle());
    }
}
