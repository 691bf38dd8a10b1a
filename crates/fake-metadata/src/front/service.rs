//! One request: hyper's types in, `imds` asked, hyper's types out, one line logged.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::header::{self, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use jiff::Timestamp;

use super::Front;
use super::body::Whole;
use super::peer::Peer;
use crate::callers::Connection;
use crate::state::Live;

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// A request needs credentials or signatures, at most one of each.
const ROUNDS: usize = 4;
/// The most headers a reply has.
const HEADERS: usize = 8;
/// Characters of a path that the log shows.
const LOGGED_PATH: usize = 256;

/// The reply is not sent and the connection is closed.
#[derive(Debug)]
pub(crate) struct Withheld;

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reply withheld")
    }
}

impl std::error::Error for Withheld {}

/// Answers one request.
pub(super) async fn answer(
    front: &Front,
    caller: &Connection,
    request: Request<Incoming>,
) -> Result<Response<Whole>, Withheld> {
    let begun = Instant::now();
    let peer = caller.peer;
    let live = front.state.live().clone();
    let now = Timestamp::now();
    let reply = match refused_host(&live, &request) {
        Some(host) => {
            log::warn!(
                "{} refused: Host {host:?} is neither an address nor localhost (add the name to `hosts` in the configuration)",
                peer.address
            );
            imds::Reply::error(imds::Status::Forbidden)
        }
        None => reply_to(front, &request, caller, now).await,
    };
    let withheld = reply.is_token() && live.hop_limit.is_some_and(|limit| !peer.is_reached_with(limit));
    log_line(&request, peer, &reply, begun, withheld);
    if withheld {
        tokio::time::sleep(front.limits.hop_hang).await;
        return Err(Withheld);
    }
    let close = front.draining.load(Relaxed) || !asks_to_keep(&request);
    Ok(response(reply, now, close))
}

/// Asks `imds`, and whoever else must be asked first.
async fn reply_to(
    front: &Front,
    request: &Request<Incoming>,
    caller: &Connection,
    now: Timestamp,
) -> imds::Reply {
    let headers = request.headers();
    let role = front.state.role(caller).await;
    let live = front.state.live().clone();
    let asked = imds::Request {
        method: request.method().as_str(),
        target: request.uri().path_and_query().map_or("/", |t| t.as_str()),
        token: field(headers, &TOKEN),
        token_ttl: field(headers, &TOKEN_TTL),
        forwarded_for: headers.contains_key(FORWARDED_FOR),
        role: role.as_deref(),
        nonce: front.nonce(request.method()),
    };
    let mut credentials = None;
    let mut signatures = None;
    for _ in 0..ROUNDS {
        let facts = imds::Facts {
            credentials: credentials.as_ref().map(|(role, answer)| (role, answer)),
            signatures: signatures.as_deref(),
        };
        match imds::respond(&live.snapshot, &asked, &facts, now) {
            imds::Outcome::Reply(reply) => return reply,
            imds::Outcome::Needs(imds::Need::Credentials { role, .. }) => {
                let answer = front.state.credentials(&role, caller, now).await;
                credentials = Some((role, answer));
            }
            imds::Outcome::Needs(imds::Need::Signatures { document, signing_time }) => {
                match front.signer.signatures(document, signing_time).await {
                    Some(made) => signatures = Some(made),
                    None => break,
                }
            }
        }
    }
    imds::Reply::error(imds::Status::InternalServerError)
}

/// The host a request names, when it is none that we answer for.
fn refused_host(live: &Live, request: &Request<Incoming>) -> Option<String> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let named = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => None,
        (None, _) => return Some(String::new()),
        (Some(_), Some(_)) => return Some("given more than once".into()),
        (Some(host), None) => match host.to_str() {
            Ok(host) => Some(host),
            Err(_) => return Some("not text".into()),
        },
    };
    // A target in absolute form names a host too, and overrides the header (RFC 9112, 3.2.2).
    let target = request.uri().authority().map(|a| a.as_str());
    [named, target].into_iter().flatten().find(|host| !live.hosts.allows(host)).map(str::to_owned)
}

fn field<'a>(headers: &'a HeaderMap, name: &HeaderName) -> imds::HeaderField<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => imds::HeaderField::Absent,
        (Some(value), None) => imds::HeaderField::One(value.as_bytes()),
        (Some(_), Some(_)) => imds::HeaderField::Several,
    }
}

/// EC2 closes after every reply unless the client asked to keep the connection, HTTP/1.1 or not
/// (reference 1.2).
fn asks_to_keep(request: &Request<Incoming>) -> bool {
    let mut tokens = request
        .headers()
        .get_all(CONNECTION)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
        .peekable();
    let mut keep = false;
    for token in tokens.by_ref() {
        if token.eq_ignore_ascii_case("close") {
            return false;
        }
        keep |= token.eq_ignore_ascii_case("keep-alive");
    }
    keep
}

fn response(reply: imds::Reply, now: Timestamp, close: bool) -> Response<Whole> {
    let status = reply.status();
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.extend(reply.headers(now, close).map(|(name, value)| (name_of(name), value_of(value))));
    let mut response = Response::new(Whole::new(reply.into_body()));
    *response.status_mut() = StatusCode::from_u16(status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = headers;
    if let Some(reason) = status.reason() {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
    }
    response
}

fn log_line(request: &Request<Incoming>, peer: Peer, reply: &imds::Reply, begun: Instant, withheld: bool) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    log::info!(
        "{} {} {} {} {}us {}{}",
        peer.address,
        request.method(),
        Shown(request.uri().path()),
        reply.status().code(),
        begun.elapsed().as_micros(),
        reply.delivery().as_str(),
        if withheld { " withheld by hop-limit" } else { "" },
    );
}

/// A path as the log shows it: no query, bounded, and unable to forge a second line.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(LOGGED_PATH).map_or(self.0.len(), |(i, _)| i);
        let shown = &self.0[..end];
        if shown.bytes().all(|b| b.is_ascii_graphic()) {
            f.write_str(shown)?;
        } else {
            write!(f, "{}", shown.escape_default())?;
        }
        if end < self.0.len() { f.write_str("...") } else { Ok(()) }
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
            HeaderValue::from_str(date.as_str()).expect("a date is printable ASCII")
        }
    }
}
