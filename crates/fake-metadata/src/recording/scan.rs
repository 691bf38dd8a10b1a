//! Finds accounts, addresses and ids in a text, wherever they stand: in a document, an ARN, a host name, a path.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Something in a text that belongs to somebody, as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Twelve digits, or as the console prints them, `1111-2222-3333`.
    Account(&'a str),
    /// `i-0123456789abcdef0`: the kind and the hex digits.
    Resource(&'a str, &'a str),
    /// `AIPA...`: the kind, four letters, and the rest.
    Unique(&'a str, &'a str),
    /// With colons or dashes.
    Mac(&'a str),
    /// With the length of a CIDR block.
    Ipv4(Ipv4Addr, Option<u8>),
    /// `ip-10-0-1-23` and `ec2-...`: what stands before the address.
    DashedIpv4(&'a str, Ipv4Addr),
    /// Whether it is written out, without `::`, and the length of a CIDR block.
    Ipv6(Ipv6Addr, bool, Option<u8>),
}

/// Resources whose ids may have 8 hex digits, as all had until 2016; any kind may have 17.
const SHORT: [&str; 11] = ["aki", "ami", "ari", "eni", "i", "r", "sg", "snap", "subnet", "vol", "vpc"];
/// Kinds of IAM's unique ids. Source: IAM's page on identifiers.
const UNIQUE: [&str; 10] = ["ABIA", "ACCA", "AGPA", "AIDA", "AIPA", "AKIA", "ANPA", "ANVA", "AROA", "ASIA"];

/// The text with every token replaced; `None` leaves one as it is.
pub(super) fn replace(text: &str, mut with: impl FnMut(Token<'_>) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    let mut before = None;
    while let Some(next) = text[at..].chars().next() {
        let length = match token(&text[at..], before) {
            Some((token, length)) => {
                match with(token) {
                    Some(other) => out.push_str(&other),
                    None => out.push_str(&text[at..at + length]),
                }
                length
            }
            None => {
                out.push(next);
                next.len_utf8()
            }
        };
        before = text[at..at + length].chars().next_back();
        at += length;
    }
    out
}

/// The token that a text begins with, and its length in bytes.
fn token(text: &str, before: Option<char>) -> Option<(Token<'_>, usize)> {
    if before.is_some_and(|c| c.is_ascii_alphanumeric()) {
        return None;
    }
    let colon = before == Some(':');
    let dot = before == Some('.');
    mac(text)
        .filter(|_| !colon)
        .or_else(|| ipv6(text).filter(|_| !colon && !dot))
        .or_else(|| ipv4(text).filter(|_| !dot))
        .or_else(|| dashed_ipv4(text))
        .or_else(|| resource(text))
        .or_else(|| unique(text))
        .or_else(|| account(text))
}

/// Whether nothing of the same word follows.
fn ends(rest: &str, also: &[char]) -> bool {
    rest.chars().next().is_none_or(|c| !c.is_ascii_alphanumeric() && !also.contains(&c))
}

fn run(text: &str, of: impl Fn(u8) -> bool) -> &str {
    &text[..text.bytes().take_while(|byte| of(*byte)).count()]
}

fn mac(text: &str) -> Option<(Token<'_>, usize)> {
    let found = text.get(..17)?;
    let separator = found.as_bytes().get(2).copied().filter(|byte| matches!(byte, b':' | b'-'))?;
    let is_mac = found.bytes().enumerate().all(|(at, byte)| match at % 3 {
        2 => byte == separator,
        _ => byte.is_ascii_hexdigit(),
    });
    (is_mac && ends(&text[17..], &[':'])).then_some((Token::Mac(found), 17))
}

/// The length of a CIDR block that follows an address of so many bits, and how long it is written.
fn block(rest: &str, bits: u8) -> (Option<u8>, usize) {
    let Some(digits) = rest.strip_prefix('/').map(|rest| run(rest, |b| b.is_ascii_digit())) else {
        return (None, 0);
    };
    match digits.parse::<u8>() {
        Ok(length) if length <= bits && ends(&rest[1 + digits.len()..], &[]) => {
            (Some(length), 1 + digits.len())
        }
        _ => (None, 0),
    }
}

fn ipv4(text: &str) -> Option<(Token<'_>, usize)> {
    let found = run(text, |b| b.is_ascii_digit() || b == b'.').trim_end_matches('.');
    let address = found.parse().ok()?;
    let rest = &text[found.len()..];
    if !ends(rest, &[]) {
        return None;
    }
    let (length, more) = block(rest, 32);
    Some((Token::Ipv4(address, length), found.len() + more))
}

fn ipv6(text: &str) -> Option<(Token<'_>, usize)> {
    let mut found = run(text, |b| b.is_ascii_hexdigit() || b == b':' || b == b'.');
    if found.matches(':').count() < 2 {
        return None;
    }
    // A sentence or a list may go on after it.
    let address: Ipv6Addr = loop {
        match found.parse() {
            Ok(address) => break address,
            Err(_) => found = found.strip_suffix([':', '.'])?,
        }
    };
    let rest = &text[found.len()..];
    if !ends(rest, &[]) {
        return None;
    }
    let (length, more) = block(rest, 128);
    Some((Token::Ipv6(address, !found.contains("::"), length), found.len() + more))
}

fn dashed_ipv4(text: &str) -> Option<(Token<'_>, usize)> {
    let prefix = ["ip-", "ec2-"].into_iter().find(|prefix| text.starts_with(prefix))?;
    let digits = run(&text[prefix.len()..], |b| b.is_ascii_digit() || b == b'-');
    let address = digits.replace('-', ".").parse().ok()?;
    let length = prefix.len() + digits.len();
    ends(&text[length..], &[]).then_some((Token::DashedIpv4(&text[..prefix.len()], address), length))
}

fn resource(text: &str) -> Option<(Token<'_>, usize)> {
    let kind = run(text, |b| b.is_ascii_lowercase());
    let hex = run(text[kind.len()..].strip_prefix('-')?, |b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = !kind.is_empty() && (hex.len() == 17 || hex.len() == 8 && SHORT.contains(&kind));
    let length = kind.len() + 1 + hex.len();
    (is_id && ends(&text[length..], &['-', '_'])).then_some((Token::Resource(kind, hex), length))
}

fn unique(text: &str) -> Option<(Token<'_>, usize)> {
    let found = run(text, |b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let (kind, rest) = found.split_at_checked(4)?;
    let is_id = UNIQUE.contains(&kind) && (16..=28).contains(&rest.len());
    (is_id && ends(&text[found.len()..], &[])).then_some((Token::Unique(kind, rest), found.len()))
}

fn account(text: &str) -> Option<(Token<'_>, usize)> {
    let found = run(text, |b| b.is_ascii_digit());
    let found = if found.len() == 4 { run(text, |b| b.is_ascii_digit() || b == b'-') } else { found };
    // A dash that is none of the account's may follow.
    let found = if found.len() > 14 { &found[..14] } else { found };
    let is_account = match found.len() {
        12 => !found.contains('-'),
        14 => found.split('-').map(str::len).eq([4; 3]),
        _ => false,
    };
    (is_account && ends(&text[found.len()..], &[])).then_some((Token::Account(found), found.len()))
}

/// The accounts that a text names as such: in ARNs, and as the account of a JSON document.
pub(super) fn accounts(text: &str) -> Vec<String> {
    let is_account = |text: &&str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    let of_arns = text.split("arn:").skip(1).filter_map(|rest| rest.split(':').nth(3));
    let of_documents = ["\"accountId\"", "\"AccountId\""].into_iter().flat_map(|key| {
        let values = text.split(key).skip(1);
        values.filter_map(|rest| {
            rest.trim_start_matches([' ', ':', '\t', '\n']).strip_prefix('"')?.split('"').next()
        })
    });
    of_arns.chain(of_documents).filter(is_account).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let same = replace(text, |token| {
            found.push(format!("{token:?}"));
            None
        });
        assert_eq!(same, text);
        found
    }

    #[test]
    fn tokens_are_found_where_they_stand() {
        for (text, tokens) in [
            ("0e:49:61:0f:c3:11/", &["Mac(\"0e:49:61:0f:c3:11\")"][..]),
            ("0E-49-61-0F-C3-11", &["Mac(\"0E-49-61-0F-C3-11\")"]),
            ("if-0e-49-61-0f-c3-11-up", &["Mac(\"0e-49-61-0f-c3-11\")"]),
            ("10.0.1.0/24", &["Ipv4(10.0.1.0, Some(24))"]),
            ("a 10.0.1.23, 10.0.1.24.", &["Ipv4(10.0.1.23, None)", "Ipv4(10.0.1.24, None)"]),
            ("http://10.0.1.23:80/x", &["Ipv4(10.0.1.23, None)"]),
            ("ip-10-0-1-23.ec2.internal", &["DashedIpv4(\"ip-\", 10.0.1.23)"]),
            ("ec2-192-0-2-54.compute-1.amazonaws.com", &["DashedIpv4(\"ec2-\", 192.0.2.54)"]),
            ("2001:db8::1", &["Ipv6(2001:db8::1, false, None)"]),
            ("2600:1f18:0:0:0:0:0:0/56", &["Ipv6(2600:1f18::, true, Some(56))"]),
            ("http://[fd00:ec2::254]/", &["Ipv6(fd00:ec2::254, false, None)"]),
            ("i-0123456789abcdef0.us-east-2.compute.internal", &["Resource(\"i\", \"0123456789abcdef0\")"]),
            (
                "my-vpc-d295a6a7 subnet-0ac62554",
                &["Resource(\"vpc\", \"d295a6a7\")", "Resource(\"subnet\", \"0ac62554\")"],
            ),
            ("instance-event-0d59937288b749b32", &["Resource(\"event\", \"0d59937288b749b32\")"]),
            ("\"AIPA5BOGHHXZELSK34VU4\"", &["Unique(\"AIPA\", \"5BOGHHXZELSK34VU4\")"]),
            ("arn:aws:iam::123456789012:role/x", &["Account(\"123456789012\")"]),
            ("(1111-2222-3333)", &["Account(\"1111-2222-3333\")"]),
            ("of-1111-2222-3333-x", &["Account(\"1111-2222-3333\")"]),
        ] {
            assert_eq!(found(text), tokens, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_left_alone() {
        for text in [
            "1.2.3",
            "1.2.3.4.5",
            "v1.2.3.4",
            "10.0.0.256",
            "12:30:45",
            "0e:49:61:0f:c3:11:22",
            "0e-49:61-0f:c3-11",
            "0e-49-61-0f-c3-112",
            "build-20260101",
            "2026-01-01",
            "1111-2222-33334",
            "1111-22223333",
            "1234567890123",
            "t3.nano",
            "use1-az6",
            "2026-11-21T16:00:00Z",
            "8b22badd-c5d1-4ed0-8b5f-b32cd16cb483",
            "AIPASHORT",
            "ip-1-2-3",
            "::",
        ] {
            let tokens = found(text);
            assert!(tokens.is_empty() || text == "::", "{text}: {tokens:?}");
        }
    }

    #[test]
    fn accounts_are_known_by_what_stands_around_them() {
        let text = "{\n  \"accountId\" : \"111122223333\", \"AccountId\":\"222233334444\"} arn:aws:iam::333344445555:role/x \
                    arn:aws:s3:::bucket 444455556666";
        assert_eq!(accounts(text), ["333344445555", "111122223333", "222233334444"]);
    }
}
