//! Dates as the service prints them. Written out by hand: a reply carries up to two.

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

/// `Sat, 26 Sep 2026 11:03:58 GMT`, the form of `Date` and `Last-Modified` (RFC 1123).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The date of `at`, fractions of a second dropped.
    pub fn new(at: Timestamp) -> HttpDate {
        let date = civil(at);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[date.weekday().to_monday_zero_offset() as usize].as_bytes());
        text[8..11].copy_from_slice(month(date).as_bytes());
        let year = date.year().clamp(0, 9999) as u16;
        let two = |at: usize, value: u8, text: &mut [u8; 29]| {
            text[at] = b'0' + value / 10;
            text[at + 1] = b'0' + value % 10;
        };
        two(5, date.day() as u8, &mut text);
        two(12, (year / 100) as u8, &mut text);
        two(14, (year % 100) as u8, &mut text);
        two(17, date.hour() as u8, &mut text);
        two(20, date.minute() as u8, &mut text);
        two(23, date.second() as u8, &mut text);
        HttpDate(text)
    }

    /// The 29 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the letters and digits written above are ASCII")
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        assert_eq!(HttpDate::new(at).as_str(), "Sat, 26 Sep 2026 11:03:58 GMT");
        assert_eq!(rfc3339(at), "2026-09-26T11:03:58Z");
        assert_eq!(maintenance_date(at), "26 Sep 2026 11:03:58 GMT");
        let early: Timestamp = "2019-01-01T09:00:03Z".parse().unwrap();
        assert_eq!(HttpDate::new(early).as_str(), "Tue, 01 Jan 2019 09:00:03 GMT");
        assert_eq!(maintenance_date(early), "1 Jan 2019 09:00:03 GMT");
    }
}
