//! The body of a reply, all there, or cut off before its end when that is played.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// The most bytes that hyper is given at once. It copies them behind the head that it sends, into a buffer that stays
/// as large as it became; all of what EC2 answers goes in one piece.
const PIECE: usize = 16 * 1024;

/// A body that is all there. An empty one does not say beforehand that it has ended, as `Full` does: hyper
/// would then move our `Content-Length: 0` behind every other header.
pub(super) struct Whole {
    bytes: Option<Bytes>,
    /// What is promised and never sent.
    missing: usize,
    /// Whether hyper was made to send what it has before it is told of the end.
    sent: bool,
}

impl Whole {
    pub(super) fn new(bytes: Bytes) -> Self {
        Whole { bytes: Some(bytes), missing: 0, sent: false }
    }

    /// The first half alone; the connection ends there.
    pub(super) fn cut(mut bytes: Bytes) -> Self {
        let length = bytes.len();
        bytes.truncate(length / 2);
        Whole { missing: length - bytes.len(), ..Whole::new(bytes) }
    }
}

/// The rest of a body does not come.
#[derive(Debug)]
pub(super) struct CutOff;

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("body cut off")
    }
}

impl std::error::Error for CutOff {}

impl Body for Whole {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        let this = self.get_mut();
        if let Some(mut bytes) = this.bytes.take().filter(|bytes| !bytes.is_empty()) {
            if bytes.len() > PIECE {
                this.bytes = Some(bytes.split_off(PIECE));
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if this.missing == 0 {
            return Poll::Ready(None);
        }
        if !this.sent {
            this.sent = true;
            // hyper sends what it holds when a body has nothing yet.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(CutOff)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.bytes.as_ref().map_or(0, Bytes::len) + self.missing;
        SizeHint::with_exact(left as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What hyper is given: the lengths of the pieces, and whether they are all of the body.
    fn given(mut body: Whole) -> (Vec<usize>, bool) {
        let mut pieces = Vec::new();
        loop {
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => pieces.extend(frame.data_ref().map(Bytes::len)),
                // It is polled again at once.
                Poll::Pending => {}
                Poll::Ready(Some(Err(CutOff))) => return (pieces, false),
                Poll::Ready(None) => return (pieces, true),
            }
        }
    }

    #[test]
    fn a_body_is_given_in_pieces_also_where_it_is_cut_off() {
        let of = |length| Bytes::from(vec![b'x'; length]);
        assert_eq!(given(Whole::new(of(0))), (vec![], true));
        assert_eq!(given(Whole::new(of(PIECE))), (vec![PIECE], true));
        assert_eq!(given(Whole::new(of(2 * PIECE + 1))), (vec![PIECE, PIECE, 1], true));
        assert_eq!(given(Whole::cut(of(4 * PIECE + 1))), (vec![PIECE, PIECE], false));
        assert_eq!(given(Whole::cut(of(1))), (vec![], false));
        assert_eq!(Whole::cut(of(4 * PIECE + 1)).size_hint().exact(), Some(4 * PIECE as u64 + 1));
    }
}
