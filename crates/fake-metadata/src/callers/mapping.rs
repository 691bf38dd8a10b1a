//! The mapping file: addresses and networks to roles, written by a person or by a program that knows
//! who has which address. Read again when it changes.
//!
//! One `NETWORK ROLE` a line, `-` for no role, `#` begins a comment; or, when it begins with a brace, a
//! JSON object from network to role or `false`, which is also the form of metadataproxy's
//! `ROLE_MAPPING_FILE`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::networks::{Network, Networks};

/// What is more than this is no mapping file.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A mapping file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(super) networks: Networks,
}

impl Mapping {
    /// Reads the file. `before` is what it held before, `is_role` says which roles there are. An empty file after
    /// one with entries is refused: whoever writes it has just begun, or has failed to.
    ///
    /// # Errors
    /// A sentence with the file, the line where there is one, and what is wrong.
    pub(crate) fn read(
        path: &Path,
        before: &Mapping,
        is_role: impl Fn(&str) -> bool,
    ) -> Result<Mapping, String> {
        let fail = |cause: String| format!("read {}: {cause}", path.display());
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MOST_BYTES {
            return Err(fail(format!("{size} bytes are too many")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
        if text.trim().is_empty() && !before.networks.is_empty() {
            return Err(fail("it is empty (write a comment into one that is to have no entries)".into()));
        }
        let name = path.display();
        Mapping::parse(&text, is_role).map_err(|(line, message)| match line {
            Some(line) => format!("{name}:{line}: {message}"),
            None => format!("{name}: {message}"),
        })
    }

    fn parse(text: &str, is_role: impl Fn(&str) -> bool) -> Result<Mapping, (Option<usize>, String)> {
        let mut mapping = Mapping::default();
        let mut add = |network: &str, role: Option<&str>| {
            let network: Network = network.parse()?;
            match role {
                Some(role) if !is_role(role) => Err(super::settings::no_such_role(role)),
                role => match mapping.networks.add(network, role.map(Arc::from)) {
                    Some(_) => Err(format!("{network} is there twice")),
                    None => Ok(()),
                },
            }
        };
        if text.trim_start().starts_with('{') {
            let all: BTreeMap<String, Option<String>> = json(text)?;
            for (network, role) in &all {
                add(network, role.as_deref()).map_err(|message| (None, message))?;
            }
        } else {
            for (number, line) in text.lines().enumerate() {
                let line = line.split('#').next().unwrap_or("");
                let words: Vec<&str> = line.split_whitespace().collect();
                let added = match words.as_slice() {
                    [] => Ok(()),
                    [network, "-"] => add(network, None),
                    [network, role] => add(network, Some(role)),
                    _ => Err("write an address or network and a role, or - for none".to_owned()),
                };
                added.map_err(|message| (Some(number + 1), message))?;
            }
        }
        Ok(mapping)
    }
}

fn json(text: &str) -> Result<BTreeMap<String, Option<String>>, (Option<usize>, String)> {
    let values: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|e| (Some(e.line()), format!("invalid JSON: {e}")))?;
    let role = |(network, value)| match value {
        serde_json::Value::String(role) => Ok((network, Some(role))),
        serde_json::Value::Bool(false) | serde_json::Value::Null => Ok((network, None)),
        other => Err((None, format!("{network}: {other} is neither a role's name nor false"))),
    };
    values.into_iter().map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rules::Grant;
    use super::*;

    fn parse(text: &str) -> Result<Mapping, String> {
        Mapping::parse(text, |role| ["a", "b"].contains(&role)).map_err(|(line, m)| format!("{line:?} {m}"))
    }

    fn found(mapping: &Mapping, address: &str) -> Option<Grant> {
        mapping.networks.find(address.parse().unwrap()).cloned()
    }

    #[test]
    fn lines_and_json_say_the_same() {
        let lines = parse("# who\n10.0.0.0/8 a # all\n\n  10.0.0.1\tb\n192.0.2.1 -\n").unwrap();
        let json = parse(" {\"10.0.0.0/8\": \"a\", \"10.0.0.1\": \"b\", \"192.0.2.1\": false}").unwrap();
        assert_eq!(lines, json);
        assert_eq!(found(&lines, "10.0.0.1"), Some(Some("b".into())));
        assert_eq!(found(&lines, "192.0.2.1"), Some(None));
        assert_eq!(found(&lines, "192.0.2.2"), None);
        assert_eq!(parse("").unwrap(), Mapping::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let refused = |text: &str| parse(text).unwrap_err();
        assert_eq!(refused("\n10.0.0.0/8 c"), "Some(2) there is no role \"c\" (add a table [roles.c])");
        assert_eq!(refused("10.0.0.1 a\n10.0.0.1/32 b"), "Some(2) 10.0.0.1 is there twice");
        assert_eq!(refused("10.0.0.1"), "Some(1) write an address or network and a role, or - for none");
        assert!(refused("{\n\"10.0.0.1\": }").starts_with("Some(2) invalid JSON"));
        assert_eq!(refused("{\"10.0.0.1\": 7}"), "None 10.0.0.1: 7 is neither a role's name nor false");
    }

    #[test]
    fn an_empty_file_takes_no_entries_back() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str, before: &Mapping| {
            std::fs::write(file.path(), text).unwrap();
            Mapping::read(file.path(), before, |_| true)
        };
        let some = read("10.0.0.1 a\n", &Mapping::default()).unwrap();
        for empty in ["", "\n \n"] {
            assert!(read(empty, &some).unwrap_err().contains("it is empty (write a comment"));
            assert_eq!(read(empty, &Mapping::default()), Ok(Mapping::default()));
        }
        for cleared in ["# nobody\n", "{}"] {
            assert_eq!(read(cleared, &some), Ok(Mapping::default()));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let error = Mapping::read(Path::new("/nonexistent/map"), &Mapping::default(), |_| true).unwrap_err();
        assert!(error.starts_with("read /nonexistent/map: "), "{error}");
    }
}
