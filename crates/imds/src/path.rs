//! The request target as a list of names: the spellings of one path become one.
//!
//! As on EC2 (capture 2026-09-26): percent-encoding is decoded, `//` and `/./` collapse, a trailing slash and
//! the query mean nothing, case counts. Decoding comes first, so `%2F` separates too. `..` takes back one name
//! and never climbs above the root (RFC 3986, 5.2.4; what EC2 does is not known): nothing but the tree can be
//! reached, whatever the spelling. Clients resolve `..` themselves before they send.

use std::borrow::Cow;

use memchr::{memchr2, memchr3};

/// The longest path in names. The tree needs 8; a request with more names than this finds nothing.
pub(crate) const MAX_SEGMENTS: usize = 32;

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

/// A decoded target, from which [`Segments`] borrow.
pub(crate) struct Decoded<'a>(Cow<'a, [u8]>);

impl<'a> Decoded<'a> {
    pub(crate) fn new(target: &'a str) -> Decoded<'a> {
        Decoded(path_of(target))
    }

    /// The names of the path, or `None` when there are more than any path of the tree has.
    pub(crate) fn segments(&self) -> Option<Segments<'_>> {
        let mut segments = Segments { names: [&[]; MAX_SEGMENTS], length: 0 };
        for name in self.0.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => segments.length = segments.length.saturating_sub(1),
                name => {
                    *segments.names.get_mut(segments.length)? = name;
                    segments.length += 1;
                }
            }
        }
        Some(segments)
    }
}

/// The names of a path, without allocation.
pub(crate) struct Segments<'a> {
    names: [&'a [u8]; MAX_SEGMENTS],
    length: usize,
}

impl<'a> std::ops::Deref for Segments<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &[&'a [u8]] {
        &self.names[..self.length]
    }
}

/// The one spelling of a request target: names joined with single slashes after a leading one, decoded, no
/// trailing slash, no query. `None` for a path that cannot exist: too many names, or bytes that are no UTF-8.
///
/// Whoever guards or forwards paths must do it by this spelling, never by the raw one.
pub fn canonical(target: &str) -> Option<String> {
    let decoded = Decoded::new(target);
    let segments = decoded.segments()?;
    if segments.is_empty() {
        return Some("/".to_owned());
    }
    let mut path = Vec::with_capacity(target.len());
    for name in segments.iter() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    String::from_utf8(path).ok()
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
        assert_eq!(canonical(&"/a".repeat(MAX_SEGMENTS)).map(|path| path.len()), Some(2 * MAX_SEGMENTS));
        assert_eq!(canonical(&"/a".repeat(MAX_SEGMENTS + 1)), None);
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
        fn any_target_is_taken_without_panic(target in "\\PC{0,60}") {
            let _ = canonical(&target);
        }
    }
}
