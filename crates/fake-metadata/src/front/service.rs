//! What hyper calls for each request: most are answered at once, the others later.

use std::fmt;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::Front;
use super::activity::Activity;
use super::body::Whole;
use super::fields::Fields;
use super::turn::{Turn, Waits};
use crate::callers::Connection;

/// The reply is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withheld {
    /// The connection is closed.
    Closed,
    /// The connection is silent for a while and then closed: the hop limit took the reply.
    Lost,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reply withheld")
    }
}

impl std::error::Error for Withheld {}

pub(super) type Answered = Result<Response<Whole>, Withheld>;

/// What a request comes to. It is there at once where nobody need be waited for, as for most requests; what the others
/// wait with is in memory of its own, which every connection would have to hold and to copy otherwise.
pub(super) enum Answering<'a> {
    Now(Ready<Answered>),
    Later(Pin<Box<dyn Future<Output = Answered> + Send + 'a>>),
}

impl Future for Answering<'_> {
    type Output = Answered;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        match self.get_mut() {
            Answering::Now(answered) => Pin::new(answered).poll(cx),
            Answering::Later(answered) => answered.as_mut().poll(cx),
        }
    }
}

/// Answers one request.
pub(super) fn answer<'a>(
    front: &'a Front,
    caller: &'a Connection,
    activity: &'a Activity,
    request: Request<Incoming>,
) -> Answering<'a> {
    let came = Timestamp::now();
    let live = front.state.live();
    let turn = Turn { front, caller, request: &request, fields: Fields::of(request.headers()), came };
    let waits = match turn.at_once(&live) {
        Ok(answer) => match turn.conclude(&live, activity, answer, None) {
            Err(Withheld::Lost) => return Answering::Later(Box::pin(lost(front))),
            answered => return Answering::Now(ready(answered)),
        },
        Err(waits) => waits,
    };
    let live = live.clone();
    Answering::Later(Box::pin(async move {
        let turn = Turn { front, caller, request: &request, fields: Fields::of(request.headers()), came };
        let mut met = None;
        let answer = match waits {
            Waits::ForAnything => turn.later(&live, &mut met).await,
            Waits::For(need) => turn.fulfil(need, None, came).await,
        };
        match turn.conclude(&live, activity, answer, met) {
            Err(Withheld::Lost) => lost(front).await,
            answered => answered,
        }
    }))
}

/// The silence of a connection on which a reply was lost.
async fn lost(front: &Front) -> Answered {
    tokio::time::sleep(front.limits.hop_hang).await;
    Err(Withheld::Closed)
}
