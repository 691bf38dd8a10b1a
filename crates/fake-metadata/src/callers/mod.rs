//! Who gets which role: an address or a network, a container, a local user, in this order; the first
//! that matches wins, and a caller that nothing matches gets the default role.
//!
//! - `settings` is the `[callers]` table, `networks` and `mapping` the addresses in it and in a file;
//! - `rules` decides from facts, and says which fact it lacks. It asks nobody;
//! - `sockets` finds the local user behind a connection, by the socket's owner;
//! - `containers` asks container engines who has an address;
//! - `watch` follows the mapping file;
//! - `finder` brings rules and facts together for a request.
//!
//! A fact that was asked for and could not be had counts against the caller: it gets no role, so that a
//! lookup that failed never hands out the default role in place of another one.

mod containers;
mod finder;
mod mapping;
mod networks;
mod rules;
mod settings;
mod sockets;
mod watch;

pub(crate) use containers::{Engines, Granted, Made, Wish};
pub(crate) use finder::{Connection, Finder};
pub(crate) use rules::Rules;
pub(crate) use settings::{CallersSettings, DefaultRole, Resolved};
pub(crate) use watch::Watch;
