//! Live changes: what commands alter on the running service, over what is configured.
//!
//! - `change` is one change and what it applies to; `changes` holds all that are in force;
//! - `keep` writes those that outlive the daemon to the state directory.
//!
//! A change replaces an earlier one of the same thing. All of a request's changes are made, or none.

mod change;
mod changes;
mod keep;

pub(crate) use change::{Change, USER_DATA_BYTES, canonical, is_of_roles, of_a_value, tree_path};
pub(crate) use changes::{Changes, InstanceChanges};
pub(crate) use keep::{load, save};
