//! Time as an argument: the wall clock, which credentials expire by, and a clock that no one can set,
//! which says how long has really passed.

use std::time::Duration;

use jiff::Timestamp;
use nix::time::{ClockId, clock_gettime};

/// How far the two clocks may part before the wall clock counts as set.
const JUMP: i64 = 60;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock. Anyone may set it.
    pub wall: Timestamp,
    /// Time since some fixed moment, which runs on while the machine is suspended.
    pub ticks: Duration,
}

impl Moment {
    /// Time really passed since `earlier`.
    pub(crate) fn since(&self, earlier: &Moment) -> Duration {
        self.ticks.saturating_sub(earlier.ticks)
    }

    /// Whether the wall clock was set between `earlier` and this moment, by more than a minute.
    pub(crate) fn jumped_since(&self, earlier: &Moment) -> bool {
        let wall = self.wall.as_second().saturating_sub(earlier.wall.as_second());
        let real = i64::try_from(self.since(earlier).as_secs()).unwrap_or(i64::MAX);
        wall.saturating_sub(real).abs() > JUMP
    }
}

/// Where the store reads the time. Tests hand in a clock of their own and live through days in it.
pub trait Clock: Send + Sync {
    /// This moment.
    fn moment(&self) -> Moment;
}

/// The machine's clocks: `CLOCK_REALTIME` and `CLOCK_BOOTTIME` (clock_gettime(2); the latter counts
/// the time a machine is suspended).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn moment(&self) -> Moment {
        let ticks = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC))
            .map(Duration::from)
            .expect("Linux has CLOCK_MONOTONIC");
        Moment { wall: Timestamp::now(), ticks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: i64, ticks: u64) -> Moment {
        Moment { wall: Timestamp::from_second(wall).unwrap(), ticks: Duration::from_secs(ticks) }
    }

    #[test]
    fn a_set_wall_clock_is_told_from_time_passing() {
        assert!(!at(1_100, 110).jumped_since(&at(1_000, 10)));
        assert!(!at(1_160, 110).jumped_since(&at(1_000, 10)));
        assert!(at(1_161, 110).jumped_since(&at(1_000, 10)));
        assert!(at(900, 20).jumped_since(&at(1_000, 10)));
    }

    #[test]
    fn the_machines_clock_goes_forward() {
        let first = SystemClock.moment();
        let second = SystemClock.moment();
        assert!(second.ticks >= first.ticks && !second.jumped_since(&first));
    }
}
