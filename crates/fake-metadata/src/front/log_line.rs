//! The line that the log has of every request: caller, method, path, status, microseconds, v1 or v2, and what else
//! happened to it. No query and no header: a token could be in one.

use std::fmt::Write;

use http::Request;
use hyper::body::Incoming;
use jiff::Timestamp;

use super::answer::Answer;
use crate::callers::Connection;
use crate::faults::{Met, Outcome};

/// Bytes of most lines.
const USUAL: usize = 128;
/// Characters of a path that are shown.
const SHOWN_PATH: usize = 256;

pub(super) fn log_request(
    request: &Request<Incoming>,
    caller: &Connection,
    answer: &Answer,
    came: Timestamp,
    withheld: bool,
    met: Option<&Met>,
) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    // In one piece: each piece that a line is formatted from costs the log as much as a whole one.
    let mut line = String::with_capacity(USUAL);
    line.push_str(&caller.name);
    line.push(' ');
    line.push_str(request.method().as_str());
    line.push(' ');
    push_path(&mut line, request.uri().path());
    // By the clock that has been read for the answer already, which may be set meanwhile: then one line is wrong.
    let micros = Timestamp::now().as_microsecond().saturating_sub(came.as_microsecond()).max(0);
    let (delivery, from) = answer.told();
    let mut digits = itoa::Buffer::new();
    line.push(' ');
    line.push_str(match met.and_then(|met| met.outcome) {
        // It is never sent.
        Some(Outcome::Hang | Outcome::Close | Outcome::Reset) => "-",
        _ => digits.format(answer.code()),
    });
    line.push(' ');
    line.push_str(digits.format(micros));
    line.push_str("us ");
    line.push_str(delivery);
    line.push_str(from);
    if withheld {
        line.push_str(" withheld by hop-limit");
    }
    if let Some(met) = met {
        // Writing to a string never fails.
        let _ = write!(line, "{met}");
    }
    log::info!("{line}");
}

/// A path, bounded, and unable to forge a second line.
fn push_path(line: &mut String, path: &str) {
    let end = match path.len() > SHOWN_PATH {
        true => path.char_indices().nth(SHOWN_PATH).map_or(path.len(), |(at, _)| at),
        false => path.len(),
    };
    let shown = &path[..end];
    // Without an end before the last byte: several are looked at at once.
    if shown.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic()) {
        line.push_str(shown);
    } else {
        line.extend(shown.escape_default());
    }
    if end < path.len() {
        line.push_str("...");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        let mut line = String::new();
        push_path(&mut line, path);
        line
    }

    #[test]
    fn a_path_is_bounded_and_stays_on_its_line() {
        assert_eq!(shown("/latest/meta-data/"), "/latest/meta-data/");
        assert_eq!(shown("/a\nb \u{e9}"), "/a\\nb \\u{e9}");
        let long = "/".repeat(SHOWN_PATH);
        assert_eq!(shown(&long), long);
        assert_eq!(shown(&format!("{long}x")), format!("{long}..."));
        assert_eq!(shown(&"\u{e9}".repeat(SHOWN_PATH + 1)), format!("{}...", "\\u{e9}".repeat(SHOWN_PATH)));
    }
}
