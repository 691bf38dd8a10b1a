//! Why a step towards credentials failed, before it is known which role is concerned.

use jiff::Timestamp;

use crate::credentials::Secret;
use crate::failure::Failure;

/// Longest text that is taken over from somebody else's message.
const LONGEST_QUOTE: usize = 300;
/// A run of this many characters that keys and tokens are written in is taken for one.
const KEY_LIKE: usize = 30;

/// What went wrong. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// action target: cause (how to mend it).
    pub(crate) text: String,
    /// Whether nothing but a person can mend it.
    pub(crate) person: bool,
    /// STS says that this role may not be assumed: EC2 has words of its own for that.
    pub(crate) refused: Option<String>,
}

impl Trouble {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Trouble { text: text.into(), person: false, refused: None }
    }

    /// One that waits for a person.
    pub(crate) fn for_a_person(text: impl Into<String>) -> Self {
        Trouble { person: true, ..Trouble::new(text) }
    }

    /// The same without these, should an answer have repeated what it was sent.
    pub(crate) fn without(mut self, secrets: &[&Secret]) -> Self {
        for secret in secrets.iter().filter(|secret| !secret.expose().is_empty()) {
            self.text = self.text.replace(secret.expose(), "(hidden)");
        }
        self
    }

    /// What it means for a role.
    pub(crate) fn failure(self, action: &str, at: Timestamp) -> Failure {
        let failure = Failure::new(format!("{action}: {}", self.text), at);
        let failure = match &self.refused {
            Some(arn) => failure.unauthorized(arn),
            None => failure,
        };
        if self.person { failure.for_a_person() } else { failure }
    }
}

/// The first line of somebody else's message, without control characters and shortened.
pub(crate) fn line(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    match clean.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}...", &clean[..end]),
        None => clean,
    }
}

/// The same of a program that may print anything: without what looks like a key or a token.
pub(crate) fn quote(text: &str) -> String {
    let mut shown = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, shown: &mut String| {
        shown.push_str(if run.len() >= KEY_LIKE { "(hidden)" } else { run });
        run.clear();
    };
    // Not shortened yet: a key must not be cut down to what no longer looks like one.
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    for c in first.chars() {
        if c.is_ascii_alphanumeric() || "+/=_-".contains(c) {
            run.push(c);
        } else {
            flush(&mut run, &mut shown);
            shown.push(c);
        }
    }
    flush(&mut run, &mut shown);
    line(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_one_line_without_keys() {
        assert_eq!(quote("\n  Error: no such profile\nmore\n"), "Error: no such profile");
        assert_eq!(quote("bad secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY!"), "bad secret (hidden)!");
        assert_eq!(quote("a\u{1b}[31mred"), "a[31mred");
        assert!(quote(&"word ".repeat(200)).len() < 310);
        let long =
            "User: arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/me is not";
        assert_eq!(line(long), long);
        let told = Trouble::new("it said: hunter2 is wrong").without(&[&Secret::new("hunter2")]);
        assert_eq!(told.text, "it said: (hidden) is wrong");
    }

    #[test]
    fn a_refused_role_is_told_in_ec2s_words() {
        let trouble = Trouble { refused: Some("arn:aws:iam::1:role/team/App".into()), ..Trouble::new("no") };
        let failure = trouble.failure("assume role x", Timestamp::UNIX_EPOCH);
        assert_eq!(failure.code, "AssumeRoleUnauthorizedAccess");
        assert!(failure.message.starts_with("EC2 cannot assume the role App.  Please see"), "{failure:?}");
        assert_eq!(failure.detail, "assume role x: no");
        assert!(!failure.needs_person);
    }
}
