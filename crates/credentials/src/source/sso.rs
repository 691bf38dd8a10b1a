//! Credentials of a role of IAM Identity Center, by the login that is kept in a file.

use std::path::Path;

use aws_sdk_ssooidc::Client as Oidc;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;

use super::chain::Sso;
use super::sdk::{Place, code, taken};
use super::sso_cache::{self, Login, Renewal};
use super::trouble::Trouble;
use crate::credentials::{Credentials, Secret, add, whole_seconds};

/// A login is renewed when this little is left of it, as in the AWS SDKs.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(5);

/// A login's refresh token is good for one use, so roles that share a login renew it one after the other.
static RENEWING: Mutex<()> = Mutex::const_new(());

/// Where a login's two services are asked.
pub(crate) struct Places {
    /// `sso`: yields credentials.
    pub(crate) portal: Place,
    /// `sso_oidc`: yields logins.
    pub(crate) oidc: Place,
}

/// The role's credentials. `remedy`: what a person types to log in.
pub(crate) async fn credentials(
    sso: &Sso,
    places: &Places,
    home: &Path,
    remedy: &str,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let login = login(sso, places, home, remedy, now).await?;
    let action = format!("GetRoleCredentials of {} in {}", sso.role, sso.account);
    let asked = aws_sdk_sso::Client::new(&places.portal.config(None))
        .get_role_credentials()
        .role_name(&sso.role)
        .account_id(&sso.account)
        .access_token(login.access_token.expose())
        .send()
        .await;
    let answer = asked.map_err(|error| match code(&error) {
        Some("UnauthorizedException") => {
            Trouble::for_a_person(format!("the SSO login is no longer accepted (run {remedy})"))
        }
        _ => places.portal.trouble(&action, &error).without(&[&login.access_token]),
    })?;
    let keys = answer
        .role_credentials()
        .ok_or_else(|| Trouble::new(format!("{action}: the answer holds no credentials")))?;
    let field = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let credentials = taken(
        &field(keys.access_key_id()),
        &field(keys.secret_access_key()),
        &field(keys.session_token()),
        keys.expiration() / 1000,
        now,
    )
    .map_err(|e| Trouble::new(format!("{action}: {}", e.text)))?;
    Ok(Credentials { account_id: Some(sso.account.clone()), ..credentials })
}

/// The login that is kept, renewed if need be and possible.
async fn login(
    sso: &Sso,
    places: &Places,
    home: &Path,
    remedy: &str,
    now: Timestamp,
) -> Result<Login, Trouble> {
    let path = sso_cache::path(home, sso);
    let kept = || {
        let login = sso_cache::read(&path)
            .map_err(|e| Trouble::new(format!("read the SSO login {}: {e}", path.display())))?;
        login.ok_or_else(|| Trouble::for_a_person(format!("nobody has logged in to SSO (run {remedy})")))
    };
    let fresh = |login: &Login| login.expires > add(now, RENEW_BEFORE);
    let login = kept()?;
    if fresh(&login) {
        return Ok(login);
    }
    let _renewing = RENEWING.lock().await;
    let login = kept()?;
    if fresh(&login) {
        return Ok(login);
    }
    let over = |login: &Login| {
        let at = login.expires;
        Trouble::for_a_person(format!("the SSO login ran out at {at} (run {remedy})"))
    };
    let Some(renewal) = login.renewal.as_ref().filter(|renewal| renewal.client_expires > now) else {
        return if login.expires > now { Ok(login) } else { Err(over(&login)) };
    };
    match renew(renewal, &places.oidc, now).await {
        Ok(renewed) => {
            if let Err(e) = sso_cache::write(&path, sso, &renewed) {
                log::warn!("keep the renewed SSO login {}: {e}", path.display());
            }
            Ok(renewed)
        }
        Err(_) if login.expires > now => Ok(login),
        Err(Renewing::Refused) => Err(over(&login)),
        Err(Renewing::Failed(trouble)) => Err(trouble),
    }
}

enum Renewing {
    /// A person must log in again.
    Refused,
    Failed(Trouble),
}

async fn renew(renewal: &Renewal, oidc: &Place, now: Timestamp) -> Result<Login, Renewing> {
    let asked = Oidc::new(&oidc.config(None))
        .create_token()
        .client_id(&renewal.client_id)
        .client_secret(renewal.client_secret.expose())
        .grant_type("refresh_token")
        .refresh_token(renewal.refresh_token.expose())
        .send()
        .await;
    let answer = asked.map_err(|error| match code(&error) {
        Some("InvalidGrantException" | "ExpiredTokenException" | "InvalidClientException") => {
            Renewing::Refused
        }
        _ => {
            let trouble = oidc.trouble("renew the SSO login: CreateToken", &error);
            Renewing::Failed(trouble.without(&[&renewal.client_secret, &renewal.refresh_token]))
        }
    })?;
    let access_token = answer
        .access_token()
        .ok_or_else(|| Renewing::Failed(Trouble::new("renew the SSO login: the answer holds no token")))?;
    let refresh_token = answer.refresh_token().map_or_else(|| renewal.refresh_token.clone(), Secret::new);
    Ok(Login {
        access_token: Secret::new(access_token),
        expires: whole_seconds(add(now, SignedDuration::from_secs(answer.expires_in().into()))),
        renewal: Some(Renewal { refresh_token, ..renewal.clone() }),
    })
}
