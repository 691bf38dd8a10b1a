//! The header fields of a request that decide about its answer, found in one walk: every look-up by name would hash
//! the name anew.

use http::header::HeaderMap;
use imds::HeaderField;

use crate::upstream::HOPS_FIELD;

/// What those fields say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) host: HeaderField<'a>,
    pub(super) token: HeaderField<'a>,
    pub(super) token_ttl: HeaderField<'a>,
    pub(super) forwarded_for: bool,
    /// Whether a daemon like this one has passed the request on.
    pub(super) passed_on: bool,
    /// Whether the connection is to be kept. EC2 closes after every reply unless the client asked for that,
    /// HTTP/1.1 or not (reference 1.2).
    pub(super) keep: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Fields<'a> {
        let mut fields = Fields {
            host: HeaderField::Absent,
            token: HeaderField::Absent,
            token_ttl: HeaderField::Absent,
            forwarded_for: false,
            passed_on: false,
            keep: false,
        };
        let mut close = false;
        for (name, value) in headers {
            let bytes = value.as_bytes();
            // Names are in small letters here, however they were sent.
            match name.as_str() {
                "host" => fields.host = one_more(fields.host, bytes),
                "x-aws-ec2-metadata-token" => fields.token = one_more(fields.token, bytes),
                "x-aws-ec2-metadata-token-ttl-seconds" => {
                    fields.token_ttl = one_more(fields.token_ttl, bytes);
                }
                "x-forwarded-for" => fields.forwarded_for = true,
                HOPS_FIELD => fields.passed_on = true,
                // As nearly all say it who do.
                "connection" if bytes == b"keep-alive" => fields.keep = true,
                "connection" => {
                    for option in bytes.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                        close |= option.eq_ignore_ascii_case(b"close");
                        fields.keep |= option.eq_ignore_ascii_case(b"keep-alive");
                    }
                }
                _ => {}
            }
        }
        Fields { keep: fields.keep && !close, ..fields }
    }

    /// How a request asks that is not answered by `imds`.
    pub(super) fn delivery(&self, method: &http::Method) -> imds::Delivery {
        match method == http::Method::PUT || self.token != HeaderField::Absent {
            true => imds::Delivery::V2,
            false => imds::Delivery::V1,
        }
    }
}

fn one_more<'a>(seen: HeaderField<'a>, value: &'a [u8]) -> HeaderField<'a> {
    match seen {
        HeaderField::Absent => HeaderField::One(value),
        HeaderField::One(_) | HeaderField::Several => HeaderField::Several,
    }
}

#[cfg(test)]
mod tests {
    use http::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn each_field_is_absent_once_or_several_times() {
        let none = headers(&[("user-agent", "x"), ("x-aws-ec2-metadata-token-x", "x")]);
        let fields = Fields::of(&none);
        assert_eq!((fields.host, fields.token), (HeaderField::Absent, HeaderField::Absent));
        assert!(!fields.forwarded_for && !fields.keep);
        let all = headers(&[
            ("host", "a"),
            ("x-aws-ec2-metadata-token", "t"),
            ("x-forwarded-for", ""),
            ("x-aws-ec2-metadata-token-ttl-seconds", "1"),
            ("x-aws-ec2-metadata-token-ttl-seconds", "2"),
        ]);
        let fields = Fields::of(&all);
        assert_eq!(fields.host, HeaderField::One(b"a"));
        assert_eq!(fields.token, HeaderField::One(b"t"));
        assert_eq!(fields.token_ttl, HeaderField::Several);
        assert!(fields.forwarded_for);
    }

    #[test]
    fn a_connection_is_kept_where_that_is_asked_for_and_close_is_not() {
        for (lines, keep) in [
            (&["keep-alive"] as &[&str], true),
            (&["Keep-Alive, Upgrade"], true),
            (&["upgrade", " x ,KEEP-ALIVE\t"], true),
            (&["keep-alive, close"], false),
            (&["Close", "keep-alive"], false),
            (&["keep-alive-not"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut all = HeaderMap::new();
            for line in lines {
                all.append(http::header::CONNECTION, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(Fields::of(&all).keep, keep, "{lines:?}");
        }
    }

    #[test]
    fn a_put_or_a_token_is_the_second_version() {
        let token = headers(&[("x-aws-ec2-metadata-token", "t")]);
        assert_eq!(Fields::of(&token).delivery(&http::Method::GET), imds::Delivery::V2);
        assert_eq!(Fields::of(&HeaderMap::new()).delivery(&http::Method::PUT), imds::Delivery::V2);
        assert_eq!(Fields::of(&HeaderMap::new()).delivery(&http::Method::GET), imds::Delivery::V1);
    }
}
