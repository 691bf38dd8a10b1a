//! The headers of our replies, made into hyper's and kept: those of one second are most often alike but for the body's
//! length and what a token has left, and making them costs several times what a copy does.

use std::sync::{Mutex, PoisonError};

use http::header::{self, CONNECTION, HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
/// The most headers a reply has, and one more that the front adds.
const HEADERS: usize = 9;
/// How many are kept: a client asks for a token, a list and what it lists.
const KEPT: usize = 4;

/// The headers of the last few kinds of replies.
#[derive(Debug, Default)]
pub(super) struct Heads(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    heads: [Option<Made>; KEPT],
    /// The one that makes room for the next.
    oldest: usize,
}

#[derive(Debug)]
struct Made {
    head: imds::Head,
    length: usize,
    token_ttl: Option<u32>,
    headers: HeaderMap,
}

impl Heads {
    /// The headers of a reply at the time `now`, in EC2's order; `close` puts `Connection: close` in its place.
    pub(super) fn of(&self, reply: &imds::Reply, now: Timestamp, close: bool) -> HeaderMap {
        let head = reply.head(now, close);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.heads.iter_mut().flatten().find(|made| made.head == head) {
            Some(made) => {
                made.set_numbers(reply);
                made.headers.clone()
            }
            None => {
                let made = Made::new(head, reply, now, close);
                let headers = made.headers.clone();
                let oldest = kept.oldest;
                kept.heads[oldest] = Some(made);
                kept.oldest = (oldest + 1) % KEPT;
                headers
            }
        }
    }
}

impl Made {
    fn new(head: imds::Head, reply: &imds::Reply, now: Timestamp, close: bool) -> Made {
        let mut headers = HeaderMap::with_capacity(HEADERS);
        for (name, value) in reply.headers(now, close) {
            headers.append(name_of(name), value_of(value));
        }
        Made { head, length: reply.content_length(), token_ttl: reply.token_ttl(), headers }
    }

    fn set_numbers(&mut self, reply: &imds::Reply) {
        let (length, token_ttl) = (reply.content_length(), reply.token_ttl());
        if self.length != length {
            self.length = length;
            self.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        // Replies of equal heads both have one, or neither.
        if let Some(seconds) = token_ttl
            && self.token_ttl != token_ttl
        {
            self.token_ttl = token_ttl;
            self.headers.insert(TOKEN_TTL, seconds.into());
        }
    }
}

fn name_of(name: imds::HeaderName) -> HeaderName {
    match name {
        imds::HeaderName::TokenTtl => TOKEN_TTL,
        imds::HeaderName::ContentType => header::CONTENT_TYPE,
        imds::HeaderName::AcceptRanges => header::ACCEPT_RANGES,
        imds::HeaderName::LastModified => header::LAST_MODIFIED,
        imds::HeaderName::ContentLength => header::CONTENT_LENGTH,
        imds::HeaderName::Date => header::DATE,
        imds::HeaderName::Server => header::SERVER,
        imds::HeaderName::Connection => CONNECTION,
        imds::HeaderName::Allow => header::ALLOW,
    }
}

fn value_of(value: imds::HeaderValue) -> HeaderValue {
    match value {
        imds::HeaderValue::Text(text) => HeaderValue::from_static(text),
        imds::HeaderValue::Number(number) => number.into(),
        imds::HeaderValue::Date(date) => {
            HeaderValue::try_from(date.to_string()).expect("a date is printable ASCII")
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
    }

    /// Replies of every kind of head, with one length and another, with a token's time and without.
    fn replies() -> Vec<imds::Reply> {
        let spec = imds::InstanceSpec::default();
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let instance = imds::Instance::resolve(&spec, start).unwrap();
        let trees = imds::Trees::build(&instance, &[], &imds::Overrides::default()).unwrap();
        let snapshot = imds::Snapshot {
            tokens: imds::TokenMode::Optional,
            endpoint: imds::Endpoint::Enabled,
            token_key: imds::TokenKey::new([7; 32]),
            trees,
            modified: start,
        };
        let ask = |method, target, token: imds::HeaderField<'_>, seconds: i64| {
            let request = imds::Request {
                method,
                target,
                token,
                token_ttl: imds::HeaderField::One(b"600"),
                forwarded_for: false,
                role: None,
                nonce: imds::Nonce::default(),
            };
            match imds::respond(&snapshot, &request, start + seconds.seconds()) {
                imds::Outcome::Reply(reply) => reply,
                imds::Outcome::Needs(need) => panic!("{need:?}"),
            }
        };
        let granted = ask("PUT", "/latest/api/token", imds::HeaderField::Absent, 0);
        let mut replies = vec![granted.clone()];
        for target in ["/latest/meta-data/instance-id", "/latest/meta-data/", "/none", "/latest/api/token"] {
            for method in ["GET", "HEAD", "OPTIONS", "POST"] {
                replies.push(ask(method, target, imds::HeaderField::Absent, 0));
                for seconds in [1, 2] {
                    replies.push(ask(method, target, imds::HeaderField::One(granted.body()), seconds));
                }
            }
        }
        replies
    }

    #[test]
    fn a_reply_has_its_own_headers_whatever_was_answered_before() {
        let start: Timestamp = "2026-11-21T10:00:10Z".parse().unwrap();
        let heads = Heads::default();
        let replies = replies();
        // Each after itself, and after each of the others.
        for (first, before) in replies.iter().enumerate() {
            for after in &replies[first..] {
                for (close, at) in [(true, start), (true, start + 1.second()), (false, start)] {
                    for reply in [before, after, before] {
                        let expected: Vec<_> = reply
                            .headers(at, close)
                            .map(|(name, value)| (name.as_str().to_ascii_lowercase(), value.to_string()))
                            .collect();
                        assert_eq!(lines(&heads.of(reply, at, close)), expected);
                    }
                }
            }
        }
    }
}
