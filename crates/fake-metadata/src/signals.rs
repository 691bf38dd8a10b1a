//! Signals: SIGHUP reloads, SIGTERM and SIGINT end the service once what is in flight is done.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::Notify;

use crate::state::State;
use crate::{supervisor, vital};

/// Starts the thread that waits for signals.
pub(crate) fn start(state: Arc<State>, stop: Arc<Notify>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
    vital::spawn("signals", move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                supervisor::reloading();
                // The log tells how it went; there is nobody else to tell.
                let _ = state.reload(false);
                supervisor::ready();
            } else {
                log::info!("stopping: signal {signal}");
                supervisor::stopping();
                stop.notify_one();
            }
        }
    })?;
    Ok(())
}
