//! One live change, as a command sends it and as it is kept on disk.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The most bytes of user data, as on EC2 (before base64).
pub(crate) const USER_DATA_BYTES: usize = 16 * 1024;

/// What is changed, and to what.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Change {
    /// A path has this value, whatever was there.
    Set { path: String, value: String },
    /// A path is gone, with everything below it.
    Remove { path: String },
    /// An instance tag has this value, or (`null`) is gone.
    Tag { key: String, value: Option<String> },
    /// The user data, in base64, or (`null`) none.
    UserData { base64: Option<String> },
    /// `HttpTokens`
    Tokens { mode: imds::TokenMode },
    /// `HttpEndpoint`
    Endpoint { mode: imds::Endpoint },
    /// The role of callers that nothing else matches, or (`null`) none.
    DefaultRole { role: Option<String> },
    /// The profile that a role's source resolves.
    Profile { role: String, profile: String },
}

/// What a change applies to; there is one change of each at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Endpoint,
    Tokens,
    UserData,
    DefaultRole,
    Tag(String),
    Profile(String),
    /// In the tree's own spelling.
    Path(String),
}

impl Change {
    /// The change in its one spelling, and what it applies to.
    ///
    /// # Errors
    /// Says why it cannot be made, whatever the state.
    pub(crate) fn checked(self) -> Result<(Target, Change), String> {
        let change = match self {
            Change::Set { path, value } => Change::Set { path: of_a_value(&path)?, value },
            Change::Remove { path } => Change::Remove { path: canonical(&path)? },
            Change::UserData { base64: Some(text) } => {
                user_data(&text)?;
                Change::UserData { base64: Some(text) }
            }
            other => other,
        };
        Ok((change.target(), change))
    }

    /// What a change that was checked before applies to.
    pub(crate) fn target(&self) -> Target {
        match self {
            Change::Set { path, .. } | Change::Remove { path } => Target::Path(path.clone()),
            Change::Tag { key, .. } => Target::Tag(key.clone()),
            Change::UserData { .. } => Target::UserData,
            Change::Tokens { .. } => Target::Tokens,
            Change::Endpoint { .. } => Target::Endpoint,
            Change::DefaultRole { .. } => Target::DefaultRole,
            Change::Profile { role, .. } => Target::Profile(role.clone()),
        }
    }

    /// Whether it shows where everything but roles is an upstream's (proxy mode).
    pub(crate) fn shows_beside_an_upstream(&self) -> bool {
        match self {
            Change::Set { path, .. } | Change::Remove { path } => is_of_roles(path),
            Change::Tag { .. } | Change::UserData { .. } => false,
            _ => true,
        }
    }

    /// What is changed, for the log: never the value, which may be anybody's secret.
    pub(crate) fn name(&self) -> String {
        match self {
            Change::Set { path, .. } | Change::Remove { path } => path.clone(),
            Change::Tag { key, .. } => format!("tag {key}"),
            Change::UserData { .. } => "user-data".into(),
            Change::Tokens { .. }
            | Change::Endpoint { .. }
            | Change::DefaultRole { .. }
            | Change::Profile { .. } => self.describe(),
        }
    }

    /// One line for whoever asks for the status. Of user data and credentials only the size is told.
    pub(crate) fn describe(&self) -> String {
        match self {
            Change::Set { path, value } if path.contains("credentials") => {
                format!("{path} of {} bytes", value.len())
            }
            Change::Set { path, value } => format!("{path} = {}", shortened(value)),
            Change::Remove { path } => format!("{path} removed"),
            Change::Tag { key, value: Some(value) } => format!("tag {key} = {}", shortened(value)),
            Change::Tag { key, value: None } => format!("tag {key} removed"),
            Change::UserData { base64: Some(text) } => {
                format!("user-data of {} bytes", user_data(text).map_or(0, |data| data.len()))
            }
            Change::UserData { base64: None } => "user-data removed".into(),
            Change::Tokens { mode } => format!("tokens {}", word(mode)),
            Change::Endpoint { mode } => format!("endpoint {}", word(mode)),
            Change::DefaultRole { role: Some(role) } => format!("default role {role}"),
            Change::Profile { role, profile } => format!("role {role} by profile {profile}"),
            Change::DefaultRole { role: None } => "no default role".into(),
        }
    }
}

/// The name that a setting has in the configuration.
fn word(setting: &impl Serialize) -> String {
    serde_json::to_value(setting).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn shortened(value: &str) -> String {
    const MOST: usize = 80;
    let cut = value.char_indices().nth(MOST).map(|(at, _)| &value[..at]);
    match cut {
        Some(cut) => format!("{cut:?}..."),
        None if value.is_empty() || value.chars().any(char::is_control) => format!("{value:?}"),
        None => value.to_owned(),
    }
}

/// The bytes of user data in base64.
pub(crate) fn user_data(base64: &str) -> Result<Bytes, String> {
    use base64::Engine;
    let data = base64::engine::general_purpose::STANDARD
        .decode(base64)
        .map_err(|e| format!("user data: not base64: {e}"))?;
    if data.len() > USER_DATA_BYTES {
        return Err(format!("user data: {} bytes, EC2 takes at most {USER_DATA_BYTES}", data.len()));
    }
    Ok(data.into())
}

/// The tree's own spelling of a path.
pub(crate) fn canonical(path: &str) -> Result<String, String> {
    let mut edits = imds::Overrides::default();
    edits.remove(path).map_err(|e| e.to_string())?;
    let mut paths = edits.iter();
    paths.next().map(|(path, _)| path).ok_or_else(|| format!("{path:?} is no path"))
}

/// The same of a path that is to have a value.
///
/// # Errors
/// When it is no path, or one without which a metadata service is none.
pub(crate) fn of_a_value(path: &str) -> Result<String, String> {
    let path = canonical(path)?;
    let (version, below) = parts(&path);
    let holds_paths = matches!(below, "meta-data" | "dynamic") || (version.is_some() && below.is_empty());
    if holds_paths {
        return Err(format!("{path} holds paths, not a value: name one of those below it"));
    }
    Ok(path)
}

/// Whether a path is `iam/` or below it, under any version.
pub(crate) fn is_of_roles(path: &str) -> bool {
    let path = canonical(path).unwrap_or_default();
    parts(&path).1.strip_prefix("meta-data/iam").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The version that a path in the tree's own spelling begins with, if any, and what comes below it.
pub(super) fn parts(path: &str) -> (Option<&str>, &str) {
    let (first, below) = path.split_once('/').unwrap_or((path, ""));
    if is_version(first) { (Some(first), below) } else { (None, path) }
}

fn is_version(name: &str) -> bool {
    imds::VERSIONS.contains(&name) || name.parse::<jiff::civil::Date>().is_ok()
}

/// The path below a version's root that a person means: `instance-id` is `meta-data/instance-id`, what
/// begins with a slash, a version or one of the version's own names stands as it is.
///
/// # Errors
/// When nothing is named.
pub(crate) fn tree_path(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err(
            "the path is empty: name one such as instance-type (fake-metadata tree lists them)".into()
        );
    }
    let first = path.split('/').next().unwrap_or("");
    let is_whole = path.starts_with('/')
        || imds::VERSIONS.contains(&first)
        || matches!(first, "meta-data" | "dynamic" | "user-data");
    Ok(if is_whole { path.to_owned() } else { format!("meta-data/{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_in_every_spelling() {
        for (given, path) in [
            ("instance-id", "meta-data/instance-id"),
            ("meta-data/mac/", "meta-data/mac/"),
            ("user-data", "user-data"),
            ("latest/meta-data/x", "latest/meta-data/x"),
            ("/latest/meta-data/x", "/latest/meta-data/x"),
            ("my/own", "meta-data/my/own"),
        ] {
            assert_eq!(tree_path(given), Ok(path.into()));
        }
        assert!(tree_path("").is_err());
        let target = |path: &str| Change::Remove { path: path.into() }.checked().map(|(target, _)| target);
        assert_eq!(target("/meta-data/mac/"), Ok(Target::Path("meta-data/mac".into())));
        assert!(target("/").is_err() && target("a//b").is_err() && target("a/../b").is_err());
    }

    #[test]
    fn what_holds_the_menu_takes_no_value() {
        let set = |path: &str| Change::Set { path: path.into(), value: "x".into() }.checked();
        for path in
            ["meta-data", "/meta-data/", "dynamic", "latest", "latest/meta-data", "2021-03-23/dynamic/"]
        {
            assert!(set(path).unwrap_err().contains("holds paths, not a value"), "{path}");
        }
        for path in ["user-data", "meta-data/x", "dynamic/x", "latest/user-data", "meta-data/placement"] {
            assert!(set(path).is_ok(), "{path}");
        }
        assert!(Change::Remove { path: "dynamic".into() }.checked().is_ok(), "it may be missing");
    }

    #[test]
    fn beside_an_upstream_only_what_is_said_of_roles_shows() {
        let shows = |path: &str| Change::Remove { path: path.into() }.shows_beside_an_upstream();
        assert!(
            ["meta-data/iam", "/latest/meta-data/iam/info", "2021-03-23/meta-data/iam/x"].map(shows)
                == [true; 3]
        );
        let others =
            ["meta-data/mac", "meta-data/iam-ecs", "dynamic/iam", "latest", "user-data", "meta-data"];
        assert!(others.map(shows) == [false; 6]);
        assert!(Change::Tokens { mode: imds::TokenMode::Required }.shows_beside_an_upstream());
        assert!(!Change::UserData { base64: None }.shows_beside_an_upstream());
    }

    #[test]
    fn user_data_is_bounded_and_never_shown() {
        let change = |base64: &str| Change::UserData { base64: Some(base64.into()) }.checked();
        assert_eq!(change("c2VjcmV0").unwrap().1.describe(), "user-data of 6 bytes");
        assert!(change("***").unwrap_err().contains("not base64"));
        assert!(change(&"AAAA".repeat(5462)).unwrap_err().contains("at most 16384"));
        assert!(change(&"AAAA".repeat(5461)).is_ok());
    }

    #[test]
    fn descriptions_are_one_bounded_line() {
        let set = |value: &str| Change::Set { path: "a".into(), value: value.into() }.describe();
        assert_eq!(set("b"), "a = b");
        let secret = Change::Set { path: "iam/security-credentials/x".into(), value: "secret".into() };
        assert_eq!(secret.describe(), "iam/security-credentials/x of 6 bytes");
        assert_eq!(Change::Tag { key: "a".into(), value: Some("b".into()) }.name(), "tag a");
        assert_eq!(set("b\nc"), "a = \"b\\nc\"");
        assert!(set(&"x".repeat(500)).len() < 100);
        assert_eq!(Change::Tokens { mode: imds::TokenMode::Required }.describe(), "tokens required");
        assert_eq!(Change::Endpoint { mode: imds::Endpoint::Disabled }.describe(), "endpoint disabled");
        assert_eq!(Change::DefaultRole { role: Some("App".into()) }.name(), "default role App");
    }
}
