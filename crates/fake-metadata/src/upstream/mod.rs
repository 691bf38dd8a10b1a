//! Proxy mode: another metadata service behind this one, whose every path but those of credentials is passed
//! through. What lies at `iam/` is ours, for the caller's own role.
//!
//! - `address` is the `upstream` setting;
//! - `route` decides which path is whose (pure), and has listings agree with that;
//! - `client` asks, on the outgoing thread, with session tokens of its own;
//! - `failure` is why there is no answer to pass on, `reply` an answer as it is passed on;
//! - `marker` recognises our own requests when they come back to us;
//! - `health` tells once that something is wrong, and keeps it for `status`.
//!
//! What it refuses to do: pass on credentials of the upstream's instance in any spelling of their path, send
//! anything of a client's request but its method and path, follow redirects, or wait longer than SDKs do.

mod address;
mod client;
mod failure;
mod health;
mod marker;
mod reply;
mod route;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::Value;
use tokio::runtime::Handle;

pub(crate) use address::Address;
use client::Client;
pub(crate) use failure::Failure;
pub(crate) use marker::{HOPS, HOPS_FIELD, Marker};
pub(crate) use reply::Reply;
use route::Passage;
pub(crate) use route::{Route, is_ours, route};

/// What a person can do about a loop.
pub(crate) const LEADS_BACK: &str = "leads back to this daemon (name the service that is meant; where it is \
                                     169.254.169.254, set local = false under [network] and run \
                                     fake-metadata-setup apply)";

/// The service whose answers are passed on.
pub(crate) struct Upstream {
    client: Arc<Client>,
    runtime: Handle,
}

impl Upstream {
    /// Nothing is asked before the first request. `runtime` is that of the outgoing thread.
    pub(crate) fn new(address: Address, marker: Arc<Marker>, runtime: Handle) -> Upstream {
        Upstream { client: Arc::new(Client::new(address, marker)), runtime }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &Address {
        self.client.address()
    }

    /// Asks for a path, on the outgoing thread. `received` are the headers of the request that this is for.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        passage: &Passage,
        received: &HeaderMap,
    ) -> Result<Reply, Failure> {
        self.fetch(passage.method(method), passage.path.clone(), self.onward(received)).await
    }

    /// What a request says that is made for one with these headers.
    pub(crate) fn onward(&self, received: &HeaderMap) -> HeaderValue {
        self.client.marker().onward(received)
    }

    async fn fetch(&self, method: Method, path: String, hops: HeaderValue) -> Result<Reply, Failure> {
        let client = self.client.clone();
        let asked = self.runtime.spawn(async move { client.fetch(method, path, hops).await });
        asked.await.unwrap_or_else(|_| Err(Failure::Broken("asking it failed here".into())))
    }

    /// Whether it leads back to this daemon, which must be answering. One that does not answer does not.
    pub(crate) async fn is_a_loop(&self) -> bool {
        let hops = self.onward(&HeaderMap::new());
        matches!(self.fetch(Method::GET, "/".into(), hops).await, Err(Failure::Loop))
    }

    /// The same for a thread that may wait, at most as long as an answer may take.
    pub(crate) fn is_a_loop_blocking(self: &Arc<Self>) -> bool {
        let (sender, receiver) = std::sync::mpsc::channel();
        let upstream = self.clone();
        self.runtime.spawn(async move { sender.send(upstream.is_a_loop().await) });
        receiver.recv().unwrap_or(false)
    }

    /// What `status` shows of it.
    pub(crate) fn status(&self) -> Value {
        self.client.status()
    }
}
