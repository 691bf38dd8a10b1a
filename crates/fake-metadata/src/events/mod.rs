//! Events of the running service: as they are written, when they are due, whom they reach.
//!
//! - `time` reads durations, dates and clock times; `spec` is one `[[events]]` table and what it comes to;
//! - `audience` says which callers something is for; `timeline` holds every event and refuses what cannot be;
//! - `stages` turns a timeline into the snapshots that follow each other, so that what is served at a moment
//!   depends on that moment alone and on no timer.
//!
//! What an event shows in the tree is decided in [`imds::in_force`].

mod audience;
mod spec;
mod stages;
mod time;
mod timeline;

pub(crate) use audience::{CallerName, Names};
pub(crate) use spec::{EventError, EventSpec, Kind, Script};
pub(crate) use stages::Stages;
pub(crate) use time::{Clock, When, duration};
pub(crate) use timeline::{Origin, Timeline};
