//! The least that hyper can do: the same reply to everything, on one thread, as a yardstick for the daemon. No limits,
//! no timeouts, no log, no look at the request. `hyper-hello ADDRESS:PORT BODY`. Header names are sent as EC2 writes them.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (address, body) = (args.next().ok_or("no address")?, args.next().ok_or("no body")?);
    let body = Bytes::from(body);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let body = body.clone();
            tokio::spawn(async move {
                let service =
                    service_fn(move |_| std::future::ready(Ok::<_, Infallible>(reply(body.clone()))));
                // A client that goes away is no matter here.
                let _ = http1::Builder::new()
                    .title_case_headers(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

/// The headers of a metadata reply; hyper adds Date, Content-Length and, when asked to close, Connection.
fn reply(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Thu, 01 Jan 2026 00:00:00 GMT"));
    headers.insert(header::SERVER, HeaderValue::from_static("EC2ws"));
    response
}
