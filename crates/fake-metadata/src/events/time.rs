//! Times as people write them: from now on (`90s`, `2m`), a date (RFC 3339), or a time of the day.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The present, and what a time of the day means.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) now: Timestamp,
    /// Unset, it is this machine's, read when a time of the day is met: most services never meet one.
    pub(crate) zone: Option<TimeZone>,
}

impl Clock {
    /// This machine's.
    pub(crate) fn system() -> Self {
        Clock { now: Timestamp::now(), zone: None }
    }

    /// The same zone at another moment.
    pub(crate) fn at(&self, now: Timestamp) -> Self {
        Clock { now, zone: self.zone.clone() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    After(SignedDuration),
    At(Timestamp),
    Clock(Time),
}

/// A time that is not a moment yet. Prints as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct When {
    text: String,
    meaning: Meaning,
}

impl When {
    /// The moment meant.
    ///
    /// # Errors
    /// When that is in the past. A time of the day is the nearest one of that name: half a day ahead at
    /// most, so just after 23:59 `00:10` is tomorrow's, and at noon `11:50` is past.
    pub(crate) fn resolve(&self, clock: &Clock) -> Result<Timestamp, String> {
        let Clock { now, .. } = *clock;
        let moment = self.moment(clock).map_err(|e| e.to_string())?;
        if moment < now {
            let now = imds::rfc3339(now);
            let hint = match self.meaning {
                Meaning::Clock(_) => " (for tomorrow give the date too, as in 2026-11-22T18:30:00Z)",
                _ => "",
            };
            return Err(format!("{:?} is in the past, it is {now}{hint}", self.text));
        }
        Ok(moment)
    }

    fn moment(&self, clock: &Clock) -> Result<Timestamp, jiff::Error> {
        match self.meaning {
            Meaning::After(duration) => clock.now.checked_add(duration),
            Meaning::At(at) => Ok(at),
            Meaning::Clock(time) => nearest(time, clock),
        }
    }

    /// Whether it is a date or a time of the day that is over.
    pub(crate) fn has_passed(&self, clock: &Clock) -> bool {
        self.moment(clock).is_ok_and(|moment| moment < clock.now)
    }

    /// Whether it counts from now.
    pub(crate) fn is_duration(&self) -> bool {
        matches!(self.meaning, Meaning::After(_))
    }

    /// The same time in a form that means the same elsewhere: a time of the day depends on the zone.
    pub(crate) fn fixed(&self, clock: &Clock) -> Result<When, String> {
        match self.meaning {
            Meaning::Clock(_) => {
                let at = self.resolve(clock)?;
                Ok(When { text: at.to_string(), meaning: Meaning::At(at) })
            }
            _ => Ok(self.clone()),
        }
    }
}

/// The occurrence of a time of the day that is nearest to now.
fn nearest(time: Time, clock: &Clock) -> Result<Timestamp, jiff::Error> {
    let zone = clock.zone.clone().unwrap_or_else(TimeZone::system);
    let today = clock.now.to_zoned(zone.clone()).date();
    let candidates = [today.checked_sub(1.day())?, today, today.checked_add(1.day())?];
    let moments = candidates.map(|date| Ok(date.to_datetime(time).to_zoned(zone.clone())?.timestamp()));
    let moments = moments.into_iter().collect::<Result<Vec<Timestamp>, jiff::Error>>()?;
    let nearest = moments.into_iter().min_by_key(|at| at.duration_since(clock.now).abs());
    Ok(nearest.unwrap_or(clock.now))
}

const FORMS: &str = "write a duration (90s, 2m, 1h30m), a date with its time and zone (2026-11-21T18:30:00Z) \
                     or a time of the day (18:30)";

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        let text = text.trim();
        if text.starts_with('-') && duration(&text[1..]).is_ok() {
            return Err(format!("{text:?} is in the past"));
        }
        let meaning = if let Ok(duration) = duration(text) {
            Meaning::After(duration)
        } else if let Ok(at) = text.parse() {
            Meaning::At(at)
        } else if let Some(time) = time_of_day(text) {
            Meaning::Clock(time)
        } else {
            return Err(format!("{text:?} is no time: {FORMS}"));
        };
        Ok(When { text: text.to_owned(), meaning })
    }
}

/// `18:30` or `18:30:05`.
fn time_of_day(text: &str) -> Option<Time> {
    let digits = |part: &str| (part.len() <= 2).then(|| part.parse::<i8>().ok()).flatten();
    let mut parts = text.split(':').map(digits);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Time::new(hour, minute, second, 0).ok()
}

/// A duration as in `90s`, `2m`, `1h30m`, `250ms`: numbers with units, at most ten years.
///
/// # Errors
/// A line that says how to write one.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, String> {
    const MOST: u64 = 10 * 366 * 86_400_000;
    let wrong =
        || format!("{text:?} is no duration: write a number and a unit (ms, s, m, h, d), as in 90s or 1h30m");
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        rest = &rest[unit..];
        total = number.checked_mul(milliseconds).and_then(|n| total.checked_add(n)).ok_or_else(wrong)?;
    }
    if total > MOST {
        return Err(format!("{text:?} is longer than ten years"));
    }
    Ok(SignedDuration::from_millis(i64::try_from(total).map_err(|_| wrong())?))
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<When, D::Error> {
        deserializer.deserialize_any(WhenVisitor)
    }
}

struct WhenVisitor;

impl<'de> Visitor<'de> for WhenVisitor {
    type Value = When;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a time: a text such as \"90s\", \"2m\", \"18:30\" or \"2026-11-21T18:30:00Z\", or a date",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<When, E> {
        text.parse().map_err(E::custom)
    }

    /// A TOML date without quotes: the toml crate hands it over as a table with one private key.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<When, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, date)) if key.starts_with("$__toml") => self.visit_str(&date),
            _ => Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(now: &str) -> Clock {
        Clock { now: now.parse().unwrap(), zone: Some(TimeZone::fixed(jiff::tz::offset(1))) }
    }

    fn resolved(text: &str, now: &str) -> Result<String, String> {
        text.parse::<When>().and_then(|when| when.resolve(&clock(now))).map(|at| at.to_string())
    }

    #[test]
    fn durations() {
        for (text, seconds) in [("90s", 90), ("2m", 120), ("1h30m", 5400), ("1d", 86_400), ("0s", 0)] {
            assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("1s250ms"), Ok(SignedDuration::from_millis(1250)));
        for text in ["", "90", "s", "2x", "1.5s", "2 m", "-5s", "99999999999999999999s", "3660d1s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("90").unwrap_err().contains("as in 90s"));
    }

    #[test]
    fn every_form_of_a_time() {
        let now = "2026-11-21T10:00:00Z";
        assert_eq!(resolved("2m", now).unwrap(), "2026-11-21T10:02:00Z");
        assert_eq!(resolved("2026-11-21T12:00:00+01:00", now).unwrap(), "2026-11-21T11:00:00Z");
        // The zone is an hour ahead of UTC: it is eleven there.
        assert_eq!(resolved("11:30", now).unwrap(), "2026-11-21T10:30:00Z");
        assert_eq!(resolved("11:00:05", now).unwrap(), "2026-11-21T10:00:05Z");
        for text in ["soon", "", "25:00", "11:60", "2026-11-21", "2026-11-21T12:00:00", "1:2:3:4", "90"] {
            let refused = resolved(text, now).unwrap_err();
            assert!(refused.contains("write a duration (90s"), "{text}: {refused}");
        }
    }

    #[test]
    fn the_past_is_refused() {
        let now = "2026-11-21T10:00:00Z";
        for text in ["2026-11-21T09:59:59Z", "10:30", "-5s"] {
            let refused = resolved(text, now).unwrap_err();
            assert!(refused.contains("is in the past"), "{text}: {refused}");
        }
        assert_eq!(resolved("0s", now).unwrap(), now);
        assert_eq!(resolved(now, now).unwrap(), now);
    }

    #[test]
    fn a_time_of_the_day_is_the_nearest_of_its_name() {
        let midnight = "2026-11-21T22:59:00Z";
        assert_eq!(resolved("00:10", midnight).unwrap(), "2026-11-21T23:10:00Z");
        assert!(resolved("23:50", midnight).is_err());
        assert!(resolved("23:50", "2026-11-21T23:05:00Z").unwrap_err().contains("for tomorrow"));
    }

    #[test]
    fn a_time_keeps_its_meaning_elsewhere() {
        let clock = clock("2026-11-21T10:00:00Z");
        let fixed = |text: &str| text.parse::<When>().unwrap().fixed(&clock).unwrap().to_string();
        assert_eq!(fixed("11:30"), "2026-11-21T10:30:00Z");
        assert_eq!(fixed("2m"), "2m");
    }

    #[test]
    fn toml_writes_a_time_as_text_or_as_a_date() {
        #[derive(Deserialize)]
        struct Table {
            at: When,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|t| t.at.to_string());
        assert_eq!(read("at = \"2m\"").unwrap(), "2m");
        assert_eq!(read("at = 2026-11-21T18:30:00Z").unwrap(), "2026-11-21T18:30:00Z");
        assert!(read("at = 5").unwrap_err().to_string().contains("expected a time"));
    }
}
