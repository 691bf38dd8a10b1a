//! A role's table checked and turned into its source. Reads no file and asks nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Source;
use super::aws::{AssumeRole, Aws, Process, Profile, Static, Told};
use super::role_ref;
use crate::spec::SourceKind::{
    self, AssumeRole as Assume, File, Process as Run, Profile as Named, Static as Keys,
};
use crate::spec::{Command, RoleSpec, Settings, Span, SpecError};

/// The profile where none is named.
const DEFAULT_PROFILE: &str = "default";
/// The region where none is known: AWS's first.
const DEFAULT_REGION: &str = "us-east-1";
/// How long an attempt may take unless the role says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How long a session may be asked to last. Source: STS's API reference, AssumeRole and GetSessionToken.
const SHORTEST_SESSION: Duration = Duration::from_secs(900);
const LONGEST_ROLE_SESSION: Duration = Duration::from_secs(12 * 3600);
const LONGEST_KEY_SESSION: Duration = Duration::from_secs(36 * 3600);
/// Bounds of AssumeRole's parameters, from the same page.
const MOST_TAGS: usize = 50;
const MOST_POLICY_ARNS: usize = 10;
const LONGEST_POLICY: usize = 2048;

type Checked<T> = Result<T, (&'static str, String)>;

/// The source that `spec` describes, or the key that is wrong.
pub(super) fn resolve(role: &str, spec: &RoleSpec, settings: &Settings) -> Result<Source, SpecError> {
    belongs(spec).and_then(|()| source(spec, settings)).map_err(|(key, message)| SpecError {
        role: role.into(),
        key: key.into(),
        message,
    })
}

/// Every key that is given goes with the source.
fn belongs(spec: &RoleSpec) -> Checked<()> {
    let keys: [(&str, bool, &[SourceKind]); 15] = [
        ("file", spec.file.is_some(), &[File]),
        ("profile", spec.profile.is_some(), &[Named, Keys]),
        ("session", spec.session.is_some(), &[Named]),
        ("role-arn", spec.role_arn.is_some(), &[Assume]),
        ("source-profile", spec.source_profile.is_some(), &[Assume]),
        ("external-id", spec.external_id.is_some(), &[Assume]),
        ("session-name", spec.session_name.is_some(), &[Assume, Named]),
        ("duration", spec.duration.is_some(), &[Assume, Named]),
        ("policy", spec.policy.is_some(), &[Assume]),
        ("policy-arns", spec.policy_arns.is_some(), &[Assume]),
        ("tags", spec.tags.is_some(), &[Assume]),
        ("sts-endpoint", spec.sts_endpoint.is_some(), &[Assume, Named]),
        ("region", spec.region.is_some(), &[Assume, Named]),
        ("command", spec.command.is_some(), &[Run]),
        ("timeout", spec.timeout.is_some(), &[Run, Named, Assume]),
    ];
    for (key, given, sources) in keys {
        if given && !sources.contains(&spec.source) {
            let words: Vec<String> = sources.iter().map(|kind| format!("{:?}", word(*kind))).collect();
            return Err((key, format!("goes with source = {} only", words.join(" or "))));
        }
    }
    Ok(())
}

/// The word in the configuration.
pub(super) fn word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Generated => "generated",
        SourceKind::File => "file",
        SourceKind::Fed => "fed",
        SourceKind::Static => "static",
        SourceKind::Process => "process",
        SourceKind::Profile => "profile",
        SourceKind::AssumeRole => "assume-role",
    }
}

fn source(spec: &RoleSpec, settings: &Settings) -> Checked<Source> {
    match spec.source {
        SourceKind::Generated => Ok(Source::Generated),
        SourceKind::Fed => Ok(Source::Fed),
        SourceKind::File => match &spec.file {
            Some(path) if path.is_absolute() => Ok(Source::File { path: path.clone() }),
            Some(_) => Err(("file", "is not an absolute path".into())),
            None => Err(("file", "is missing (give the path of the JSON document)".into())),
        },
        SourceKind::Static => keys(spec, settings),
        SourceKind::Process => process(spec),
        SourceKind::Profile => profile(spec, settings),
        SourceKind::AssumeRole => assume_role(spec, settings),
    }
}

fn keys(spec: &RoleSpec, settings: &Settings) -> Checked<Source> {
    let Some(file) = &settings.credentials_file else {
        return Err(("source", "needs an AWS credentials file, and none is set".into()));
    };
    let profile = profile_name("profile", &spec.profile)?;
    Ok(Source::Static(Arc::new(Static { credentials_file: file.clone(), profile, told: Told::default() })))
}

fn process(spec: &RoleSpec) -> Checked<Source> {
    let command = match &spec.command {
        None => Err("is missing (give the command that prints credentials)"),
        Some(Command::Program(words)) if words.first().is_none_or(String::is_empty) => {
            Err("is empty (give a program and its arguments)")
        }
        Some(Command::Shell(line)) if line.trim().is_empty() => {
            Err("is empty (give the command that prints credentials)")
        }
        Some(command) if has_nul(command) => Err("holds a NUL character"),
        Some(command) => Ok(command.clone()),
    };
    let command = command.map_err(|message| ("command", message.to_owned()))?;
    Ok(Source::Process(Arc::new(Process { command, timeout: timeout(spec)? })))
}

fn has_nul(command: &Command) -> bool {
    match command {
        Command::Program(words) => words.iter().any(|word| word.contains('\0')),
        Command::Shell(line) => line.contains('\0'),
    }
}

fn profile(spec: &RoleSpec, settings: &Settings) -> Checked<Source> {
    let name = profile_name("profile", &spec.profile)?;
    let session = spec.session.unwrap_or(true);
    let longest = if session { LONGEST_KEY_SESSION } else { LONGEST_ROLE_SESSION };
    Ok(Source::Profile(Arc::new(Profile {
        name,
        session,
        told: Told::default(),
        aws: aws(spec, settings, longest)?,
    })))
}

fn assume_role(spec: &RoleSpec, settings: &Settings) -> Checked<Source> {
    let aws = aws(spec, settings, LONGEST_ROLE_SESSION)?;
    let region = aws.region.as_deref().unwrap_or(&aws.default_region);
    let arn = match &spec.role_arn {
        Some(written) => role_ref::arn(written, settings, region).map_err(|message| ("role-arn", message))?,
        None => return Err(("role-arn", "is missing (give a role's ARN, or NAME@ACCOUNT)".into())),
    };
    if let Some(id) = &spec.external_id
        && !fits(id, 2..=1224, "+=,.@:/_-")
    {
        return Err(("external-id", "is not 2 to 1224 letters, digits and +=,.@:/_-".into()));
    }
    let policy = spec.policy.as_ref().map(policy).transpose()?;
    let policy_arns = spec.policy_arns.clone().unwrap_or_default();
    if policy_arns.len() > MOST_POLICY_ARNS {
        return Err((
            "policy-arns",
            format!("has more than {MOST_POLICY_ARNS}, which is all that STS takes"),
        ));
    }
    if let Some(wrong) = policy_arns.iter().find(|arn| !arn.starts_with("arn:") || !arn.contains(":policy/"))
    {
        let message =
            format!("{wrong:?} is not the ARN of a policy (write arn:aws:iam::ACCOUNT:policy/NAME)");
        return Err(("policy-arns", message));
    }
    let tags = spec.tags.clone().unwrap_or_default();
    check_tags(&tags)?;
    let by = profile_name("source-profile", &spec.source_profile)?;
    let external_id = spec.external_id.clone();
    Ok(Source::AssumeRole(Arc::new(AssumeRole { arn, by, external_id, policy, policy_arns, tags, aws })))
}

/// What both sources that ask STS share.
fn aws(spec: &RoleSpec, settings: &Settings, longest: Duration) -> Checked<Aws> {
    if let Some(name) = &spec.session_name
        && !fits(name, 2..=64, "+=,.@_-")
    {
        return Err(("session-name", "is not 2 to 64 letters, digits and +=,.@_-".into()));
    }
    for endpoint in [&spec.sts_endpoint, &settings.sts_endpoint].into_iter().flatten() {
        check_endpoint(endpoint)?;
    }
    for region in [&spec.region, &settings.region].into_iter().flatten() {
        if !fits(region, 1..=63, "-") {
            return Err(("region", format!("{region:?} is no region (write it as in eu-west-1)")));
        }
    }
    let duration = spec.duration.map(|Span(duration)| duration);
    if duration.is_some_and(|duration| duration < SHORTEST_SESSION || duration > longest) {
        let hours = longest.as_secs() / 3600;
        return Err(("duration", format!("is not between 15 minutes and {hours} hours, as STS wants it")));
    }
    // Session names written elsewhere (an instance id of any form) are made to fit.
    let default_session_name = settings.instance_id.as_deref().filter(|id| fits(id, 2..=64, "+=,.@_-"));
    Ok(Aws {
        config_file: settings.config_file.clone(),
        credentials_file: settings.credentials_file.clone(),
        home: settings.home.clone(),
        endpoint: spec.sts_endpoint.clone().or_else(|| settings.sts_endpoint.clone()),
        region: spec.region.clone(),
        default_region: settings.region.clone().unwrap_or_else(|| DEFAULT_REGION.into()),
        session_name: spec.session_name.clone(),
        default_session_name: default_session_name.unwrap_or("fake-metadata").into(),
        upstream: settings.upstream.clone(),
        duration,
        timeout: timeout(spec)?,
    })
}

fn profile_name(key: &'static str, given: &Option<String>) -> Checked<String> {
    match given.as_deref() {
        None => Ok(DEFAULT_PROFILE.into()),
        Some(name) if name.is_empty() || name.contains([']', '\n', '\r']) => {
            Err((key, format!("{name:?} is no profile's name")))
        }
        Some(name) => Ok(name.into()),
    }
}

fn timeout(spec: &RoleSpec) -> Checked<Duration> {
    match spec.timeout {
        None => Ok(DEFAULT_TIMEOUT),
        Some(Span(span)) if span >= TIMEOUTS.0 && span <= TIMEOUTS.1 => Ok(span),
        Some(_) => Err(("timeout", "is not between 1 second and 5 minutes".into())),
    }
}

fn check_endpoint(endpoint: &str) -> Checked<()> {
    // Not quoted: it may hold a password.
    if endpoint.contains('@') {
        let message = "holds a user name or a password, which STS does not take (write http://HOST:PORT)";
        return Err(("sts-endpoint", message.into()));
    }
    let uri = endpoint.parse::<http::Uri>().ok();
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    if fits { Ok(()) } else { Err(("sts-endpoint", format!("{endpoint:?} is not an http or https URL"))) }
}

/// The policy as one line of JSON.
fn policy(written: &Value) -> Checked<String> {
    let read = match written {
        Value::String(text) => serde_json::from_str(text)
            .map_err(|e| ("policy", format!("is not JSON: line {}, column {}", e.line(), e.column())))?,
        other => other.clone(),
    };
    if !read.is_object() {
        return Err(("policy", "is not a policy (write its JSON object, or a table)".into()));
    }
    let text = read.to_string();
    if text.len() > LONGEST_POLICY {
        let length = text.len();
        let message =
            format!("has {length} characters without spaces, and STS takes {LONGEST_POLICY} at most");
        return Err(("policy", message));
    }
    Ok(text)
}

fn check_tags(tags: &BTreeMap<String, String>) -> Checked<()> {
    if tags.len() > MOST_TAGS {
        return Err(("tags", format!("has more than {MOST_TAGS}, which is all that STS takes")));
    }
    for (name, value) in tags {
        if !(1..=128).contains(&name.chars().count()) || value.chars().count() > 256 {
            let limits = "a name has 1 to 128 characters, a value up to 256";
            return Err(("tags", format!("{name:?} is too long or empty ({limits})")));
        }
        if name.to_ascii_lowercase().starts_with("aws:") {
            return Err(("tags", format!("{name:?} begins with aws:, which is AWS's own")));
        }
    }
    Ok(())
}

fn fits(text: &str, length: std::ops::RangeInclusive<usize>, beside: &str) -> bool {
    length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || beside.contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(json: Value) -> RoleSpec {
        serde_json::from_value(json).unwrap()
    }

    fn settings() -> Settings {
        Settings {
            config_file: Some("/aws/config".into()),
            credentials_file: Some("/aws/credentials".into()),
            instance_id: Some("i-0123456789abcdef0".into()),
            ..Settings::default()
        }
    }

    fn of(json: Value) -> Result<Source, String> {
        resolve("app", &spec(json), &settings()).map_err(|e| {
            assert_eq!(e.role, "app");
            e.to_string()
        })
    }

    const ARN: &str = "arn:aws:iam::111122223333:role/App";

    #[test]
    fn keys_go_with_their_sources_only() {
        for (spec, message) in [
            (json!({"file": "/x"}), "file: goes with source = \"file\" only"),
            (
                json!({"source": "assume-role", "profile": "x", "role-arn": ARN}),
                "profile: goes with source = \"profile\" or \"static\" only",
            ),
            (
                json!({"source": "profile", "external-id": "abc"}),
                "external-id: goes with source = \"assume-role\" only",
            ),
            (json!({"source": "static", "session": false}), "session: goes with source = \"profile\" only"),
            (
                json!({"timeout": 5}),
                "timeout: goes with source = \"process\" or \"profile\" or \"assume-role\" only",
            ),
            (
                json!({"source": "process", "command": "x", "duration": "1h"}),
                "duration: goes with source = \"assume-role\" or \"profile\" only",
            ),
        ] {
            assert_eq!(of(spec).unwrap_err(), message);
        }
    }

    #[test]
    fn wrong_values_are_named_with_the_remedy() {
        let assumed = |key: &str, value: Value| {
            let mut spec = json!({"source": "assume-role", "role-arn": ARN});
            spec[key] = value;
            of(spec).unwrap_err()
        };
        let many_tags: BTreeMap<String, String> = (0..51).map(|n| (n.to_string(), String::new())).collect();
        for (message, part) in [
            (of(json!({"source": "assume-role"})).unwrap_err(), "role-arn: is missing (give a role's ARN"),
            (assumed("role-arn", json!("App")), "role-arn: \"App\" names no account"),
            (assumed("external-id", json!("a")), "external-id: is not 2 to 1224"),
            (assumed("external-id", json!("a b")), "external-id: is not 2 to 1224"),
            (assumed("session-name", json!("a:b")), "session-name: is not 2 to 64"),
            (assumed("duration", json!("14m")), "duration: is not between 15 minutes and 12 hours"),
            (assumed("duration", json!("13h")), "duration: is not between 15 minutes and 12 hours"),
            (assumed("policy", json!("{")), "policy: is not JSON: line 1, column 1"),
            (assumed("policy", json!("[]")), "policy: is not a policy"),
            (assumed("policy", json!({"a": "x".repeat(2048)})), "policy: has 2056 characters"),
            (
                assumed("policy-arns", json!(vec!["arn:aws:iam::aws:policy/x"; 11])),
                "policy-arns: has more than 10",
            ),
            (assumed("policy-arns", json!(["ReadOnly"])), "policy-arns: \"ReadOnly\" is not the ARN"),
            (assumed("tags", json!(many_tags)), "tags: has more than 50"),
            (assumed("tags", json!({"aws:x": ""})), "tags: \"aws:x\" begins with aws:"),
            (assumed("tags", json!({"": ""})), "tags: \"\" is too long or empty"),
            (assumed("sts-endpoint", json!("localhost:5000")), "sts-endpoint: \"localhost:5000\" is not"),
            (
                assumed("sts-endpoint", json!("ftp://x")),
                "sts-endpoint: \"ftp://x\" is not an http or https URL",
            ),
            (
                assumed("sts-endpoint", json!("http://user:hunter2@127.0.0.1:5000")),
                "sts-endpoint: holds a user name or a password, which STS does not take (write http://HOST:PORT)",
            ),
            (assumed("sts-endpoint", json!("user:hunter2@x")), "sts-endpoint: holds a user name"),
            (assumed("region", json!("eu west")), "region: \"eu west\" is no region"),
            (assumed("timeout", json!("6m")), "timeout: is not between 1 second and 5 minutes"),
            (assumed("source-profile", json!("")), "source-profile: \"\" is no profile's name"),
            (of(json!({"source": "process"})).unwrap_err(), "command: is missing"),
            (of(json!({"source": "process", "command": []})).unwrap_err(), "command: is empty"),
            (of(json!({"source": "process", "command": " "})).unwrap_err(), "command: is empty"),
        ] {
            assert!(message.starts_with(part), "{part}: {message}");
        }
        let bare = resolve("app", &spec(json!({"source": "static"})), &Settings::default()).unwrap_err();
        assert_eq!(bare.to_string(), "source: needs an AWS credentials file, and none is set");
    }

    #[test]
    fn roles_that_differ_in_anything_have_other_sources() {
        let base = json!({"source": "assume-role", "role-arn": ARN});
        let one = of(base.clone()).unwrap();
        assert_eq!(one, of(base.clone()).unwrap());
        for (key, value) in [
            ("role-arn", json!("arn:aws:iam::111122223333:role/Other")),
            ("session-name", json!("web")),
            ("external-id", json!("abc")),
            ("policy", json!({"Version": "2012-10-17"})),
            ("policy-arns", json!(["arn:aws:iam::aws:policy/ReadOnlyAccess"])),
            ("tags", json!({"team": "a"})),
            ("duration", json!("1h")),
            ("sts-endpoint", json!("http://127.0.0.1:5000")),
            ("region", json!("eu-west-1")),
            ("source-profile", json!("dev")),
        ] {
            let mut other = base.clone();
            other[key] = value;
            assert_ne!(of(other).unwrap(), one, "{key}");
        }
        let moved = Settings { instance_id: Some("i-another".into()), ..settings() };
        assert_ne!(resolve("app", &spec(base), &moved).unwrap(), one, "another instance id");
    }

    #[test]
    fn a_policy_is_the_same_as_text_and_as_a_table() {
        let of =
            |policy: Value| of(json!({"source": "assume-role", "role-arn": ARN, "policy": policy})).unwrap();
        assert_eq!(of(json!("{ \"Version\": \"2012-10-17\" }")), of(json!({"Version": "2012-10-17"})));
    }
}
