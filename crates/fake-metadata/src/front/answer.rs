//! An answer of whatever origin, made into hyper's.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;

use super::body::Whole;
use super::heads::Heads;
use crate::upstream;

/// An answer, before it is hyper's.
pub(super) enum Answer {
    /// One of ours.
    Ours(imds::Reply),
    /// An upstream's, passed on to a request that may be answered.
    Theirs(upstream::Reply, imds::Admitted),
    /// To a request that went round: the daemons it came through.
    Loop(HeaderValue),
}

impl Answer {
    pub(super) fn is_token(&self) -> bool {
        matches!(self, Answer::Ours(reply) if reply.is_token())
    }

    pub(super) fn code(&self) -> u16 {
        match self {
            Answer::Ours(reply) => reply.status().code(),
            Answer::Theirs(reply, _) => reply.status.as_u16(),
            Answer::Loop(_) => imds::Status::LoopDetected.code(),
        }
    }

    /// How it was asked for and who gave it, as the log shows it.
    pub(super) fn told(&self) -> (&'static str, &'static str) {
        match self {
            Answer::Ours(reply) => (reply.delivery().as_str(), ""),
            Answer::Theirs(_, admitted) => (admitted.delivery().as_str(), " upstream"),
            Answer::Loop(_) => ("-", " loop"),
        }
    }

    pub(super) fn into_response(
        self,
        now: Timestamp,
        close: bool,
        heads: &Heads,
        body: impl FnOnce(Bytes) -> Whole,
    ) -> Response<Whole> {
        match self {
            Answer::Ours(reply) => response(reply, now, close, heads, body),
            Answer::Theirs(reply, admitted) => {
                let (status, reason) = (reply.status, reply.reason.clone());
                let (headers, bytes) = reply.into_parts(admitted.token_left(), close);
                let mut response = Response::new(body(bytes));
                *response.status_mut() = status;
                *response.headers_mut() = headers;
                if let Some(reason) = reason {
                    response.extensions_mut().insert(reason);
                }
                response
            }
            Answer::Loop(hops) => {
                let reply = imds::Reply::error(imds::Status::LoopDetected);
                let mut response = response(reply, now, close, heads, body);
                response.headers_mut().insert(upstream::HOPS, hops);
                response
            }
        }
    }
}

fn response(
    reply: imds::Reply,
    now: Timestamp,
    close: bool,
    heads: &Heads,
    body: impl FnOnce(Bytes) -> Whole,
) -> Response<Whole> {
    let status = reply.status();
    let headers = heads.of(&reply, now, close);
    let mut response = Response::new(body(reply.into_body()));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    if let Some(reason) = status.reason() {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
    }
    response
}
