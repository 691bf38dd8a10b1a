//! Points in time as people write them: relative, absolute, or by the clock.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// `90s`, `2m`, `1h30m`, `500ms`; `2026-09-26T12:00:00Z`; `14:30` or `14:30:05`, the next time the clock shows
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// So long after the base.
    After(SignedDuration),
    /// At that instant.
    At(Timestamp),
    /// The next time the clock shows it.
    Clock(Time),
}

/// What [`When`] accepts, for messages.
pub(super) const FORMS: &str = "a time such as 90s, 2m, 1h30m, 14:30 or 2026-09-26T12:00:00Z";

impl When {
    /// The instant this means, with relative times counted from `base` and clock times read in `zone`. `None`
    /// past the end of the calendar.
    pub fn from(&self, base: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            When::After(duration) => base.checked_add(*duration).ok(),
            When::At(at) => Some(*at),
            When::Clock(time) => {
                let today = zone.to_datetime(base).date();
                let on = |date: jiff::civil::Date| zone.to_timestamp(date.to_datetime(*time)).ok();
                on(today).filter(|at| *at >= base).or_else(|| on(today.tomorrow().ok()?))
            }
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<When, String> {
        let text = text.trim();
        let parsed = duration(text).map(When::After);
        let parsed = parsed.or_else(|| clock(text).map(When::Clock));
        let parsed = parsed.or_else(|| text.parse().ok().map(When::At));
        parsed.ok_or_else(|| format!("{text:?} is not {FORMS}"))
    }
}

/// Numbers with units, largest first or not: `1h30m`. Nothing negative, no blanks.
fn duration(text: &str) -> Option<SignedDuration> {
    let mut total = SignedDuration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds = match &rest[..letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        rest = &rest[letters..];
        total = total.checked_add(SignedDuration::from_millis(number.checked_mul(milliseconds)?))?;
    }
    (!text.is_empty()).then_some(total)
}

/// `H:MM` or `H:MM:SS`.
fn clock(text: &str) -> Option<Time> {
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| match part.len() <= 2 && part.bytes().all(|digit| digit.is_ascii_digit()) {
        true => part.parse::<i8>().ok(),
        false => None,
    };
    match parts.as_slice() {
        [hour, minute] => Time::new(number(hour)?, number(minute)?, 0, 0).ok(),
        [hour, minute, second] => Time::new(number(hour)?, number(minute)?, number(second)?, 0).ok(),
        _ => None,
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
        f.write_str(FORMS)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<When, E> {
        text.parse().map_err(de::Error::custom)
    }

    /// A TOML date or time without quotes: the toml crate hands it over as a table with one private key.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<When, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, text)) if key.starts_with("$__toml") => self.visit_str(&text),
            _ => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    fn from(text: &str, base: &str) -> String {
        let when: When = text.parse().unwrap();
        when.from(base.parse().unwrap(), &TimeZone::UTC).unwrap().to_string()
    }

    #[test]
    fn the_three_forms() {
        let base = "2026-09-26T12:00:00Z";
        assert_eq!(from("90s", base), "2026-09-26T12:01:30Z");
        assert_eq!(from("2m", base), "2026-09-26T12:02:00Z");
        assert_eq!(from("1h30m", base), "2026-09-26T13:30:00Z");
        assert_eq!(from("1d500ms", base), "2026-09-27T12:00:00.5Z");
        assert_eq!(from("0s", base), base);
        assert_eq!(from("14:30", base), "2026-09-26T14:30:00Z");
        assert_eq!(from("12:00", base), base);
        assert_eq!(from("9:05:07", base), "2026-09-27T09:05:07Z");
        assert_eq!(from("2026-10-01T00:00:00+02:00", base), "2026-09-30T22:00:00Z");
    }

    #[test]
    fn the_clock_is_that_of_the_zone() {
        let zone = TimeZone::fixed(Offset::constant(-5));
        let when: When = "14:30".parse().unwrap();
        let at = when.from("2026-09-26T20:00:00Z".parse().unwrap(), &zone).unwrap();
        assert_eq!(at.to_string(), "2026-09-27T19:30:00Z");
    }

    #[test]
    fn anything_else_is_refused_with_the_forms() {
        for text in
            ["", "2", "m", "-2m", "2 m", "2min", "1.5h", "25:00", "14:60", "1:2:3:4", "2026-09-26", "soon"]
        {
            let error = text.parse::<When>().unwrap_err();
            assert!(error.contains("90s, 2m"), "{text}: {error}");
        }
        assert_eq!("9223372036854775807d".parse::<When>().ok(), None);
        let far: When = "99999999999s".parse().unwrap();
        assert_eq!(far.from("9999-01-01T00:00:00Z".parse().unwrap(), &TimeZone::UTC), None);
    }
}
