//! Asks a metadata service for one path after another, as an IMDSv2 client that keeps its connection: a whole
//! instance takes some two thousand requests, and EC2 counts packets.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client::Endpoint;

/// How long one request may take; a person may wait longer than an SDK.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a request that met a busy or broken service is sent, and how long before the second time; twice as
/// long before each further one.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);
/// More than any reply of the service; user data, the largest, is at most 16 KB on EC2.
const BODY_BYTES: usize = 1024 * 1024;
const TOKEN_SECONDS: &str = "21600";
const TOKEN: &str = "X-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a service cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("connect to {endpoint}: {cause} (is a metadata service there? name another with --from)")]
    Connect { endpoint: Endpoint, cause: std::io::Error },
    #[error(
        "ask {endpoint}: no answer within {PATIENCE:?} (a hop limit that is too low for where this runs looks \
             like this)"
    )]
    Silent { endpoint: Endpoint },
    #[error("{method} {endpoint}{path}: {cause}")]
    Exchange { method: Method, endpoint: Endpoint, path: String, cause: Cause },
    #[error("{method} {endpoint}{path}: {status}{}", hint(*status, method))]
    Status { method: Method, endpoint: Endpoint, path: String, status: StatusCode },
}

/// What a status means where a metadata service was expected.
fn hint(status: StatusCode, method: &Method) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => " (its own session token is not accepted; with --v1, it requires one)",
        StatusCode::FORBIDDEN => " (the metadata endpoint is disabled, or a proxy stands before it)",
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED if method == Method::PUT => {
            " (it knows no session tokens: try --v1)"
        }
        _ => "",
    }
}

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) body: Bytes,
    /// Whether it came as `application/octet-stream`, as user data does.
    pub(crate) is_octets: bool,
}

/// A metadata service that is being read.
pub(crate) struct Source {
    endpoint: Endpoint,
    /// Whether session tokens are used.
    v2: bool,
    token: Option<String>,
    connection: Option<SendRequest<Empty<Bytes>>>,
    requests: usize,
}

impl Source {
    pub(crate) fn new(endpoint: Endpoint, v2: bool) -> Self {
        Source { endpoint, v2, token: None, connection: None, requests: 0 }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How many requests were answered.
    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    /// What lies at `path`, which begins with a slash; nothing where the service says 404.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Option<Found>, SourceError> {
        let mut renewed = false;
        loop {
            if self.v2 && self.token.is_none() {
                let answer = self.ask(Method::PUT, "/latest/api/token").await?;
                self.token = Some(String::from_utf8_lossy(&answer.1.body).into_owned());
            }
            match self.ask(Method::GET, path).await {
                Ok((StatusCode::NOT_FOUND, _)) => return Ok(None),
                Ok((_, found)) => return Ok(Some(found)),
                // Its time was over, or the service was started anew.
                Err(SourceError::Status { status: StatusCode::UNAUTHORIZED, .. }) if self.v2 && !renewed => {
                    self.token = None;
                    renewed = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A 200, or a GET's 404; again where the service was busy or the connection lost.
    async fn ask(&mut self, method: Method, path: &str) -> Result<(StatusCode, Found), SourceError> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let answer = tokio::time::timeout(PATIENCE, self.exchange(&method, path)).await;
            let error = match answer {
                Ok(Ok((status, found))) => {
                    self.requests += 1;
                    let is_absent = status == StatusCode::NOT_FOUND && method == Method::GET;
                    if status == StatusCode::OK || is_absent {
                        return Ok((status, found));
                    }
                    let (method, path) = (method.clone(), path.to_owned());
                    SourceError::Status { method, endpoint: self.endpoint.clone(), path, status }
                }
                Ok(Err(error)) => error,
                Err(_) => SourceError::Silent { endpoint: self.endpoint.clone() },
            };
            let may_pass = match &error {
                SourceError::Status { status, .. } => {
                    *status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
                }
                SourceError::Exchange { .. } => true,
                // Nobody is there at first; once somebody was, packets were dropped.
                SourceError::Silent { .. } | SourceError::Connect { .. } => self.requests > 0,
            };
            self.connection = None;
            if !may_pass || attempt >= ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends with its last attempt")
    }

    async fn exchange(&mut self, method: &Method, path: &str) -> Result<(StatusCode, Found), SourceError> {
        let failed = |cause: Cause| SourceError::Exchange {
            method: method.clone(),
            endpoint: self.endpoint.clone(),
            path: path.to_owned(),
            cause,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.endpoint.authority())
            .header("Connection", "keep-alive");
        if *method == Method::PUT {
            request = request.header(TOKEN_TTL, TOKEN_SECONDS);
        } else if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        let request = request.body(Empty::new()).map_err(|e| failed(e.into()))?;
        let mut connection = match self.connection.take() {
            Some(kept) if !kept.is_closed() => kept,
            _ => {
                let stream = TcpStream::connect(self.endpoint.target())
                    .await
                    .map_err(|cause| SourceError::Connect { endpoint: self.endpoint.clone(), cause })?;
                // The end of a request must not wait for the service to acknowledge its beginning.
                let _ = stream.set_nodelay(true);
                let (sender, driver) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(e.into()))?;
                tokio::spawn(driver);
                sender
            }
        };
        let sent = async {
            connection.ready().await?;
            let reply: Response<Incoming> = connection.send_request(request).await?;
            let status = reply.status();
            let is_octets =
                reply.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "application/octet-stream");
            let body = Limited::new(reply.into_body(), BODY_BYTES).collect().await?.to_bytes();
            Ok::<_, Cause>((status, Found { body, is_octets }))
        };
        let answer = sent.await.map_err(failed)?;
        self.connection = Some(connection);
        Ok(answer)
    }
}
