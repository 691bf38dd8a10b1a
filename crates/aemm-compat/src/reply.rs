//! A reply as Go's `net/http` sends AEMM's: which headers, in which order.

use bytes::Bytes;

use crate::page::page;

/// What AEMM answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers of the reply itself, in their order on the wire: Go sorts them by name. Date and Content-Length
    /// follow them.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    fn data(content_type: &str, body: impl Into<Bytes>) -> Reply {
        Reply { status: 200, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub(crate) fn text(body: impl Into<String>) -> Reply {
        Reply::data("text/plain", body.into())
    }

    pub(crate) fn json(body: String) -> Reply {
        Reply::data("application/json", body)
    }

    pub(crate) fn octets(body: Vec<u8>) -> Reply {
        Reply::data("application/octet-stream", body)
    }

    /// A handler that wrote nothing.
    pub(crate) fn empty() -> Reply {
        Reply { status: 200, headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn token(token: String, ttl: i64) -> Reply {
        let mut reply = Reply::text(token);
        reply.headers.push(("x-aws-ec2-metadata-token-ttl-seconds", ttl.to_string()));
        reply
    }

    /// 400, 401 or 404 with its page and a line end.
    pub(crate) fn error(status: u16) -> Reply {
        Reply {
            status,
            headers: vec![
                ("content-type", "text/plain; charset=utf-8".to_owned()),
                ("x-content-type-options", "nosniff".to_owned()),
            ],
            body: format!("{}\n", page(status)).into(),
        }
    }

    /// Go's router sends a path that is not clean to its clean spelling.
    pub(crate) fn moved(location: String) -> Reply {
        Reply { status: 301, headers: vec![("location", location)], body: Bytes::new() }
    }
}
