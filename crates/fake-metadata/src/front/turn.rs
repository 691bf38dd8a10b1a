//! One request under way: `imds` asked, and whoever else must be, one line logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, Version};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::Front;
use super::activity::{Activity, Phase};
use super::answer::Answer;
use super::body::Whole;
use super::fields::Fields;
use super::log_line::log_request;
use super::service::{Answered, Withheld};
use crate::callers::Connection;
use crate::faults::{Asked, Fault, Met, Outcome};
use crate::state::Live;
use crate::upstream::{self, Failure, Route, Upstream};

/// What an answer must wait for.
pub(super) enum Waits {
    /// What a reply lacks.
    For(imds::Need),
    /// It is not known yet: there are faults, an upstream or container engines to be asked.
    ForAnything,
}

/// A request under way.
pub(super) struct Turn<'a> {
    pub(super) front: &'a Front,
    pub(super) caller: &'a Connection,
    pub(super) request: &'a Request<Incoming>,
    pub(super) fields: Fields<'a>,
    /// When it came; it is answered for this time, unless a fault delays the answer.
    pub(super) came: Timestamp,
}

impl<'a> Turn<'a> {
    fn address(&self) -> IpAddr {
        self.caller.peer.address.ip()
    }

    fn target(&self) -> &'a str {
        self.request.uri().path_and_query().map_or("/", |target| target.as_str())
    }

    /// The request as `imds` is asked it.
    fn asked<'r>(&self, role: Option<&'r str>) -> imds::Request<'r>
    where
        'a: 'r,
    {
        imds::Request {
            method: self.request.method().as_str(),
            target: self.target(),
            token: self.fields.token,
            token_ttl: self.fields.token_ttl,
            forwarded_for: self.fields.forwarded_for,
            role,
            nonce: self.front.nonce(self.request.method()),
        }
    }

    /// The answer where nobody need be waited for.
    pub(super) fn at_once(&self, live: &Live) -> Result<Answer, Waits> {
        if let Some(answer) = self.refusal(live) {
            return Ok(answer);
        }
        if live.faults.is_some() || live.upstream.is_some() {
            return Err(Waits::ForAnything);
        }
        let role =
            self.front.state.finder.role_at_once(&live.rules, self.caller).ok_or(Waits::ForAnything)?;
        let snapshot = live.stages.seen_by(self.address(), role.as_deref(), self.target(), self.came);
        match imds::respond(&snapshot, &self.asked(role.as_deref()), self.came) {
            imds::Outcome::Reply(reply) => Ok(Answer::Ours(reply)),
            imds::Outcome::Needs(imds::Need::Credentials { role, reply, delivery }) => {
                match self.front.state.credentials_at_once(&role, self.caller, self.came) {
                    Some(document) => Ok(Answer::Ours(reply.with(&document))),
                    None => Err(Waits::For(imds::Need::Credentials { role, reply, delivery })),
                }
            }
            imds::Outcome::Needs(need) => Err(Waits::For(need)),
        }
    }

    /// The answer to a request that is refused before it is looked at.
    fn refusal(&self, live: &Live) -> Option<Answer> {
        let marker = &self.front.state.marker;
        // Before anything else: whatever would be answered to our own request is not an upstream's answer.
        if self.fields.passed_on && marker.came_round(self.request.headers()) {
            return Some(Answer::Loop(marker.onward(self.request.headers())));
        }
        let host = refused_host(live, self.request, &self.fields)?;
        log::warn!(
            "{} refused: Host {host:?} is neither an address nor localhost (add the name to `hosts` in the configuration)",
            self.caller.peer.address
        );
        Some(Answer::Ours(imds::Reply::error(imds::Status::Forbidden)))
    }

    /// The answer once everybody was asked who must be.
    pub(super) async fn later(&self, live: &Arc<Live>, met: &mut Option<Met>) -> Answer {
        let (request, fields, target) = (self.request, &self.fields, self.target());
        let mut now = self.came;
        let matters = |live: &Live| role_matters(live, request.method(), target, now);
        let (role, live) = self.front.state.role(live.clone(), self.caller, matters).await;
        let path = live.faults.as_ref().and_then(|_| imds::canonical(target));
        let struck = Asked { path: path.as_deref(), address: self.address(), role: role.as_deref() };
        if let Some(faults) = &live.faults {
            let met = met.insert(faults.meet(&struck, now, &mut roll));
            if !met.delay.is_zero() {
                // Late, and true when it comes.
                tokio::time::sleep(met.delay).await;
                now = Timestamp::now();
            }
            match met.outcome {
                Some(Outcome::Status(status)) => {
                    return Answer::Ours(
                        imds::Reply::error(status).delivered(fields.delivery(request.method())),
                    );
                }
                // It is not sent, so nobody need be asked for what it would say.
                Some(Outcome::Hang | Outcome::Close | Outcome::Reset) => {
                    let unsent = imds::Reply::error(imds::Status::ServiceUnavailable);
                    return Answer::Ours(unsent.delivered(fields.delivery(request.method())));
                }
                Some(Outcome::Truncate) | None => {}
            }
        }
        let snapshot = live.stages.seen_by(self.address(), role.as_deref(), target, now);
        let asked = self.asked(role.as_deref());
        if let Some(upstream) = &live.upstream
            && let Some(answer) = passed_on(upstream, request, &snapshot, &asked, now).await
        {
            return answer;
        }
        match imds::respond(&snapshot, &asked, now) {
            imds::Outcome::Reply(reply) => Answer::Ours(reply),
            imds::Outcome::Needs(need) => {
                let fault = match (&live.faults, met, &need) {
                    (Some(faults), Some(met), imds::Need::Credentials { .. }) => {
                        faults.strike_credentials(&struck, met, now, &mut roll)
                    }
                    _ => None,
                };
                self.fulfil(need, fault.as_deref(), now).await
            }
        }
    }

    /// The answer that lacked something, with it, or with what a fault makes of it.
    pub(super) async fn fulfil(&self, need: imds::Need, fault: Option<&Fault>, now: Timestamp) -> Answer {
        let state = &self.front.state;
        Answer::Ours(match need {
            imds::Need::Credentials { role, reply, .. } => reply.with(&match fault {
                None => state.credentials(&role, self.caller, now).await,
                Some(fault) => state.spoilt_credentials(fault, &role, self.caller, now).await,
            }),
            imds::Need::Signatures { document, signing_time, reply } => {
                match self.front.signer.signatures(document, signing_time).await {
                    Some(made) => reply.with(&made),
                    None => imds::Reply::error(imds::Status::InternalServerError),
                }
            }
        })
    }

    /// Logs the answer, and makes of it what is sent.
    pub(super) fn conclude(
        &self,
        live: &Live,
        activity: &Activity,
        answer: Answer,
        met: Option<Met>,
    ) -> Answered {
        let peer = self.caller.peer;
        let lost = answer.is_token() && live.hop_limit.is_some_and(|limit| !peer.is_reached_with(limit));
        log_request(self.request, self.caller, &answer, self.came, lost, met.as_ref());
        let now = met.as_ref().filter(|met| !met.delay.is_zero()).map_or(self.came, |_| Timestamp::now());
        let heads = &self.front.heads;
        let response = match met.and_then(|met| met.outcome) {
            Some(Outcome::Close) => return Err(Withheld::Closed),
            // It ends with the client, when room is needed, or when we are told to stop. hyper reads nothing
            // meanwhile, and would not learn that the client has left: the stream waits for that in place of
            // writing.
            Some(Outcome::Hang) => {
                activity.enter(Phase::Hanging);
                let mut held = Response::new(Whole::new(Bytes::new()));
                // Nothing that the client sends after it is a request any more.
                held.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return Ok(held);
            }
            // Writing it is what resets the connection.
            Some(Outcome::Reset) => {
                activity.reset();
                Response::new(Whole::new(Bytes::new()))
            }
            Some(Outcome::Truncate) => answer.into_response(now, true, heads, Whole::cut),
            Some(Outcome::Status(_)) | None if lost => return Err(Withheld::Lost),
            Some(Outcome::Status(_)) | None => {
                let close = self.front.draining.load(Relaxed) || !self.fields.keep;
                answer.into_response(now, close, heads, Whole::new)
            }
        };
        activity.enter(Phase::Writing);
        Ok(response)
    }
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
