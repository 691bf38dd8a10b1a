//! What systemd is told (sd_notify(3)): that we answer, that we live, that we reload or stop. Does
//! nothing under any other supervisor.

use sd_notify::NotifyState;

/// Tells the supervisor that the service answers.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells the supervisor that a reload began; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Tells the supervisor that we are stopping.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog from the front's own runtime, so that it starves when the front hangs.
pub(crate) fn watch() {
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(limit / 3);
            loop {
                ticks.tick().await;
                tell(&[NotifyState::Watchdog]);
            }
        });
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        log::warn!("tell the supervisor: {error}");
    }
}
