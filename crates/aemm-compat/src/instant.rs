//! Times as AEMM reads and prints them: RFC 3339 as Go's `time` package takes it, and the dates of maintenance
//! events.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// A time that was written in RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    /// The clock at the place it was written for.
    civil: DateTime,
    /// Seconds that it is ahead of UTC.
    east: i64,
    /// The moment.
    pub(crate) at: Timestamp,
}

impl Instant {
    /// `2020-01-07T01:03:47Z`, or with `+01:00` and the like in place of the `Z`; a fraction is taken and dropped.
    pub(crate) fn parse(text: &str) -> Option<Instant> {
        let (date_and_time, rest) = text.split_at_checked(19)?;
        let well_formed = date_and_time.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
        let civil: DateTime = date_and_time.parse().ok().filter(|_| well_formed)?;
        let zone = match rest.strip_prefix('.') {
            Some(fraction) => {
                let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
                fraction.get(digits..).filter(|_| digits > 0)?
            }
            None => rest,
        };
        let seconds = offset(zone)?;
        let at = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        let at = at.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok()?;
        Some(Instant { civil, east: seconds, at })
    }

    /// `2020-01-07 01:03:47 +0000 UTC`, or `+0100 +0100` and the like: Go's own form.
    pub(crate) fn as_go_prints(&self) -> String {
        let clock = self.civil.strftime("%Y-%m-%d %H:%M:%S");
        let minutes = self.east.abs() / 60;
        let sign = if self.east < 0 { '-' } else { '+' };
        let zone = format!("{sign}{:02}{:02}", minutes / 60, minutes % 60);
        let name = if self.east == 0 { "UTC" } else { &zone };
        format!("{clock} {zone} {name}")
    }

    /// `7 Jan 2020 01:03:47 GMT`. AEMM prints the clock of the zone the time was given in, and calls it GMT.
    pub(crate) fn event_date(&self) -> String {
        self.civil.strftime("%-d %b %Y %H:%M:%S GMT").to_string()
    }
}

/// Seconds east of UTC.
fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let number = |text: &str, below: i64| {
        let number: i64 = text.parse().ok()?;
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()) && number < below).then_some(number)
    };
    Some(sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

/// `2020-01-07T01:03:47Z`
pub(crate) fn rfc3339(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_taken_and_nothing_else() {
        let at = |text: &str| Instant::parse(text).map(|i| rfc3339(i.at));
        assert_eq!(at("2020-01-07T01:03:47Z").as_deref(), Some("2020-01-07T01:03:47Z"));
        assert_eq!(at("2020-01-07T01:03:47.25Z").as_deref(), Some("2020-01-07T01:03:47Z"));
        assert_eq!(at("2020-01-07T01:03:47+01:30").as_deref(), Some("2020-01-06T23:33:47Z"));
        assert_eq!(at("2020-01-07T01:03:47-05:00").as_deref(), Some("2020-01-07T06:03:47Z"));
        for wrong in [
            "",
            "tomorrow",
            "2020-01-07",
            "2020-01-07 01:03:47Z",
            "2020-01-07T01:03:47",
            "2020-13-07T01:03:47Z",
            "2020-01-07T01:03:47+0130",
            "2020-01-07T01:03:47.Z",
            "2020-01-07T01:03:47Zx",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn event_dates_keep_the_clock_they_were_written_with() {
        let date = |text: &str| Instant::parse(text).unwrap().event_date();
        assert_eq!(date("2020-01-07T01:03:47Z"), "7 Jan 2020 01:03:47 GMT");
        assert_eq!(date("2020-10-17T21:03:07-05:00"), "17 Oct 2020 21:03:07 GMT");
    }
}
