//! What the EC2 instance metadata service answers: request, state and time to reply, without I/O.
//!
//! - [`respond()`]: the decision. A [`Request`], a [`Snapshot`] and the time give a [`Reply`], or what must be
//!   found out first and the reply but for that ([`Need`]). [`admit`] is its first half, for paths that are
//!   answered elsewhere.
//! - [`InstanceSpec`] and [`Instance`]: the instance as configured, and as completed.
//! - [`Trees`], [`Tree`], [`RoleEntry`], [`Overrides`]: what each caller sees, and changes to it.
//! - [`in_force`], [`Event`]: what events show at a time, as changes to the trees.
//! - [`Recording`]: a tree that was read elsewhere and is served as it was.
//! - [`Signer`]: the signed identity document.
//! - [`TokenKey`]: session tokens.
//!
//! Nothing here opens a socket or a file, starts a thread, reads a clock or takes randomness by itself.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod date;
mod documents;
mod events;
mod identity;
mod instance;
mod path;
mod reply;
mod request;
mod respond;
mod schema;
mod token;
mod tree;
mod version;

pub use date::{HttpDate, rfc3339};
pub use documents::assume_role_unauthorized_message;
pub use events::{
    Ending, Event, InForce, LifecycleState, Maintenance, MaintenanceCode, SPOT_NOTICE, SpotAction,
    SpotInterruption, in_force,
};
pub use identity::{IdentityError, Signatures, Signer};
pub use instance::{
    HostnameType, Instance, InstanceError, InstanceSpec, InterfaceSpec, Partition, PublicKeySpec,
    TagsSetting, VolumeSpec,
};
pub use path::canonical;
pub use reply::{ContentType, Head, HeaderName, HeaderValue, NOT_FOUND_PAGE, Reply, SERVER, Status};
pub use request::{Delivery, HeaderField, Nonce, Request, RoleAnswer, RoleDocument, RoleKey};
pub use respond::{
    Admitted, CredentialsReply, Endpoint, Need, Outcome, SignatureReply, Snapshot, TokenMode, admit, respond,
};
pub use token::{MAX_TTL, TOKEN_LENGTH, TokenKey};
pub use tree::{
    InfoFailure, InstanceProfile, Leaf, Override, Overrides, Recorded, Recording, RoleEntry, SignatureKind,
    Tree, TreeError, Trees, is_secret,
};
pub use version::{VERSIONS, Version};
