//! Role credentials: where they come from, and the store that keeps them fresh.
//!
//! [`Store`] holds the credentials of every role. A caller on the front asks [`Store::current`], which
//! answers from memory, and where that yields nothing awaits [`Store::get`]. What talks to the outside
//! (files, STS) runs on the runtime of [`Outgoing`], never on the front, and that runtime is started
//! only when a role needs it.
//!
//! | module | what |
//! |---|---|
//! | `credentials`, `failure` | what a role's source yields |
//! | `spec` | the `[roles.NAME]` table, and what is wrong with one |
//! | `source` | a spec resolved to one way of obtaining credentials |
//! | `document` | the JSON forms in which credentials are written |
//! | `store` | keeping them fresh, sharing one call, deciding what may be served |
//! | `person` | a profile resolved as the person who runs the program |
//! | `login` | a login to IAM Identity Center for a role |
//! | `clock`, `outgoing` | time and the second thread, both handed in |
//!
//! This crate knows nothing of HTTP, callers or the metadata tree, and never writes a secret to a log.

mod clock;
mod credentials;
mod document;
mod failure;
mod login;
mod outgoing;
mod person;
mod source;
mod spec;
mod store;

pub use clock::{Clock, Moment, SystemClock};
pub use credentials::{Credentials, Secret};
pub use document::{DocumentError, parse as parse_document};
pub use failure::Failure;
pub use login::{Login, LoginPrompt};
pub use outgoing::Outgoing;
pub use person::Person;
pub use source::ask::AskCode;
pub use source::generated::Seed;
pub use spec::{Command, RoleSpec, Settings, SourceKind, Span, SpecError, check_role_name};
pub use store::{
    Answer, Changes, Environment, FeedError, IDENTITY_ROLE, LoginError, RoleStatus, Store, UnknownRole,
};

#[cfg(test)]
mod sso_tests;
#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod sts_tests;
