//! The `[aws]` table: what roles that ask AWS share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::places::AwsPlaces;

/// The `[aws]` table. A role's own key goes before.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct AwsSettings {
    /// The AWS config file; relative ones start from the configuration's folder.
    config_file: Option<PathBuf>,
    /// The AWS credentials file, likewise.
    credentials_file: Option<PathBuf>,
    /// The region whose STS is asked; the instance's unless said.
    region: Option<String>,
    /// The URL of STS, in place of the region's own.
    sts_endpoint: Option<String>,
    /// The account of a role that is named without one: 12 digits, or a name of `accounts`.
    /// `[instance] account-id` unless said, where that is given.
    default_account: Option<String>,
    /// Account names to their 12 digits.
    accounts: BTreeMap<String, String>,
}

impl AwsSettings {
    /// What all roles share, on this machine, for this instance. `account` is the instance's, where it
    /// was given.
    pub(crate) fn shared(
        &self,
        places: &AwsPlaces,
        folder: &Path,
        instance: &imds::Instance,
        account: Option<&str>,
    ) -> credentials::Settings {
        let file = |written: &Option<PathBuf>, default: &Option<PathBuf>| {
            written.as_ref().map(|file| folder.join(file)).or_else(|| default.clone())
        };
        credentials::Settings {
            config_file: file(&self.config_file, &places.config_file),
            credentials_file: file(&self.credentials_file, &places.credentials_file),
            home: places.home.clone(),
            accounts: self.accounts.clone(),
            default_account: self.default_account.clone().or_else(|| account.map(str::to_owned)),
            sts_endpoint: self.sts_endpoint.clone(),
            region: Some(self.region.clone().unwrap_or_else(|| instance.region().to_owned())),
            instance_id: Some(instance.instance_id().to_owned()),
            upstream: None,
        }
    }

    /// The key that is wrong whatever the roles are, below `[aws]`, and what is wrong with it.
    pub(super) fn wrong(&self) -> Option<(Vec<&str>, String)> {
        for (name, id) in &self.accounts {
            if !is_account(id) {
                return Some((vec!["accounts", name], format!("{id:?} is not the 12 digits of an account")));
            }
        }
        let account = self.default_account.as_deref()?;
        (!is_account(account) && !self.accounts.contains_key(account)).then(|| {
            let message = format!("{account:?} is neither 12 digits nor a name of [aws.accounts]");
            (vec!["default-account"], message)
        })
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> imds::Instance {
        let launch = "2026-11-21T10:00:00Z".parse().unwrap();
        imds::Instance::resolve(&imds::InstanceSpec::default(), launch).unwrap()
    }

    fn read(text: &str) -> AwsSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_written_comes_from_the_machine_and_the_instance() {
        let places = AwsPlaces {
            config_file: Some("/home/ann/.aws/config".into()),
            credentials_file: Some("/home/ann/.aws/credentials".into()),
            home: Some("/home/ann".into()),
        };
        let written = read("credentials-file = \"keys\"\n");
        let shared = written.shared(&places, Path::new("/etc/x"), &instance(), Some("111122223333"));
        assert_eq!(shared.config_file, places.config_file);
        assert_eq!(shared.credentials_file.as_deref(), Some(Path::new("/etc/x/keys")));
        assert_eq!(shared.home, places.home);
        assert_eq!(shared.default_account.as_deref(), Some("111122223333"));
        assert_eq!(shared.region.as_deref(), Some(instance().region()));
        assert_eq!(shared.instance_id.as_deref(), Some(instance().instance_id()));
        let more = read(
            "region = \"eu-west-1\"\ndefault-account = \"prod\"\naccounts = { prod = \"444455556666\" }\n",
        );
        let shared = more.shared(&places, Path::new(""), &instance(), Some("111122223333"));
        assert_eq!(shared.region.as_deref(), Some("eu-west-1"));
        assert_eq!(shared.default_account.as_deref(), Some("prod"));
        assert_eq!(shared.accounts["prod"], "444455556666");
    }

    #[test]
    fn accounts_have_12_digits_and_the_default_one_is_among_them() {
        let wrong = |text: &str| read(text).wrong().map(|(key, _)| key.join("."));
        assert_eq!(wrong("default-account = \"123456789012\""), None);
        assert_eq!(wrong("default-account = \"a\"\naccounts = { a = \"123456789012\" }"), None);
        assert_eq!(wrong("default-account = \"b\""), Some("default-account".into()));
        assert_eq!(wrong("accounts = { a = \"12345678901\" }"), Some("accounts.a".into()));
    }
}
