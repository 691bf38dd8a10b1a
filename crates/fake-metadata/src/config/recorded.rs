//! `snapshot`: a recording in place of `[instance]`, and what is asked of either.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::Value;

use super::{ConfigError, KeyPath, Loaded};
use crate::recording;

impl Loaded {
    /// Reads the recording that `snapshot` names.
    pub(super) fn read_recording(&mut self) -> Result<(), ConfigError> {
        let Some(file) = &self.config.snapshot else { return Ok(()) };
        let key = KeyPath::root().key("snapshot");
        let recording =
            recording::read(&self.folder.join(file)).map_err(|e| self.refuse(&key, e.to_string()))?;
        if let Some(said) = self.layer.values.get("instance").and_then(Value::as_table)
            && let Some(name) = said.keys().next()
        {
            let message = "a snapshot is served, which is an instance of its own (change it under [tree])";
            return Err(self.refuse(&KeyPath::root().key("instance").key(name), message));
        }
        self.config.recorded_role = Some(recording.role().map(str::to_owned));
        self.recording = Some(Arc::new(recording));
        Ok(())
    }

    /// The tags of the instance as configured or recorded.
    pub(crate) fn tags(&self) -> BTreeMap<String, String> {
        match &self.recording {
            Some(recording) => recording.tags(),
            None => self.config.instance.tags.clone().unwrap_or_default(),
        }
    }

    /// `autoscaling/target-lifecycle-state` as configured or recorded.
    pub(crate) fn target_lifecycle_state(&self) -> Option<imds::LifecycleState> {
        let state = match &self.recording {
            Some(recording) => {
                let value = recording.value("meta-data/autoscaling/target-lifecycle-state")?;
                std::str::from_utf8(value).ok()?
            }
            None => self.config.instance.target_lifecycle_state.as_deref()?,
        };
        imds::LifecycleState::named(state)
    }
}
