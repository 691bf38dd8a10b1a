//! Proxy mode: the upstream that follows from the configuration, and that it is not ourselves.

use std::io;
use std::sync::Arc;

use super::State;
use crate::config::{Config, ConfigError, KeyPath, Loaded};
use crate::upstream::{LEADS_BACK, Marker, Upstream};

/// The upstream of a configuration. Starts the outgoing thread where there is one.
pub(super) fn upstream(
    config: &Config,
    marker: &Arc<Marker>,
    outgoing: &credentials::Outgoing,
) -> io::Result<Option<Arc<Upstream>>> {
    let made = config.upstream.as_ref().map(|address| {
        if !config.events.is_empty() || config.tree != imds::Overrides::default() {
            log::warn!("[[events]] and [tree] change nothing of what the upstream {address} answers");
        }
        Ok(Arc::new(Upstream::new(address.clone(), marker.clone(), outgoing.handle()?)))
    });
    made.transpose()
}

fn refuse(loaded: &Loaded, upstream: &Upstream) -> ConfigError {
    let message = format!("{} {LEADS_BACK}", upstream.address());
    loaded.refuse(&KeyPath::root().key("upstream"), message)
}

impl State {
    /// Finds out at the start whether the upstream leads back to this daemon, which must be answering by now.
    ///
    /// # Errors
    /// It does. An upstream that does not answer is told in the log, and may come later.
    pub(crate) async fn check_upstream(&self) -> Result<(), ConfigError> {
        let live = self.live().clone();
        match &live.upstream {
            Some(upstream) if upstream.is_a_loop().await => Err(refuse(&live.loaded, upstream)),
            _ => Ok(()),
        }
    }

    /// The upstream of a configuration that is about to be in force: the present one where it stays the same.
    pub(super) fn reloaded_upstream(&self, loaded: &Loaded) -> Result<Option<Arc<Upstream>>, ConfigError> {
        let present = self.live().upstream.clone();
        if present.as_ref().map(|present| present.address()) == loaded.config.upstream.as_ref() {
            return Ok(present);
        }
        let made = upstream(&loaded.config, &self.marker, &self.outgoing);
        let made = made.map_err(|e| ConfigError::state(format!("ask the upstream: start a thread: {e}")))?;
        match &made {
            Some(upstream) if upstream.is_a_loop_blocking() => Err(refuse(loaded, upstream)),
            _ => Ok(made),
        }
    }
}
