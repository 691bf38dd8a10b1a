//! A profile resolved as the person who runs the program: with their own files, environment and logins,
//! and with a question where an MFA code is asked for. What `role feed` hands to the daemon.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::source::ask::{self, AskCode, EXPIRATION, For};
use crate::source::aws::{Aws, Profile, Told};
use crate::source::chain::EXPIRES;

/// How long STS, SSO or a helper may take. Helpers may open a browser.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The person who runs the program.
pub struct Person {
    /// Their environment: `HOME`, `AWS_CONFIG_FILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_PROFILE`,
    /// `AWS_REGION`, `AWS_DEFAULT_REGION`, `AWS_ENDPOINT_URL_STS` and `AWS_ENDPOINT_URL` are looked at, and
    /// the keys where no profile is named or it has `credential_source = Environment`.
    pub environment: BTreeMap<String, String>,
    /// The session name of a role whose profile says none.
    pub session_name: String,
    /// Asks for the code that an MFA device shows, given its serial number.
    pub ask_code: Box<AskCode>,
}

impl Person {
    /// The credentials of a profile; unless said the keys of `AWS_ACCESS_KEY_ID`, which the AWS SDKs take
    /// before any profile, then the profile of `AWS_PROFILE`, or `default`. They are short-lived ones
    /// wherever AWS gives such: long-lived keys are exchanged for a session. Waits for AWS and for the
    /// person; not to be called from within a runtime.
    ///
    /// # Errors
    /// What is wrong, and what to type where a login has run out.
    pub fn credentials(&self, profile: Option<&str>) -> Result<Credentials, Failure> {
        let now = Timestamp::now();
        let source = self.source(profile);
        let by_environment = profile.is_none() && self.variable("AWS_ACCESS_KEY_ID").is_some();
        let action = match by_environment {
            true => {
                "get credentials from the environment (name a profile with --profile to have that)".into()
            }
            false => format!("get credentials from profile {}", source.name),
        };
        let failed = |what: String| Failure::new(format!("{action}: {what}"), now);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| failed(format!("start a runtime: {e}")))?;
        let variable = |name: &str| self.variable(name);
        let whom = For::Person { variable: &variable, ask_code: &*self.ask_code };
        let asked = match by_environment {
            true => runtime.block_on(ask::of_environment(&source, &whom, now)),
            false => runtime.block_on(ask::of_profile(&source, &whom, now)),
        };
        let credentials = asked.map_err(|trouble| trouble.failure(&action, now))?;
        if credentials.expired(now) {
            return Err(failed("they have expired".into()));
        }
        if credentials.end_unknown() && by_environment {
            return Err(failed(format!("when this session ends is not known (set {EXPIRATION})")));
        }
        if credentials.end_unknown() {
            return Err(failed(format!(
                "when this session ends is not known (write it in the profile, as {}; a credential_process prints it as \
                 Expiration)",
                EXPIRES.join(", ")
            )));
        }
        Ok(credentials)
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn source(&self, profile: Option<&str>) -> Profile {
        let home = self.variable("HOME").map(PathBuf::from);
        let file = |variable: &str, name: &str| {
            let set = self.variable(variable).map(PathBuf::from);
            set.or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
        };
        let aws = Aws {
            config_file: file("AWS_CONFIG_FILE", "config"),
            credentials_file: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            endpoint: self.variable("AWS_ENDPOINT_URL_STS").or_else(|| self.variable("AWS_ENDPOINT_URL")),
            region: self.variable("AWS_REGION").or_else(|| self.variable("AWS_DEFAULT_REGION")),
            default_region: "us-east-1".into(),
            session_name: None,
            default_session_name: self.session_name.clone(),
            upstream: None,
            duration: None,
            timeout: TIMEOUT,
            home,
        };
        let name = profile.map(str::to_owned).or_else(|| self.variable("AWS_PROFILE"));
        Profile { name: name.unwrap_or_else(|| "default".into()), session: true, told: Told::default(), aws }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn keys_of_the_environment_go_before_a_profile_that_nobody_named() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        let keys = "aws_access_key_id = ASIAOFTHEPROFILE0001\naws_secret_access_key = s\n\
                    aws_session_token = t\nexpiration = 2999-01-01 00:00:00\n";
        fs::write(home.path().join(".aws/credentials"), format!("[default]\n{keys}[dev]\n{keys}")).unwrap();
        let resolved = |profile: Option<&str>, end: Option<&str>| {
            let set = [
                ("HOME", Some(home.path().to_str().unwrap())),
                ("AWS_PROFILE", Some("dev")),
                ("AWS_ACCESS_KEY_ID", Some("ASIAOFTHESHELL000001")),
                ("AWS_SECRET_ACCESS_KEY", Some("s")),
                ("AWS_SESSION_TOKEN", Some("t")),
                (EXPIRATION, end),
            ];
            let person = Person {
                environment: set
                    .into_iter()
                    .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
                    .collect(),
                session_name: "me".into(),
                ask_code: Box::new(|_| Err(io::Error::other("no terminal"))),
            };
            person.credentials(profile).map(|found| found.access_key_id).map_err(|e| e.detail)
        };
        assert_eq!(resolved(None, Some("2999-01-01T00:00:00Z")).unwrap(), "ASIAOFTHESHELL000001");
        assert_eq!(resolved(Some("dev"), None).unwrap(), "ASIAOFTHEPROFILE0001");
        for (end, part) in [
            (None, "not known (set AWS_CREDENTIAL_EXPIRATION)"),
            (Some("soon"), "AWS_CREDENTIAL_EXPIRATION is no time"),
            (Some("2020-01-01T00:00:00Z"), "they have expired"),
        ] {
            let said = resolved(None, end).unwrap_err();
            assert!(said.contains("--profile") && said.contains(part), "{said}");
        }
    }

    #[test]
    fn the_persons_own_files_and_environment_count() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".aws")).unwrap();
        fs::write(
            home.path().join(".aws/config"),
            "[profile dev]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"ASIAEXAMPLEEXAMPLE12\",\
             \"SecretAccessKey\":\"s\",\"SessionToken\":\"t\",\"Expiration\":\"2999-01-01T00:00:00Z\"}'\n\
             [profile asks]\nrole_arn = arn:aws:iam::111122223333:role/X\nsource_profile = keys\n\
             mfa_serial = arn:aws:iam::111122223333:mfa/me\n[profile sso]\nsso_start_url = https://x\n\
             sso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = R\n[profile endless]\n\
             aws_access_key_id = ASIAEXAMPLEEXAMPLE12\naws_secret_access_key = s\naws_session_token = t\n",
        )
        .unwrap();
        fs::write(
            home.path().join("keys"),
            "[keys]\naws_access_key_id = AKIAEXAMPLEEXAMPLE12\naws_secret_access_key = s\n",
        )
        .unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let path = |name: &str| home.path().join(name).display().to_string();
        let person = Person {
            environment: [
                ("HOME", path("")),
                ("AWS_SHARED_CREDENTIALS_FILE", path("keys")),
                ("AWS_PROFILE", "dev".into()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            session_name: "me".into(),
            ask_code: Box::new(move |serial| {
                seen.lock().unwrap().push(serial.to_owned());
                Err(io::Error::other("no terminal"))
            }),
        };
        assert_eq!(person.credentials(None).unwrap().access_key_id, "ASIAEXAMPLEEXAMPLE12");
        let failure = person.credentials(Some("asks")).unwrap_err();
        assert!(failure.needs_person && failure.detail.ends_with("no terminal"), "{failure:?}");
        assert_eq!(*asked.lock().unwrap(), ["arn:aws:iam::111122223333:mfa/me"]);
        let failure = person.credentials(Some("endless")).unwrap_err();
        assert!(failure.detail.contains("x_security_token_expires, aws_expiration"), "{failure:?}");
        let failure = person.credentials(Some("sso")).unwrap_err();
        assert!(failure.needs_person, "{failure:?}");
        assert_eq!(
            failure.detail,
            "get credentials from profile sso: nobody has logged in to SSO (run aws sso login --profile sso)"
        );
    }
}
