//! Whom something reaches: every caller, those named, or the first so many that ask.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// A caller by address or by role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum CallerName {
    /// This address; this host's own addresses towards the service count as one.
    Address(IpAddr),
    /// Every caller with this role.
    Role(String),
}

impl FromStr for CallerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(CallerName::Address(address));
        }
        // IAM's characters for role names, and the slash of a path.
        let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
        if text.is_empty() || !text.chars().all(fits) || looks_like_an_address(text) {
            return Err(format!("{text:?} is neither an IP address nor the name of a role"));
        }
        Ok(CallerName::Role(text.to_owned()))
    }
}

/// Digits and dots alone, or a network: meant as an address, and not one.
fn looks_like_an_address(text: &str) -> bool {
    let head = text.split('/').next().unwrap_or(text);
    head.contains('.') && head.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

impl TryFrom<String> for CallerName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CallerName> for String {
    fn from(name: CallerName) -> String {
        name.to_string()
    }
}

impl fmt::Display for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallerName::Address(address) => address.fmt(f),
            CallerName::Role(role) => f.write_str(role),
        }
    }
}

/// One name or a list of them, as a table may have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "OneOrMany", into = "Vec<CallerName>")]
pub(crate) struct Names(pub(crate) Vec<CallerName>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "an IP address or the name of a role, or a list of them")]
enum OneOrMany {
    One(CallerName),
    Many(Vec<CallerName>),
}

impl From<OneOrMany> for Names {
    fn from(names: OneOrMany) -> Names {
        match names {
            OneOrMany::One(name) => Names(vec![name]),
            OneOrMany::Many(names) => Names(names),
        }
    }
}

impl From<Names> for Vec<CallerName> {
    fn from(names: Names) -> Vec<CallerName> {
        names.0
    }
}

/// The one address that stands for a caller: a program of this host comes from a loopback address, from the
/// metadata address where the host network leads it here, or from an IPv4 address in IPv6's clothes.
pub(crate) fn same_caller(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    let is_own = address.is_loopback()
        || match address {
            IpAddr::V4(v4) => v4 == Ipv4Addr::new(169, 254, 169, 254),
            IpAddr::V6(v6) => v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        };
    if is_own { Ipv4Addr::LOCALHOST.into() } else { address }
}

impl CallerName {
    /// Whether there is such a caller among these roles; any address may be one.
    ///
    /// # Errors
    /// Says which roles there are.
    pub(crate) fn known<'a>(&self, roles: impl Iterator<Item = &'a String>) -> Result<(), String> {
        let CallerName::Role(name) = self else { return Ok(()) };
        let roles: Vec<&str> = roles.map(String::as_str).collect();
        if roles.contains(&name.as_str()) {
            return Ok(());
        }
        Err(format!("there is no role {name:?}: give an IP address or one of the roles {}", roles.join(", ")))
    }

    /// Whether this caller is meant.
    pub(crate) fn is(&self, address: IpAddr, role: Option<&str>) -> bool {
        match self {
            CallerName::Address(own) => same_caller(*own) == same_caller(address),
            CallerName::Role(own) => role == Some(own),
        }
    }
}

/// Whom an event reaches.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// Nobody else; empty means no restriction.
    pub(crate) only: Vec<CallerName>,
    /// Not more than so many different addresses.
    pub(crate) first: Option<u32>,
    admitted: Mutex<BTreeSet<IpAddr>>,
}

impl Audience {
    pub(crate) fn new(only: Vec<CallerName>, first: Option<u32>) -> Self {
        Audience { only, first, admitted: Mutex::default() }
    }

    /// Whether nobody is left out.
    pub(crate) fn is_everyone(&self) -> bool {
        self.only.is_empty() && self.first.is_none()
    }

    /// Whether it is by role who is reached.
    pub(crate) fn names_roles(&self) -> bool {
        self.only.iter().any(|name| matches!(name, CallerName::Role(_)))
    }

    /// Whether the caller is reached. One that `asks` for what the event changes is counted among the
    /// first, where there is room.
    pub(crate) fn reaches(&self, address: IpAddr, role: Option<&str>, asks: bool) -> bool {
        if !self.only.is_empty() && !self.only.iter().any(|name| name.is(address, role)) {
            return false;
        }
        let Some(first) = self.first else { return true };
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let address = same_caller(address);
        if asks && admitted.len() < first as usize {
            admitted.insert(address);
        }
        admitted.contains(&address)
    }

    /// The addresses counted so far.
    pub(crate) fn admitted(&self) -> Vec<IpAddr> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Whether somebody may be reached by both.
    pub(crate) fn may_overlap(&self, other: &Audience) -> bool {
        let apart = |one: &CallerName, other: &CallerName| match (one, other) {
            (CallerName::Address(one), CallerName::Address(other)) => {
                same_caller(*one) != same_caller(*other)
            }
            (CallerName::Role(one), CallerName::Role(other)) => one != other,
            _ => false,
        };
        self.only.is_empty()
            || other.only.is_empty()
            || self.only.iter().any(|one| other.only.iter().any(|other| !apart(one, other)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn only(names: &[&str]) -> Audience {
        Audience::new(names.iter().map(|name| name.parse().unwrap()).collect(), None)
    }

    #[test]
    fn names_are_addresses_or_roles() {
        assert_eq!("10.0.0.1".parse(), Ok(CallerName::Address(ip("10.0.0.1"))));
        assert_eq!("[fd00::1]".parse(), Ok(CallerName::Address(ip("fd00::1"))));
        assert_eq!("team/app".parse(), Ok(CallerName::Role("team/app".into())));
        for wrong in ["", "a b", "10.0.0.256", "10.0.0", "10.0.0.0/8", "ä"] {
            assert!(wrong.parse::<CallerName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_audience_is_by_address_or_by_role() {
        let some = only(&["10.0.0.1", "app"]);
        assert!(some.reaches(ip("10.0.0.1"), None, false));
        assert!(some.reaches(ip("::ffff:10.0.0.1"), None, false));
        assert!(some.reaches(ip("10.0.0.2"), Some("app"), false));
        assert!(!some.reaches(ip("10.0.0.2"), Some("other"), false));
        assert!(!some.is_everyone() && Audience::default().is_everyone());
        let host = only(&["127.0.0.1"]);
        assert!(["169.254.169.254", "::1", "fd00:ec2::254"].iter().all(|a| host.reaches(ip(a), None, false)));
    }

    #[test]
    fn the_first_to_ask_are_in_and_stay_in() {
        let first = Audience::new(Vec::new(), Some(2));
        assert!(!first.reaches(ip("10.0.0.1"), None, false), "it asked for something else");
        assert!(first.reaches(ip("10.0.0.2"), None, true));
        assert!(first.reaches(ip("10.0.0.3"), None, true));
        assert!(!first.reaches(ip("10.0.0.1"), None, true));
        assert!(first.reaches(ip("10.0.0.2"), None, false));
        assert_eq!(first.admitted(), [ip("10.0.0.2"), ip("10.0.0.3")]);
    }

    #[test]
    fn audiences_may_overlap_unless_they_are_known_to_be_apart() {
        assert!(!only(&["10.0.0.1"]).may_overlap(&only(&["10.0.0.2"])));
        assert!(!only(&["a"]).may_overlap(&only(&["b"])));
        assert!(only(&["a"]).may_overlap(&only(&["10.0.0.1"])));
        assert!(only(&["a", "b"]).may_overlap(&only(&["b"])));
        assert!(Audience::default().may_overlap(&only(&["a"])));
    }
}
