//! An upstream's answer, as it is passed on: status, headers and body as they came, but for what concerns
//! one connection alone, the session token of ours, and listings that must agree with ours.

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::response::Parts;
use http::{Method, StatusCode};
use hyper::ext::ReasonPhrase;

use super::marker::HOPS;

/// The headers of a message that end with its connection, beside those that `Connection` names (RFC 9110,
/// 7.6.1), and those that are between the upstream and us.
const NOT_PASSED: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    TOKEN_TTL,
    HOPS,
];
pub(super) const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

/// An answer to pass on.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// The reason phrase, where it is not the usual one.
    pub(crate) reason: Option<ReasonPhrase>,
    headers: HeaderMap,
    body: Bytes,
    /// The seconds that a session token was granted or has left.
    pub(super) granted: Option<u64>,
}

impl Reply {
    /// The answer to a request with this method.
    pub(super) fn new(method: &Method, mut parts: Parts, body: Bytes) -> Reply {
        let named: Vec<String> = parts
            .headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        // Built anew and not taken out of: that would change the order of the rest.
        let mut headers = HeaderMap::with_capacity(parts.headers.len() + 2);
        for (name, value) in &parts.headers {
            if !NOT_PASSED.contains(name) && !named.iter().any(|named| named == name.as_str()) {
                headers.append(name.clone(), value.clone());
            }
        }
        let has_body = *method != Method::HEAD
            && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_body {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        let granted = parts.headers.get(TOKEN_TTL).and_then(|value| value.to_str().ok()?.parse().ok());
        let reason = parts.extensions.remove::<ReasonPhrase>();
        Reply { status: parts.status, reason, headers, body, granted }
    }

    /// Whether the status says that here is what was asked for.
    pub(super) fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// Whether the body stands there as it is.
    pub(super) fn is_readable(&self) -> bool {
        !self.headers.contains_key(CONTENT_ENCODING)
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same with another body.
    pub(super) fn with_body(mut self, body: Bytes) -> Reply {
        if body != self.body {
            self.headers.remove(ETAG);
            self.headers.insert(CONTENT_LENGTH, body.len().into());
            self.body = body;
        }
        self
    }

    /// The same to a HEAD: the length stays.
    pub(crate) fn without_body(self) -> Reply {
        Reply { body: Bytes::new(), ..self }
    }

    /// The headers to send, in the order they came, with the seconds that the client's own token has left in
    /// front and `Connection: close` where EC2 has it: after `Server`, or at the end.
    pub(crate) fn into_parts(self, token_left: Option<u32>, close: bool) -> (HeaderMap, Bytes) {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        let closing = || (CONNECTION, HeaderValue::from_static("close"));
        headers.extend(token_left.map(|left| (TOKEN_TTL, left.into())));
        for (name, value) in &self.headers {
            headers.append(name.clone(), value.clone());
            if close && *name == SERVER && !headers.contains_key(CONNECTION) {
                headers.extend([closing()]);
            }
        }
        if close && !headers.contains_key(CONNECTION) {
            headers.extend([closing()]);
        }
        (headers, self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(method: Method, status: u16, headers: &[(&str, &str)], body: &'static str) -> Reply {
        let mut response = http::Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        Reply::new(&method, parts, Bytes::from_static(body.as_bytes()))
    }

    fn head(reply: Reply, left: Option<u32>, close: bool) -> String {
        let (headers, _) = reply.into_parts(left, close);
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_concerns_the_connection_is_not_passed_on() {
        let headers = [
            ("x-aws-ec2-metadata-token-ttl-seconds", "21600"),
            ("content-type", "text/plain"),
            ("transfer-encoding", "chunked"),
            ("connection", "keep-alive, X-Own"),
            ("keep-alive", "timeout=5"),
            ("x-own", "1"),
            ("server", "EC2ws"),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ];
        let passed = reply(Method::GET, 200, &headers, "value");
        assert_eq!(
            head(passed, Some(59), false),
            "x-aws-ec2-metadata-token-ttl-seconds: 59\ncontent-type: text/plain\nserver: EC2ws\nset-cookie: a\n\
             set-cookie: b\ncontent-length: 5"
        );
    }

    #[test]
    fn connection_close_stands_where_ec2_has_it() {
        let headers =
            [("content-length", "0"), ("date", "x"), ("server", "EC2ws"), ("content-type", "text/plain")];
        let passed = reply(Method::GET, 403, &headers, "");
        assert_eq!(
            head(passed, None, true),
            "content-length: 0\ndate: x\nserver: EC2ws\nconnection: close\ncontent-type: text/plain"
        );
        assert_eq!(
            head(reply(Method::GET, 500, &[], ""), None, true),
            "content-length: 0\nconnection: close"
        );
    }

    #[test]
    fn the_length_of_a_head_is_that_of_the_get() {
        let passed = reply(Method::HEAD, 200, &[("content-length", "19")], "");
        assert_eq!(head(passed, None, false), "content-length: 19");
        let listing = reply(Method::GET, 200, &[("content-length", "3"), ("etag", "x")], "a\nb");
        let shown = listing.with_body(Bytes::from_static(b"a\nb\niam/")).without_body();
        assert!(shown.body().is_empty());
        assert_eq!(head(shown, None, false), "content-length: 8");
    }
}
