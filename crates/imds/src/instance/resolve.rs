//! Completion and checks.

use jiff::Timestamp;

use super::{Instance, InstanceError, InstanceSpec};

impl Instance {
    /// Completes a specification. `launch` is when the instance is taken to have started.
    ///
    /// Refuses values that cannot be, and values that contradict each other, with the key and what to do.
    pub fn resolve(_spec: &InstanceSpec, _launch: Timestamp) -> Result<Instance, InstanceError> {
        Err(InstanceError { key: "instance".into(), message: "not written yet".into() })
    }
}
