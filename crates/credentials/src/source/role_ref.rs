//! The role that a `role-arn` names: an ARN, or a name with or without an account.

use std::collections::BTreeMap;

use crate::spec::Settings;

/// Longest role name without its path, and longest path. Source: IAM's API reference, `roleNameType` and
/// `pathType`.
const LONGEST_NAME: usize = 64;
const LONGEST_PATH: usize = 512;

/// The ARN that `written` stands for, or what is wrong with it. `region` decides the partition of a role
/// that is not given by its ARN.
pub(crate) fn arn(written: &str, settings: &Settings, region: &str) -> Result<String, String> {
    let written = written.trim();
    if written.starts_with("arn:") {
        return check_arn(written);
    }
    let (name, account) = match written.split_once('@') {
        Some((name, account)) => (name, account),
        None => {
            let account = settings.default_account.as_deref().ok_or_else(|| {
                format!("{written:?} names no account (write {written}@ACCOUNT or an ARN, or set default-account in [aws])")
            })?;
            (written, account)
        }
    };
    let account = account_id(account, &settings.accounts)?;
    let name = name.trim_start_matches('/');
    check_name(name)?;
    Ok(format!("arn:{}:iam::{account}:role/{name}", partition(region)))
}

fn account_id<'a>(account: &'a str, accounts: &'a BTreeMap<String, String>) -> Result<&'a str, String> {
    let id = accounts.get(account).map_or(account, String::as_str);
    if is_account_id(id) {
        return Ok(id);
    }
    if id != account {
        return Err(format!("account {account:?} is {id:?} in [aws.accounts], which is not 12 digits"));
    }
    let known: Vec<&str> = accounts.keys().map(String::as_str).collect();
    let known =
        if known.is_empty() { "there are none".into() } else { format!("there are {}", known.join(", ")) };
    Err(format!("{account:?} is neither 12 digits nor a name in [aws.accounts] ({known})"))
}

fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn check_arn(arn: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("{arn:?} is not the ARN of a role: {why}"));
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, partition, service, region, account, resource] = parts[..] else {
        return wrong("write arn:aws:iam::ACCOUNT:role/NAME");
    };
    if service == "sts" {
        return wrong("this is a session of one (write arn:aws:iam::ACCOUNT:role/NAME)");
    }
    if partition.is_empty() || service != "iam" || !region.is_empty() {
        return wrong("write arn:aws:iam::ACCOUNT:role/NAME");
    }
    if !is_account_id(account) {
        return wrong("its account is not 12 digits");
    }
    match resource.strip_prefix("role/") {
        Some(name) => check_name(name).map(|()| arn.to_owned()),
        None => wrong("write arn:aws:iam::ACCOUNT:role/NAME"),
    }
}

/// A role's name, with its path.
fn check_name(name: &str) -> Result<(), String> {
    let (path, last) = name.rsplit_once('/').unwrap_or(("", name));
    let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if last.is_empty() || last.len() > LONGEST_NAME || !last.chars().all(fits) {
        return Err(format!("{name:?} is no role's name (1 to {LONGEST_NAME} letters, digits and +=,.@_-)"));
    }
    if path.len() + 2 > LONGEST_PATH || !path.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("{name:?} has no role's path (up to {LONGEST_PATH} characters without spaces)"));
    }
    Ok(())
}

/// The partition that a region is in. Source: AWS's endpoint rules (`partitions.json`).
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ if region.starts_with("us-iso-") => "aws-iso",
        _ if region.starts_with("us-isob-") => "aws-iso-b",
        _ if region.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        let accounts = [("prod", "111122223333"), ("typo", "1234")];
        Settings {
            accounts: accounts.map(|(name, id)| (name.to_owned(), id.to_owned())).into(),
            default_account: Some("prod".into()),
            ..Settings::default()
        }
    }

    fn of(written: &str) -> Result<String, String> {
        arn(written, &settings(), "eu-west-1")
    }

    #[test]
    fn every_form_of_a_role() {
        for (written, expected) in [
            ("App", "arn:aws:iam::111122223333:role/App"),
            ("team/App", "arn:aws:iam::111122223333:role/team/App"),
            ("/team/App", "arn:aws:iam::111122223333:role/team/App"),
            ("App@444455556666", "arn:aws:iam::444455556666:role/App"),
            ("a/b/App@prod", "arn:aws:iam::111122223333:role/a/b/App"),
            ("arn:aws-cn:iam::444455556666:role/x/App", "arn:aws-cn:iam::444455556666:role/x/App"),
        ] {
            assert_eq!(of(written).as_deref(), Ok(expected), "{written}");
        }
        assert_eq!(
            arn("App", &settings(), "cn-north-1").as_deref(),
            Ok("arn:aws-cn:iam::111122223333:role/App")
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_the_remedy() {
        for (written, part) in [
            (
                "App@nowhere",
                "\"nowhere\" is neither 12 digits nor a name in [aws.accounts] (there are prod, typo)",
            ),
            ("App@typo", "account \"typo\" is \"1234\" in [aws.accounts], which is not 12 digits"),
            ("App@12345", "neither 12 digits"),
            ("", "is no role's name"),
            ("team/", "is no role's name"),
            ("A b", "is no role's name"),
            ("arn:aws:sts::444455556666:assumed-role/App/me", "this is a session of one"),
            ("arn:aws:iam::444455556666:user/App", "write arn:aws:iam::ACCOUNT:role/NAME"),
            ("arn:aws:iam::4444:role/App", "its account is not 12 digits"),
            ("arn:aws:iam", "write arn:aws:iam::ACCOUNT:role/NAME"),
        ] {
            let message = of(written).unwrap_err();
            assert!(message.contains(part), "{written}: {message}");
        }
        let without = arn("App", &Settings::default(), "us-east-1").unwrap_err();
        assert!(without.contains("App@ACCOUNT") && without.contains("default-account"), "{without}");
    }
}
