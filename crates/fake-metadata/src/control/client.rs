//! The commands' end of the control API.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::places::Surroundings;

const BODY_BYTES: usize = 16 * 1024 * 1024;
/// How long a command waits for the daemon.
const PATIENCE: Duration = Duration::from_secs(30);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why the daemon did not do what a command asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("connect to the daemon at {socket}: {cause} ({})", remedy(.cause))]
    Connect { socket: PathBuf, cause: std::io::Error },
    #[error("ask the daemon at {socket}: {cause}")]
    Exchange { socket: PathBuf, cause: Cause },
    /// The daemon refused, in its own words.
    #[error("{message}")]
    Refused {
        /// Whether the request itself was wrong, so that the command exits as for wrong usage.
        usage: bool,
        message: String,
    },
}

fn remedy(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "run as root, or as a member of the daemon's group: sudo adduser USER fake-metadata, then log in again"
        }
        _ => "is it running? another socket is named with --control or FAKE_METADATA_CONTROL",
    }
}

/// The daemon behind a control socket.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    socket: PathBuf,
}

impl Daemon {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Daemon { socket }
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, ControlError> {
        let exchange = |cause: Cause| ControlError::Exchange { socket: self.socket.clone(), cause };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| exchange(e.into()))?;
        let unconnected = |cause| ControlError::Connect { socket: self.socket.clone(), cause };
        // Whoever else answers there is not to be handed credentials.
        Surroundings::read().check_own(&self.socket).map_err(unconnected)?;
        let (status, answer) = runtime.block_on(async {
            let stream = UnixStream::connect(&self.socket).await.map_err(unconnected)?;
            let work = talk(stream, method, path, body.map(Value::to_string).unwrap_or_default());
            let answered = tokio::time::timeout(PATIENCE, work).await;
            answered.map_err(|_| exchange(format!("no answer after {PATIENCE:?}").into()))?.map_err(exchange)
        })?;
        if status == 200 {
            return Ok(answer);
        }
        let message =
            answer.get("error").and_then(Value::as_str).unwrap_or("refused without a reason").to_owned();
        Err(ControlError::Refused { usage: status == 400, message })
    }
}

async fn talk(stream: UnixStream, method: Method, path: &str, body: String) -> Result<(u16, Value), Cause> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "localhost")
        .header("Connection", "close")
        .body(Full::new(Bytes::from(body)))?;
    let reply = sender.send_request(request).await?;
    let status = reply.status().as_u16();
    let bytes = Limited::new(reply.into_body(), BODY_BYTES).collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&bytes)?))
}
