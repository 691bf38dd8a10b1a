//! The API versions of the metadata service and their order.
//!
//! A tree holds every version at once: each entry knows since when it exists ([`Version`]), and a reader
//! looks through the eyes of one version. Nothing here knows what the versions hold; see `schema`.

use std::fmt;

/// The versions a 2026 instance offers, oldest first, `latest` last.
/// Source: `GET /` of a t3.nano, 2026-09-26 (329 bytes, 31 lines).
pub const VERSIONS: [&str; 31] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "2025-10-04",
    "2026-04-15",
    "latest",
];

/// A place in the order of [`VERSIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u8);

impl Version {
    /// `1.0`, through which only what has always been there is seen.
    pub const FIRST: Version = Version(0);
    /// `latest`, through which everything is seen.
    pub const LATEST: Version = Version(VERSIONS.len() as u8 - 1);

    /// The version of exactly that name.
    pub fn named(name: &str) -> Option<Version> {
        VERSIONS.iter().position(|known| *known == name).map(|at| Version(at as u8))
    }

    /// What an instance shows under `name`: the newest version of [`VERSIONS`] that is not newer.
    ///
    /// Instances keep the list of their launch, so names outside [`VERSIONS`] exist (2022-07-09 was seen).
    /// `None` when the name is neither `1.0`, `latest` nor a date `YYYY-MM-DD` after 2007-01-19.
    pub fn seen_under(name: &str) -> Option<Version> {
        Version::named(name).or_else(|| {
            if !is_date(name) {
                return None;
            }
            let dated = &VERSIONS[1..VERSIONS.len() - 1];
            let newer = dated.iter().position(|known| *known > name).unwrap_or(dated.len());
            (newer > 0).then_some(Version(newer as u8))
        })
    }

    /// The name as it stands in a path.
    pub fn name(self) -> &'static str {
        VERSIONS[usize::from(self.0)]
    }

    /// All versions, oldest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Version> {
        (0..VERSIONS.len() as u8).map(Version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether `name` has the shape `YYYY-MM-DD`.
pub(crate) fn is_date(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dated_versions_stand_in_order() {
        assert!(VERSIONS[1..30].is_sorted());
        assert_eq!(VERSIONS.join("\n").len(), 329);
        assert_eq!(Version::all().count(), 31);
        assert_eq!(Version::named("latest"), Some(Version::LATEST));
        assert_eq!(Version::named("2021-03-24"), None);
    }

    #[test]
    fn an_unlisted_date_shows_what_the_version_before_it_shows() {
        let seen = |name| Version::seen_under(name).map(Version::name);
        assert_eq!(seen("2022-07-09"), Some("2021-07-15"));
        assert_eq!(seen("2030-01-01"), Some("2026-04-15"));
        assert_eq!(seen("2007-01-19"), Some("2007-01-19"));
        assert_eq!(seen("2000-01-01"), None);
        assert_eq!(seen("newest"), None);
    }
}
