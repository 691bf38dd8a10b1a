//! The three calls of STS that yield credentials.

use std::collections::BTreeMap;

use aws_sdk_sts::Client;
use aws_sdk_sts::types::{self, PolicyDescriptorType, Tag};
use jiff::Timestamp;

use super::sdk::{Place, code, taken};
use super::trouble::Trouble;
use crate::credentials::{Credentials, Secret};

/// A device and the code that it shows.
pub(crate) struct Mfa {
    pub(crate) serial: String,
    pub(crate) code: String,
}

/// The session of a role to ask for.
#[derive(Default)]
pub(crate) struct RoleSession<'a> {
    pub(crate) arn: &'a str,
    pub(crate) name: &'a str,
    pub(crate) external_id: Option<&'a str>,
    /// Seconds.
    pub(crate) duration: Option<i32>,
    pub(crate) policy: Option<&'a str>,
    pub(crate) policy_arns: &'a [String],
    pub(crate) tags: Option<&'a BTreeMap<String, String>>,
    pub(crate) mfa: Option<Mfa>,
}

/// AssumeRole by the credentials `by`.
pub(crate) async fn assume_role(
    place: &Place,
    by: &Credentials,
    session: RoleSession<'_>,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let tags = session
        .tags
        .into_iter()
        .flatten()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect::<Result<Vec<Tag>, _>>()
        .map_err(|e| Trouble::new(format!("write session tags: {e}")))?;
    let arns: Vec<PolicyDescriptorType> =
        session.policy_arns.iter().map(|arn| PolicyDescriptorType::builder().arn(arn).build()).collect();
    let (serial, token) = session.mfa.map_or((None, None), |mfa| (Some(mfa.serial), Some(mfa.code)));
    let asked = Client::new(&place.config(Some(by)))
        .assume_role()
        .role_arn(session.arn)
        .role_session_name(session.name)
        .set_external_id(session.external_id.map(str::to_owned))
        .set_duration_seconds(session.duration)
        .set_policy(session.policy.map(str::to_owned))
        .set_policy_arns(Some(arns).filter(|arns| !arns.is_empty()))
        .set_tags(Some(tags).filter(|tags| !tags.is_empty()))
        .set_serial_number(serial)
        .set_token_code(token)
        .send()
        .await;
    let action = format!("AssumeRole {}", session.arn);
    match asked {
        Ok(answer) => with_account(read(answer.credentials(), &action, now)?, session.arn),
        Err(error) => {
            let trouble = place.trouble(&action, &error).without(&secrets(by));
            let refused = code(&error) == Some("AccessDenied");
            Err(Trouble { refused: refused.then(|| session.arn.to_owned()), ..trouble })
        }
    }
}

/// AssumeRoleWithWebIdentity.
pub(crate) async fn assume_role_with_web_identity(
    place: &Place,
    arn: &str,
    session_name: &str,
    token: &str,
    duration: Option<i32>,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let action = format!("AssumeRoleWithWebIdentity {arn}");
    let answer = Client::new(&place.config(None))
        .assume_role_with_web_identity()
        .role_arn(arn)
        .role_session_name(session_name)
        .web_identity_token(token)
        .set_duration_seconds(duration)
        .send()
        .await
        .map_err(|error| place.trouble(&action, &error).without(&[&Secret::new(token)]))?;
    with_account(read(answer.credentials(), &action, now)?, arn)
}

/// GetSessionToken: a session of the long-lived keys `of`.
pub(crate) async fn session_token(
    place: &Place,
    of: &Credentials,
    duration: Option<i32>,
    mfa: Option<Mfa>,
    now: Timestamp,
) -> Result<Credentials, Trouble> {
    let action = "GetSessionToken";
    let (serial, token) = mfa.map_or((None, None), |mfa| (Some(mfa.serial), Some(mfa.code)));
    let answer = Client::new(&place.config(Some(of)))
        .get_session_token()
        .set_duration_seconds(duration)
        .set_serial_number(serial)
        .set_token_code(token)
        .send()
        .await
        .map_err(|error| place.trouble(action, &error).without(&secrets(of)))?;
    Ok(Credentials { account_id: of.account_id.clone(), ..read(answer.credentials(), action, now)? })
}

fn secrets(of: &Credentials) -> Vec<&Secret> {
    [Some(&of.secret_access_key), of.token.as_ref()].into_iter().flatten().collect()
}

fn read(answered: Option<&types::Credentials>, action: &str, now: Timestamp) -> Result<Credentials, Trouble> {
    let keys = answered.ok_or_else(|| Trouble::new(format!("{action}: the answer holds no credentials")))?;
    let expires = keys.expiration().secs();
    taken(keys.access_key_id(), keys.secret_access_key(), keys.session_token(), expires, now)
        .map_err(|e| Trouble::new(format!("{action}: {}", e.text)))
}

fn with_account(credentials: Credentials, arn: &str) -> Result<Credentials, Trouble> {
    Ok(Credentials { account_id: arn.split(':').nth(4).map(str::to_owned), ..credentials })
}
