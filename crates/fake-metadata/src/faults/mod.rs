//! Faults: failures that are played on purpose, until they are cleared or over.
//!
//! - `spec` is one fault as it is asked for, `glob` the paths it is for;
//! - `fault` decides whether it strikes a request, `bucket` how fast is too fast;
//! - `playing` brings all of them together for a request. Clock and randomness are arguments.
//!
//! Nothing of this is looked at while there is no fault.

mod bucket;
mod fault;
mod glob;
mod playing;
mod spec;

pub(crate) use fault::{Asked, Fault};
pub(crate) use playing::{Faults, Met, Outcome, Playing};
pub(crate) use spec::{FaultError, FaultSpec, Kind, STATUSES, THROTTLE_STATUSES};
