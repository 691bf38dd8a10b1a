//! The `[roles.NAME]` table as a person wrote it; nothing is checked but names and types. Which keys go with
//! which source is checked when a store takes the spec, see [`SpecError`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Where a role's credentials come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Made here, well-formed and plainly fake.
    #[default]
    Generated,
    /// A JSON file, watched.
    File,
    /// Pushed from outside by `role feed`.
    Fed,
    /// The long-lived keys of a profile in the AWS credentials file, handed out as they are, without a
    /// token.
    Static,
    /// What a command prints, in the `credential_process` form.
    Process,
    /// A profile of the AWS files: keys, `role_arn` chains, `credential_process`, SSO, web identity.
    Profile,
    /// STS AssumeRole, by the credentials of a profile.
    AssumeRole,
}

/// The `[roles.NAME]` table. Every key is optional.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RoleSpec {
    /// Where the credentials come from; `generated` unless said.
    pub source: SourceKind,
    /// `file`: the path of the JSON document.
    pub file: Option<PathBuf>,
    /// `profile` and `static`: the profile's name; `default` unless said.
    pub profile: Option<String>,
    /// `profile`: whether long-lived keys are exchanged for a session by STS GetSessionToken (the default).
    /// With `false` they are handed out as they are, and there is no token.
    pub session: Option<bool>,
    /// `assume-role`: the role's ARN, or `NAME`, `NAME@ACCOUNT-ID`, `NAME@ACCOUNT-NAME`. A name may have a
    /// path (`team/app`); account names are those of [`Settings::accounts`].
    pub role_arn: Option<String>,
    /// `assume-role`: the profile whose credentials assume the role; `default` unless said.
    pub source_profile: Option<String>,
    /// `assume-role`: what the role's trust policy asks for as `sts:ExternalId`. 2 to 1224 characters.
    pub external_id: Option<String>,
    /// `assume-role` and `profile`: the name of the role's session, which CloudTrail shows. 2 to 64
    /// characters. Unless said it is the profile's `role_session_name`, or the instance id, as on EC2.
    pub session_name: Option<String>,
    /// `assume-role` and `profile`: how long a session is to last, `"1h30m"` or a number of seconds.
    /// 15 minutes to 12 hours (36 for the exchange of long-lived keys); unless said it is STS's own default,
    /// 1 hour for a role and 12 for long-lived keys.
    pub duration: Option<Span>,
    /// `assume-role`: a session policy, which takes away from what the role may do: the JSON text, or the
    /// same as a table. At most 2048 characters.
    pub policy: Option<serde_json::Value>,
    /// `assume-role`: up to ten ARNs of managed policies that do the same.
    pub policy_arns: Option<Vec<String>>,
    /// `assume-role`: up to 50 session tags, name to value.
    pub tags: Option<BTreeMap<String, String>>,
    /// `assume-role` and `profile`: the URL of STS, in place of the region's own.
    pub sts_endpoint: Option<String>,
    /// `assume-role` and `profile`: the region whose STS is asked. Unless said it is the profile's
    /// `region`, or the instance's.
    pub region: Option<String>,
    /// `process`: what to run. A list is a program and its arguments, run as they are; a text is given to
    /// `/bin/sh -c`, as the AWS SDKs do with a `credential_process`, so that a line copied from an AWS file
    /// means the same here.
    pub command: Option<Command>,
    /// `process`, `profile` and `assume-role`: how long one attempt may take, `"30s"` or a number of
    /// seconds. 1 second to 5 minutes; 30 seconds unless said.
    pub timeout: Option<Span>,
    /// What differs in this role's metadata tree. Not looked at here: the daemon reads it.
    pub tree: Option<serde_json::Value>,
}

/// What all roles share. The daemon decides it and hands it in; a role's own key goes before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The AWS config file: `/etc/fake-metadata/aws/config`, or a person's own `~/.aws/config` by hand.
    /// Need not exist.
    pub config_file: Option<PathBuf>,
    /// The AWS credentials file, beside it. Need not exist. For the daemon 0640.
    pub credentials_file: Option<PathBuf>,
    /// The folder that `~` stands for in those files, and that `.aws/sso/cache` is in: the state directory
    /// of the packaged daemon, a person's home by hand. Without it SSO profiles are refused.
    pub home: Option<PathBuf>,
    /// Account names that `role-arn = "NAME@ACCOUNT-NAME"` may use, each to its 12 digits: `[aws.accounts]`.
    pub accounts: BTreeMap<String, String>,
    /// The account of a `role-arn` without one: 12 digits, or a name of `accounts`. `[aws] default-account`.
    pub default_account: Option<String>,
    /// The URL of STS for every role. `[aws] sts-endpoint`.
    pub sts_endpoint: Option<String>,
    /// The region whose STS is asked, where neither role nor profile says one: the instance's region.
    /// `us-east-1` when not set.
    pub region: Option<String>,
    /// The instance id, which is the default name of role sessions, as on EC2.
    pub instance_id: Option<String>,
    /// The URL of another metadata service, when the daemon has an upstream. `credential_source =
    /// Ec2InstanceMetadata` asks it, and is refused without it: this service never asks itself.
    pub upstream: Option<String>,
}

/// What is wrong with a role's table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct SpecError {
    /// The role's name.
    pub role: String,
    /// The key within `[roles.NAME]`.
    pub key: String,
    /// What is wrong with it and how to mend it.
    pub message: String,
}

/// The spec of every role, by the name that callers see.
pub(crate) type Specs = BTreeMap<String, RoleSpec>;

/// What is wrong with the name of a `[roles.NAME]` table, whose name is what callers see in a path.
///
/// # Errors
/// The whole message: which characters there may be, or that a part of the path is none.
pub fn check_role_name(name: &str) -> Result<(), String> {
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@/-".contains(c)) {
        return Err("is no role's name: it has other characters than letters, digits and _+=,.@/-".into());
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(r#"is no role's name: it has an empty part, or one that is "." or "..""#.into());
    }
    Ok(())
}

/// What a `process` source runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, expecting = "write a list, as in [\"program\", \"argument\"], or one line of text")]
pub enum Command {
    /// A program and its arguments.
    Program(Vec<String>),
    /// A line for `/bin/sh -c`.
    Shell(String),
}

/// A length of time: `"1h30m"`, `"90s"`, or a whole number of seconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "WrittenSpan")]
pub struct Span(pub Duration);

#[derive(Deserialize)]
#[serde(untagged, expecting = "write a duration, as in \"90s\" or \"1h30m\", or a number of seconds")]
enum WrittenSpan {
    Seconds(u32),
    Text(String),
}

impl TryFrom<WrittenSpan> for Span {
    type Error = String;

    fn try_from(written: WrittenSpan) -> Result<Span, String> {
        let text = match written {
            WrittenSpan::Seconds(seconds) => return Ok(Span(Duration::from_secs(seconds.into()))),
            WrittenSpan::Text(text) => text,
        };
        text.trim().parse::<SignedDuration>().ok().and_then(|span| span.try_into().ok()).map(Span).ok_or_else(
            || {
                format!(
                    "{text:?} is no duration: write a number and a unit (s, m, h), as in \"90s\" or \
                     \"1h30m\", or a number of seconds"
                )
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str) -> Result<u64, String> {
        serde_json::from_str::<Span>(text).map(|span| span.0.as_secs()).map_err(|e| e.to_string())
    }

    #[test]
    fn durations_are_text_with_units_or_seconds() {
        for (text, seconds) in [("3600", 3600), ("\"90s\"", 90), ("\"1h30m\"", 5400), ("\"15m\"", 900)] {
            assert_eq!(span(text), Ok(seconds), "{text}");
        }
        for text in ["\"\"", "\"90\"", "\"soon\"", "\"-5s\"", "-5", "1.5", "true"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(span("\"soon\"").unwrap_err().contains("\"soon\" is no duration"));
        assert!(span("true").unwrap_err().contains("write a duration"));
    }

    #[test]
    fn names_of_roles_are_iams_with_a_path() {
        for name in ["App", "team/App", "app+role=1,@-_", "a.b", "..."] {
            assert_eq!(check_role_name(name), Ok(()), "{name}");
        }
        for name in ["aws:ec2-instance", "a b", "a\nb", "\u{e9}", "a?b", "a%2fb"] {
            assert!(check_role_name(name).unwrap_err().contains("other characters"), "{name}");
        }
        for name in ["", "/App", "App/", "a//b", ".", "a/../b", "./a"] {
            assert!(check_role_name(name).unwrap_err().contains("part"), "{name}");
        }
    }

    #[test]
    fn commands_are_lists_or_lines() {
        let command = |text: &str| serde_json::from_str::<Command>(text).map_err(|e| e.to_string());
        assert_eq!(command(r#"["a","b c"]"#), Ok(Command::Program(vec!["a".into(), "b c".into()])));
        assert_eq!(command(r#""a 'b c'""#), Ok(Command::Shell("a 'b c'".into())));
        assert!(command("3").unwrap_err().contains("write a list"));
    }
}
