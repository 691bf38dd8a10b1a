//! Why a step towards credentials failed, before it is known which role is concerned.

use jiff::Timestamp;

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

/// The first line of somebody else's message, without control characters, shortened, and without
/// anything that looks like a key or a token.
pub(crate) fn quote(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    let clean: String = line.chars().filter(|c| !c.is_control()).collect();
    let mut shown = String::new();
    let mut run = String::new();
    let flush = |run: &mut String, shown: &mut String| {
        shown.push_str(if run.len() >= KEY_LIKE { "(hidden)" } else { run });
        run.clear();
    };
    for c in clean.chars() {
        if c.is_ascii_alphanumeric() || "+/=_-".contains(c) {
            run.push(c);
        } else {
            flush(&mut run, &mut shown);
            shown.push(c);
        }
    }
    flush(&mut run, &mut shown);
    match shown.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
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
        assert_eq!(
            quote("User: arn:aws:iam::111122223333:user/dev is not authorized to perform: sts:AssumeRole"),
            "User: arn:aws:iam::111122223333:user/dev is not authorized to perform: sts:AssumeRole"
        );
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
