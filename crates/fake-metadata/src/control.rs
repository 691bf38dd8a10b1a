//! The control API: HTTP with JSON on a Unix socket that root and the daemon's group may open. Small
//! and threaded, served by tiny_http, and unable to take the front down.
//!
//! `server` owns the socket, `routes` says what may be asked, `client` is the other end for the
//! commands.

pub(crate) mod client;
mod routes;
mod server;

pub(crate) use routes::Logins;
pub(crate) use server::{Control, start};
