//! The stream under hyper, watched: it tells [`Activity`] when a request begins, when an answer is
//! out and when the client does not read, and resets the connection or lets it hang in place of an answer when
//! that is played.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::net::TcpStream;

use super::activity::{Activity, Phase};

/// A stream of hyper's kind that keeps a record of its activity.
pub(crate) struct Watched {
    inner: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

impl Watched {
    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Watched { inner: TokioIo::new(stream), activity }
    }

    pub(crate) fn into_inner(self) -> TcpStream {
        self.inner.into_inner()
    }

    /// Fails where the connection is to be reset, which closing it then does: with a linger of zero the
    /// kernel sends a reset (socket(7)).
    fn check_reset(&self) -> io::Result<()> {
        if !self.activity.is_to_be_reset() {
            return Ok(());
        }
        socket2::SockRef::from(self.inner.inner()).set_linger(Some(Duration::ZERO))?;
        Err(io::ErrorKind::ConnectionReset.into())
    }

    /// Holds what would be written back where the connection hangs, until the client has closed its side.
    fn hang(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.phase() != Phase::Hanging {
            return Poll::Ready(Ok(()));
        }
        let mut dropped = [0; 1024];
        loop {
            let mut buffer = tokio::io::ReadBuf::new(&mut dropped);
            ready!(Pin::new(self.inner.inner_mut()).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
        }
    }
}

impl Read for Watched {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        if this.activity.phase() == Phase::Idle {
            this.activity.enter(Phase::Head);
        }
        Poll::Ready(Ok(()))
    }
}

/// No vectored writes: hyper then puts head and body together in its own buffer and sends them by send(2), which costs
/// less than writev(2) and than what leads to it.
impl Write for Watched {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_reset()?;
        ready!(this.hang(cx))?;
        let result = Pin::new(&mut this.inner).poll_write(cx, buf);
        match result {
            Poll::Pending => this.activity.write_blocked(),
            Poll::Ready(_) => this.activity.write_moved(),
        }
        result
    }

    /// hyper flushes the stream only once its own buffer is empty: the answer is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if this.activity.phase() == Phase::Writing {
            this.activity.enter(Phase::Idle);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
