//! What `status` and `role list` show of a role. Holds no key.

use jiff::Timestamp;
use serde::Serialize;

use super::Tools;
use super::role::Role;
use crate::clock::Moment;
use crate::credentials::add;

/// One role at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RoleStatus {
    /// The role's name.
    pub role: String,
    /// The source's word in the configuration.
    pub source: &'static str,
    /// Where the source looks: a file, a profile, a role's ARN. Empty where there is nothing to say.
    pub target: String,
    /// Whether there are credentials to serve.
    pub serving: bool,
    /// Whether what is served was pushed from outside.
    pub fed: bool,
    /// When what is served was obtained.
    pub last_updated: Option<Timestamp>,
    /// Seconds since then.
    pub age: Option<i64>,
    /// When what is served expires; absent for keys that do not, and where it is not known.
    pub expiration: Option<Timestamp>,
    /// Whether what is served expires at a time that its source does not say.
    pub end_unknown: bool,
    /// When the source is asked next; absent where it is asked at each use or never.
    pub next_refresh: Option<Timestamp>,
    /// How often the source has been asked and has answered.
    pub attempts: u64,
    /// Why the last attempt failed; absent after a success.
    pub last_error: Option<String>,
    /// When it failed.
    pub last_error_at: Option<Timestamp>,
    /// Whether nothing but a person can mend that.
    pub needs_person: bool,
    /// Who asked last.
    pub asked_by: Option<String>,
    /// When they asked.
    pub asked_at: Option<Timestamp>,
}

pub(crate) fn of(role: &Role, tools: &Tools, now: &Moment) -> RoleStatus {
    let state = role.state();
    let shown = role.shown(tools, now);
    let asked = role.asked();
    let failure = state.failure.as_ref().map(|(failure, _)| failure);
    let wait = state.due.filter(|_| role.source.outgoing()).map(|due| due.saturating_sub(now.ticks));
    RoleStatus {
        role: role.name.clone(),
        source: role.source.kind(),
        target: role.source.target(),
        serving: shown.is_some(),
        fed: shown.is_some() && state.held.as_ref().is_some_and(|held| held.fed),
        last_updated: shown.as_ref().map(|c| c.last_updated),
        age: shown.as_ref().map(|c| now.wall.as_second() - c.last_updated.as_second()),
        expiration: shown.as_ref().and_then(|c| c.expiration),
        end_unknown: shown.as_ref().is_some_and(|c| c.end_unknown()),
        next_refresh: wait.and_then(|wait| wait.try_into().ok()).map(|wait| add(now.wall, wait)),
        attempts: state.ended,
        last_error: failure.map(|failure| failure.detail.clone()),
        last_error_at: failure.map(|failure| failure.at),
        needs_person: failure.is_some_and(|failure| failure.needs_person),
        asked_by: asked.as_ref().map(|asked| asked.who.clone()),
        asked_at: asked.map(|asked| asked.at),
    }
}
