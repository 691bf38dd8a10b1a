//! A person's login to IAM Identity Center on behalf of a role: a page and a code are shown, and once the
//! person has said yes there, the login is kept where the role's profile looks for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::credentials::{Secret, add, whole_seconds};
use crate::failure::Failure;
use crate::source::Source;
use crate::source::ask::{Registration, registration};
use crate::source::sdk::code;
use crate::source::sso_cache::{self, Renewal};
use crate::source::trouble::Trouble;

/// RFC 8628, section 3.4.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions, where the service does not say, and what is added when it asks for
/// more patience. RFC 8628, section 3.5.
const INTERVAL: u64 = 5;
/// How long the service may take to give a code.
const BEGINNING: Duration = Duration::from_secs(10);

/// What to show the person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LoginPrompt {
    /// The page to open.
    pub url: String,
    /// The code to compare or to type there.
    pub code: String,
    /// The page with the code filled in, where the service offers one.
    pub url_with_code: Option<String>,
    /// Whole seconds: when the code stops being good.
    pub expires: Timestamp,
}

/// A login that has begun.
pub struct Login {
    /// What to show the person.
    pub prompt: LoginPrompt,
    pub(crate) outcome: oneshot::Receiver<Result<(), Failure>>,
}

impl Login {
    /// Waits until the person has said yes, the code has run out, or something failed; the role has its
    /// source asked again by then. Giving up the wait does not give up the login. Not to be called from
    /// within a runtime.
    ///
    /// # Errors
    /// Why there is no login.
    pub fn wait(self) -> Result<(), Failure> {
        self.outcome.blocking_recv().unwrap_or_else(|_| {
            Err(Failure::new(
                "log in: the attempt was broken off (the service is stopping)",
                Timestamp::now(),
            ))
        })
    }
}

/// A login under way, after the service has given a code.
pub(crate) struct Pending {
    registration: Registration,
    client_id: String,
    client_secret: Secret,
    client_expires: Timestamp,
    device_code: Secret,
    interval: u64,
    pub(crate) prompt: LoginPrompt,
}

/// Registers with the service and asks it for a code, within [`BEGINNING`]: a person is looking on.
pub(crate) async fn begin(source: &Source, now: Timestamp) -> Result<Pending, Trouble> {
    let too_long = |_| {
        let seconds = BEGINNING.as_secs();
        Trouble::new(format!("the login service gave no code within {seconds} s (try again)"))
    };
    tokio::time::timeout(BEGINNING, ask_for_a_code(source, now)).await.map_err(too_long)?
}

async fn ask_for_a_code(source: &Source, now: Timestamp) -> Result<Pending, Trouble> {
    let registration = match source {
        Source::Profile(profile) => registration(&profile.aws, &profile.name).await?,
        Source::AssumeRole(role) => registration(&role.aws, &role.by).await?,
        _ => return Err(Trouble::new(format!("a role with source = {:?} has no login", source.kind()))),
    };
    let (sso, place) = (&registration.sso, &registration.oidc);
    let client = aws_sdk_ssooidc::Client::new(&place.config(None));
    let registered = client
        .register_client()
        .client_name("fake-metadata")
        .client_type("public")
        .set_scopes(Some(sso.scopes.clone()).filter(|scopes| !scopes.is_empty()))
        .send()
        .await
        .map_err(|e| place.trouble("RegisterClient", &e))?;
    let odd = |what: &str| Trouble::new(format!("{what}: the answer is incomplete"));
    let client_id = registered.client_id().ok_or_else(|| odd("RegisterClient"))?.to_owned();
    let client_secret = Secret::new(registered.client_secret().ok_or_else(|| odd("RegisterClient"))?);
    let started = client
        .start_device_authorization()
        .client_id(&client_id)
        .client_secret(client_secret.expose())
        .start_url(&sso.start_url)
        .send()
        .await
        .map_err(|e| place.trouble("StartDeviceAuthorization", &e))?;
    let given = |value: Option<&str>| value.map(str::to_owned).ok_or_else(|| odd("StartDeviceAuthorization"));
    let prompt = LoginPrompt {
        url: given(started.verification_uri())?,
        code: given(started.user_code())?,
        url_with_code: started.verification_uri_complete().map(str::to_owned),
        expires: whole_seconds(add(now, SignedDuration::from_secs(started.expires_in().into()))),
    };
    let interval = u64::try_from(started.interval()).ok().filter(|s| *s > 0).unwrap_or(INTERVAL);
    Ok(Pending {
        client_id,
        client_secret,
        client_expires: Timestamp::from_second(registered.client_secret_expires_at()).unwrap_or(now),
        device_code: Secret::new(given(started.device_code())?),
        interval,
        prompt,
        registration,
    })
}

impl Pending {
    /// Asks again and again until the person has said yes, and keeps the login.
    pub(crate) async fn finish(mut self, clock: &dyn Clock) -> Result<(), Trouble> {
        let place = &self.registration.oidc;
        let client = aws_sdk_ssooidc::Client::new(&place.config(None));
        let token = loop {
            tokio::time::sleep(Duration::from_secs(self.interval)).await;
            if clock.moment().wall >= self.prompt.expires {
                return Err(Trouble::for_a_person("the code ran out before anybody said yes (log in again)"));
            }
            let asked = client
                .create_token()
                .client_id(&self.client_id)
                .client_secret(self.client_secret.expose())
                .grant_type(DEVICE_CODE)
                .device_code(self.device_code.expose())
                .send()
                .await;
            match asked {
                Ok(token) => break token,
                Err(error) => match code(&error) {
                    Some("AuthorizationPendingException") => {}
                    Some("SlowDownException") => self.interval += INTERVAL,
                    Some("AccessDeniedException") => {
                        return Err(Trouble::for_a_person("the login was refused on the page"));
                    }
                    Some("ExpiredTokenException") => {
                        return Err(Trouble::for_a_person(
                            "the code ran out before anybody said yes (log in again)",
                        ));
                    }
                    Some(_) => return Err(place.trouble("CreateToken", &error)),
                    // A network that is gone for a moment: the code is still good.
                    None => log::debug!("{}", place.trouble("CreateToken", &error).text),
                },
            }
        };
        let now = clock.moment().wall;
        let access_token =
            token.access_token().ok_or_else(|| Trouble::new("CreateToken: the answer holds no token"))?;
        let renewal = token.refresh_token().map(|refresh_token| Renewal {
            client_id: self.client_id.clone(),
            client_secret: self.client_secret.clone(),
            client_expires: self.client_expires,
            refresh_token: Secret::new(refresh_token),
        });
        let login = sso_cache::Login {
            access_token: Secret::new(access_token),
            expires: whole_seconds(add(now, SignedDuration::from_secs(token.expires_in().into()))),
            renewal,
        };
        let path = sso_cache::path(&self.registration.home, &self.registration.sso);
        sso_cache::write(&path, &self.registration.sso, &login)
            .map_err(|e| Trouble::new(format!("keep the login in {}: {e}", path.display())))
    }
}
