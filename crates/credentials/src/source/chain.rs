//! How a profile leads to credentials: what they start from, and the roles assumed on the way. Pure.
//!
//! The order of precedence is the AWS SDK for Rust's (`aws-config`, `profile/credentials/repr.rs`). Its
//! providers themselves are not used, since they look at this process's environment, wait for a
//! `credential_process` without a limit and cannot ask for an MFA code.

use std::fmt;

use aws_config::profile::Profile;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::profiles::Profiles;
use super::trouble::Trouble;
use crate::credentials::{Secret, whole_seconds};

/// Where saml2aws, aws-azure-login and others note when the session that they wrote ends. AWS has no key
/// for that.
pub(crate) const EXPIRES: [&str; 4] =
    ["x_security_token_expires", "aws_expiration", "aws_session_expiration", "expiration"];

/// A profile's way to credentials.
#[derive(Debug, PartialEq)]
pub(crate) struct Chain {
    pub(crate) base: Base,
    /// The profile that `base` is written in.
    pub(crate) base_profile: String,
    /// The roles to assume, in this order.
    pub(crate) steps: Vec<Step>,
}

/// What a chain starts from.
#[derive(Debug, PartialEq)]
pub(crate) enum Base {
    Keys(Keys),
    Process(Line),
    Sso(Sso),
    WebIdentity {
        arn: String,
        token_file: String,
        session_name: Option<String>,
    },
    /// `credential_source = Ec2InstanceMetadata`.
    Instance,
    /// `credential_source = Environment`.
    Environment,
}

/// Keys written in a file.
#[derive(Debug, PartialEq)]
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: Secret,
    pub(crate) token: Option<Secret>,
    pub(crate) account: Option<String>,
    /// What a session of these keys asks a code of.
    pub(crate) mfa_serial: Option<String>,
    /// When keys with a token end, as far as the tool that wrote them says so.
    pub(crate) expires: Option<Timestamp>,
}

/// A command line, which may hold a password.
#[derive(PartialEq)]
pub(crate) struct Line(pub(crate) String);

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line(..)")
    }
}

/// A role of IAM Identity Center.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sso {
    /// The `[sso-session]`; absent in the older form.
    pub(crate) session: Option<String>,
    pub(crate) start_url: String,
    pub(crate) region: String,
    /// `sso_registration_scopes`, with the session only.
    pub(crate) scopes: Vec<String>,
    pub(crate) account: String,
    pub(crate) role: String,
}

/// A role to assume.
#[derive(Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) profile: String,
    pub(crate) arn: String,
    pub(crate) external_id: Option<String>,
    pub(crate) session_name: Option<String>,
    pub(crate) mfa_serial: Option<String>,
    /// Seconds.
    pub(crate) duration: Option<i32>,
}

impl Chain {
    /// The way of the profile `name`.
    pub(crate) fn of(profiles: &Profiles, name: &str) -> Result<Chain, Trouble> {
        let mut steps = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        let mut name = name.to_owned();
        loop {
            let profile = match seen.last() {
                None => profiles.get(&name)?,
                Some(by) => profiles
                    .get(&name)
                    .map_err(|e| Trouble::new(format!("source_profile of profile {by:?}: {}", e.text)))?,
            };
            if seen.contains(&name) {
                seen.push(name);
                return Err(Trouble::new(format!(
                    "the source_profile of profiles leads round in a circle: {}",
                    seen.join(", ")
                )));
            }
            // A profile that another one starts from gives its keys even if it names a role too.
            let keys = if seen.is_empty() { None } else { keys(profile)? };
            seen.push(name.clone());
            let step = if keys.is_some() { None } else { step(profile)? };
            let Some(step) = step else {
                let base = match keys {
                    Some(keys) => Base::Keys(keys),
                    None => base(profiles, profile)?,
                };
                steps.reverse();
                return Ok(Chain { base, base_profile: name, steps });
            };
            steps.push(step);
            match (profile.get("source_profile"), profile.get("credential_source")) {
                (Some(_), Some(_)) => {
                    return Err(wrong(
                        profile,
                        "has both source_profile and credential_source (take one away)",
                    ));
                }
                (None, None) => {
                    return Err(wrong(
                        profile,
                        "has a role_arn, but neither source_profile nor credential_source",
                    ));
                }
                (Some(next), None) if next != name => name = next.to_owned(),
                _ => {
                    steps.reverse();
                    return Ok(Chain { base: base(profiles, profile)?, base_profile: name, steps });
                }
            }
        }
    }

    /// The first serial number that a code is asked of.
    pub(crate) fn mfa_profile(&self) -> Option<&str> {
        self.steps.iter().find(|step| step.mfa_serial.is_some()).map(|step| step.profile.as_str())
    }
}

fn wrong(profile: &Profile, what: &str) -> Trouble {
    Trouble::new(format!("profile {:?} {what}", profile.name()))
}

fn step(profile: &Profile) -> Result<Option<Step>, Trouble> {
    let Some(arn) = profile.get("role_arn").filter(|_| profile.get("web_identity_token_file").is_none())
    else {
        return Ok(None);
    };
    let duration = profile
        .get("duration_seconds")
        .map(|text| {
            text.trim().parse().map_err(|_| wrong(profile, "has a duration_seconds that is no number"))
        })
        .transpose()?;
    Ok(Some(Step {
        profile: profile.name().to_owned(),
        arn: arn.to_owned(),
        external_id: profile.get("external_id").map(str::to_owned),
        session_name: profile.get("role_session_name").map(str::to_owned),
        mfa_serial: profile.get("mfa_serial").map(str::to_owned),
        duration,
    }))
}

fn base(profiles: &Profiles, profile: &Profile) -> Result<Base, Trouble> {
    match profile.get("credential_source") {
        Some("Ec2InstanceMetadata") => return Ok(Base::Instance),
        Some("Environment") => return Ok(Base::Environment),
        Some("EcsContainer") => {
            return Err(wrong(
                profile,
                "has credential_source = EcsContainer, which only a container of ECS has",
            ));
        }
        Some(_) => return Err(wrong(profile, "has a credential_source that AWS does not know")),
        None => {}
    }
    if let (Some(arn), Some(token_file)) = (profile.get("role_arn"), profile.get("web_identity_token_file")) {
        let session_name = profile.get("role_session_name").map(str::to_owned);
        return Ok(Base::WebIdentity { arn: arn.into(), token_file: token_file.into(), session_name });
    }
    if let Some(sso) = sso(profiles, profile)? {
        return Ok(Base::Sso(sso));
    }
    if profile.get("login_session").is_some() {
        return Err(wrong(
            profile,
            "has a login_session, which this program does not know (use its own command: \
             credential_process = aws configure export-credentials --profile ...)",
        ));
    }
    if let Some(line) = profile.get("credential_process") {
        return Ok(Base::Process(Line(line.to_owned())));
    }
    keys(profile)?.map(Base::Keys).ok_or_else(|| {
        wrong(
            profile,
            "leads to no credentials (it has no keys, role_arn, credential_process, sso_session or web identity)",
        )
    })
}

/// The keys of a profile, when it has both.
pub(crate) fn keys(profile: &Profile) -> Result<Option<Keys>, Trouble> {
    let given = |name: &str| profile.get(name).filter(|value| !value.is_empty());
    match (given("aws_access_key_id"), given("aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Some(Keys {
            id: id.to_owned(),
            secret: Secret::new(secret),
            token: given("aws_session_token").map(Secret::new),
            account: given("aws_account_id").map(str::to_owned),
            expires: given("aws_session_token").map_or(Ok(None), |_| ends(profile))?,
            mfa_serial: profile
                .get("mfa_serial")
                .filter(|_| profile.get("role_arn").is_none())
                .map(str::to_owned),
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(wrong(profile, "has an aws_access_key_id without aws_secret_access_key")),
        (None, Some(_)) => Err(wrong(profile, "has an aws_secret_access_key without aws_access_key_id")),
    }
}

/// When a session that another tool wrote ends; `None`: it does not say.
fn ends(profile: &Profile) -> Result<Option<Timestamp>, Trouble> {
    let given = |name| profile.get(name).filter(|value| !value.trim().is_empty());
    let Some((name, text)) = EXPIRES.into_iter().find_map(|name| Some((name, given(name)?))) else {
        return Ok(None);
    };
    let unreadable =
        || wrong(profile, &format!("has an {name} that is no time (write it as in 2026-11-21T17:00:00Z)"));
    time(text).map(whole_seconds).map(Some).ok_or_else(unreadable)
}

/// A time; one without a zone is UTC.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let zoneless = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| Some(zoneless().filter(|_| !text.contains('['))?.timestamp()))
}

fn sso(profiles: &Profiles, profile: &Profile) -> Result<Option<Sso>, Trouble> {
    let session = profile.get("sso_session");
    let own = |key: &str| profile.get(key).map(str::to_owned);
    if session.is_none() && profile.get("sso_start_url").is_none() {
        return Ok(None);
    }
    let (start_url, region, scopes) = match session {
        None => (own("sso_start_url"), own("sso_region"), Vec::new()),
        Some(name) => {
            let section = profiles.sso_session(name).ok_or_else(|| {
                wrong(profile, &format!("names sso_session {name:?}, and there is no [sso-session {name}]"))
            })?;
            let of = |key: &str| section.get(key).map(str::to_owned);
            let scopes = of("sso_registration_scopes").unwrap_or_else(|| "sso:account:access".into());
            let scopes = scopes.split(',').map(|scope| scope.trim().to_owned()).collect();
            (of("sso_start_url"), of("sso_region"), scopes)
        }
    };
    let need = |value: Option<String>, key: &str| {
        value.ok_or_else(|| wrong(profile, &format!("uses SSO, but there is no {key}")))
    };
    Ok(Some(Sso {
        session: session.map(str::to_owned),
        start_url: need(start_url, "sso_start_url")?,
        region: need(region, "sso_region")?,
        scopes,
        account: need(own("sso_account_id"), "sso_account_id")?,
        role: need(own("sso_role_name"), "sso_role_name")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chain of profile `app` in a config file, or what is wrong with it.
    async fn chain(config: &str) -> Result<Chain, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, config).unwrap();
        let profiles = Profiles::read(Some(&path), Some(&folder.path().join("none"))).await;
        let chain = profiles.and_then(|profiles| Chain::of(&profiles, "app"));
        chain.map_err(|e| e.text.replace(&folder.path().display().to_string(), ""))
    }

    #[tokio::test]
    async fn a_chain_of_roles_is_walked_from_its_keys() {
        let found = chain(
            "[profile app]\nrole_arn = arn:two\nsource_profile = middle\nexternal_id = x\n\
             role_session_name = me\nduration_seconds = 1800\nmfa_serial = arn:mfa\n\
             [profile middle]\nrole_arn = arn:one\nsource_profile = base\n\
             [profile base]\naws_access_key_id = AKIA\naws_secret_access_key = s\n",
        )
        .await
        .unwrap();
        let arns: Vec<&str> = found.steps.iter().map(|step| step.arn.as_str()).collect();
        assert_eq!(arns, ["arn:one", "arn:two"]);
        assert_eq!(found.base_profile, "base");
        assert!(matches!(&found.base, Base::Keys(keys) if keys.id == "AKIA" && keys.token.is_none()));
        let last = &found.steps[1];
        assert_eq!((last.external_id.as_deref(), last.session_name.as_deref()), (Some("x"), Some("me")));
        assert_eq!((last.duration, found.mfa_profile()), (Some(1800), Some("app")));
        assert!(!format!("{found:?}").contains("\"s\""), "secrets are not shown");
    }

    #[tokio::test]
    async fn every_kind_of_base() {
        for (config, expected) in [
            (
                "credential_process = get --password hunter2",
                Base::Process(Line("get --password hunter2".into())),
            ),
            (
                "role_arn = arn:web\nweb_identity_token_file = /t\nrole_session_name = me",
                Base::WebIdentity {
                    arn: "arn:web".into(),
                    token_file: "/t".into(),
                    session_name: Some("me".into()),
                },
            ),
            ("credential_source = Ec2InstanceMetadata\nrole_arn = arn:x", Base::Instance),
            ("credential_source = Environment\nrole_arn = arn:x", Base::Environment),
        ] {
            let found = chain(&format!("[profile app]\n{config}\n")).await.unwrap();
            assert!(!format!("{found:?}").contains("hunter2"));
            assert_eq!(found.base, expected);
        }
        let itself = "role_arn = a\nsource_profile = app\naws_access_key_id = i\naws_secret_access_key = s";
        let found = chain(&format!("[profile app]\n{itself}\n")).await.unwrap();
        assert!(matches!(found.base, Base::Keys(_)) && found.steps.len() == 1);
    }

    #[tokio::test]
    async fn a_session_that_another_tool_wrote_ends_when_it_says() {
        let keys = "aws_access_key_id = i\naws_secret_access_key = s\nx_security_token_expires = 2026-11-21T12:00:00+01:00\n";
        let ends = async |config: &str| match chain(&format!("[profile app]\n{config}")).await.unwrap().base {
            Base::Keys(keys) => keys.expires,
            base => panic!("{base:?}"),
        };
        assert_eq!(ends(keys).await, None, "keys without a token do not end");
        let ended = ends(&format!("{keys}aws_session_token = t\n")).await;
        assert_eq!(ended, Some("2026-11-21T11:00:00Z".parse().unwrap()));
        let session = "aws_access_key_id = i\naws_secret_access_key = s\naws_session_token = t\n";
        assert_eq!(ends(session).await, None, "it does not say");
        for line in [
            "x_security_token_expires = 2026-11-21 11:00:00",
            "x_security_token_expires = 2026-11-21T11:00:00.5+00:00",
            "aws_expiration = 2026-11-21T11:00:00",
            "aws_session_expiration = 2026-11-21T12:00:00+0100",
            "expiration = 2026-11-21 12:00:00+01:00",
        ] {
            assert_eq!(ends(&format!("{session}{line}\n")).await, ended, "{line}");
        }
        for line in ["aws_expiration = soon", "expiration = 2026-11-21T12:00:00[Mars/Base]"] {
            let said = chain(&format!("[profile app]\n{session}{line}\n")).await.unwrap_err();
            let key = line.split(' ').next().unwrap();
            assert!(said.contains(&format!("profile \"app\" has an {key} that is no time")), "{said}");
        }
    }

    #[tokio::test]
    async fn sso_in_both_forms() {
        let both = "sso_account_id = 111122223333\nsso_role_name = Dev\n";
        let old = format!("[profile app]\nsso_start_url = https://x\nsso_region = eu-west-1\n{both}");
        let new = format!(
            "[profile app]\nsso_session = corp\n{both}[sso-session corp]\nsso_start_url = https://x\n\
             sso_region = eu-west-1\nsso_registration_scopes = a:b, c:d\n"
        );
        let plain = Sso {
            session: None,
            start_url: "https://x".into(),
            region: "eu-west-1".into(),
            scopes: vec![],
            account: "111122223333".into(),
            role: "Dev".into(),
        };
        assert_eq!(chain(&old).await.unwrap().base, Base::Sso(plain.clone()));
        let scopes = vec!["a:b".to_owned(), "c:d".to_owned()];
        let session = Some("corp".to_owned());
        assert_eq!(chain(&new).await.unwrap().base, Base::Sso(Sso { session, scopes, ..plain }));
    }

    #[tokio::test]
    async fn what_leads_nowhere_is_said() {
        for (config, part) in [
            ("[default]\n", "there is no profile \"app\" in /config or /none"),
            ("[profile app]\nregion = x\n", "profile \"app\" leads to no credentials"),
            ("[profile app]\nrole_arn = a\n", "has a role_arn, but neither source_profile"),
            (
                "[profile app]\nrole_arn = a\nsource_profile = gone\n",
                "source_profile of profile \"app\": there is no profile \"gone\"",
            ),
            (
                "[profile app]\nrole_arn = a\nsource_profile = b\n[profile b]\nrole_arn = b\nsource_profile = app\n",
                "in a circle: app, b, app",
            ),
            ("[profile app]\nrole_arn = a\nsource_profile = b\ncredential_source = Environment\n", "both"),
            ("[profile app]\nrole_arn = a\ncredential_source = EcsContainer\n", "EcsContainer"),
            ("[profile app]\nsso_session = x\n", "there is no [sso-session x]"),
            ("[profile app]\nsso_start_url = https://x\nsso_region = r\n", "there is no sso_account_id"),
            ("[profile app]\naws_access_key_id = x\n", "without aws_secret_access_key"),
            ("[profile app]\nlogin_session = x\n", "login_session"),
            ("[profile app]\nregion\n", "/config on line 2"),
            (
                "[profile app]\nrole_arn = a\nsource_profile = b\nduration_seconds = long\n",
                "duration_seconds",
            ),
        ] {
            let said = chain(config).await.unwrap_err();
            assert!(said.contains(part) && !said.contains('\n'), "{config}: {said}");
        }
    }
}
