//! The way from a profile, or from a role and the profile that assumes it, to credentials. The AWS files
//! are read at each attempt, so that a change of them counts from the next refresh on.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use jiff::Timestamp;

use super::aws::{AssumeRole, Aws, Profile, Static};
use super::chain::{self, Base, Chain, Keys, Sso, Step};
use super::process::Terminal;
use super::profiles::{Profiles, innermost};
use super::sdk::Place;
use super::sso::{self, Places};
use super::sts::{self, Mfa, RoleSession};
use super::trouble::{Trouble, line};
use super::{process, sdk};
use crate::credentials::{Credentials, Secret, whole_seconds};
use crate::document::{self, check_keys};
use crate::failure::Failure;
use crate::spec::Command;

/// When the session in the environment ends, as `aws configure export-credentials --format env` writes it.
pub(crate) const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";

/// Asks a person for the code that an MFA device shows, given its serial number.
pub type AskCode = dyn Fn(&str) -> io::Result<String> + Send + Sync;

/// For whom credentials are obtained.
pub(crate) enum For<'a> {
    /// The daemon, for the role of this name. Nobody is there to be asked.
    Role(&'a str),
    /// The person who runs the program, in their own environment.
    Person {
        /// Reads a variable of their environment.
        variable: &'a (dyn Fn(&str) -> Option<String> + Send + Sync),
        ask_code: &'a AskCode,
    },
}

impl For<'_> {
    /// What to type for an SSO login.
    fn login(&self, profile: &str) -> String {
        match self {
            For::Role(role) => format!("fake-metadata role login {role}"),
            For::Person { .. } => format!("aws sso login --profile {profile}"),
        }
    }
}

/// `source = "static"`.
pub(crate) async fn static_keys(source: &Static, role: &str, now: Timestamp) -> Result<Credentials, Failure> {
    let file = &source.credentials_file;
    let found = async {
        let profiles = Profiles::read(None, Some(file)).await?;
        let keys = chain::keys(profiles.get(&source.profile)?)?.ok_or_else(|| {
            Trouble::new(format!("profile {:?} in {} has no keys", source.profile, file.display()))
        })?;
        credentials_of(&keys, profiles.written.unwrap_or(now))
    };
    let credentials = found.await.map_err(|trouble| {
        trouble.failure(&format!("get credentials from profile {}", source.profile), now)
    })?;
    source.told.once(|| {
        log::info!(
            "role {role}: the keys of profile {} are handed out as they are, without a token",
            source.profile
        );
    });
    Ok(credentials)
}

/// `source = "profile"`.
pub(crate) async fn profile(source: &Profile, role: &str, now: Timestamp) -> Result<Credentials, Failure> {
    let action = format!("get credentials from profile {}", source.name);
    let whom = For::Role(role);
    let asking = of_profile(source, &whom, now);
    within(source.aws.timeout, asking).await.map_err(|trouble| trouble.failure(&action, now))
}

/// The credentials of a profile.
pub(crate) async fn of_profile(
    source: &Profile,
    whom: &For<'_>,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let asker = Asker::new(&source.aws, &source.name, whom, now).await?;
    let chain = asker.chain(&source.name)?;
    let base = asker.base(&chain).await?;
    if let (Base::Keys(keys), true) = (&chain.base, chain.steps.is_empty() && base.token.is_none()) {
        if source.session {
            return asker.session_of(keys, &chain.base_profile, base).await;
        }
        source.told.once(|| {
            log::info!(
                "profile {}: its long-lived keys are handed out as they are, without a token (session = false)",
                source.name
            );
        });
    }
    asker.walk(&chain, base, true).await
}

/// The credentials that the keys of a person's environment stand for. Of the profile only region and
/// endpoint count, and it need not be there.
pub(crate) async fn of_environment(
    source: &Profile,
    whom: &For<'_>,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let aws = &source.aws;
    let profiles = Profiles::read(aws.config_file.as_deref(), aws.credentials_file.as_deref()).await?;
    let asker = Asker::with(profiles, aws, &source.name, whom, now);
    let given = asker.environment()?;
    if given.token.is_some() {
        return Ok(given);
    }
    sts::session_token(&asker.sts, &given, seconds(aws.duration), None, now).await
}

/// `source = "assume-role"`.
pub(crate) async fn role(source: &AssumeRole, role: &str, now: Timestamp) -> Result<Credentials, Failure> {
    let asking = async {
        let whom = For::Role(role);
        let asker = Asker::new(&source.aws, &source.by, &whom, now).await?;
        let chain = asker.chain(&source.by)?;
        let base = asker.base(&chain).await?;
        let by = asker.walk(&chain, base, false).await?;
        let session = RoleSession {
            arn: &source.arn,
            name: asker.session_name(None),
            external_id: source.external_id.as_deref(),
            duration: seconds(source.aws.duration),
            policy: source.policy.as_deref(),
            policy_arns: &source.policy_arns,
            tags: Some(&source.tags),
            mfa: None,
        };
        sts::assume_role(&asker.sts, &by, session, now).await
    };
    let action = format!("get credentials of {} by profile {}", source.arn, source.by);
    within(source.aws.timeout, asking).await.map_err(|trouble| trouble.failure(&action, now))
}

/// A second more than a single call may take, so that the one that took too long is named.
async fn within<T>(limit: Duration, asking: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    let too_long = |_| Trouble::new(format!("no end within {} s", limit.as_secs()));
    tokio::time::timeout(limit + Duration::from_secs(1), asking).await.map_err(too_long)?
}

fn seconds(duration: Option<Duration>) -> Option<i32> {
    duration.and_then(|duration| i32::try_from(duration.as_secs()).ok())
}

fn credentials_of(keys: &Keys, written: Timestamp) -> Result<Credentials, Trouble> {
    check_keys(&keys.id, keys.secret.expose(), keys.token.as_ref().map(Secret::expose))
        .map_err(|error| Trouble::new(format!("its keys: {error}")))?;
    Ok(Credentials {
        access_key_id: keys.id.clone(),
        secret_access_key: keys.secret.clone(),
        token: keys.token.clone(),
        expiration: keys.expires,
        last_updated: whole_seconds(written),
        account_id: keys.account.clone(),
    })
}

/// What a login is made with.
pub(crate) struct Registration {
    pub(crate) sso: Sso,
    /// Where logins are asked for.
    pub(crate) oidc: Place,
    /// The folder that the login is kept under.
    pub(crate) home: PathBuf,
}

/// The login that the profile's chain starts from.
pub(crate) async fn registration(aws: &Aws, profile: &str) -> Result<Registration, Trouble> {
    let profiles = Profiles::read(aws.config_file.as_deref(), aws.credentials_file.as_deref()).await?;
    let chain = Chain::of(&profiles, profile)?;
    let Base::Sso(sso) = chain.base else {
        return Err(Trouble::new(format!("profile {profile:?} does not use SSO, and needs no login")));
    };
    let endpoint = profiles.endpoint(profiles.get(&chain.base_profile)?, "sso_oidc");
    let oidc = Place { region: sso.region.clone(), endpoint, timeout: aws.timeout };
    let home =
        aws.home.clone().ok_or_else(|| Trouble::new("there is no home folder to keep an SSO login in"))?;
    Ok(Registration { sso, oidc, home })
}

/// One attempt.
struct Asker<'a> {
    aws: &'a Aws,
    whom: &'a For<'a>,
    now: Timestamp,
    profiles: Profiles,
    sts: Place,
}

impl<'a> Asker<'a> {
    /// `named`: the profile whose region and endpoint count.
    async fn new(aws: &'a Aws, named: &str, whom: &'a For<'a>, now: Timestamp) -> Result<Asker<'a>, Trouble> {
        let profiles = Profiles::read(aws.config_file.as_deref(), aws.credentials_file.as_deref()).await?;
        profiles.get(named)?;
        Ok(Asker::with(profiles, aws, named, whom, now))
    }

    /// The same with a profile that need not be there.
    fn with(profiles: Profiles, aws: &'a Aws, named: &str, whom: &'a For<'a>, now: Timestamp) -> Asker<'a> {
        let profile = profiles.get(named).ok();
        let region = aws.region.as_deref().or_else(|| profile?.get("region")).unwrap_or(&aws.default_region);
        let endpoint = aws.endpoint.clone().or_else(|| profiles.endpoint(profile?, "sts"));
        let sts = Place { region: region.to_owned(), endpoint, timeout: aws.timeout };
        Asker { aws, whom, now, profiles, sts }
    }

    /// The way of a profile. One that needs a person is refused before anybody is asked.
    fn chain(&self, profile: &str) -> Result<Chain, Trouble> {
        let chain = Chain::of(&self.profiles, profile)?;
        match (self.whom, chain.mfa_profile()) {
            (For::Role(_), Some(asking)) => Err(self.nobody_to_ask(asking)),
            _ => Ok(chain),
        }
    }

    fn nobody_to_ask(&self, profile: &str) -> Trouble {
        let role = match self.whom {
            For::Role(role) => role,
            For::Person { .. } => "NAME",
        };
        Trouble::for_a_person(format!(
            "profile {profile:?} asks for an MFA code (mfa_serial), which a person must type (run fake-metadata \
             role feed {role} --profile {profile})"
        ))
    }

    /// The name of a session, where the profile may say one.
    fn session_name<'b>(&'b self, of_profile: Option<&'b str>) -> &'b str {
        self.aws.session_name.as_deref().or(of_profile).unwrap_or(&self.aws.default_session_name)
    }

    fn code(&self, profile: &str, serial: Option<&str>) -> Result<Option<Mfa>, Trouble> {
        let Some(serial) = serial else { return Ok(None) };
        match self.whom {
            For::Role(_) => Err(self.nobody_to_ask(profile)),
            For::Person { ask_code, .. } => {
                let code = ask_code(serial)
                    .map_err(|e| Trouble::for_a_person(format!("ask for the code of {serial}: {e}")))?;
                Ok(Some(Mfa { serial: serial.to_owned(), code: code.trim().to_owned() }))
            }
        }
    }

    /// What the chain starts from.
    async fn base(&self, chain: &Chain) -> Result<Credentials, Trouble> {
        let profile = &chain.base_profile;
        match &chain.base {
            Base::Keys(keys) => credentials_of(keys, self.profiles.written.unwrap_or(self.now))
                .map_err(|e| Trouble::new(format!("profile {profile:?}: {}", e.text))),
            Base::Process(written) => {
                let command = Command::Shell(written.0.clone());
                let terminal = match self.whom {
                    For::Role(_) => Terminal::None,
                    For::Person { .. } => Terminal::Person,
                };
                process::credentials(&command, terminal, self.aws.timeout, self.now).await.map_err(|e| {
                    Trouble::new(format!("run credential_process of profile {profile:?}: {}", e.text))
                })
            }
            Base::Sso(sso) => {
                let home = self.home()?;
                let written = self.profiles.get(profile)?;
                let place = |service: &str| Place {
                    region: sso.region.clone(),
                    endpoint: self.profiles.endpoint(written, service),
                    timeout: self.aws.timeout,
                };
                let places = Places { portal: place("sso"), oidc: place("sso_oidc") };
                sso::credentials(sso, &places, &home, &self.whom.login(profile), self.now).await
            }
            Base::WebIdentity { arn, token_file, session_name } => {
                let path = match token_file.strip_prefix("~/") {
                    Some(rest) => self.home()?.join(rest),
                    None => PathBuf::from(token_file),
                };
                let token = tokio::fs::read_to_string(&path)
                    .await
                    .map_err(|e| Trouble::new(format!("read the web identity {}: {e}", path.display())))?;
                let name = self.session_name(session_name.as_deref());
                let duration = if chain.steps.is_empty() { seconds(self.aws.duration) } else { None };
                sts::assume_role_with_web_identity(&self.sts, arn, name, token.trim(), duration, self.now)
                    .await
            }
            Base::Instance => self.instance(profile).await,
            Base::Environment => self.environment().map_err(|e| {
                Trouble::new(format!(
                    "profile {profile:?} has credential_source = Environment, and {}",
                    e.text
                ))
            }),
        }
    }

    fn home(&self) -> Result<PathBuf, Trouble> {
        self.aws
            .home
            .clone()
            .ok_or_else(|| Trouble::new("there is no home folder to look for an SSO login in"))
    }

    /// The roles of the chain, one after the other. `whole`: nothing follows, so the source's own session
    /// name and duration are for the last of them.
    async fn walk(&self, chain: &Chain, base: Credentials, whole: bool) -> Result<Credentials, Trouble> {
        let mut credentials = base;
        for (i, step) in chain.steps.iter().enumerate() {
            let last = whole && i + 1 == chain.steps.len();
            credentials = self.step(step, &credentials, last).await?;
        }
        Ok(credentials)
    }

    async fn step(&self, step: &Step, by: &Credentials, last: bool) -> Result<Credentials, Trouble> {
        let of_profile = step.session_name.as_deref();
        let name = if last {
            self.session_name(of_profile)
        } else {
            of_profile.unwrap_or(&self.aws.default_session_name)
        };
        let own = if last { seconds(self.aws.duration) } else { None };
        let session = RoleSession {
            arn: &step.arn,
            name,
            external_id: step.external_id.as_deref(),
            duration: own.or(step.duration),
            mfa: self.code(&step.profile, step.mfa_serial.as_deref())?,
            ..RoleSession::default()
        };
        sts::assume_role(&self.sts, by, session, self.now).await
    }

    /// A session of long-lived keys, which are not handed out themselves.
    async fn session_of(&self, keys: &Keys, profile: &str, of: Credentials) -> Result<Credentials, Trouble> {
        let mfa = self.code(profile, keys.mfa_serial.as_deref())?;
        let got = sts::session_token(&self.sts, &of, seconds(self.aws.duration), mfa, self.now).await;
        got.map_err(|trouble| Trouble {
            text: format!("{} (session = false hands out the keys themselves)", trouble.text),
            ..trouble
        })
    }

    /// The role of the machine, by the metadata service that the daemon passes requests on to.
    async fn instance(&self, profile: &str) -> Result<Credentials, Trouble> {
        let Some(upstream) = &self.aws.upstream else {
            return Err(Trouble::new(format!(
                "profile {profile:?} has credential_source = Ec2InstanceMetadata, which is this service itself (set \
                 upstream, or name another source)"
            )));
        };
        let failed = |what: String| Trouble::new(format!("ask the metadata service {upstream}: {what}"));
        let settings = ProviderConfig::empty()
            .with_http_client(sdk::http_client(upstream.starts_with("https:")))
            .with_behavior_version(Some(aws_config::BehaviorVersion::latest()))
            .with_sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new());
        let client = imds::Client::builder()
            .configure(&settings)
            .endpoint(upstream)
            .map_err(|e| failed(line(&e.to_string())))?
            .max_attempts(1)
            .operation_timeout(self.aws.timeout)
            .build();
        let path = "/latest/meta-data/iam/security-credentials/";
        let get = async |path: String| client.get(path).await.map_err(|e| failed(line(&innermost(&e))));
        let listed = get(path.to_owned()).await?;
        let role = listed.as_ref().lines().next().unwrap_or("").trim();
        if role.is_empty() {
            return Err(failed("it lists no role".into()));
        }
        let document = get(format!("{path}{role}")).await?;
        document::parse(document.as_ref().as_bytes(), self.now).map_err(|e| failed(e.to_string()))
    }

    fn environment(&self) -> Result<Credentials, Trouble> {
        let For::Person { variable, .. } = self.whom else {
            return Err(Trouble::new(
                "the daemon's environment holds no keys (write them in the credentials file)",
            ));
        };
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        match (given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => {
                let token = given("AWS_SESSION_TOKEN").map(Secret::new);
                let end = given(EXPIRATION).filter(|_| token.is_some());
                let no_time = || format!("{EXPIRATION} is no time (write it as in 2026-11-21T17:00:00Z)");
                let expires = end
                    .map(|text| chain::time(&text).ok_or_else(|| Trouble::new(no_time())))
                    .transpose()?
                    .map(whole_seconds);
                let keys =
                    Keys { id, secret: Secret::new(secret), token, account: None, mfa_serial: None, expires };
                credentials_of(&keys, self.now)
            }
            _ => Err(Trouble::new("AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not set")),
        }
    }
}
