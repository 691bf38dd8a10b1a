//! A small client of the metadata service, for the commands that read from one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More than any reply of the service; user data, the largest, is at most 16 KB on EC2.
const BODY_BYTES: usize = 1024 * 1024;
const TOKEN_SECONDS: &str = "21600";

/// Where a metadata service is asked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    host: String,
    port: u16,
}

/// A request that did not bring what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("endpoint {0:?}: not a URL of the form http://ADDRESS[:PORT]")]
    Endpoint(String),
    #[error("connect to {endpoint}: {cause} (is a metadata service there? `fake-metadata serve` starts one)")]
    Connect { endpoint: Endpoint, cause: std::io::Error },
    #[error("{method} {endpoint}{path}: {cause}")]
    Exchange {
        method: Method,
        endpoint: Endpoint,
        path: String,
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{method} {endpoint}{path}: {status}")]
    Status { method: Method, endpoint: Endpoint, path: String, status: StatusCode },
    #[error(
        "ask {endpoint}: no answer after {after:?} (a token reply that the hop limit drops looks like this)"
    )]
    Silent { endpoint: Endpoint, after: Duration },
}

impl FromStr for Endpoint {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Endpoint(text.into());
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let plain = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/");
        match uri.host() {
            Some(host) if plain => Ok(Endpoint { host: host.into(), port: uri.port_u16().unwrap_or(80) }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

impl Endpoint {
    /// What a `Host` header names.
    pub(crate) fn authority(&self) -> String {
        if self.port == 80 { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }

    /// What to connect to.
    pub(crate) fn target(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }

    /// A session token for six hours.
    pub(crate) async fn token(&self) -> Result<String, ClientError> {
        let ttl = ("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS);
        let body = self.ask(Method::PUT, "/latest/api/token", Some(ttl)).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// The body at `path`, which begins with a slash.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Result<Bytes, ClientError> {
        self.ask(Method::GET, path, token.map(|t| ("X-aws-ec2-metadata-token", t))).await
    }

    /// The error for a service that has not answered in time.
    pub(crate) fn silent(&self, after: Duration) -> ClientError {
        ClientError::Silent { endpoint: self.clone(), after }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Result<Bytes, ClientError> {
        let stream = TcpStream::connect(self.target())
            .await
            .map_err(|cause| ClientError::Connect { endpoint: self.clone(), cause })?;
        let (status, body) = self.exchange(stream, &method, path, header).await.map_err(|cause| {
            ClientError::Exchange { method: method.clone(), endpoint: self.clone(), path: path.into(), cause }
        })?;
        if status != StatusCode::OK {
            return Err(ClientError::Status { method, endpoint: self.clone(), path: path.into(), status });
        }
        Ok(body)
    }

    async fn exchange(
        &self,
        stream: TcpStream,
        method: &Method,
        path: &str,
        header: Option<(&str, &str)>,
    ) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header("Host", self.authority());
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let reply = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let status = reply.status();
        Ok((status, Limited::new(reply.into_body(), BODY_BYTES).collect().await?.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_of_an_address() {
        let parsed = |text: &str| text.parse::<Endpoint>().map(|e| e.to_string());
        assert_eq!(parsed("http://169.254.169.254").unwrap(), "http://169.254.169.254");
        assert_eq!(parsed("http://127.0.0.1:8000/").unwrap(), "http://127.0.0.1:8000");
        assert_eq!(parsed("http://[fd00:ec2::254]").unwrap(), "http://[fd00:ec2::254]");
        for wrong in ["", "127.0.0.1", "https://127.0.0.1", "http://127.0.0.1/latest", "http://"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
