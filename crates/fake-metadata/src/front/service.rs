//! One request: hyper's types in, `imds` asked, hyper's types out, one line logged.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::header::{CONNECTION, HOST, HeaderMap, HeaderName};
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::Front;
use super::answer::Answer;
use super::body::Whole;
use super::peer::Peer;
use crate::callers::Connection;
use crate::faults::{Asked, Met, Outcome};
use crate::state::Live;
use crate::upstream::{self, Failure, Route, Upstream};

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
pub(super) const TOKEN_TTL: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// A request needs credentials or signatures, at most one of each.
const ROUNDS: usize = 4;
/// Characters of a path that the log shows.
const LOGGED_PATH: usize = 256;

/// The reply is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// The connection is closed.
    Closed,
    /// The connection is reset (a fault).
    Reset,
    /// Nothing happens until somebody closes the connection (a fault).
    Hangs,
}

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
    let mut met = None;
    let reply = match refused_host(&live, &request) {
        // Before anything else: whatever would be answered to our own request is not an upstream's answer.
        _ if front.state.marker.came_round(request.headers()) => {
            Answer::Loop(front.state.marker.onward(request.headers()))
        }
        Some(host) => {
            log::warn!(
                "{} refused: Host {host:?} is neither an address nor localhost (add the name to `hosts` in the configuration)",
                peer.address
            );
            Answer::Ours(imds::Reply::error(imds::Status::Forbidden))
        }
        None => reply_to(front, &request, caller, now, &mut met).await,
    };
    let withheld = reply.is_token() && live.hop_limit.is_some_and(|limit| !peer.is_reached_with(limit));
    log_line(&request, peer, &reply, begun, withheld, met.as_ref());
    let now = met.as_ref().filter(|met| !met.delay.is_zero()).map_or(now, |_| Timestamp::now());
    match met.and_then(|met| met.outcome) {
        Some(Outcome::Hang) => return Err(Withheld::Hangs),
        Some(Outcome::Close) => return Err(Withheld::Closed),
        Some(Outcome::Reset) => return Err(Withheld::Reset),
        Some(Outcome::Truncate) => return Ok(reply.into_response(now, true, Whole::cut)),
        Some(Outcome::Status(_)) | None => {}
    }
    if withheld {
        Box::pin(tokio::time::sleep(front.limits.hop_hang)).await;
        return Err(Withheld::Closed);
    }
    let close = front.draining.load(Relaxed) || !asks_to_keep(&request);
    Ok(reply.into_response(now, close, Whole::new))
}

/// Asks `imds`, and whoever else must be asked first. What few requests wait for is boxed: every connection has
/// room for the largest of its waits as long as it is open.
async fn reply_to(
    front: &Front,
    request: &Request<Incoming>,
    caller: &Connection,
    now: Timestamp,
    met: &mut Option<Met>,
) -> Answer {
    let headers = request.headers();
    let address = caller.peer.address.ip();
    let target = request.uri().path_and_query().map_or("/", |t| t.as_str());
    let matters = |live: &Live| role_matters(live, request.method(), target, now);
    let (role, live) = front.state.role(caller, matters).await;
    let path = live.faults.as_ref().and_then(|_| imds::canonical(target));
    let struck = Asked { path: path.as_deref(), address, role: role.as_deref() };
    let mut now = now;
    if let Some(faults) = &live.faults {
        let met = met.insert(faults.meet(&struck, now, &mut roll));
        if !met.delay.is_zero() {
            // Late, and true when it comes.
            Box::pin(tokio::time::sleep(met.delay)).await;
            now = Timestamp::now();
        }
        match met.outcome {
            Some(Outcome::Status(status)) => {
                return Answer::Ours(imds::Reply::error(status).delivered(delivery(request)));
            }
            // It is not sent, so nobody need be asked for what it would say.
            Some(Outcome::Hang | Outcome::Close | Outcome::Reset) => {
                let unsent = imds::Reply::error(imds::Status::ServiceUnavailable);
                return Answer::Ours(unsent.delivered(delivery(request)));
            }
            Some(Outcome::Truncate) | None => {}
        }
    }
    let snapshot = live.stages.seen_by(address, role.as_deref(), target, now);
    let asked = imds::Request {
        method: request.method().as_str(),
        target,
        token: field(headers, &TOKEN),
        token_ttl: field(headers, &TOKEN_TTL),
        forwarded_for: headers.contains_key(FORWARDED_FOR),
        role: role.as_deref(),
        nonce: front.nonce(request.method()),
    };
    if let Some(upstream) = &live.upstream
        && let Some(answer) = Box::pin(passed_on(upstream, request, &snapshot, &asked, now)).await
    {
        return answer;
    }
    let mut credentials = None;
    let mut signatures = None;
    for _ in 0..ROUNDS {
        let facts = imds::Facts {
            credentials: credentials.as_ref().map(|(role, answer)| (role, answer)),
            signatures: signatures.as_deref(),
        };
        match imds::respond(&snapshot, &asked, &facts, now) {
            imds::Outcome::Reply(reply) => return Answer::Ours(reply),
            imds::Outcome::Needs(imds::Need::Credentials { role, .. }) => {
                let fault = match (&live.faults, met.as_mut()) {
                    (Some(faults), Some(met)) => faults.strike_credentials(&struck, met, now, &mut roll),
                    _ => None,
                };
                let document = match fault {
                    None => Box::pin(front.state.credentials(&role, caller, now)).await,
                    Some(fault) => Box::pin(front.state.spoilt_credentials(&fault, &role, caller, now)).await,
                };
                credentials = Some((role, document));
            }
            imds::Outcome::Needs(imds::Need::Signatures { document, signing_time }) => {
                match Box::pin(front.signer.signatures(document, signing_time)).await {
                    Some(made) => signatures = Some(made),
                    None => break,
                }
            }
        }
    }
    Answer::Ours(imds::Reply::error(imds::Status::InternalServerError))
}

/// Whether the answer may be another one for another role. Where it may not, nobody waits for a container engine:
/// for a session token least of all, which SDKs give up on after a second.
fn role_matters(live: &Live, method: &Method, target: &str, now: Timestamp) -> bool {
    let is_token =
        || method == Method::PUT && imds::canonical(target).as_deref() == Some("/latest/api/token");
    live.faults.as_ref().is_some_and(|faults| faults.name_roles(now))
        || (live.stages.depend_on_role(target, now) && !is_token())
}

/// The answer to a request that is not ours to answer in proxy mode; `None` when it is.
async fn passed_on(
    upstream: &Upstream,
    request: &Request<Incoming>,
    snapshot: &imds::Snapshot,
    asked: &imds::Request<'_>,
    now: Timestamp,
) -> Option<Answer> {
    let passage = match upstream::route(request.method(), asked.target) {
        Route::Ours => return None,
        Route::Withheld => None,
        Route::Theirs(passage) => Some(passage),
    };
    let admitted = match imds::admit(snapshot, asked, now) {
        Ok(admitted) => admitted,
        Err(reply) => return Some(Answer::Ours(reply)),
    };
    let ours = |status| Answer::Ours(admitted.answer(asked.method, imds::Reply::error(status)));
    let Some(passage) = passage else {
        return Some(ours(imds::Status::NotFound));
    };
    let reply = match upstream.ask(request.method(), &passage, request.headers()).await {
        Ok(reply) => reply,
        Err(Failure::Loop) => return Some(Answer::Loop(upstream.onward(request.headers()))),
        Err(failure) => return Some(ours(failure.status())),
    };
    let tree = snapshot.trees.tree(asked.role);
    let reply = match passage.shown(reply, |path| tree.contains(path)) {
        Ok(reply) => reply,
        Err(failure) => return Some(ours(failure.status())),
    };
    let reply = if request.method() == Method::HEAD { reply.without_body() } else { reply };
    Some(Answer::Theirs(reply, admitted))
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

/// How a request asks that is not answered by `imds`.
fn delivery(request: &Request<Incoming>) -> imds::Delivery {
    match request.method() == http::Method::PUT || request.headers().contains_key(TOKEN) {
        true => imds::Delivery::V2,
        false => imds::Delivery::V1,
    }
}

/// A random number from 0 up to 1, for faults that strike some requests.
fn roll() -> f64 {
    // Without randomness every one of them is struck, which at least is seen.
    getrandom::u32().map_or(0.0, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}

fn log_line(
    request: &Request<Incoming>,
    peer: Peer,
    answer: &Answer,
    begun: Instant,
    withheld: bool,
    met: Option<&Met>,
) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let (delivery, from) = answer.told();
    log::info!(
        "{} {} {} {} {}us {}{}{}{}",
        peer.address,
        request.method(),
        Shown(request.uri().path()),
        StatusOf(answer.code(), met.and_then(|met| met.outcome)),
        begun.elapsed().as_micros(),
        delivery,
        from,
        if withheld { " withheld by hop-limit" } else { "" },
        Mark(met),
    );
}

/// The status of an answer as the log shows it; a dash for one that is never sent.
struct StatusOf(u16, Option<Outcome>);

impl fmt::Display for StatusOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(Outcome::Hang | Outcome::Close | Outcome::Reset) => f.write_str("-"),
            _ => self.0.fmt(f),
        }
    }
}

/// The faults that struck a request, as the log shows them.
struct Mark<'a>(Option<&'a Met>);

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |met| met.fmt(f))
    }
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
