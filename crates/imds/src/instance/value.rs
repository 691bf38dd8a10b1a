//! Checks of single values, with messages that say what would be right.

use std::net::{Ipv4Addr, Ipv6Addr};

use sha2::{Digest, Sha256};

use super::InstanceError;

pub(super) type Checked<T> = Result<T, InstanceError>;

pub(super) fn refuse<T>(key: impl Into<String>, message: impl Into<String>) -> Checked<T> {
    Err(InstanceError { key: key.into(), message: message.into() })
}

/// A text that can be a line of a reply.
pub(super) fn line(key: &str, value: &str) -> Checked<String> {
    if value.is_empty() {
        return refuse(key, "must not be empty");
    }
    if value.chars().any(char::is_control) {
        return refuse(key, format!("{value:?} holds a control character; it is one line of text"));
    }
    Ok(value.to_owned())
}

/// The value of a leaf that may be absent: an empty text says that it is.
pub(super) fn optional(key: &str, value: Option<&str>) -> Checked<Option<String>> {
    value.filter(|value| !value.is_empty()).map(|value| line(key, value)).transpose()
}

/// A value that is always there.
pub(super) fn always(key: &str, value: Option<&str>, default: impl Into<String>) -> Checked<String> {
    value.map_or_else(|| Ok(default.into()), |value| line(key, value))
}

/// Lines; none when nothing is given.
pub(super) fn lines(key: &str, values: Option<&[String]>) -> Checked<Vec<String>> {
    values.unwrap_or_default().iter().map(|value| line(key, value)).collect()
}

pub(super) fn number(key: &str, value: String) -> Checked<String> {
    match value.parse::<u32>() {
        Ok(number) => Ok(number.to_string()),
        Err(_) => refuse(key, format!("{value:?} is not a whole number")),
    }
}

pub(super) fn account(key: &str, value: String) -> Checked<String> {
    match value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(value),
        false => refuse(key, format!("{value:?} is not an account id of 12 digits")),
    }
}

/// A value that is a name in a path too.
pub(super) fn name(key: &str, value: String) -> Checked<String> {
    match value.contains('/') || matches!(value.as_str(), "." | "..") {
        true => refuse(key, format!("{value:?} cannot be part of a path")),
        false => Ok(value),
    }
}

/// A MAC address, in lower case as the metadata has it.
pub(super) fn mac(key: &str, value: &str) -> Checked<String> {
    let pairs: Vec<&str> = value.split(':').collect();
    let pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    match pairs.len() == 6 && pairs.iter().all(pair) {
        true => Ok(value.to_ascii_lowercase()),
        false => refuse(key, format!("{value:?} is not a MAC address such as 0e:49:61:0f:c3:11")),
    }
}

pub(super) fn ipv4(key: &str, value: &str) -> Checked<Ipv4Addr> {
    value.parse().or_else(|_| refuse(key, format!("{value:?} is not an IPv4 address")))
}

pub(super) fn ipv6(key: &str, value: &str) -> Checked<Ipv6Addr> {
    value.parse().or_else(|_| refuse(key, format!("{value:?} is not an IPv6 address")))
}

/// `PREFIX-` and 17 hex digits, made up from a seed and always the same for it.
pub(super) fn made_up_id(prefix: &str, seed: &[&str]) -> String {
    let hash = Sha256::digest(seed.join("\n"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}-0{}", &hex[..16])
}

/// A MAC address of the kind EC2 gives (locally administered), made up from a seed.
pub(super) fn made_up_mac(seed: &[&str]) -> String {
    let hash = Sha256::digest(seed.join("\n"));
    let tail: String = hash.iter().take(5).map(|byte| format!(":{byte:02x}")).collect();
    format!("0e{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        assert_eq!(mac("mac", "0E:FF:d5:40:fe:7d").unwrap(), "0e:ff:d5:40:fe:7d");
        for wrong in ["", "0e:ff:d5:40:fe", "0e:ff:d5:40:fe:7g", "0e-ff-d5-40-fe-7d", "0eff:d5:40:fe:7d:00"] {
            assert!(mac("mac", wrong).is_err(), "{wrong}");
        }
        assert!(account("account-id", "12345678901".into()).is_err());
        assert!(line("x", "two\nlines").is_err());
        assert_eq!(optional("x", Some("")).unwrap(), None);
        assert_eq!(number("x", "007".into()).unwrap(), "7");
        assert!(number("x", "-1".into()).is_err());
    }

    #[test]
    fn made_up_ids_look_like_ec2s_and_stay() {
        let id = made_up_id("eni", &["i-1", "0"]);
        assert_eq!(id.len(), "eni-05abe627ca6978df2".len());
        assert_eq!(id, made_up_id("eni", &["i-1", "0"]));
        assert_ne!(id, made_up_id("eni", &["i-2", "0"]));
        assert_eq!(mac("mac", &made_up_mac(&["i-1", "0"])).unwrap().len(), 17);
    }
}
