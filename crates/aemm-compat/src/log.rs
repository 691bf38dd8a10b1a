//! AEMM's log on standard error: what its lines on requests say, in its words, for scripts that search them.
//!
//! Two of its lines hold whole requests, with every header, and a token that was refused: those say less here.

use std::io::Write;
use std::net::SocketAddr;

use jiff::Timestamp;

use crate::instant::Instant;

/// Writes a line.
pub(crate) fn log(message: &str) {
    lines(&[message.to_owned()]);
}

/// Writes lines of one request, together. Nobody need read them.
pub(crate) fn lines(messages: &[String]) {
    let time = Timestamp::now().strftime("%Y/%m/%d %H:%M:%S");
    let text: String = messages.iter().map(|message| format!("{time} {}\n", printable(message))).collect();
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// What a client sent stays on its line.
fn printable(message: &str) -> String {
    message.chars().fold(String::with_capacity(message.len()), |mut text, char| {
        match char.is_control() {
            true => text.extend(char.escape_default()),
            false => text.push(char),
        }
        text
    })
}

/// A request for an event. AEMM has path and address the wrong way round, so here they are too.
pub(crate) fn asked(what: &str, path: &str, client: SocketAddr) -> String {
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    format!("RemoteAddr: {path} sent request to mock {what}: {client}")
}

/// A client that came after the last one that is let in.
pub(crate) fn not_eligible(client: &str, what: &str, count: i64) -> String {
    format!(
        "Requesting IP {client} is not eligible for {what} because the max number of IPs configured ({count}) has \
         been reached."
    )
}

/// An event that has not begun, for want of seconds of a delay.
pub(crate) fn delayed(delay: i64, remaining: i64) -> String {
    format!("Delaying the response by {delay}s as requested. {}", available(remaining))
}

/// An event that has not begun, for its trigger time is to come.
pub(crate) fn not_triggered(name: &str, at: &Instant, remaining: i64) -> String {
    format!("{name} {} was not reached yet. {}", at.as_go_prints(), available(remaining))
}

fn available(remaining: i64) -> String {
    format!("The mock response will be available in {remaining}s. Returning `notFoundResponse` for now")
}

/// A reply of one kind was made.
pub(crate) fn returned(kind: &str) -> String {
    format!("Returned {kind} successfully.")
}

/// Why no token was given.
pub(crate) fn wrong_ttl(ttl: Option<&str>) -> String {
    let ttl = ttl.unwrap_or_default();
    let why = match ttl {
        "" => "TTL is nil".to_owned(),
        ttl if ttl.parse::<i64>().is_err() => format!("strconv.Atoi: parsing {ttl:?}: invalid syntax"),
        _ => "TTL needs to be between 0-21600 seconds".to_owned(),
    };
    format!("Something went wrong with ttl validation: {why} with requested TTL: {ttl}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        assert_eq!(printable("a\nb\u{1b}[1m ä"), "a\\nb\\u{1b}[1m ä");
    }

    #[test]
    fn times_as_go_prints_them() {
        let line = |text: &str| not_triggered("MockTriggerTime", &Instant::parse(text).unwrap(), 5);
        let rest = "was not reached yet. The mock response will be available in 5s. Returning `notFoundResponse` for now";
        assert_eq!(
            line("2026-01-01T01:00:05Z"),
            format!("MockTriggerTime 2026-01-01 01:00:05 +0000 UTC {rest}")
        );
        assert_eq!(
            line("2026-01-01T01:00:05-03:30"),
            format!("MockTriggerTime 2026-01-01 01:00:05 -0330 -0330 {rest}")
        );
    }

    #[test]
    fn what_is_wrong_with_a_ttl() {
        for (ttl, why) in [
            (None, "TTL is nil with requested TTL: "),
            (Some("x"), "strconv.Atoi: parsing \"x\": invalid syntax with requested TTL: x"),
            (Some("0"), "TTL needs to be between 0-21600 seconds with requested TTL: 0"),
        ] {
            assert_eq!(wrong_ttl(ttl), format!("Something went wrong with ttl validation: {why}"));
        }
    }
}
