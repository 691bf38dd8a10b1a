//! HTTP/1.1 as Go's server speaks it: kept alive unless the client closes, headers in Go's order.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::log;
use crate::mock::{self, Mock};
use crate::refusal::{Answering, Refusing};
use crate::reply::Reply;

/// Connections the kernel holds for us while we are busy.
const BACKLOG: i32 = 1024;
/// Connections at once; more wait.
const CONNECTIONS: usize = 512;
/// For the head of a request, and between requests.
const HEAD_TIME: Duration = Duration::from_secs(60);
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// How long a taken port is tried again: scripts end one program and start the next at once, and AEMM takes longer to
/// start than the kernel takes to end the first.
const TAKEN: Duration = Duration::from_millis(500);
const TRY_AGAIN: Duration = Duration::from_millis(10);

/// Opens the socket, and tries again for a moment when the port is taken.
pub(crate) fn open(host: &str, port: &str) -> io::Result<std::net::TcpListener> {
    let end = Instant::now() + TAKEN;
    loop {
        match open_once(host, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < end => {
                std::thread::sleep(TRY_AGAIN);
            }
            opened => return opened,
        }
    }
}

/// Opens the socket. `0.0.0.0` and no host at all are every address, IPv6 too where there is any, as Go has it.
fn open_once(host: &str, port: &str) -> io::Result<std::net::TcpListener> {
    let port: u16 = port.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "unknown port"))?;
    if matches!(host, "" | "0.0.0.0" | "::" | "[::]") {
        return bind((Ipv6Addr::UNSPECIFIED, port).into()).or_else(|_| bind(([0, 0, 0, 0], port).into()));
    }
    let mut addresses: Vec<SocketAddr> = (host.trim_matches(['[', ']']), port).to_socket_addrs()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let first = addresses.first().ok_or_else(|| io::Error::other("no such host"))?;
    bind(*first)
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: std::net::TcpListener, mock: Arc<Mutex<Mock>>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, client)) => {
                let mock = mock.clone();
                tokio::spawn(async move {
                    talk(stream, client, mock).await;
                    drop(place);
                });
            }
            // Of the connection, or for want of descriptors: either way the next may do better.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn talk(stream: TcpStream, client: SocketAddr, mock: Arc<Mutex<Mock>>) {
    let answering = Answering::default();
    let io = Refusing::new(TokioIo::new(stream), answering.clone());
    let service = service_fn(move |request| {
        answering.begin();
        let reply = answer(&mock, &request, client);
        async move { Ok::<_, Infallible>(response(reply)) }
    });
    // A client that goes away or talks nonsense has had its answer.
    let _ = http1::Builder::new()
        .title_case_headers(true)
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(io, service)
        .await;
}

fn answer(mock: &Mutex<Mock>, request: &Request<Incoming>, client: SocketAddr) -> Reply {
    let header = |name| {
        let value: Option<&HeaderValue> = request.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    let (token, token_ttl) = (header(TOKEN), header(TOKEN_TTL));
    let mut random = [0; 32];
    if getrandom::fill(&mut random).is_err() {
        return Reply::error(400);
    }
    let asked = mock::Request {
        method: request.method().as_str(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()),
        token: token.as_deref(),
        token_ttl: token_ttl.as_deref(),
        client,
    };
    let mut mock = mock.lock().unwrap_or_else(PoisonError::into_inner);
    let reply = mock.answer(&asked, random, Timestamp::now());
    log::lines(mock.logged());
    reply
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    headers.append(DATE, HeaderValue::from_str(&date).expect("a date is printable ASCII"));
    headers.append(CONTENT_LENGTH, reply.body.len().into());
    *response.body_mut() = Full::new(reply.body);
    response
}
