//! What one connection is doing and since when, in two words that the connection writes and the
//! sweeper reads. It replaces a timer per request: arming one costs more than most answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::limits::Limits;

/// Where a connection is in its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between requests, or before the first: no byte has come.
    Idle = 0,
    /// A head has begun and is not complete.
    Head = 1,
    /// A request is being answered.
    Busy = 2,
    /// The answer is on its way out.
    Writing = 3,
    /// No answer is ever sent (a fault): it ends with its client.
    Hanging = 4,
}

/// The bits that the phase takes.
const PHASE_BITS: u32 = 3;

/// Milliseconds since the machine started, by the clock that the kernel moves on every few of them: no limit is as
/// fine as that, and every request reads it twice.
pub(crate) fn now() -> u64 {
    // A clock that Linux has had since 2.6.32; without it no limit is ever passed.
    let at = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
    // Neither part of it is ever negative.
    at.map_or(0, |at| at.tv_sec() as u64 * 1000 + at.tv_nsec() as u64 / 1_000_000)
}

/// The shared record of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The phase in the low [`PHASE_BITS`], the millisecond it began above them; 0 where that is no matter.
    phase: AtomicU64,
    /// The millisecond since which a write is blocked, plus one; 0 when none is.
    blocked: AtomicU64,
    /// Whether the connection ends with a reset in place of its next answer.
    reset: AtomicBool,
}

impl Activity {
    pub(crate) fn new() -> Self {
        let activity =
            Activity { phase: AtomicU64::new(0), blocked: AtomicU64::new(0), reset: AtomicBool::new(false) };
        activity.enter(Phase::Idle);
        activity
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let since = match phase {
            Phase::Idle | Phase::Head | Phase::Hanging => now(),
            // No limit is on these, and most requests go through all phases.
            Phase::Busy | Phase::Writing => 0,
        };
        self.phase.store(since << PHASE_BITS | phase as u64, Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase_since().0
    }

    /// The present phase and, of one in which the client is waited for, the millisecond at which it began. Both are
    /// of one moment: the sweeper's thread reads them while the front's goes on, and a phase with the beginning of
    /// the next would have it close a connection in use.
    pub(crate) fn phase_since(&self) -> (Phase, u64) {
        let both = self.phase.load(Relaxed);
        let phase = match both & ((1 << PHASE_BITS) - 1) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            3 => Phase::Writing,
            _ => Phase::Hanging,
        };
        (phase, both >> PHASE_BITS)
    }

    /// Has the connection reset in place of the answer that is about to be written.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Relaxed);
    }

    pub(crate) fn is_to_be_reset(&self) -> bool {
        self.reset.load(Relaxed)
    }

    pub(crate) fn write_blocked(&self) {
        if self.blocked.load(Relaxed) == 0 {
            self.blocked.store(now() + 1, Relaxed);
        }
    }

    pub(crate) fn write_moved(&self) {
        if self.blocked.load(Relaxed) != 0 {
            self.blocked.store(0, Relaxed);
        }
    }

    /// Which limit this connection has passed at `now`, if any.
    pub(crate) fn overdue(&self, now: u64, limits: &Limits) -> Option<&'static str> {
        let blocked = self.blocked.load(Relaxed);
        if blocked != 0 && longer(now, blocked - 1, limits.write_time) {
            return Some("the client does not read its answer");
        }
        match self.phase_since() {
            (Phase::Idle, since) if longer(now, since, limits.idle_time) => Some("idle"),
            (Phase::Head, since) if longer(now, since, limits.head_time) => {
                Some("the request head is too slow")
            }
            _ => None,
        }
    }
}

fn longer(now: u64, since: u64, limit: Duration) -> bool {
    u128::from(now.saturating_sub(since)) > limit.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_its_own_limit() {
        let limits = Limits::DEFAULT;
        let activity = Activity::new();
        let at = |d: Duration| activity.phase_since().1 + d.as_millis() as u64;
        assert_eq!(activity.overdue(at(limits.idle_time), &limits), None);
        assert_eq!(activity.overdue(at(limits.idle_time) + 1, &limits), Some("idle"));
        activity.enter(Phase::Head);
        assert_eq!(activity.overdue(at(limits.head_time), &limits), None);
        assert!(activity.overdue(at(limits.head_time) + 1, &limits).is_some());
        activity.enter(Phase::Busy);
        assert_eq!(activity.overdue(at(limits.idle_time) * 10, &limits), None);
        activity.enter(Phase::Hanging);
        assert_eq!(activity.phase(), Phase::Hanging);
        assert_eq!(activity.overdue(at(limits.idle_time) * 10, &limits), None, "as long as its client");
    }

    #[test]
    fn one_that_is_used_all_the_time_is_never_overdue_to_another_thread() {
        let activity = Activity::new();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..1_000_000 {
                    for phase in [Phase::Head, Phase::Busy, Phase::Writing, Phase::Idle] {
                        activity.enter(phase);
                    }
                }
                ended.store(true, Relaxed);
            });
            while !ended.load(Relaxed) {
                assert_eq!(activity.overdue(now(), &Limits::DEFAULT), None);
            }
        });
    }

    #[test]
    fn a_blocked_write_is_overdue_until_it_moves() {
        let limits = Limits::DEFAULT;
        let activity = Activity::new();
        activity.enter(Phase::Writing);
        activity.write_blocked();
        let late = now() + limits.write_time.as_millis() as u64 + 1000;
        assert!(activity.overdue(late, &limits).is_some());
        activity.write_moved();
        assert_eq!(activity.overdue(late, &limits), None);
    }
}
