//! What a container says of its role: in its environment or in labels. Pure.
//!
//! The text comes from whoever started the container, so it is checked before it goes anywhere.

use std::collections::HashMap;
use std::str::FromStr;

use serde::Deserialize;

const ROLE: Key = Key { variable: "IAM_ROLE", label: "fake-metadata.role" };
const EXTERNAL_ID: Key = Key { variable: "IAM_EXTERNAL_ID", label: "fake-metadata.external-id" };
const SESSION_NAME: Key = Key { variable: "IAM_SESSION_NAME", label: "fake-metadata.session-name" };

/// STS's limits on an external id and a session name (API reference of AssumeRole).
const EXTERNAL_ID_LENGTH: std::ops::RangeInclusive<usize> = 2..=1224;
const SESSION_NAME_LENGTH: std::ops::RangeInclusive<usize> = 2..=64;
/// More than any role's ARN.
const ROLE_LENGTH: std::ops::RangeInclusive<usize> = 1..=2048;

/// Where a setting is written: the environment variable comes first.
struct Key {
    variable: &'static str,
    label: &'static str,
}

/// The role a container asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Wish {
    /// A role's name, `role@account`, or a role's ARN; see the source that it is given to.
    pub(crate) role: String,
    /// The external id that the role is to be assumed with.
    pub(crate) external_id: Option<String>,
    /// The session's name; the source's own when not given.
    pub(crate) session_name: Option<String>,
}

/// What a container says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing of a role.
    Nothing,
    /// It asks for this one.
    Wish(Wish),
    /// It asks for something that cannot be: why.
    Nonsense(String),
}

/// Another place where containers' session names are written: `env:NAME` or `label:NAME`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    Variable(String),
    Label(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Place::Variable(name.into())),
            Some(("label", name)) if !name.is_empty() => Ok(Place::Label(name.into())),
            _ => Err(format!("{text:?} names no place (write env:NAME or label:NAME)")),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Place, String> {
        text.parse()
    }
}

impl Wish {
    /// Reads what a container says. `session_name` is where its session's name is written beside our own
    /// keys.
    pub(crate) fn read(
        environment: &[String],
        labels: &HashMap<String, String>,
        session_name: Option<&Place>,
    ) -> Said {
        let variable = |name: &str| {
            environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('=')).map(str::trim)
        };
        let label = |name: &str| labels.get(name).map(|value| value.trim());
        let told = |text: &&str| !text.is_empty();
        let setting = |key: &Key| variable(key.variable).filter(told).or(label(key.label).filter(told));
        let Some(role) = setting(&ROLE) else { return Said::Nothing };
        if !fits(role, ROLE_LENGTH, "+=,.@-_/:") || !can_be_role(role) {
            return Said::Nonsense(format!("{} is no role's name", ROLE.variable));
        }
        let external_id = setting(&EXTERNAL_ID);
        if external_id.is_some_and(|id| !fits(id, EXTERNAL_ID_LENGTH, "+=,.@-_/:")) {
            return Said::Nonsense(format!("{} is no external id", EXTERNAL_ID.variable));
        }
        let elsewhere = || match session_name? {
            Place::Variable(name) => variable(name),
            Place::Label(name) => label(name),
        };
        let session_name = setting(&SESSION_NAME).or_else(|| elsewhere().filter(told));
        Said::Wish(Wish {
            role: role.to_owned(),
            external_id: external_id.map(str::to_owned),
            session_name: session_name.and_then(as_session_name),
        })
    }

    /// What tells this wish's credentials from all others'. A role's name has no space in it.
    pub(crate) fn key(&self) -> String {
        let mut key = self.role.clone();
        for (name, value) in [("session-name", &self.session_name), ("external-id", &self.external_id)] {
            if let Some(value) = value {
                key.push_str(&format!(" {name}={value}"));
            }
        }
        key
    }

    /// The role's name as it is listed at `iam/security-credentials/`: without account, path or ARN.
    pub(crate) fn listed_name(&self) -> &str {
        let role = self.role.split('@').next().unwrap_or(&self.role);
        let role = if role.starts_with("arn:") { role.rsplit(':').next().unwrap_or(role) } else { role };
        role.rsplit('/').next().unwrap_or(role)
    }
}

/// Whether a wished role can be one: an ARN, or a name, which has no colon; and every part of its path is
/// one. The name that begins with `aws:` is the instance's own.
fn can_be_role(role: &str) -> bool {
    (role.starts_with("arn:") || !role.contains(':'))
        && !role.ends_with(':')
        && role.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

fn fits(text: &str, length: std::ops::RangeInclusive<usize>, beside: &str) -> bool {
    length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || beside.contains(c))
}

/// Names written for other purposes hold what STS does not take: a dash stands for it.
fn as_session_name(text: &str) -> Option<String> {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' };
    let name: String = text.chars().map(allowed).take(*SESSION_NAME_LENGTH.end()).collect();
    SESSION_NAME_LENGTH.contains(&name.len()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(environment: &[&str], labels: &[(&str, &str)], place: Option<&str>) -> Said {
        let environment: Vec<String> = environment.iter().map(|e| (*e).to_owned()).collect();
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Wish::read(&environment, &labels, place.map(|p| p.parse().unwrap()).as_ref())
    }

    fn wish(role: &str, external_id: Option<&str>, session_name: Option<&str>) -> Said {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Said::Wish(Wish {
            role: role.into(),
            external_id: owned(external_id),
            session_name: owned(session_name),
        })
    }

    #[test]
    fn the_environment_comes_before_labels() {
        let labels = [("fake-metadata.role", "Label"), ("fake-metadata.external-id", "label-id")];
        assert_eq!(read(&["PATH=/bin", "IAM_ROLE=App"], &labels, None), wish("App", Some("label-id"), None));
        assert_eq!(read(&["IAM_ROLE="], &labels, None), wish("Label", Some("label-id"), None));
        assert_eq!(read(&["IAM_ROLES=App", "XIAM_ROLE=App"], &[], None), Said::Nothing);
        assert_eq!(read(&["IAM_EXTERNAL_ID=id"], &[], None), Said::Nothing);
    }

    #[test]
    fn the_session_name_comes_from_our_key_or_from_the_configured_place() {
        let compose = [("com.docker.compose.service", "my web/1")];
        let place = Some("label:com.docker.compose.service");
        assert_eq!(read(&["IAM_ROLE=App"], &compose, place), wish("App", None, Some("my-web-1")));
        let own = ["IAM_ROLE=App", "IAM_SESSION_NAME=own"];
        assert_eq!(read(&own, &compose, place), wish("App", None, Some("own")));
        assert_eq!(
            read(&["IAM_ROLE=App", "HOSTNAME=ab12"], &[], Some("env:HOSTNAME")),
            wish("App", None, Some("ab12"))
        );
        assert_eq!(
            read(&["IAM_ROLE=App", "IAM_SESSION_NAME=x"], &[], None),
            wish("App", None, None),
            "too short"
        );
        let long = format!("IAM_SESSION_NAME={}", "x".repeat(80));
        assert_eq!(read(&["IAM_ROLE=App", &long], &[], None), wish("App", None, Some(&"x".repeat(64))));
    }

    #[test]
    fn nonsense_is_told_without_repeating_it() {
        let nonsense = |environment: &[&str]| match read(environment, &[], None) {
            Said::Nonsense(why) => why,
            said => panic!("{said:?}"),
        };
        assert_eq!(nonsense(&["IAM_ROLE=a b"]), "IAM_ROLE is no role's name");
        assert_eq!(nonsense(&["IAM_ROLE=a\nb"]), "IAM_ROLE is no role's name");
        for other in ["aws:ec2-instance", "a:b", "../a", "a/..", "/", "a//b", "arn:aws:iam::1:role/../x"] {
            assert_eq!(nonsense(&[&format!("IAM_ROLE={other}")]), "IAM_ROLE is no role's name", "{other}");
        }
        let arn = "arn:aws:iam::123456789012:role/team/App";
        assert_eq!(read(&[&format!("IAM_ROLE={arn}")], &[], None), wish(arn, None, None));
        assert_eq!(nonsense(&["IAM_ROLE=a", "IAM_EXTERNAL_ID=a b"]), "IAM_EXTERNAL_ID is no external id");
        assert_eq!(nonsense(&["IAM_ROLE=a", "IAM_EXTERNAL_ID=a"]), "IAM_EXTERNAL_ID is no external id");
    }

    #[test]
    fn names_as_they_are_listed_and_keys_that_differ() {
        let of = |role: &str| Wish { role: role.into(), external_id: None, session_name: None };
        for (role, listed) in [
            ("App", "App"),
            ("team/App", "App"),
            ("App@123456789012", "App"),
            ("team/App@prod", "App"),
            ("arn:aws:iam::123456789012:role/team/App", "App"),
        ] {
            assert_eq!(of(role).listed_name(), listed);
            assert_eq!(of(role).key(), role);
        }
        let full = |id: &str, name: &str| Wish {
            external_id: Some(id.into()),
            session_name: Some(name.into()),
            ..of("App")
        };
        assert_eq!(full("x", "web").key(), "App session-name=web external-id=x");
        assert_ne!(full("x", "web").key(), full("web", "x").key());
    }

    #[test]
    fn places_are_variables_or_labels() {
        assert_eq!("env:A".parse(), Ok(Place::Variable("A".into())));
        assert_eq!("label:a.b:c".parse(), Ok(Place::Label("a.b:c".into())));
        for text in ["", "A", "env:", "volume:x"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
