//! The table of open connections: bounded, swept for the overdue, and able to make room by closing
//! the one that has been idle longest.
//!
//! The sweeper is a thread of its own. As a timer of the front's runtime it would give every wait for a client a
//! deadline, and the kernel a timer to set and to take back for every request.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::activity::{Activity, Phase, now};
use super::limits::Limits;

/// How many connections are chosen to give way at a time: looking through the whole table for every new
/// connection would cost a flood of them too much.
const CHOSEN_AT_ONCE: usize = 64;
/// How often connections are looked at for limits they have passed.
const SWEEP_EVERY: Duration = Duration::from_millis(250);

struct Entry {
    activity: Arc<Activity>,
    task: AbortHandle,
}

#[derive(Default)]
struct Table {
    open: HashMap<u64, Entry>,
    /// Those that give way next and what they were doing since when, the longest idle first.
    chosen: VecDeque<(u64, Phase, u64)>,
    sweeper: Sweeper,
}

/// What the sweeping thread does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sweeper {
    #[default]
    Sweeps,
    /// It sleeps until a connection is opened.
    Rests,
    /// It has ended, or is about to.
    Ends,
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
            let still = |e: &Entry| e.activity.phase_since() == (phase, since);
            if self.open.get(&id).is_some_and(still) {
                return Some(id);
            }
        }
    }

    fn choose(&mut self) {
        for phase in [Phase::Idle, Phase::Hanging, Phase::Head] {
            let all = self.open.iter().map(|(id, e)| (*id, e.activity.phase_since()));
            let waiting =
                all.filter(|&(_, (now, _))| now == phase).map(|(id, (_, since))| (id, phase, since));
            let mut waiting: Vec<_> = waiting.collect();
            if !waiting.is_empty() {
                waiting.sort_unstable_by_key(|&(id, _, since)| (since, id));
                waiting.truncate(CHOSEN_AT_ONCE);
                self.chosen = waiting.into();
                return;
            }
        }
    }

    fn close_overdue(&self, limits: &Limits) {
        let now = now();
        for (id, entry) in &self.open {
            if let Some(reason) = entry.activity.overdue(now, limits) {
                log::debug!("connection {id} closed: {reason}");
                entry.task.abort();
            }
        }
    }
}

/// Every open connection by a number of its own.
pub(crate) struct Connections {
    limits: Limits,
    table: Mutex<Table>,
    /// Wakes the sweeper, from its rest or to its end.
    wakes: Condvar,
    /// Told whenever a connection ends.
    pub(crate) closed: Notify,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        Connections { limits, table: Mutex::default(), wakes: Condvar::new(), closed: Notify::new() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, id: u64, activity: Arc<Activity>, task: AbortHandle) {
        let mut table = self.table();
        table.open.insert(id, Entry { activity, task });
        if table.sweeper == Sweeper::Rests {
            table.sweeper = Sweeper::Sweeps;
            self.wakes.notify_one();
        }
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

    /// Closes every connection that has passed a limit, again and again until [`Connections::end_sweeps`]. While none
    /// is open it rests.
    pub(crate) fn sweep(&self) {
        let mut table = self.table();
        loop {
            if table.open.is_empty() && table.sweeper == Sweeper::Sweeps {
                table.sweeper = Sweeper::Rests;
            }
            let rests = |table: &mut Table| table.sweeper == Sweeper::Rests;
            table = self.wakes.wait_while(table, rests).unwrap_or_else(PoisonError::into_inner);
            let sweeps = |table: &mut Table| table.sweeper == Sweeper::Sweeps;
            let waited = self.wakes.wait_timeout_while(table, SWEEP_EVERY, sweeps);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
            if table.sweeper == Sweeper::Ends {
                return;
            }
            table.close_overdue(&self.limits);
        }
    }

    /// Ends the sweeps, now or when they begin.
    pub(crate) fn end_sweeps(&self) {
        self.table().sweeper = Sweeper::Ends;
        self.wakes.notify_all();
    }

    /// Closes every connection that has been waiting for its client for longer than `grace`.
    pub(crate) fn close_silent(&self, grace: Duration) {
        let latest = now().saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        for entry in self.table().open.values() {
            let (phase, since) = entry.activity.phase_since();
            if matches!(phase, Phase::Idle | Phase::Head | Phase::Hanging) && since <= latest {
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
    async fn the_overdue_are_closed_by_a_thread_that_ends_when_told() {
        let limits = Limits { idle_time: Duration::from_millis(1), ..Limits::DEFAULT };
        let connections = Arc::new(Connections::new(limits));
        let swept = connections.clone();
        let sweeper = std::thread::spawn(move || swept.sweep());
        for id in 0..2 {
            while connections.table().sweeper != Sweeper::Rests {
                tokio::task::yield_now().await;
            }
            let task = tokio::spawn(std::future::pending::<()>());
            connections.add(id, Arc::new(Activity::new()), task.abort_handle());
            assert!(task.await.unwrap_err().is_cancelled());
            connections.remove(id);
        }
        connections.end_sweeps();
        sweeper.join().unwrap();
        connections.sweep();
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
