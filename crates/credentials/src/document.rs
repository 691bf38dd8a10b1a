//! The JSON forms in which credentials are written: the metadata service's own document, the output of
//! a `credential_process`, and STS's answer as the AWS CLI prints it. No error quotes a value.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::credentials::{Credentials, Secret, whole_seconds};

/// Longest document that is read, in bytes. EC2's has 1.3 KB; tokens of up to 4 KB exist.
pub(crate) const LONGEST: usize = 64 * 1024;

/// Why a document yields no credentials. Never quotes the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not JSON at all.
    #[error("not JSON at line {line}, column {column}")]
    NotJson {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// JSON that ends too early, as a file half-written does.
    #[error("incomplete: the JSON ends too early")]
    Incomplete,
    /// Longer than 64 KiB.
    #[error("longer than {LONGEST} bytes")]
    TooLong,
    /// Not an object.
    #[error("not a JSON object")]
    NotAnObject,
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field has a value it cannot have.
    #[error("{0} {1}")]
    Bad(&'static str, &'static str),
    /// The document tells of a failure: its `Code` is not `Success`.
    #[error("it tells of a failure: Code is not Success")]
    NotSuccess,
}

/// Reads a document in any of the three forms. `now` becomes `last_updated` where the document does not
/// say. `Expiration` may be absent only in the `credential_process` form. Whether the credentials have
/// expired is not looked at.
pub fn parse(bytes: &[u8], now: Timestamp) -> Result<Credentials, DocumentError> {
    if bytes.len() > LONGEST {
        return Err(DocumentError::TooLong);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|e| {
        if e.is_eof() {
            DocumentError::Incomplete
        } else {
            DocumentError::NotJson { line: e.line(), column: e.column() }
        }
    })?;
    let outer = value.as_object().ok_or(DocumentError::NotAnObject)?;
    match outer.get("Credentials") {
        Some(inner) => {
            read(inner.as_object().ok_or(DocumentError::Bad("Credentials", "is not an object"))?, now)
        }
        None => read(outer, now),
    }
}

/// Reads the output of a `credential_process`: the same, but `Version` must be there, and it is the only
/// form that is taken. Source: SDK reference guide, "Process credential provider".
pub(crate) fn parse_process(bytes: &[u8], now: Timestamp) -> Result<Credentials, DocumentError> {
    let credentials = parse(bytes, now)?;
    let value: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if value.get("Version").is_none() {
        return Err(DocumentError::Missing("Version"));
    }
    Ok(credentials)
}

fn read(fields: &Map<String, Value>, now: Timestamp) -> Result<Credentials, DocumentError> {
    if text(fields, "Code")?.is_some_and(|code| !code.eq_ignore_ascii_case("success")) {
        return Err(DocumentError::NotSuccess);
    }
    let of_process = match fields.get("Version") {
        None => false,
        Some(version) if version == 1 => true,
        Some(_) => return Err(DocumentError::Bad("Version", "is not 1")),
    };
    let token = match secret(fields, "SessionToken")? {
        Some(token) => Some(token),
        None => secret(fields, "Token")?,
    };
    let expiration = time(fields, "Expiration")?;
    if expiration.is_none() && !of_process {
        return Err(DocumentError::Missing("Expiration"));
    }
    let access_key_id = text(fields, "AccessKeyId")?.ok_or(DocumentError::Missing("AccessKeyId"))?;
    check_key_id(access_key_id)?;
    Ok(Credentials {
        access_key_id: access_key_id.into(),
        secret_access_key: secret(fields, "SecretAccessKey")?
            .ok_or(DocumentError::Missing("SecretAccessKey"))?,
        token,
        expiration,
        last_updated: time(fields, "LastUpdated")?.unwrap_or(whole_seconds(now)),
        account_id: text(fields, "AccountId")?.map(str::to_owned),
    })
}

/// Refuses keys that cannot be any, from wherever they come.
///
/// # Errors
/// Which of them, by its name in the document, and what is wrong with it. None is quoted.
pub(crate) fn check_keys(id: &str, secret: &str, token: Option<&str>) -> Result<(), DocumentError> {
    check_key_id(id)?;
    check_secret("SecretAccessKey", secret)?;
    token.map_or(Ok(()), |token| check_secret("SessionToken", token))
}

/// Source: IAM's API reference, `accessKeyIdType`.
fn check_key_id(id: &str) -> Result<(), DocumentError> {
    let fits = (16..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match fits {
        true => Ok(()),
        false => Err(DocumentError::Bad("AccessKeyId", "is not 16 to 128 letters, digits and underscores")),
    }
}

/// A secret key or a token can stand in a header, as a token does.
fn check_secret(name: &'static str, value: &str) -> Result<(), DocumentError> {
    match !value.is_empty() && value.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(DocumentError::Bad(name, "is empty or holds characters that no key has")),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, DocumentError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(DocumentError::Bad(name, "is not a string")),
    }
}

fn secret(fields: &Map<String, Value>, name: &'static str) -> Result<Option<Secret>, DocumentError> {
    match text(fields, name)? {
        Some("") | None => Ok(None),
        Some(value) => check_secret(name, value).map(|()| Some(Secret::new(value))),
    }
}

fn time(fields: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, DocumentError> {
    text(fields, name)?
        .map(|text| {
            text.parse()
                .map(whole_seconds)
                .map_err(|_| DocumentError::Bad(name, "is not a time in RFC 3339 form"))
        })
        .transpose()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = r#""AccessKeyId":"ASIAEXAMPLEEXAMPLE12","SecretAccessKey":"secret-value""#;

    fn parsed(text: &str) -> Result<Credentials, DocumentError> {
        parse(text.as_bytes(), "2026-11-21T10:00:00.5Z".parse().unwrap())
    }

    #[test]
    fn the_three_forms_are_read() {
        let expected = Credentials {
            access_key_id: "ASIAEXAMPLEEXAMPLE12".into(),
            secret_access_key: Secret::new("secret-value"),
            token: Some(Secret::new("token-value")),
            expiration: Some("2026-11-21T16:00:00Z".parse().unwrap()),
            last_updated: "2026-11-21T10:00:00Z".parse().unwrap(),
            account_id: None,
        };
        let imds = format!(
            r#"{{"Code":"Success","LastUpdated":"2026-11-21T10:00:00Z","Type":"AWS-HMAC",{KEY},"Token":"token-value","Expiration":"2026-11-21T16:00:00Z"}}"#
        );
        let process = format!(
            r#"{{"Version":1,{KEY},"SessionToken":"token-value","Expiration":"2026-11-21T17:00:00.25+01:00"}}"#
        );
        let sts = format!(
            r#"{{"Credentials":{{{KEY},"SessionToken":"token-value","Expiration":"2026-11-21T16:00:00+00:00"}},"AssumedRoleUser":{{}}}}"#
        );
        let with_mark = format!("\u{feff}{imds}\n");
        for document in [imds, process, sts, with_mark] {
            assert_eq!(parsed(&document).unwrap(), expected, "{document}");
        }
    }

    #[test]
    fn only_a_process_may_leave_out_the_expiration() {
        assert_eq!(parsed(&format!(r#"{{"Version":1,{KEY}}}"#)).unwrap().expiration, None);
        assert_eq!(parsed(&format!("{{{KEY}}}")), Err(DocumentError::Missing("Expiration")));
        assert_eq!(
            parsed(&format!(r#"{{"Credentials":{{{KEY}}}}}"#)),
            Err(DocumentError::Missing("Expiration"))
        );
    }

    #[test]
    fn what_is_wrong_is_said_without_quoting_it() {
        let process = |rest: &str| parsed(&format!(r#"{{"Version":1,{rest}}}"#)).unwrap_err();
        for (error, said) in [
            (parsed("").unwrap_err(), "incomplete: the JSON ends too early"),
            (parsed(r#"{"AccessKeyId":"ASIA"#).unwrap_err(), "incomplete: the JSON ends too early"),
            (parsed("{\n]").unwrap_err(), "not JSON at line 2, column 1"),
            (parsed(r#""hidden""#).unwrap_err(), "not a JSON object"),
            (parsed(r#"{"Credentials":"hidden"}"#).unwrap_err(), "Credentials is not an object"),
            (parsed(r#"{"Code":"hidden"}"#).unwrap_err(), "it tells of a failure: Code is not Success"),
            (parsed(r#"{"Version":2}"#).unwrap_err(), "Version is not 1"),
            (
                process(r#""AccessKeyId":"hidden hidden hidden""#),
                "AccessKeyId is not 16 to 128 letters, digits and underscores",
            ),
            (process(r#""AccessKeyId":"ASIAEXAMPLEEXAMPLE12""#), "SecretAccessKey is missing"),
            (process(r#""AccessKeyId":["hidden"]"#), "AccessKeyId is not a string"),
            (
                process(&format!(r#"{KEY},"SessionToken":"hidden\r\nhidden""#)),
                "SessionToken is empty or holds characters that no key has",
            ),
            (
                process(&format!(r#"{KEY},"Expiration":"hidden""#)),
                "Expiration is not a time in RFC 3339 form",
            ),
            (parse(&[b' '; LONGEST + 1], Timestamp::UNIX_EPOCH).unwrap_err(), "longer than 65536 bytes"),
        ] {
            assert_eq!(error.to_string(), said);
        }
    }

    proptest! {
        #[test]
        fn no_error_holds_any_part_of_the_document(cut in 0usize..200, garbage in "[\\[\\]{}:,\"0-9a-z]{0,12}") {
            let mut text = format!(r#"{{"Version":1,{KEY},"SessionToken":"QQQQ-token","Expiration":"2026-11-21T16:00:00Z"}}"#);
            text.truncate(cut.min(text.len()));
            text.push_str(&garbage);
            if let Err(error) = parsed(&text) {
                let said = format!("{error} {error:?}");
                prop_assert!(!said.contains("secret-value") && !said.contains("QQQQ"));
            }
        }
    }

    #[test]
    fn keys_from_anywhere_are_refused_by_name() {
        let checked =
            |id: &str, secret: &str, token| check_keys(id, secret, token).map_err(|e| e.to_string());
        let id = "ASIA0123456789ABCDEF";
        assert_eq!(checked(id, "secret", None), Ok(()));
        assert_eq!(checked(id, "secret", Some("token")), Ok(()));
        for (id, secret, token, name) in [
            ("AKIAEXAMPLE", "secret", None, "AccessKeyId"),
            ("ASIA0123456789ABCDE/", "secret", None, "AccessKeyId"),
            (id, "", None, "SecretAccessKey"),
            (id, "two\nlines", None, "SecretAccessKey"),
            (id, "secret", Some("a token"), "SessionToken"),
        ] {
            assert!(checked(id, secret, token).unwrap_err().starts_with(&format!("{name} is ")), "{name}");
        }
    }
}
