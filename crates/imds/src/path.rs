//! The path of a request target: its spellings become one.
//!
//! As on EC2 (capture 2026-09-26): percent-encoding is decoded, `//` and `/./` collapse, a trailing slash and
//! the query mean nothing, case counts. Decoding comes first, so `%2F` separates too. `..` takes back one name
//! and never climbs above the root (RFC 3986, 5.2.4; what EC2 does is not known): nothing but the tree can be
//! reached, whatever the spelling. Clients resolve `..` themselves before they send.

use std::borrow::Cow;

use memchr::{memchr2, memchr3, memrchr};

/// The most names of a path that can be configured, guarded or passed on. The tree needs 8.
pub(crate) const MAX_NAMES: usize = 32;

/// The path of a request target, decoded, without the rest.
fn path_of(target: &str) -> Cow<'_, [u8]> {
    let path = match target.starts_with('/') {
        true => target,
        false => without_authority(target),
    };
    let path = path.as_bytes();
    // Most targets have none of them.
    if memchr3(b'?', b'#', b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    decode(&path[..memchr2(b'?', b'#', path).unwrap_or(path.len())])
}

/// What follows the authority of an absolute form: `/x` of `http://host/x`. Any other target as it is.
fn without_authority(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            rest.find('/').map_or("", |slash| &rest[slash..])
        }
        _ => target,
    }
}

/// Decodes `%XX`; a percent sign without two hex digits stands for itself.
fn decode(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.contains(&b'%') {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [first, tail @ ..] = rest {
        let pair = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match pair {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// A path in its one spelling: a slash before each name and none at the end, so that of the root nothing is left; decoded.
/// Most clients spell it so.
pub(crate) struct Path<'a>(Cow<'a, [u8]>);

impl<'a> Path<'a> {
    /// The path of a request target.
    pub(crate) fn of(target: &'a str) -> Path<'a> {
        match path_of(target) {
            Cow::Borrowed(path) => match path.strip_suffix(b"/").unwrap_or(path) {
                path if is_canonical(path) => Path(Cow::Borrowed(path)),
                path => Path(Cow::Owned(respelled(path))),
            },
            Cow::Owned(path) => Path(Cow::Owned(respelled(&path))),
        }
    }

    pub(crate) fn names(&self) -> Names<'_> {
        Names(&self.0)
    }
}

impl PartialEq<str> for Path<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

/// The names of a path, from the root on.
pub(crate) struct Names<'a>(&'a [u8]);

impl Names<'_> {
    /// Whether the last one was given.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Names<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (_slash, rest) = self.0.split_first()?;
        // Names are short: to search several bytes at once costs more.
        let (name, after) = rest.split_at(rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len()));
        self.0 = after;
        Some(name)
    }
}

/// Whether a decoded path is spelled as [`Path`] does. Names that begin with a dot are left to [`respelled`].
fn is_canonical(path: &[u8]) -> bool {
    let Some((first, after)) = path.split_first() else { return true };
    let odd = |(one, next): (&u8, &u8)| (*one == b'/') & ((*next == b'/') | (*next == b'.'));
    // Without an end before the last byte: several are looked at at once.
    let any_odd = path.iter().zip(after).fold(false, |any, pair| any | odd(pair));
    *first == b'/' && !path.ends_with(b"/") && !any_odd
}

/// The names of a decoded path, spelled as [`Path`] does.
fn respelled(path: &[u8]) -> Vec<u8> {
    let mut spelled = Vec::with_capacity(path.len() + 1);
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => spelled.truncate(memrchr(b'/', &spelled).unwrap_or(0)),
            name => {
                spelled.push(b'/');
                spelled.extend_from_slice(name);
            }
        }
    }
    spelled
}

/// The one spelling of a request target: names joined with single slashes after a leading one, decoded, no
/// trailing slash, no query. `None` for a path that cannot exist: too many names, or bytes that are no UTF-8.
///
/// Whoever guards or forwards paths must do it by this spelling, never by the raw one.
pub fn canonical(target: &str) -> Option<String> {
    let path = Path::of(target);
    match path.names().count() {
        0 => Some("/".to_owned()),
        1..=MAX_NAMES => String::from_utf8(path.0.into_owned()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spellings_of_one_path() {
        for target in [
            "/latest/meta-data/instance-id",
            "/latest/meta-data/instance-id/",
            "/latest//meta-data/instance-id",
            "//latest/meta-data/instance-id",
            "/latest/meta-data/./instance-id",
            "/latest/meta-data/instance-id?x=1",
            "/latest/meta-data/instance-id/?a=/b/../c",
            "/latest/meta-data/%69nstance-id",
            "/latest%2fmeta-data%2Finstance-id",
            "/latest/x/../meta-data/instance-id",
            "/../../latest/meta-data/instance-id",
            "/%2e%2e/latest/meta-data/instance-id",
            "http://169.254.169.254/latest/meta-data/instance-id",
            "http://[fd00:ec2::254]:80/latest/meta-data/instance-id?q",
        ] {
            assert_eq!(canonical(target).as_deref(), Some("/latest/meta-data/instance-id"), "{target}");
        }
    }

    #[test]
    fn odd_targets() {
        assert_eq!(canonical("").as_deref(), Some("/"));
        assert_eq!(canonical("/").as_deref(), Some("/"));
        assert_eq!(canonical("http://host").as_deref(), Some("/"));
        assert_eq!(canonical("*").as_deref(), Some("/*"));
        assert_eq!(canonical("/100%").as_deref(), Some("/100%"));
        assert_eq!(canonical("/%zz%4").as_deref(), Some("/%zz%4"));
        assert_eq!(canonical("/a/%2569").as_deref(), Some("/a/%69"), "decoded once only");
        assert_eq!(canonical("/x?u=http://h/y").as_deref(), Some("/x"));
        assert_eq!(canonical("/%ff"), None);
        assert_eq!(canonical(&"/a".repeat(MAX_NAMES)).map(|path| path.len()), Some(2 * MAX_NAMES));
        assert_eq!(canonical(&"/a".repeat(MAX_NAMES + 1)), None);
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_is_a_fixed_point(target in "[/.a-z?=]{0,40}") {
            let once = canonical(&target).unwrap();
            prop_assert_eq!(canonical(&once), Some(once.clone()));
            prop_assert!(once.split('/').all(|name| name != ".." && name != "."));
        }

        #[test]
        fn percent_encoding_every_byte_changes_nothing(path in "(/[a-z0-9:=-]{1,6}){0,6}") {
            let encoded: String = path.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(canonical(&encoded), canonical(&path));
        }

        #[test]
        fn the_names_are_those_between_the_slashes(target in "[/.a-c%2eEfF]{0,30}") {
            let path = Path::of(&target);
            let decoded = path_of(&target);
            let mut names: Vec<&[u8]> = Vec::new();
            for name in decoded.split(|byte| *byte == b'/').filter(|name| ![&b""[..], b"."].contains(name)) {
                match name {
                    b".." => drop(names.pop()),
                    name => names.push(name),
                }
            }
            prop_assert_eq!(path.names().collect::<Vec<_>>(), names);
        }

        #[test]
        fn any_target_is_taken_without_panic(target in "\\PC{0,60}") {
            let _ = canonical(&target);
        }
    }
}
