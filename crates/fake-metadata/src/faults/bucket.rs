//! A token bucket: so many requests a second pass, and as many at once after a rest.

use jiff::Timestamp;

/// What is left of a rate.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    left: f64,
    last: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(crate) fn new(per_second: f64, now: Timestamp) -> Self {
        Bucket { per_second, left: Bucket::most(per_second), last: now }
    }

    /// A rate below one a second lets the first request pass too.
    fn most(per_second: f64) -> f64 {
        per_second.max(1.0)
    }

    /// Whether one more request passes.
    pub(crate) fn passes(&mut self, now: Timestamp) -> bool {
        // A clock that was set back stops no refill for longer than it takes to notice.
        let elapsed = now.duration_since(self.last).as_secs_f64().max(0.0);
        self.last = now;
        self.left = (self.left + elapsed * self.per_second).min(Bucket::most(self.per_second));
        let passes = self.left >= 1.0;
        if passes {
            self.left -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_rate_is_kept() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut bucket = Bucket::new(2.0, start);
        let mut passed = |milliseconds| bucket.passes(start + SignedDuration::from_millis(milliseconds));
        assert_eq!([0, 0, 0].map(&mut passed), [true, true, false]);
        assert_eq!([400, 500, 500].map(&mut passed), [false, true, false]);
        assert_eq!([60_000, 60_000, 60_000].map(&mut passed), [true, true, false]);
        assert_eq!([0, 0].map(&mut passed), [false, false], "the clock was set back");
        assert!(passed(500));
    }

    #[test]
    fn a_rate_below_one_lets_the_first_pass() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut bucket = Bucket::new(0.1, start);
        assert!(bucket.passes(start));
        assert!(!bucket.passes(start + SignedDuration::from_secs(9)));
        assert!(bucket.passes(start + SignedDuration::from_secs(11)));
    }
}
