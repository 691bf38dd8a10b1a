//! The file of a recording: JSON, because it holds bytes that must come back as they were (a line end more or less
//! in a value matters), is written and compared by programs, and yet can be read and changed by hand.
//!
//! Each version is written as its differences from the next newer one: thirty-one whole trees would say the same
//! thirty-one times, and a person who changes a value would have to change it as often.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use imds::{Recorded, Recording};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The first key's value: what this file is, and which form of it.
const FORMAT: &str = "fake-metadata recording 1";
/// The most bytes of a file: many times what the largest instance has.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// A recording that cannot be used. Prints as one line that begins with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    #[error("read {}: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{place}: {message}")]
    Content { place: String, message: String },
}

/// What is told of a recording beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heading {
    /// When it was made, in RFC 3339.
    pub(crate) recorded: String,
    /// Whom it is of.
    pub(crate) from: String,
    pub(crate) anonymised: bool,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default)]
    recorded: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    anonymised: bool,
    versions: BTreeMap<String, Version>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Version {
    /// The version that this one differs from in `paths` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    like: Option<String>,
    /// What lies at each path; `null`: nothing, though there is something in the version that this is like.
    paths: BTreeMap<String, Value>,
}

/// Reads a recording and makes sure that it can be served.
pub(crate) fn read(path: &Path) -> Result<Recording, RecordingError> {
    let failed = |cause| RecordingError::Read { path: path.to_owned(), cause };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MOST_BYTES {
        let place = path.display().to_string();
        return Err(RecordingError::Content { place, message: format!("larger than {MOST_BYTES} bytes") });
    }
    let text = std::fs::read(path).map_err(failed)?;
    parse(&text, path)
}

fn parse(text: &[u8], path: &Path) -> Result<Recording, RecordingError> {
    let content = |place: String, message: String| RecordingError::Content { place, message };
    let file: File = serde_json::from_slice(text).map_err(|e| {
        let message = e.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let wrong = if e.is_data() { "" } else { "invalid JSON: " };
        content(format!("{}:{}", path.display(), e.line()), format!("{wrong}{message}"))
    })?;
    if file.format != FORMAT {
        let message = format!("format is {:?}, where {FORMAT:?} is known", file.format);
        return Err(content(path.display().to_string(), message));
    }
    let refuse = |version: &str, at: Option<&str>, message: String| {
        let line = line_of(text, version, at).map(|line| format!(":{line}")).unwrap_or_default();
        let at = at.map(|at| format!(" {at:?}")).unwrap_or_default();
        content(format!("{}{line}: version {version}{at}", path.display()), message)
    };
    if file.versions.is_empty() {
        return Err(content(
            path.display().to_string(),
            "versions: none, so there is nothing to serve".into(),
        ));
    }
    let mut recording = Recording::default();
    for name in file.versions.keys() {
        let paths = whole(&file.versions, name).map_err(|message| refuse(name, None, message))?;
        for (at, value) in paths {
            let recorded = from_json(value).map_err(|message| refuse(name, Some(at), message))?;
            recording.insert(name, at, recorded).map_err(|e| refuse(name, Some(at), e.message))?;
        }
    }
    let served =
        imds::Trees::recorded(&recording, &[], &imds::Overrides::default(), jiff::Timestamp::UNIX_EPOCH);
    if let Err(error) = served {
        let (version, at) = error.path.split_once('/').unwrap_or((&error.path, ""));
        return Err(refuse(version, Some(at), error.message.clone()));
    }
    Ok(recording)
}

/// Everything in a version, with what it has from those that it is like.
fn whole<'a>(
    versions: &'a BTreeMap<String, Version>,
    name: &'a str,
) -> Result<BTreeMap<&'a str, &'a Value>, String> {
    let mut chain = Vec::new();
    let mut next = Some(name);
    while let Some(name) = next {
        let version = versions.get(name).ok_or_else(|| format!("is like {name:?}, which is not here"))?;
        if chain.len() == versions.len() {
            return Err("is like itself, by way of the versions that it is like".into());
        }
        chain.push(version);
        next = version.like.as_deref();
    }
    let mut paths = BTreeMap::new();
    for version in chain.iter().rev() {
        for (path, value) in &version.paths {
            match value {
                Value::Null => paths.remove(path.as_str()),
                value => paths.insert(path.as_str(), value),
            };
        }
    }
    Ok(paths)
}

/// The line of a path in a version of a file as `write` lays it out; of the version where there is no such path.
fn line_of(text: &[u8], version: &str, path: Option<&str>) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;
    let key = |key: &str| format!("{}:", Value::from(key));
    let start = text.find("\"versions\"")?;
    let version = start + text[start..].find(&key(version))?;
    let at = path.and_then(|path| Some(version + text[version..].find(&key(path))?)).unwrap_or(version);
    Some(1 + text[..at].matches('\n').count())
}

fn from_json(value: &Value) -> Result<Recorded, String> {
    let decoded = |value: &Value| {
        let text = value.as_str().ok_or("write base64 as a text")?;
        STANDARD.decode(text).map(Bytes::from).map_err(|e| format!("not base64: {e}"))
    };
    match value {
        Value::String(text) => Ok(Recorded::Value(text.clone().into())),
        Value::Array(lines) => {
            let lines: Option<Vec<&str>> = lines.iter().map(Value::as_str).collect();
            let lines = lines.ok_or("a listing holds texts")?;
            Ok(Recorded::Listing(lines.join("\n").into()))
        }
        Value::Object(members) if members.len() == 1 => match members.iter().next() {
            Some((key, Value::Bool(true))) if key == "secret" => Ok(Recorded::Secret),
            Some((key, Value::String(text))) if key == "user-data" => {
                Ok(Recorded::UserData(text.clone().into()))
            }
            Some((key, value)) => match key.as_str() {
                "base64" => Ok(Recorded::Value(decoded(value)?)),
                "listing-base64" => Ok(Recorded::Listing(decoded(value)?)),
                "user-data-base64" => Ok(Recorded::UserData(decoded(value)?)),
                _ => Err(FORMS.into()),
            },
            None => Err(FORMS.into()),
        },
        _ => Err(FORMS.into()),
    }
}

const FORMS: &str = "write a text (a value), a list of texts (the lines of a listing), {\"user-data\": TEXT}, \
                     {\"base64\": TEXT}, {\"user-data-base64\": TEXT}, {\"listing-base64\": TEXT} or {\"secret\": true}";

fn to_json(recorded: &Recorded) -> Value {
    let either = |bytes: &Bytes, plain: fn(&str) -> Value, base64: &str| match std::str::from_utf8(bytes) {
        Ok(text) => plain(text),
        Err(_) => json!({ base64: STANDARD.encode(bytes) }),
    };
    match recorded {
        Recorded::Value(value) => either(value, |text| text.into(), "base64"),
        Recorded::UserData(data) => either(data, |text| json!({ "user-data": text }), "user-data-base64"),
        Recorded::Listing(listing) => either(
            listing,
            |text| match text {
                "" => json!([]),
                text => text.split('\n').collect(),
            },
            "listing-base64",
        ),
        Recorded::Secret => json!({ "secret": true }),
    }
}

/// The text of the file.
pub(crate) fn write(recording: &Recording, heading: &Heading) -> Vec<u8> {
    let mut versions = BTreeMap::new();
    let mut newer: Option<(&str, BTreeMap<&str, &Recorded>)> = None;
    let names: Vec<&str> = recording.versions().collect();
    for name in names.into_iter().rev() {
        let paths: BTreeMap<&str, &Recorded> = recording.paths(name).collect();
        versions.insert(name.to_owned(), version(&paths, newer.as_ref()));
        newer = Some((name, paths));
    }
    let file = File {
        format: FORMAT.into(),
        recorded: heading.recorded.clone(),
        from: heading.from.clone(),
        anonymised: heading.anonymised,
        versions,
    };
    let mut text = serde_json::to_vec_pretty(&file).expect("texts, lists and switches");
    text.push(b'\n');
    text
}

/// A version as it differs from a newer one, or whole where that says less.
fn version(paths: &BTreeMap<&str, &Recorded>, newer: Option<&(&str, BTreeMap<&str, &Recorded>)>) -> Version {
    let whole = || paths.iter().map(|(path, recorded)| ((*path).to_owned(), to_json(recorded))).collect();
    let Some((name, newer)) = newer else { return Version { like: None, paths: whole() } };
    let mut differences: BTreeMap<String, Value> = paths
        .iter()
        .filter(|(path, recorded)| newer.get(*path) != Some(recorded))
        .map(|(path, recorded)| ((*path).to_owned(), to_json(recorded)))
        .collect();
    let gone = newer.keys().filter(|path| !paths.contains_key(*path));
    differences.extend(gone.map(|path| ((*path).to_owned(), Value::Null)));
    if differences.len() <= paths.len() {
        return Version { like: Some((*name).to_owned()), paths: differences };
    }
    Version { like: None, paths: whole() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Recording, String> {
        parse(text.as_bytes(), Path::new("r.json")).map_err(|e| e.to_string())
    }

    fn recording(paths: &[(&str, &str, Recorded)]) -> Recording {
        let mut recording = Recording::default();
        for (version, path, recorded) in paths {
            recording.insert(version, path, recorded.clone()).unwrap();
        }
        recording
    }

    #[test]
    fn versions_are_written_as_their_differences() {
        let value = |text: &'static str| Recorded::Value(Bytes::from_static(text.as_bytes()));
        let listing = |text: &'static str| Recorded::Listing(Bytes::from_static(text.as_bytes()));
        let recording = recording(&[
            ("latest", "", listing("meta-data")),
            ("latest", "meta-data", listing("a\nb")),
            ("latest", "meta-data/a", value("1\n")),
            ("latest", "meta-data/b", value("2")),
            ("latest", "user-data", Recorded::UserData(Bytes::from_static(b"\xff"))),
            ("2021-03-23", "", listing("meta-data")),
            ("2021-03-23", "meta-data", listing("a")),
            ("2021-03-23", "meta-data/a", value("1\n")),
            ("1.0", "", listing("")),
        ]);
        let heading = Heading { recorded: "now".into(), from: "there".into(), anonymised: true };
        let text = write(&recording, &heading);
        let file: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(
            file,
            json!({
                "format": FORMAT, "recorded": "now", "from": "there", "anonymised": true,
                "versions": {
                    "1.0": {"paths": {"": []}},
                    "2021-03-23": {"like": "latest", "paths":
                        {"meta-data": ["a"], "meta-data/b": null, "user-data": null}},
                    "latest": {"paths": {
                        "": ["meta-data"], "meta-data": ["a", "b"], "meta-data/a": "1\n", "meta-data/b": "2",
                        "user-data": {"user-data-base64": "/w=="},
                    }},
                },
            })
        );
        assert_eq!(parse(&text, Path::new("r.json")).unwrap(), recording);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let with = |versions: &str| {
            parsed(&format!("{{\n\"format\": \"{FORMAT}\",\n\"versions\": {{\n{versions}\n}}\n}}"))
                .unwrap_err()
        };
        assert!(
            parsed("{\n\"format\": 1,\n").unwrap_err().starts_with("r.json:2: invalid type: integer `1`")
        );
        assert!(parsed("{\n\n]").unwrap_err().starts_with("r.json:3: invalid JSON: "));
        assert!(
            parsed("{\"format\": \"x\", \"versions\": {}}").unwrap_err().contains("format is \"x\", where")
        );
        assert!(parsed("{\"format\": \"x\"}").unwrap_err().contains("missing field `versions`"));
        assert!(with("").contains("versions: none"));
        assert!(with("\"latest\": {\"pahts\": {}}").starts_with("r.json:4: unknown field `pahts`"));
        let path = with("\"latest\": {\"paths\": {\n\"\": [],\n\"/x\": \"1\"}}");
        assert!(path.starts_with("r.json:6: version latest \"/x\": write the path without empty"), "{path}");
        assert!(
            with("\"latest\": {\"paths\": {\n\"x\": 5}}")
                .starts_with("r.json:5: version latest \"x\": write a text")
        );
        assert!(with("\"latest\": {\"paths\": {\"x\": {\"base64\": \"*\"}}}").contains("\"x\": not base64"));
        let secret = with("\"latest\": {\"paths\": {\"meta-data/x\": {\"secret\": true}}}");
        assert!(secret.contains("neither credentials nor a signature lie here"), "{secret}");
        assert!(
            with("\"latest\": {\"like\": \"1.0\", \"paths\": {}}")
                .contains("is like \"1.0\", which is not here")
        );
        assert!(with("\"latest\": {\"like\": \"latest\", \"paths\": {}}").contains("is like itself"));
        let both = with("\"latest\": {\"paths\": {\n\"a\": \"1\",\n\"a/b\": \"2\"}}");
        assert!(
            both.starts_with("r.json:6: version latest \"a/b\": something is recorded both here"),
            "{both}"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_told() {
        let error = read(Path::new("/nowhere/r.json")).unwrap_err().to_string();
        assert!(error.starts_with("read /nowhere/r.json: "), "{error}");
    }

    fn any_recorded() -> impl Strategy<Value = Recorded> {
        let bytes = prop_oneof![
            "[a-c=/\\n\"\\\\]{0,8}".prop_map(String::into_bytes),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        (bytes, 0..3).prop_map(|(bytes, kind)| match kind {
            0 => Recorded::Listing(bytes.into()),
            1 => Recorded::Value(bytes.into()),
            _ => Recorded::UserData(bytes.into()),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            paths in proptest::collection::btree_map(("(1\\.0|2021-03-23|latest)", "[a-d]{1,2}"), any_recorded(), 1..20)
        ) {
            let mut recording = Recording::default();
            for ((version, path), recorded) in paths {
                recording.insert(&version, &path, recorded).unwrap();
            }
            let text = write(&recording, &Heading::default());
            prop_assert_eq!(parse(&text, Path::new("r.json")).unwrap(), recording);
        }
    }
}
