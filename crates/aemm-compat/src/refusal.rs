//! What Go's server says to a request that is no HTTP: one line of text. hyper answers those itself, before any
//! service of ours, with an empty body; this stream replaces that answer on its way out.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Whether a request of this connection is being answered by us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answering(Arc<AtomicBool>);

impl Answering {
    /// A request has come through.
    pub(crate) fn begin(&self) {
        self.0.store(true, Relaxed);
    }
}

/// A stream on which hyper's own refusals read as Go's.
pub(crate) struct Refusing<T> {
    inner: T,
    answering: Answering,
    /// What is left to send of a refusal; hyper's own is swallowed.
    refusal: Option<Vec<u8>>,
}

impl<T> Refusing<T> {
    pub(crate) fn new(inner: T, answering: Answering) -> Self {
        Refusing { inner, answering, refusal: None }
    }
}

/// The refusal in place of a head of hyper's, when it is one.
fn refusal(head: &[u8]) -> Option<Vec<u8>> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let status = std::str::from_utf8(line.strip_prefix(b"HTTP/1.1 ")?).ok().filter(|s| s.starts_with('4'))?;
    Some(
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{status}"
        )
        .into_bytes(),
    )
}

impl<T: Read + Unpin> Read for Refusing<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Refusing<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.refusal.is_none() && !this.answering.0.load(Relaxed) {
            this.refusal = refusal(buf);
        }
        match this.refusal {
            Some(_) => Poll::Ready(Ok(buf.len())),
            None => Pin::new(&mut this.inner).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while let Some(rest) = this.refusal.as_mut().filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut this.inner).poll_write(cx, rest))?;
            rest.drain(..written);
        }
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        // hyper flushes once its own buffer is empty: the answer is out.
        this.answering.0.store(false, Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_refusals_are_replaced() {
        let replaced = |head: &str| refusal(head.as_bytes()).map(|r| String::from_utf8(r).unwrap());
        assert_eq!(
            replaced("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").as_deref(),
            Some(
                "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
                 400 Bad Request"
            )
        );
        assert_eq!(replaced("HTTP/1.1 100 Continue\r\n\r\n"), None);
        assert_eq!(replaced("HTTP/1.1 200 OK\r\n"), None);
    }
}
