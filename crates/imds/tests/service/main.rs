//! The service as a whole, through its public face: request in, reply out.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod common;
mod crawl;
mod depth;
mod identity;
mod instance;
mod interfaces;
mod overrides;
mod properties;
mod refusals;
mod roles;
mod wire;
