//! The socket of the control API and the threads behind it.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;

use tiny_http::{Header, Method, Response, Server, StatusCode};

use super::routes::{self, Refused};
use crate::places::Surroundings;
use crate::state::State;
use crate::vital;

/// Threads that answer: a slow change must not keep `status` waiting. What waits for a service elsewhere has
/// a thread of its own.
const THREADS: usize = 2;
/// Bytes of a request body; user data is the largest thing that is sent, 16 KB on EC2.
const BODY_BYTES: u64 = 1024 * 1024;
/// The daemon's group may use it.
const SOCKET_MODE: u32 = 0o660;

/// The open control socket; its file goes when this is dropped, and a folder that was made for it alone.
pub(crate) struct Control(PathBuf);

impl Drop for Control {
    fn drop(&mut self) {
        // Nobody is left to be told, and the next start removes a stale one.
        let _ = fs::remove_file(&self.0);
        Surroundings::read().let_go(&self.0);
    }
}

/// Opens the socket at `path` and answers there from threads of its own.
///
/// # Errors
/// When the folder cannot be made, or another daemon answers on the socket.
pub(crate) fn start(path: &Path, state: &Arc<State>) -> io::Result<Control> {
    let listener = bind(path)?;
    let control = Control(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
    let server = Arc::new(Server::from_listener(listener, None).map_err(io::Error::other)?);
    for _ in 0..THREADS {
        let (server, state) = (server.clone(), state.clone());
        vital::spawn("control", move || {
            while let Ok(request) = server.recv() {
                if routes::waits(request.url()) {
                    wait_apart(request, &state);
                } else {
                    answer(request, &state);
                }
            }
        })?;
    }
    Ok(control)
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    Surroundings::read().claim(path)?;
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if UnixStream::connect(path).is_ok() {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// Answers on a thread of its own. A request that gets none is dropped, which tiny_http answers with 500.
fn wait_apart(request: tiny_http::Request, state: &Arc<State>) {
    let state = state.clone();
    let spawned = Builder::new().name("control-wait".into()).spawn(move || answer(request, &state));
    if let Err(error) = spawned {
        log::warn!("answer a control request: start a thread: {error}");
    }
}

fn answer(mut request: tiny_http::Request, state: &Arc<State>) {
    let mut body = Vec::new();
    let read = request.as_reader().take(BODY_BYTES + 1).read_to_end(&mut body);
    let result = match read {
        Err(error) => Err(Refused::wrong(format!("read the request: {error}"))),
        Ok(n) if n as u64 > BODY_BYTES => Err(Refused::wrong("the request is larger than 1 MiB")),
        Ok(_) => routes::route(state, method(request.method()), request.url(), &body),
    };
    let (status, value) = match result {
        Ok(value) => (200, value),
        Err(refused) => (refused.status, serde_json::json!({ "error": refused.message })),
    };
    let text = value.to_string();
    let json = Header::from_bytes("Content-Type", "application/json").expect("a constant header");
    let response =
        Response::new(StatusCode(status), vec![json], Cursor::new(text.clone()), Some(text.len()), None);
    if let Err(error) = request.respond(response) {
        log::debug!("control: {error}");
    }
}

fn method(method: &Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Put => "PUT",
        Method::Post => "POST",
        Method::Delete => "DELETE",
        _ => "",
    }
}
