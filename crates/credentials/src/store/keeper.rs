//! The background task of a role: asks its source ahead of time, when somebody wishes it, and again
//! after a failure. Lives on the outgoing runtime.

use std::sync::Arc;
use std::time::Duration;

use super::Tools;
use super::role::Role;
use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::outgoing::MustLive;

/// How often the clock is read while nothing is due: timers stand still while the machine is
/// suspended, the clock does not.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps `role` fresh until it is closed.
pub(crate) async fn keep(role: Arc<Role>, tools: Arc<Tools>) {
    let _must_live = MustLive("role refresh");
    while !role.state().closed {
        if role.to_be_asked(&tools.clock.moment()) {
            attempt(&role, &tools).await;
        } else {
            role.touch();
        }
        rest(&role, &tools).await;
    }
}

/// Asks the source once. It runs in a task of its own, so that a panic in it is a failure like others.
async fn attempt(role: &Arc<Role>, tools: &Arc<Tools>) {
    let number = role.begin();
    let (name, source, clock) = (role.name.clone(), role.source.clone(), tools.clock.clone());
    let limit = source.limit();
    let slots = tools.slots.clone();
    let fetching = tokio::spawn(async move {
        let _slot = if source.watched() { None } else { slots.acquire_owned().await.ok() };
        tokio::time::timeout(limit, source.fetch(&name, &*clock)).await
    });
    let outcome: Result<Credentials, Failure> = match fetching.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(broken(role, tools, &format!("no answer within {} s", limit.as_secs()))),
        Err(_) => Err(broken(role, tools, "the attempt panicked (please report this with the log)")),
    };
    role.settle(tools, number, outcome, tools.clock.moment());
}

fn broken(role: &Role, tools: &Tools, cause: &str) -> Failure {
    let (kind, target) = (role.source.kind(), role.source.target());
    let gap = if target.is_empty() { "" } else { " " };
    Failure::new(format!("get credentials from {kind}{gap}{target}: {cause}"), tools.clock.moment().wall)
}

/// Until something is due, somebody calls, or the clock is to be looked at.
async fn rest(role: &Role, tools: &Tools) {
    let state = role.state();
    let fed = state.held.is_some_and(|held| held.fed);
    if role.source.watched() && !fed {
        return role.wake.notified().await;
    }
    let now = tools.clock.moment().ticks;
    let wait = state.due.map_or(LOOK, |due| due.saturating_sub(now).min(LOOK));
    let _ = tokio::time::timeout(wait, role.wake.notified()).await;
}
