//! The roles that containers ask for: a configured one, one made from a configured one with the
//! container's session name and external id, or one made from the template for names that are not
//! configured. Pure.

use super::wish::Wish;
use crate::config::{Config, RoleSettings};

/// How a container's wish is granted.
#[derive(Clone, Debug)]
pub(crate) enum Granted {
    /// The configured role of this name.
    Configured(String),
    /// A role made for this wish.
    Made(Box<Made>),
    /// There is no such role: what to do about it.
    Refused(String),
}

/// A role that is not written in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// What tells it from every other role.
    pub(crate) key: String,
    pub(crate) spec: credentials::RoleSpec,
    pub(crate) entry: imds::RoleEntry,
}

impl Granted {
    /// How this configuration grants a wish.
    pub(crate) fn of(wish: &Wish, config: &Config) -> Granted {
        let roles = config.roles();
        let plain = wish.external_id.is_none() && wish.session_name.is_none();
        match (roles.get(&wish.role), &config.callers.template) {
            (Some(settings), _) if plain || !can_vary(&settings.source) => {
                Granted::Configured(wish.role.clone())
            }
            (Some(settings), _) => Granted::made(wish, settings, false),
            (None, Some(template)) => Granted::made(wish, template, true),
            (None, None) => Granted::Refused(format!(
                "there is no role {:?} (add a table [roles.{}], or [callers.container-role] for all roles that containers name)",
                wish.role, wish.role
            )),
        }
    }

    fn made(wish: &Wish, settings: &RoleSettings, named: bool) -> Granted {
        let key = wish.key();
        let spec = settings.source.clone();
        let _ = named;
        let mut entry = settings.entry(wish.listed_name());
        entry.key = key.clone();
        Granted::Made(Box::new(Made { key, spec, entry }))
    }

    /// The key of the role that is granted.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Granted::Configured(name) => Some(name),
            Granted::Made(made) => Some(&made.key),
            Granted::Refused(_) => None,
        }
    }
}

/// Whether a session name or an external id makes other credentials of this source.
fn can_vary(spec: &credentials::RoleSpec) -> bool {
    spec.source == credentials::SourceKind::Generated
}
