//! Dates as header values, kept: every reply carries two, and most often those of the reply before it.

use std::sync::{Mutex, PoisonError};

use http::HeaderValue;
use imds::HttpDate;

/// The last two dates that were asked for.
#[derive(Debug, Default)]
pub(super) struct Dates(Mutex<[Option<(HttpDate, HeaderValue)>; 2]>);

impl Dates {
    pub(super) fn value(&self, date: HttpDate) -> HeaderValue {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = kept.iter().flatten().find(|(known, _)| *known == date) {
            return value.clone();
        }
        let value = HeaderValue::try_from(date.to_string()).expect("a date is printable ASCII");
        kept.swap(0, 1);
        kept[0] = Some((date, value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::*;

    #[test]
    fn a_date_is_its_own_text_whatever_was_asked_before() {
        let dates = Dates::default();
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for second in [0, 1, 0, 2, 2, 1, 3, 0] {
            let date = HttpDate::new(start + SignedDuration::from_secs(second));
            assert_eq!(dates.value(date), format!("Sat, 21 Nov 2026 10:00:0{second} GMT"));
        }
    }
}
