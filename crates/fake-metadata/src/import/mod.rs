//! Configurations of other tools as ours. Only AEMM's so far.
//!
//! - `aemm` goes through a configuration of AEMM and makes ours of it;
//! - `tree` sets literally what `[instance]` cannot say;
//! - `keys` says which of AEMM's keys are which of ours;
//! - `events` translates spot interruptions, maintenance and Auto Scaling.
//!
//! What has no counterpart is said, never silently dropped.

mod aemm;
mod events;
mod keys;
mod tree;

pub(crate) use aemm::import;
