//! When to ask a source again. Pure.

use std::time::Duration;

/// What is served has at least this long left, where its source allows more. SDKs renew at 10 to 15
/// minutes before the end (reference 6.3) and must find something better then.
pub(crate) const LEAST_LEFT: Duration = Duration::from_secs(15 * 60);
/// Time for a slow source to answer before `LEAST_LEFT` is touched.
const MARGIN: Duration = Duration::from_secs(60);
/// The shortest time between two answers of a source that keeps yielding what is nearly over.
const SHORTEST: Duration = Duration::from_secs(30);
/// The first wait after a failure; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest wait while nothing can be served, and while something still can.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY_SERVING: Duration = Duration::from_secs(300);

/// How long to wait before renewing credentials that have `left` to go: until half of that is over, or
/// sooner if less than 16 minutes would be left then. `jitter` (0 to 255) spreads roles that were
/// obtained together, by a tenth.
pub(crate) fn renew_after(left: Duration, jitter: u8) -> Duration {
    let latest = if left > LEAST_LEFT + MARGIN { left - LEAST_LEFT - MARGIN } else { left / 2 };
    let wait = (left / 2).min(latest);
    let wait = wait - wait / 10 * u32::from(jitter) / 255;
    wait.max(SHORTEST).min(left)
}

/// How long to wait after the `failures`th failure in a row, with `left` to go of what is served.
/// `jitter` (0 to 255) takes off up to half.
pub(crate) fn retry_after(failures: u32, left: Duration, jitter: u8) -> Duration {
    let longest = if left > LEAST_LEFT { LONGEST_RETRY_SERVING } else { LONGEST_RETRY };
    let wait = FIRST_RETRY.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(longest);
    wait - wait / 2 * u32::from(jitter) / 255
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn minutes(n: u64) -> Duration {
        Duration::from_secs(60 * n)
    }

    #[test]
    fn long_ones_are_renewed_at_half_time_and_short_ones_before_15_minutes() {
        assert_eq!(renew_after(minutes(720), 0), minutes(360));
        assert_eq!(renew_after(minutes(60), 0), minutes(30));
        assert_eq!(renew_after(minutes(60), 255), minutes(27));
        assert_eq!(renew_after(minutes(20), 0), minutes(4));
        assert_eq!(renew_after(minutes(15), 0), Duration::from_secs(450));
        assert_eq!(renew_after(Duration::from_secs(40), 0), SHORTEST);
        assert_eq!(renew_after(Duration::from_secs(10), 255), Duration::from_secs(10));
    }

    #[test]
    fn retries_back_off_to_a_minute_or_to_five_while_there_is_something_to_serve() {
        let waits: Vec<u64> = (1..=8).map(|n| retry_after(n, Duration::ZERO, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(retry_after(u32::MAX, minutes(30), 0), minutes(5));
        assert_eq!(retry_after(3, Duration::ZERO, 255), Duration::from_secs(2));
    }

    proptest! {
        #[test]
        fn the_15_minutes_are_kept_where_they_can_be(seconds in 0u64..200_000, jitter: u8) {
            let left = Duration::from_secs(seconds);
            let wait = renew_after(left, jitter);
            prop_assert!(wait <= left);
            if left >= LEAST_LEFT + MARGIN + SHORTEST {
                prop_assert!(left - wait >= LEAST_LEFT + MARGIN);
            }
            let retry = retry_after(seconds as u32, left, jitter);
            prop_assert!(retry >= FIRST_RETRY / 2 && retry <= LONGEST_RETRY_SERVING);
        }
    }
}
