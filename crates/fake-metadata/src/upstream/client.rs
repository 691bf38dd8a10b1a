//! Asks the upstream: a bounded number of connections that are kept, session tokens of our own, limits on
//! time and size. Runs on the outgoing thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONNECTION, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Body;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};

use super::Address;
use super::failure::Failure;
use super::health::{Health, Tell};
use super::marker::{HOPS, Marker};
use super::reply::{Reply, TOKEN_TTL};

/// From a request's arrival here to the last byte of its answer. SDKs give up after one second.
const ANSWER_WITHIN: Duration = Duration::from_millis(850);
/// For a connection to be made. EC2's service is one hop away.
const CONNECT_WITHIN: Duration = Duration::from_millis(250);
/// For a session token, so that there is time left for asking without one: where the hop limit swallows the
/// reply, waiting is all that tells.
const TOKEN_WITHIN: Duration = Duration::from_millis(350);
/// Requests at once, each on a connection of its own, and connections kept for the next ones. EC2 bounds them
/// too.
const AT_ONCE: usize = 16;
/// How long a connection is kept that nobody uses.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// Bytes of an answer's head.
const HEAD_BYTES: usize = 32 * 1024;
/// Bytes of an answer's body; user data, the longest of EC2's, has at most 16 KiB.
const BODY_BYTES: usize = 1024 * 1024;
/// Bytes of a session token; EC2's have 56.
const TOKEN_BYTES: usize = 1024;
/// What is asked for: EC2's longest.
const TOKEN_SECONDS: u64 = 21_600;
/// A token is renewed when it has less left than this.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long an upstream that has no tokens is not asked for one.
const WITHOUT_TOKENS_FOR: Duration = Duration::from_secs(60);

const TOKEN: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");
const TOKEN_PATH: &str = "/latest/api/token";

/// The session token in use.
enum Held {
    Nothing,
    Token {
        token: HeaderValue,
        renew: Instant,
    },
    /// The upstream gives none; asked again at that time, or when it insists on one.
    Without {
        until: Instant,
    },
}

pub(super) struct Client {
    address: Address,
    marker: Arc<Marker>,
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
    slots: Semaphore,
    /// Held while a token is fetched, so that any number of requests wait for one.
    held: Mutex<Held>,
    health: Health,
}

impl Client {
    pub(super) fn new(address: Address, marker: Arc<Marker>) -> Client {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_WITHIN));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(AT_ONCE)
            .http1_title_case_headers(true)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Client {
            address,
            marker,
            http,
            slots: Semaphore::new(AT_ONCE),
            held: Mutex::new(Held::Nothing),
            health: Health::default(),
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    pub(super) fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Asks for a path, with a token where the upstream has them.
    pub(super) async fn fetch(
        &self,
        method: Method,
        path: String,
        hops: HeaderValue,
    ) -> Result<Reply, Failure> {
        let answer = tokio::time::timeout(ANSWER_WITHIN, self.authorised(&method, &path, &hops)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failure::late(ANSWER_WITHIN)));
        match self.health.note(answer.as_ref().err().map(ToString::to_string), Instant::now()) {
            Tell::Nothing => {}
            Tell::Fails(wrong) => log::warn!("upstream {}: {wrong}", self.address),
            Tell::Answers => log::info!("upstream {} answers again", self.address),
        }
        answer
    }

    async fn authorised(&self, method: &Method, path: &str, hops: &HeaderValue) -> Result<Reply, Failure> {
        let _slot = self.slots.acquire().await.map_err(|e| Failure::Broken(e.to_string()))?;
        let used = self.token(hops).await?;
        let answer = self.exchange(method, path, used.as_ref(), hops).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // It was restarted, or insists on a token after all. Once: a token that it does not take when it has
        // just given it will not be taken later either, and a client must not be told to renew its own.
        let fresh = self.token_other_than(used.as_ref(), hops).await?;
        let answer = match &fresh {
            Some(fresh) => self.exchange(method, path, Some(fresh), hops).await?,
            None => return Err(Failure::Broken("it wants a session token and gives none".into())),
        };
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                Err(Failure::Broken("it refuses the session token it has just given".into()))
            }
            _ => Ok(answer),
        }
    }

    /// The token to ask with, `None` where the upstream has none.
    async fn token(&self, hops: &HeaderValue) -> Result<Option<HeaderValue>, Failure> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        match &*held {
            Held::Token { token, renew } if now < *renew => Ok(Some(token.clone())),
            Held::Without { until } if now < *until => Ok(None),
            _ => self.renew(&mut held, hops).await,
        }
    }

    /// A token that is not the one that was refused.
    async fn token_other_than(
        &self,
        refused: Option<&HeaderValue>,
        hops: &HeaderValue,
    ) -> Result<Option<HeaderValue>, Failure> {
        let mut held = self.held.lock().await;
        match &*held {
            // Another request has renewed it meanwhile.
            Held::Token { token, .. } if Some(token) != refused => Ok(Some(token.clone())),
            _ => self.renew(&mut held, hops).await,
        }
    }

    async fn renew(&self, held: &mut Held, hops: &HeaderValue) -> Result<Option<HeaderValue>, Failure> {
        let begun = Instant::now();
        let asked =
            tokio::time::timeout(TOKEN_WITHIN, self.exchange(&Method::PUT, TOKEN_PATH, None, hops)).await;
        let granted = match asked {
            Ok(Ok(reply)) => grant(&reply),
            Ok(Err(failure)) => return Err(failure),
            Err(_) => None,
        };
        *held = match &granted {
            Some((token, left)) => {
                let renew = begun + left.saturating_sub(RENEW_BEFORE.min(*left / 2));
                Held::Token { token: token.clone(), renew }
            }
            None => Held::Without { until: begun + WITHOUT_TOKENS_FOR },
        };
        Ok(granted.map(|(token, _)| token))
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        token: Option<&HeaderValue>,
        hops: &HeaderValue,
    ) -> Result<Reply, Failure> {
        match self.exchange_once(method, path, token, hops).await {
            // A connection that was kept may be closed by the other side at any moment; asking again harms
            // nothing.
            Err((_, Again::Yes)) => self.exchange_once(method, path, token, hops).await,
            other => other,
        }
        .map_err(|(failure, _)| failure)
    }

    async fn exchange_once(
        &self,
        method: &Method,
        path: &str,
        token: Option<&HeaderValue>,
        hops: &HeaderValue,
    ) -> Result<Reply, (Failure, Again)> {
        let response = self.http.request(self.request(method, path, token, hops)).await;
        let response = response.map_err(|error| {
            let again = if error.is_connect() { Again::No } else { Again::Yes };
            (Failure::of(&error, CONNECT_WITHIN), again)
        })?;
        let (parts, body) = response.into_parts();
        if self.marker.is_in(&parts.headers) {
            return Err((Failure::Loop, Again::No));
        }
        if parts.status.is_informational() {
            return Err((Failure::Broken(format!("it answers {}", parts.status)), Again::No));
        }
        let too_long = || Failure::Broken(format!("its answer to {path} is longer than {BODY_BYTES} bytes"));
        if body.size_hint().lower() > BODY_BYTES as u64 {
            return Err((too_long(), Again::No));
        }
        let body = Limited::new(body, BODY_BYTES).collect().await.map_err(|error| {
            let failure = match error.downcast_ref::<LengthLimitError>() {
                Some(_) => too_long(),
                None => Failure::of(&*error, CONNECT_WITHIN),
            };
            (failure, Again::No)
        })?;
        if method == Method::PUT {
            log::debug!("upstream {}: asked for a session token: {}", self.address, parts.status);
        }
        Ok(Reply::new(method, parts, body.to_bytes()))
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        token: Option<&HeaderValue>,
        hops: &HeaderValue,
    ) -> Request<Empty<Bytes>> {
        let uri =
            Uri::builder().scheme("http").authority(self.address.authority().clone()).path_and_query(path);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.build().expect("an authority and an encoded path make a URI");
        let headers = request.headers_mut();
        let fixed = [
            (ACCEPT, HeaderValue::from_static("*/*")),
            (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            (USER_AGENT, HeaderValue::from_static(concat!("fake-metadata/", env!("CARGO_PKG_VERSION")))),
            // Without it EC2 closes after each answer (reference 1.2).
            (CONNECTION, HeaderValue::from_static("keep-alive")),
            (HOPS, hops.clone()),
        ];
        headers.extend(fixed);
        if let Some(token) = token {
            headers.insert(TOKEN, token.clone());
        }
        if method == Method::PUT {
            headers.insert(TOKEN_TTL, TOKEN_SECONDS.into());
        }
        request
    }

    pub(super) fn status(&self) -> Value {
        // Held only while one is fetched: its state is then not known yet.
        let tokens = self.held.try_lock().ok().and_then(|held| match &*held {
            Held::Nothing => None,
            Held::Token { .. } => Some(true),
            Held::Without { .. } => Some(false),
        });
        let state = self.health.now();
        json!({
            "url": self.address.to_string(),
            "answers": state.as_ref().map(Result::is_ok),
            "error": state.and_then(Result::err),
            "session-tokens": tokens,
        })
    }
}

/// Whether a request that failed may be sent once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    No,
}

/// The token of an answer and how long it lives, when it is one.
fn grant(reply: &Reply) -> Option<(HeaderValue, Duration)> {
    let text = reply.body().trim_ascii();
    if reply.status != StatusCode::OK || text.is_empty() || text.len() > TOKEN_BYTES {
        return None;
    }
    let mut token = HeaderValue::from_bytes(text).ok().filter(|token| token.to_str().is_ok())?;
    token.set_sensitive(true);
    Some((token, Duration::from_secs(reply.granted.unwrap_or(TOKEN_SECONDS).min(TOKEN_SECONDS))))
}
