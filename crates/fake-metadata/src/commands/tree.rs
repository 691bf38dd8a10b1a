//! `tree`: every path and value that would be served.

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use imds::Leaf;
use jiff::Timestamp;

use super::{Outcome, Usage};
use crate::cli::Tree;
use crate::state::Played;
use crate::upstream;

pub(super) fn tree(args: &Tree) -> Outcome {
    let loaded = args.configuration.sources().load()?;
    let played = Played::from(&loaded, Timestamp::now())?;
    let tree = played.trees().tree(loaded.config.default_role().as_deref());
    let version = args.api_version.as_str();
    if !tree.versions().any(|name| name == version) {
        let known: Vec<&str> = tree.versions().collect();
        let message = format!("there is no API version {version} (there are {})", known.join(", "));
        return Err(Usage(message).into());
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    // What an upstream answers is its own; asking it is not this command's.
    let only_ours = loaded.config.upstream.is_some();
    for (path, leaf) in tree.walk(version) {
        if only_ours && !upstream::is_ours(&format!("/{version}/{path}")) {
            continue;
        }
        writeln!(out, "/{version}/{path} {}", shown(leaf))?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// A value on one line: as it is, or as JSON, which alone starts with a quote.
fn shown(leaf: &Leaf) -> String {
    match leaf {
        Leaf::Value(value) | Leaf::UserData(value) => one_line(value),
        Leaf::Credentials { .. } => "(role credentials)".into(),
        Leaf::Signature { .. } => "(signature)".into(),
        _ => "(made when asked for)".into(),
    }
}

fn one_line(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    if text.chars().any(char::is_control) || text.is_empty() || text.starts_with('"') {
        serde_json::Value::from(text).to_string()
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_with_a_quote_is_json() {
        assert_eq!(one_line(b"i-1"), "i-1");
        for text in ["", "a\nb", "\u{1b}[0m\u{7f}", "\"quoted\"", "\"", "tab\there"] {
            let line = one_line(text.as_bytes());
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            assert!(!line.contains('\n'));
        }
    }
}
