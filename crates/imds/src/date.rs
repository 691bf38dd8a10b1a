//! Dates as the service prints them.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn civil(at: Timestamp) -> DateTime {
    Offset::UTC.to_datetime(at)
}

fn month(date: DateTime) -> &'static str {
    MONTHS[(date.month() - 1) as usize]
}

/// A moment to the second, in the form of `Date` and `Last-Modified` (RFC 1123): `Sat, 26 Sep 2026 11:03:58 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HttpDate(i64);

impl HttpDate {
    /// The date of `at`, fractions of a second dropped.
    pub fn new(at: Timestamp) -> HttpDate {
        HttpDate(at.as_second())
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = civil(Timestamp::from_second(self.0).unwrap_or(Timestamp::UNIX_EPOCH));
        let day = DAYS[date.weekday().to_monday_zero_offset() as usize];
        write!(
            f,
            "{day}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            date.day(),
            month(date),
            date.year().clamp(0, 9999),
            date.hour(),
            date.minute(),
            date.second()
        )
    }
}

/// `2026-09-26T11:03:58Z`: RFC 3339, whole seconds, always UTC. Every date in a JSON body but those of
/// maintenance events.
pub fn rfc3339(at: Timestamp) -> String {
    let date = civil(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        date.month(),
        date.day(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

/// `21 Jan 2019 09:00:43 GMT`, the form of maintenance events. The day is not padded (reference 5.7; for days
/// below ten no capture is known).
pub(crate) fn maintenance_date(at: Timestamp) -> String {
    let date = civil(at);
    format!(
        "{} {} {:04} {:02}:{:02}:{:02} GMT",
        date.day(),
        month(date),
        date.year(),
        date.hour(),
        date.minute(),
        date.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms() {
        let at: Timestamp = "2026-09-26T11:03:58.987Z".parse().unwrap();
        assert_eq!(HttpDate::new(at).to_string(), "Sat, 26 Sep 2026 11:03:58 GMT");
        assert_eq!(rfc3339(at), "2026-09-26T11:03:58Z");
        assert_eq!(maintenance_date(at), "26 Sep 2026 11:03:58 GMT");
        let early: Timestamp = "2019-01-01T09:00:03Z".parse().unwrap();
        assert_eq!(HttpDate::new(early).to_string(), "Tue, 01 Jan 2019 09:00:03 GMT");
        assert_eq!(maintenance_date(early), "1 Jan 2019 09:00:03 GMT");
    }
}
