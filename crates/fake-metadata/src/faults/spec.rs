//! One fault as it is asked for: what goes wrong, for whom, and for how long.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::glob::Glob;
use crate::events::{CallerName, duration};

/// The statuses that can be played.
pub(crate) const STATUSES: [imds::Status; 6] = [
    imds::Status::Unauthorized,
    imds::Status::Forbidden,
    imds::Status::NotFound,
    imds::Status::TooManyRequests,
    imds::Status::InternalServerError,
    imds::Status::ServiceUnavailable,
];
/// Those that say "too fast". EC2 itself drops packets; clients prepare for these (reference 1.9).
pub(crate) const THROTTLE_STATUSES: [imds::Status; 2] =
    [imds::Status::TooManyRequests, imds::Status::ServiceUnavailable];
/// The longest delay: beyond it a client has given up, and `hang` says what is meant.
const LONGEST_DELAY_SECONDS: i64 = 600;

/// A fault that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub(crate) struct FaultError {
    pub(crate) key: &'static str,
    pub(crate) message: String,
}

impl FaultError {
    pub(crate) fn new(key: &'static str, message: impl Into<String>) -> Self {
        FaultError { key, message: message.into() }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// The answer comes late.
    Delay { delay: String },
    /// The answer is this status.
    Status { status: u16 },
    /// The answer never comes; the connection stays open.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The connection is reset without an answer.
    Reset,
    /// The body ends half-way, and the connection with it.
    Truncate,
    /// Role credentials are past their expiration.
    ExpiredCredentials,
    /// Role credentials are an error, as EC2 says it: HTTP 200 and a code.
    CredentialsCode { code: String, message: Option<String> },
    /// Session tokens issued so far are worthless.
    ForgetTokens,
    /// More requests a second than this are refused.
    Throttle { per_second: f64, status: u16 },
}

impl Kind {
    /// The word on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Kind::Delay { .. } => "delay",
            Kind::Status { .. } => "status",
            Kind::Hang => "hang",
            Kind::Close => "close",
            Kind::Reset => "reset",
            Kind::Truncate => "truncate",
            Kind::ExpiredCredentials => "expired-credentials",
            Kind::CredentialsCode { .. } => "credentials-code",
            Kind::ForgetTokens => "forget-tokens",
            Kind::Throttle { .. } => "throttle",
        }
    }

    /// The word and its value: what `status` and the log say.
    pub(crate) fn describe(&self) -> String {
        match self {
            Kind::Delay { delay } => format!("delay {delay}"),
            Kind::Status { status } => format!("status {status}"),
            Kind::CredentialsCode { code, .. } => format!("credentials-code {code}"),
            Kind::Throttle { per_second, status } => format!("throttle {per_second}/s with {status}"),
            other => other.name().to_owned(),
        }
    }

    /// Whether it is about role credentials alone.
    pub(crate) fn is_of_credentials(&self) -> bool {
        matches!(self, Kind::ExpiredCredentials | Kind::CredentialsCode { .. })
    }
}

/// A fault, and whom it strikes when.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct FaultSpec {
    #[serde(flatten)]
    pub(crate) kind: Kind,
    /// Only these paths, every one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) caller: Option<CallerName>,
    /// For so long, for ever when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) r#for: Option<String>,
    /// So many times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u32>,
    /// Which share of the requests, every one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
}

impl FaultSpec {
    /// The fault that a request describes.
    ///
    /// # Errors
    /// What is none; and a key that says nothing about such a fault, which serde lets pass beside a
    /// flattened kind.
    pub(crate) fn read(request: &Value) -> Result<FaultSpec, FaultError> {
        let wrong = |e: serde_json::Error| FaultError::new("fault", e.to_string());
        let spec = FaultSpec::deserialize(request).map_err(wrong)?;
        let known = serde_json::to_value(&spec).map_err(wrong)?;
        let given = request.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let unknown = given.map(|(key, _)| key).find(|key| known.get(key.as_str()).is_none());
        match unknown {
            Some(key) => {
                Err(FaultError::new("fault", format!("{key:?} says nothing about {}", spec.kind.name())))
            }
            None => Ok(spec),
        }
    }

    /// Refuses what makes no sense whatever is served.
    pub(crate) fn check(&self) -> Result<(), FaultError> {
        let refuse = |key, message: String| Err(FaultError::new(key, message));
        self.check_kind()?;
        if let Some(path) = &self.path {
            Glob::new(path).map_err(|m| FaultError::new("path", m))?;
        }
        if let Some(length) = &self.r#for {
            let length = duration(length).map_err(|m| FaultError::new("for", m))?;
            if length.is_zero() {
                return refuse("for", "0 seconds is never: give a time such as 30s".into());
            }
        }
        if self.r#for.is_some() && self.times.is_some() {
            return refuse("times", "give either --for or --times, not both".into());
        }
        if self.times == Some(0) {
            return refuse("times", "0 times is never: give 1 or more".into());
        }
        if let Some(rate) = self.rate
            && !(rate > 0.0 && rate <= 1.0)
        {
            return refuse("rate", format!("{rate} is no share: give more than 0 and at most 1, as in 0.3"));
        }
        let limited = self.path.is_some()
            || self.caller.is_some()
            || self.r#for.is_some()
            || self.times.is_some()
            || self.rate.is_some();
        if self.kind == Kind::ForgetTokens && limited {
            let message = "happens once, to every token of every caller: give no other option \
                           (`status 401` refuses some requests for a while)";
            return refuse("forget-tokens", message.into());
        }
        Ok(())
    }

    fn check_kind(&self) -> Result<(), FaultError> {
        let refuse = |key, message: String| Err(FaultError::new(key, message));
        match &self.kind {
            Kind::Delay { delay } => {
                let delay = duration(delay).map_err(|m| FaultError::new("delay", m))?;
                if delay.is_zero() || delay.as_secs() > LONGEST_DELAY_SECONDS {
                    let message = format!("give more than 0 and at most {LONGEST_DELAY_SECONDS}s, or `hang`");
                    return refuse("delay", message);
                }
            }
            Kind::Status { status } => status_of(&STATUSES, *status).map(drop)?,
            Kind::Throttle { per_second, status } => {
                status_of(&THROTTLE_STATUSES, *status)?;
                if !(*per_second > 0.0 && *per_second <= 1e6) {
                    let message =
                        format!("{per_second} requests a second: give more than 0, at most a million");
                    return refuse("throttle", message);
                }
            }
            Kind::CredentialsCode { code, .. }
                if code.is_empty()
                    || !code.bytes().all(|b| b.is_ascii_alphanumeric())
                    || code == "Success" =>
            {
                let message =
                    format!("{code:?}: give an error code in letters, as in AssumeRoleUnauthorizedAccess");
                return refuse("credentials-code", message);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The status of that number.
pub(crate) fn status_of(all: &[imds::Status], code: u16) -> Result<imds::Status, FaultError> {
    all.iter().copied().find(|status| status.code() == code).ok_or_else(|| {
        let codes: Vec<String> = all.iter().map(|status| status.code().to_string()).collect();
        FaultError::new("status", format!("{code} cannot be played: give one of {}", codes.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), String> {
        let spec: FaultSpec = serde_json::from_str(text).map_err(|e| e.to_string())?;
        spec.check().map_err(|e| e.to_string())
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        for (text, reason) in [
            (r#"{"fault":"status","status":418}"#, "give one of 401, 403, 404, 429, 500, 503"),
            (r#"{"fault":"throttle","per_second":5,"status":404}"#, "give one of 429, 503"),
            (r#"{"fault":"throttle","per_second":0,"status":503}"#, "throttle: 0 requests a second"),
            (r#"{"fault":"delay","delay":"5"}"#, "delay: \"5\" is no duration"),
            (r#"{"fault":"delay","delay":"11m"}"#, "at most 600s"),
            (r#"{"fault":"hang","for":"0s"}"#, "for: 0 seconds"),
            (r#"{"fault":"hang","for":"3s","times":2}"#, "times: give either"),
            (r#"{"fault":"hang","times":0}"#, "times: 0 times"),
            (r#"{"fault":"hang","rate":1.5}"#, "rate: 1.5 is no share"),
            (r#"{"fault":"hang","rate":0.0}"#, "rate: 0 is no share"),
            (r#"{"fault":"hang","path":""}"#, "path: an empty path"),
            (r#"{"fault":"forget-tokens","times":2}"#, "forget-tokens: happens once"),
            (r#"{"fault":"credentials-code","code":"Success","message":null}"#, "give an error code"),
            (r#"{"fault":"hang","caller":"10.0.0.999"}"#, "neither an IP address nor the name of a role"),
            (r#"{"fault":"explode"}"#, "unknown variant `explode`, expected one of"),
        ] {
            let refused = check(text).unwrap_err();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        assert_eq!(check(r#"{"fault":"status","status":503,"rate":0.3,"for":"30s","path":"iam/*"}"#), Ok(()));
    }
}
