//! Whose a path is: ours, the upstream's, or nobody's because credentials of the upstream's instance lie
//! there. Pure.
//!
//! It is decided on the path as `imds` spells it, and that spelling is what the upstream is asked for, so
//! that the two cannot read a path differently. What an upstream might still make of it, decoding it once
//! more, ignoring case or cutting names off, counts as if it did.

use std::borrow::Cow;

use bytes::Bytes;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::failure::Failure;
use super::reply::Reply;

/// What stands for itself in a path that is sent on; every other byte is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b':')
    .remove(b'=')
    .remove(b'@')
    .remove(b'+')
    .remove(b',');
/// How often a path may be encoded over before nobody means it.
const DECODED: usize = 4;

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// This daemon, as if there were no upstream.
    Ours,
    /// Nobody: what lies there is never passed on, and is not ours.
    Withheld,
    /// The upstream.
    Theirs(Passage),
}

/// How the upstream is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The path, encoded.
    pub(super) path: String,
    /// Which listing comes back, where it is one that must agree with what is served here.
    listing: Option<Listing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Listing {
    /// That of `meta-data/`, with the path that tells whether `iam/` is in it.
    MetaData(String),
    /// That of `identity-credentials/ec2/`.
    Identity,
}

impl Passage {
    /// The method to ask with: a listing that is changed here is needed whole to tell how long it is.
    pub(super) fn method(&self, asked: &Method) -> Method {
        if *asked == Method::HEAD && self.listing.is_some() { Method::GET } else { asked.clone() }
    }

    /// An answer as it is passed on: listings agree with what is served here. `ours` tells whether there is
    /// something at a path of the caller's own tree.
    ///
    /// # Errors
    /// A listing that cannot be read.
    pub(crate) fn shown(&self, reply: Reply, ours: impl Fn(&str) -> bool) -> Result<Reply, Failure> {
        if self.listing.is_none() || !reply.is_success() {
            return Ok(reply);
        }
        if !reply.is_readable() {
            return Err(Failure::Broken("its listing is encoded".into()));
        }
        Ok(match self.listed(reply.body(), ours) {
            Some(body) => reply.with_body(body),
            None => reply,
        })
    }

    fn listed(&self, body: &Bytes, ours: impl Fn(&str) -> bool) -> Option<Bytes> {
        Some(match self.listing.as_ref()? {
            Listing::MetaData(iam) => meta_data(body, ours(iam)),
            Listing::Identity => without(body, |line| line.starts_with(b"security-credentials")),
        })
    }
}

/// Decides for a request.
pub(crate) fn route(method: &Method, target: &str) -> Route {
    // Nothing but reading is passed on. TRACE least of all: it would show our session token.
    if !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) || target == "*" {
        return Route::Ours;
    }
    let Some(path) = imds::canonical(target) else { return Route::Withheld };
    let names: Vec<&str> = path.split('/').skip(1).collect();
    if path == "/latest/api/token" || is_iam(&names) {
        return Route::Ours;
    }
    if may_lead_to_credentials(&path) {
        return Route::Withheld;
    }
    let listing = match names.as_slice() {
        [_, "meta-data"] => Some(Listing::MetaData(format!("{path}/iam"))),
        [_, "meta-data", "identity-credentials", "ec2"] => Some(Listing::Identity),
        _ => None,
    };
    let mut sent: String = utf8_percent_encode(&path, ENCODED).collect();
    // Where folders redirect to themselves with a slash, one without it would redirect for ever.
    if path != "/" && ends_in_slash(target) {
        sent.push('/');
    }
    Route::Theirs(Passage { path: sent, listing })
}

/// Whether a path of our own tree, spelt as `imds` does, is served when there is an upstream.
pub(crate) fn is_ours(path: &str) -> bool {
    is_iam(&path.split('/').skip(1).collect::<Vec<_>>())
}

fn is_iam(names: &[&str]) -> bool {
    matches!(names, [_, "meta-data", "iam", ..])
}

fn ends_in_slash(target: &str) -> bool {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    path.ends_with('/') || path.ends_with("%2f") || path.ends_with("%2F")
}

/// Whether anything at all might find credentials of the upstream's instance at a path: those of its role
/// at `iam/`, of tasks at `iam-ecs-...` (the ECS agent's), and its own at `identity-credentials/`.
fn may_lead_to_credentials(path: &str) -> bool {
    let mut text = Cow::Borrowed(path);
    for round in 0..DECODED {
        // No path of a metadata service has them.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || names_credentials(&text, round > 0) {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        if decoded == text {
            return false;
        }
        text = Cow::Owned(decoded.into_owned());
    }
    true
}

/// `carelessly`: wherever in the path, since what was encoded over may be dots and slashes too.
fn names_credentials(path: &str, carelessly: bool) -> bool {
    let names: Vec<String> = path.split(['/', '\\']).map(bare).collect();
    if names.iter().any(|name| name.starts_with("security-credentials")) {
        return true;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~:=@+,".contains(&byte);
    if !carelessly && path.bytes().all(plain) {
        return names.windows(2).any(|pair| pair[0] == "meta-data" && pair[1].starts_with("iam"));
    }
    names.iter().any(|name| name.starts_with("iam"))
}

/// A name as the most careless reader would take it: no case, no parameters, nothing but letters.
fn bare(name: &str) -> String {
    let name = name.split([';', '?', '#']).next().unwrap_or_default();
    let kept = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-');
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

/// The listing of `meta-data/` with `iam/` in its place or without it.
fn meta_data(body: &Bytes, with_iam: bool) -> Bytes {
    const IAM: &[u8] = b"iam/";
    let is_iam = |line: &[u8]| line.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"iam"));
    let kept = without(body, |line| is_iam(line) && !(with_iam && line == IAM));
    if !with_iam || kept.split(|byte| *byte == b'\n').any(|line| line == IAM) {
        return kept;
    }
    if kept.is_empty() {
        return Bytes::from_static(IAM);
    }
    let mut lines: Vec<&[u8]> = kept.split(|byte| *byte == b'\n').collect();
    let end = if kept.ends_with(b"\n") { lines.len() - 1 } else { lines.len() };
    let at = lines[..end].iter().position(|line| *line > IAM).unwrap_or(end);
    lines.insert(at, IAM);
    lines.join(&b'\n').into()
}

fn without(body: &Bytes, unwanted: impl Fn(&[u8]) -> bool) -> Bytes {
    if !body.split(|byte| *byte == b'\n').any(&unwanted) {
        return body.clone();
    }
    let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').filter(|line| !unwanted(line)).collect();
    lines.join(&b'\n').into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(target: &str) -> Route {
        route(&Method::GET, target)
    }

    fn sent(target: &str) -> String {
        match get(target) {
            Route::Theirs(passage) => passage.path,
            other => panic!("{target}: {other:?}"),
        }
    }

    #[test]
    fn what_is_passed_on_is_spelt_one_way() {
        assert_eq!(sent("/"), "/");
        assert_eq!(sent("//latest/./meta-data/x/../instance-id?q=1"), "/latest/meta-data/instance-id");
        assert_eq!(sent("/latest/meta-data/placement/region/"), "/latest/meta-data/placement/region/");
        assert_eq!(sent("/latest%2Fmeta-data%2f"), "/latest/meta-data/");
        assert_eq!(sent("http://169.254.169.254/latest/user-data"), "/latest/user-data");
        assert_eq!(sent("/latest/meta-data/public-keys/0=my-key"), "/latest/meta-data/public-keys/0=my-key");
        assert_eq!(sent("/latest/meta-data/tags/instance/a%3Fb"), "/latest/meta-data/tags/instance/a%3Fb");
        assert_eq!(sent("/latest/dynamic/iam"), "/latest/dynamic/iam");
        assert_eq!(sent("/latest/meta-data/tags/instance/iam"), "/latest/meta-data/tags/instance/iam");
    }

    #[test]
    fn iam_is_ours_in_every_spelling_that_is_one() {
        for target in [
            "/latest/meta-data/iam",
            "/latest/meta-data/iam/",
            "/2012-01-12/meta-data/iam/info",
            "//latest//meta-data/./iam/x/../security-credentials/Role",
            "/latest/%6deta-data/i%61m/security-credentials/",
            "/latest/meta-data/iam?x",
            "/latest/api/token",
        ] {
            assert_eq!(get(target), Route::Ours, "{target}");
        }
        assert_eq!(route(&Method::POST, "/latest/meta-data/instance-id"), Route::Ours);
        assert_eq!(route(&Method::TRACE, "/latest/meta-data/instance-id"), Route::Ours);
        assert_eq!(route(&Method::OPTIONS, "*"), Route::Ours);
    }

    #[test]
    fn what_somebody_could_take_for_credentials_is_withheld() {
        for target in [
            "/latest/meta-data/IAM/security-credentials/",
            "/Latest/Meta-Data/Iam",
            "/latest/meta-data/iam%20/info",
            "/latest/meta-data/iam;x=1/info",
            "/latest/meta-data;x=1/iam",
            "/latest/meta-data/iam%3Finfo",
            "/latest/meta-data/%2569am/info",
            "/latest/meta-data/%25%36%39am/info",
            "/latest/meta-data%255c%2569am",
            "/latest/meta-data\\iam",
            "/latest/meta-data/%00iam",
            "/latest/meta-data/x/%252e%252e/iam",
            "/latest/meta-data/%252E/%2569am/info",
            "/latest/meta-data/x/%252E%252e/%2569am/info",
            "/meta-data/iam/security-credentials/Role",
            "/x/latest/meta-data/iam/info",
            "/latest/meta-data/iam-ecs-task/credentials",
            "/latest/meta-data/identity-credentials/ec2/security-credentials",
            "/latest/meta-data/identity-credentials/ec2/security-credentials/ec2-instance",
            "/latest/meta-data/identity-credentials/ec2/Security%2dCredentials/ec2-instance",
            "/latest/meta-data/%ff",
            "/latest/meta-data/%c0%afiam",
            "/latest/meta-data/%2525252525252569",
        ] {
            assert_eq!(get(target), Route::Withheld, "{target}");
        }
    }

    fn listing(target: &str, body: &'static str, role: bool) -> String {
        let Route::Theirs(passage) = get(target) else { panic!("{target}") };
        let shown = passage.listed(&Bytes::from_static(body.as_bytes()), |path| {
            assert_eq!(path, "/latest/meta-data/iam");
            role
        });
        String::from_utf8(shown.unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_menu_shows_iam_exactly_when_the_caller_has_a_role() {
        let menu = |body, role| listing("/latest/meta-data/", body, role);
        assert_eq!(menu("hostname\niam/\nmac", true), "hostname\niam/\nmac");
        assert_eq!(menu("hostname\niam/\nmac", false), "hostname\nmac");
        assert_eq!(menu("hostname\nmac", true), "hostname\niam/\nmac");
        assert_eq!(menu("hostname\nmac", false), "hostname\nmac");
        assert_eq!(menu("hostname\niam-ecs-1/\niam/\nmac", true), "hostname\niam/\nmac");
        assert_eq!(menu("ami-id\nhostname", true), "ami-id\nhostname\niam/");
        assert_eq!(menu("ami-id\nhostname\n", true), "ami-id\nhostname\niam/\n");
        assert_eq!(menu("", true), "iam/");
        assert_eq!(menu("iam/", false), "");
    }

    #[test]
    fn what_is_withheld_is_not_listed() {
        let path = "/latest/meta-data/identity-credentials/ec2";
        assert_eq!(listing(path, "info\nsecurity-credentials/", true), "info");
        let Route::Theirs(other) = get("/latest/meta-data/placement") else { panic!() };
        assert_eq!(other.listed(&Bytes::from_static(b"security-credentials/"), |_| true), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// However a path to credentials is spelt, what is sent on leads nowhere near them.
        #[test]
        fn nothing_sent_on_leads_to_credentials(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("latest"), Just("meta-data"), Just("iam"), Just("IAM"), Just("security-credentials"),
                    Just("identity-credentials"), Just("ec2"), Just("."), Just(".."), Just(""), Just("Role"),
                ], 0..8),
            encode in proptest::collection::vec(0u8..3, 64),
        ) {
            let mut target = String::new();
            let mut how = encode.iter().cycle();
            for word in &words {
                target.push('/');
                for byte in word.bytes() {
                    match how.next() {
                        Some(1) => target.push_str(&format!("%{byte:02x}")),
                        Some(2) => target.push_str(&format!("%25{byte:02X}")),
                        _ => target.push(byte as char),
                    }
                }
            }
            if let Route::Theirs(passage) = get(&target) {
                let mut read = passage.path.to_lowercase();
                for _ in 0..3 {
                    let again = imds::canonical(&read);
                    prop_assert!(again.is_some());
                    read = again.unwrap_or_default().to_lowercase();
                    prop_assert!(!read.contains("meta-data/iam") && !read.contains("security-credentials"), "{target} {read}");
                }
            }
        }
    }
}
