//! Paths as Go's server and router read and write them.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str};

/// What Go escapes in a path.
pub(crate) const IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path without percent-encoding; nothing where the encoding is wrong, which Go answers with 400.
pub(crate) fn decode(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    let wrong = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%' && !bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    (!wrong).then(|| percent_decode_str(path).decode_utf8_lossy().into_owned())
}

/// The shortest spelling of a path: no empty, `.` or `..` names; a slash at the end stays.
pub(crate) fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let slash = if path.ends_with('/') && !names.is_empty() { "/" } else { "" };
    format!("/{}{slash}", names.join("/"))
}
