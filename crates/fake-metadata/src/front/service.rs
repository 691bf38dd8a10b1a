//! One request: hyper's types in, `imds` asked, hyper's types out, one line logged.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::Front;
use super::answer::Answer;
use super::body::Whole;
use super::fields::Fields;
use super::log_line::log_request;
use crate::callers::Connection;
use crate::faults::{Asked, Met, Outcome};
use crate::state::Live;
use crate::upstream::{self, Failure, Route, Upstream};

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
    let fields = Fields::of(request.headers());
    let mut met = None;
    let reply = match refused_host(&live, &request, &fields) {
        // Before anything else: whatever would be answered to our own request is not an upstream's answer.
        _ if fields.passed_on && front.state.marker.came_round(request.headers()) => {
            Answer::Loop(front.state.marker.onward(request.headers()))
        }
        Some(host) => {
            log::warn!(
                "{} refused: Host {host:?} is neither an address nor localhost (add the name to `hosts` in the configuration)",
                peer.address
            );
            Answer::Ours(imds::Reply::error(imds::Status::Forbidden))
        }
        None => reply_to(front, &live, &request, &fields, caller, now, &mut met).await,
    };
    let withheld = reply.is_token() && live.hop_limit.is_some_and(|limit| !peer.is_reached_with(limit));
    log_request(&request, caller, &reply, begun, withheld, met.as_ref());
    let now = met.as_ref().filter(|met| !met.delay.is_zero()).map_or(now, |_| Timestamp::now());
    match met.and_then(|met| met.outcome) {
        Some(Outcome::Hang) => return Err(Withheld::Hangs),
        Some(Outcome::Close) => return Err(Withheld::Closed),
        Some(Outcome::Reset) => return Err(Withheld::Reset),
        Some(Outcome::Truncate) => return Ok(reply.into_response(now, true, &front.heads, Whole::cut)),
        Some(Outcome::Status(_)) | None => {}
    }
    if withheld {
        Box::pin(tokio::time::sleep(front.limits.hop_hang)).await;
        return Err(Withheld::Closed);
    }
    let close = front.draining.load(Relaxed) || !fields.keep;
    Ok(reply.into_response(now, close, &front.heads, Whole::new))
}

/// Asks `imds`, and whoever else must be asked first. What few requests wait for is boxed: every connection has
/// room for the largest of its waits as long as it is open.
async fn reply_to(
    front: &Front,
    live: &Arc<Live>,
    request: &Request<Incoming>,
    fields: &Fields<'_>,
    caller: &Connection,
    now: Timestamp,
    met: &mut Option<Met>,
) -> Answer {
    let address = caller.peer.address.ip();
    let target = request.uri().path_and_query().map_or("/", |t| t.as_str());
    let matters = |live: &Live| role_matters(live, request.method(), target, now);
    let (role, live) = front.state.role(live.clone(), caller, matters).await;
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
                return Answer::Ours(imds::Reply::error(status).delivered(fields.delivery(request.method())));
            }
            // It is not sent, so nobody need be asked for what it would say.
            Some(Outcome::Hang | Outcome::Close | Outcome::Reset) => {
                let unsent = imds::Reply::error(imds::Status::ServiceUnavailable);
                return Answer::Ours(unsent.delivered(fields.delivery(request.method())));
            }
            Some(Outcome::Truncate) | None => {}
        }
    }
    let snapshot = live.stages.seen_by(address, role.as_deref(), target, now);
    let asked = imds::Request {
        method: request.method().as_str(),
        target,
        token: fields.token,
        token_ttl: fields.token_ttl,
        forwarded_for: fields.forwarded_for,
        role: role.as_deref(),
        nonce: front.nonce(request.method()),
    };
    if let Some(upstream) = &live.upstream
        && let Some(answer) = Box::pin(passed_on(upstream, request, &snapshot, &asked, now)).await
    {
        return answer;
    }
    let need = match imds::respond(&snapshot, &asked, now) {
        imds::Outcome::Reply(reply) => return Answer::Ours(reply),
        imds::Outcome::Needs(need) => need,
    };
    Answer::Ours(match need {
        imds::Need::Credentials { role, reply, .. } => {
            let fault = match (&live.faults, met.as_mut()) {
                (Some(faults), Some(met)) => faults.strike_credentials(&struck, met, now, &mut roll),
                _ => None,
            };
            reply.with(&match fault {
                None => Box::pin(front.state.credentials(&role, caller, now)).await,
                Some(fault) => Box::pin(front.state.spoilt_credentials(&fault, &role, caller, now)).await,
            })
        }
        imds::Need::Signatures { document, signing_time, reply } => {
            match Box::pin(front.signer.signatures(document, signing_time)).await {
                Some(made) => reply.with(&made),
                None => imds::Reply::error(imds::Status::InternalServerError),
            }
        }
    })
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
    let ours = |status| Answer::Ours(admitted.answer(imds::Reply::error(status)));
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
fn refused_host(live: &Live, request: &Request<Incoming>, fields: &Fields<'_>) -> Option<String> {
    let named = match fields.host {
        imds::HeaderField::Absent if request.version() == Version::HTTP_10 => None,
        imds::HeaderField::Absent => return Some(String::new()),
        imds::HeaderField::Several => return Some("given more than once".into()),
        imds::HeaderField::One(host) if live.hosts.allowed_last(host) => None,
        imds::HeaderField::One(host) => match std::str::from_utf8(host) {
            Ok(host) if host.is_ascii() => Some(host),
            _ => return Some("not text".into()),
        },
    };
    // A target in absolute form names a host too, and overrides the header (RFC 9112, 3.2.2).
    let target = request.uri().authority().map(|a| a.as_str());
    [named, target].into_iter().flatten().find(|host| !live.hosts.allows(host)).map(str::to_owned)
}

/// A random number from 0 up to 1, for faults that strike some requests.
fn roll() -> f64 {
    // Without randomness every one of them is struck, which at least is seen.
    getrandom::u32().map_or(0.0, |number| f64::from(number) / (f64::from(u32::MAX) + 1.0))
}
