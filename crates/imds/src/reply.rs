//! A reply: status, headers in EC2's order, body. Every reply of the service is made here.
//!
//! Header sets, their order and their casing are those of reference section 1.3; bodies of errors are those
//! of 1.6. A reply always has a content length; nothing is compressed or chunked.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;

use crate::date::HttpDate;
use crate::request::Delivery;

/// The page every 404 carries: 339 bytes, from a capture of 2026-09-26.
pub const NOT_FOUND_PAGE: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n",
    "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n",
    "\t\t \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n",
    "<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n",
    " <head>\n",
    "  <title>404 - Not Found</title>\n",
    " </head>\n",
    " <body>\n",
    "  <h1>404 - Not Found</h1>\n",
    " </body>\n",
    "</html>\n",
);

/// What every reply calls its server.
pub const SERVER: &str = "EC2ws";

/// The statuses the service answers with, and those a played fault may answer with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// 200
    Ok,
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405, whose reason phrase on EC2 is `Not Allowed`
    NotAllowed,
    /// 429, a fault only
    TooManyRequests,
    /// 500, a fault only
    InternalServerError,
    /// 502, where an upstream service gives no answer that can be passed on
    BadGateway,
    /// 503, a fault only
    ServiceUnavailable,
    /// 504, where an upstream service does not answer in time
    GatewayTimeout,
    /// 508, where an upstream service leads back here
    LoopDetected,
}

impl Status {
    /// The number.
    pub fn code(self) -> u16 {
        match self {
            Status::Ok => 200,
            Status::BadRequest => 400,
            Status::Unauthorized => 401,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::NotAllowed => 405,
            Status::TooManyRequests => 429,
            Status::InternalServerError => 500,
            Status::BadGateway => 502,
            Status::ServiceUnavailable => 503,
            Status::GatewayTimeout => 504,
            Status::LoopDetected => 508,
        }
    }

    /// The reason phrase, where it is not the one of RFC 9110.
    pub fn reason(self) -> Option<&'static str> {
        (self == Status::NotAllowed).then_some("Not Allowed")
    }
}

/// The Content-Types of the service. No charset; JSON is `text/plain` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContentType {
    /// Listings, values, JSON, and the empty bodies of 400, 401, 403 and 405.
    Plain,
    /// User data.
    OctetStream,
    /// The page of a 404.
    Html,
}

impl ContentType {
    /// The header's value.
    pub fn as_str(self) -> &'static str {
        match self {
            ContentType::Plain => "text/plain",
            ContentType::OctetStream => "application/octet-stream",
            ContentType::Html => "text/html",
        }
    }
}

/// What makes the header sets of section 1.3 differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A value or listing, last changed then.
    Data(Timestamp),
    /// The reply to a token PUT.
    Token,
    /// A page or nothing, saying what went wrong.
    Error,
    /// No body, and the methods the path takes.
    Allow(&'static str),
}

/// A finished reply.
#[derive(Clone, Debug)]
pub struct Reply {
    status: Status,
    kind: Kind,
    content_type: ContentType,
    content_length: usize,
    body: Bytes,
    token_ttl: Option<u32>,
    delivery: Delivery,
}

impl Reply {
    pub(crate) fn data(content_type: ContentType, body: Bytes, modified: Timestamp) -> Reply {
        Reply::new(Status::Ok, Kind::Data(modified), content_type, body)
    }

    pub(crate) fn token(token: String, ttl: u32) -> Reply {
        let reply = Reply::new(Status::Ok, Kind::Token, ContentType::Plain, Bytes::from(token));
        Reply { token_ttl: Some(ttl), delivery: Delivery::V2, ..reply }
    }

    /// The reply of a failed request: 404 with its page, every other status with nothing.
    ///
    /// For the front, which refuses some requests itself, and for faults that are played.
    pub fn error(status: Status) -> Reply {
        match status {
            Status::NotFound => {
                let page = Bytes::from_static(NOT_FOUND_PAGE.as_bytes());
                Reply::new(status, Kind::Error, ContentType::Html, page)
            }
            _ => Reply::new(status, Kind::Error, ContentType::Plain, Bytes::new()),
        }
    }

    pub(crate) fn allow(status: Status, methods: &'static str) -> Reply {
        Reply::new(status, Kind::Allow(methods), ContentType::Plain, Bytes::new())
    }

    fn new(status: Status, kind: Kind, content_type: ContentType, body: Bytes) -> Reply {
        let content_length = body.len();
        Reply { status, kind, content_type, content_length, body, token_ttl: None, delivery: Delivery::V1 }
    }

    /// The same reply to a caller whose token has so many seconds left.
    pub(crate) fn with_token_left(self, seconds: u32) -> Reply {
        Reply { token_ttl: Some(seconds), ..self }
    }

    /// The same reply to a caller who spoke so.
    pub fn delivered(self, delivery: Delivery) -> Reply {
        Reply { delivery, ..self }
    }

    /// The same reply to a HEAD: the length stays, the body goes.
    pub(crate) fn without_body(self) -> Reply {
        Reply { body: Bytes::new(), ..self }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The body to send; empty for a HEAD, whatever [`Reply::content_length`] says.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The reply without its body, for the front that has its own type of body.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// The value of Content-Length.
    pub fn content_length(&self) -> usize {
        self.content_length
    }

    /// The value of Content-Type.
    pub fn content_type(&self) -> ContentType {
        self.content_type
    }

    /// The value of Allow: on 405 and on the reply to OPTIONS.
    pub fn allowed(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Allow(methods) => Some(methods),
            _ => None,
        }
    }

    /// The seconds of `X-Aws-Ec2-Metadata-Token-Ttl-Seconds`: granted to a token PUT, left to any other
    /// request whose token was accepted.
    pub fn token_ttl(&self) -> Option<u32> {
        self.token_ttl
    }

    /// Whether this hands out a token: the one reply that the hop limit is about.
    pub fn is_token(&self) -> bool {
        self.kind == Kind::Token
    }

    /// Whether the caller spoke v1 or v2.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// What its headers say at the time `now`, but for their numbers; `close` puts `Connection: close` in its place.
    pub fn head(&self, now: Timestamp, close: bool) -> Head {
        Head {
            // Content-Type comes first with a body that was asked for, and last otherwise.
            body_first: matches!(self.kind, Kind::Data(_)) || self.status == Status::NotFound,
            content_type: self.content_type,
            modified: match self.kind {
                Kind::Data(at) => Some(HttpDate::new(at.min(now))),
                _ => None,
            },
            allowed: self.allowed(),
            date: HttpDate::new(now),
            close,
            has_ttl: self.token_ttl.is_some(),
        }
    }

    /// The headers in EC2's order at the time `now`; `close` puts `Connection: close` in its place.
    pub fn headers(&self, now: Timestamp, close: bool) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let head = self.head(now, close);
        let ttl = self.token_ttl.map(|ttl| (HeaderName::TokenTtl, HeaderValue::Number(ttl as usize)));
        let content_type = (HeaderName::ContentType, HeaderValue::Text(head.content_type.as_str()));
        let text = |name, text| (name, HeaderValue::Text(text));
        let date = |name, date| (name, HeaderValue::Date(date));
        [
            ttl,
            head.body_first.then_some(content_type),
            head.modified.map(|_| text(HeaderName::AcceptRanges, "none")),
            head.modified.map(|modified| date(HeaderName::LastModified, modified)),
            head.allowed.map(|methods| text(HeaderName::Allow, methods)),
            Some((HeaderName::ContentLength, HeaderValue::Number(self.content_length))),
            Some(date(HeaderName::Date, head.date)),
            Some(text(HeaderName::Server, SERVER)),
            head.close.then_some(text(HeaderName::Connection, "close")),
            (!head.body_first).then_some(content_type),
        ]
        .into_iter()
        .flatten()
    }
}

/// What the headers of a reply say, but for the numbers in them: the replies of one second have few different ones.
///
/// Replies with equal heads have the same headers in the same order, with the same values but for `Content-Length`
/// and `X-Aws-Ec2-Metadata-Token-Ttl-Seconds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Head {
    body_first: bool,
    content_type: ContentType,
    modified: Option<HttpDate>,
    allowed: Option<&'static str>,
    date: HttpDate,
    close: bool,
    has_ttl: bool,
}

/// The names of the headers of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderName {
    /// The seconds a token was granted or has left.
    TokenTtl,
    /// Content-Type
    ContentType,
    /// Accept-Ranges
    AcceptRanges,
    /// Last-Modified
    LastModified,
    /// Content-Length
    ContentLength,
    /// Date
    Date,
    /// Server
    Server,
    /// Connection
    Connection,
    /// Allow
    Allow,
}

impl HeaderName {
    /// The name in EC2's casing.
    pub fn as_str(self) -> &'static str {
        match self {
            HeaderName::TokenTtl => "X-Aws-Ec2-Metadata-Token-Ttl-Seconds",
            HeaderName::ContentType => "Content-Type",
            HeaderName::AcceptRanges => "Accept-Ranges",
            HeaderName::LastModified => "Last-Modified",
            HeaderName::ContentLength => "Content-Length",
            HeaderName::Date => "Date",
            HeaderName::Server => "Server",
            HeaderName::Connection => "Connection",
            HeaderName::Allow => "Allow",
        }
    }
}

/// The value of a header, in the form that costs the front least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// One of a few constant texts.
    Text(&'static str),
    /// A decimal number.
    Number(usize),
    /// A date.
    Date(HttpDate),
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderValue::Text(text) => f.write_str(text),
            HeaderValue::Number(number) => write!(f, "{number}"),
            HeaderValue::Date(date) => date.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;

    use super::*;

    fn now() -> Timestamp {
        "2026-09-26T11:03:58Z".parse().unwrap()
    }

    fn head(reply: &Reply, close: bool) -> String {
        let lines = reply.headers(now(), close).map(|(name, value)| format!("{}: {value}", name.as_str()));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_page_is_339_bytes() {
        assert_eq!(NOT_FOUND_PAGE.len(), 339);
    }

    #[test]
    fn a_value_without_and_with_a_token() {
        let body = Bytes::from_static(b"i-1");
        let reply = Reply::data(ContentType::Plain, body, now() - 1.hour());
        assert_eq!(
            head(&reply, true),
            "Content-Type: text/plain\nAccept-Ranges: none\nLast-Modified: Sat, 26 Sep 2026 10:03:58 GMT\n\
             Content-Length: 3\nDate: Sat, 26 Sep 2026 11:03:58 GMT\nServer: EC2ws\nConnection: close"
        );
        assert_eq!(
            head(&reply.with_token_left(59), false),
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 59\nContent-Type: text/plain\nAccept-Ranges: none\n\
             Last-Modified: Sat, 26 Sep 2026 10:03:58 GMT\nContent-Length: 3\n\
             Date: Sat, 26 Sep 2026 11:03:58 GMT\nServer: EC2ws"
        );
    }

    #[test]
    fn replies_of_equal_heads_differ_in_numbers_alone() {
        let data = |body: &'static str, seconds: i64| {
            Reply::data(ContentType::Plain, Bytes::from_static(body.as_bytes()), now() - seconds.seconds())
        };
        let replies = [
            data("i-1", 1),
            data("i-12", 1),
            data("i-1", 2),
            data("i-1", 1).with_token_left(9),
            data("i-1", 1).with_token_left(10),
            Reply::data(ContentType::OctetStream, Bytes::from_static(b"i-1"), now() - 1.second()),
            Reply::token("t".repeat(56), 9),
            Reply::error(Status::NotFound),
            Reply::error(Status::Unauthorized),
            Reply::error(Status::Forbidden),
            Reply::allow(Status::Ok, "OPTIONS, GET, HEAD"),
            Reply::allow(Status::NotAllowed, "OPTIONS, PUT"),
        ];
        let mut all = Vec::new();
        for reply in &replies {
            for close in [false, true] {
                for at in [now(), now() + 999.milliseconds(), now() + 1.second()] {
                    let without_numbers = |(name, value): (HeaderName, HeaderValue)| match value {
                        HeaderValue::Number(_) => (name, String::new()),
                        value => (name, value.to_string()),
                    };
                    let headers: Vec<_> = reply.headers(at, close).map(without_numbers).collect();
                    all.push((reply.head(at, close), headers));
                }
            }
        }
        for (head, headers) in &all {
            for (other, theirs) in &all {
                assert_eq!(head == other, headers == theirs, "{headers:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn last_modified_is_never_after_date() {
        let reply = Reply::data(ContentType::OctetStream, Bytes::new(), now() + 1.hour());
        assert!(head(&reply, false).contains("Last-Modified: Sat, 26 Sep 2026 11:03:58 GMT"));
    }

    #[test]
    fn a_token() {
        let reply = Reply::token("t".repeat(56), 21_600);
        assert!(reply.is_token());
        assert_eq!(
            head(&reply, true),
            "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\nContent-Length: 56\n\
             Date: Sat, 26 Sep 2026 11:03:58 GMT\nServer: EC2ws\nConnection: close\nContent-Type: text/plain"
        );
    }

    #[test]
    fn errors() {
        for status in [Status::BadRequest, Status::Unauthorized, Status::Forbidden] {
            assert_eq!(
                head(&Reply::error(status), true),
                "Content-Length: 0\nDate: Sat, 26 Sep 2026 11:03:58 GMT\nServer: EC2ws\nConnection: close\n\
                 Content-Type: text/plain"
            );
        }
        let missing = Reply::error(Status::NotFound);
        let text = "Content-Type: text/html\nContent-Length: 339\nDate: Sat, 26 Sep 2026 11:03:58 GMT\n\
                    Server: EC2ws\nConnection: close";
        assert_eq!(head(&missing, true), text);
        assert_eq!(head(&missing.clone().without_body(), true), text);
        assert!(missing.without_body().body().is_empty());
    }

    #[test]
    fn not_allowed() {
        let reply = Reply::allow(Status::NotAllowed, "OPTIONS, PUT");
        assert_eq!(reply.status().reason(), Some("Not Allowed"));
        assert_eq!(
            head(&reply, true),
            "Allow: OPTIONS, PUT\nContent-Length: 0\nDate: Sat, 26 Sep 2026 11:03:58 GMT\nServer: EC2ws\n\
             Connection: close\nContent-Type: text/plain"
        );
    }
}
