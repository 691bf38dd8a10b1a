//! The roles that containers ask for: a configured one, one made from a configured one with the
//! container's session name and external id, or one made from the template for names that are not
//! configured. Pure.

use credentials::{RoleSpec, SourceKind};

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
    pub(crate) spec: RoleSpec,
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
        let spec = spec(wish, &settings.source, named);
        let mut entry = settings.entry(wish.listed_name());
        entry.key = key.clone();
        Granted::Made(Box::new(Made { key, spec, entry }))
    }

    /// The source of a role as a container could name it, to see whether the template is right.
    pub(crate) fn example(template: &RoleSettings) -> RoleSpec {
        let role = "arn:aws:iam::123456789012:role/Example".to_owned();
        spec(&Wish { role, external_id: None, session_name: None }, &template.source, true)
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

/// The source of a wish's role. `named`: the wish says which role is to be assumed, or whose profile it is.
fn spec(wish: &Wish, pattern: &RoleSpec, named: bool) -> RoleSpec {
    let mut spec = pattern.clone();
    let session_name = || wish.session_name.clone().or_else(|| pattern.session_name.clone());
    match pattern.source {
        SourceKind::AssumeRole => {
            if named {
                spec.role_arn = Some(wish.role.clone());
            }
            spec.external_id = wish.external_id.clone().or_else(|| pattern.external_id.clone());
            spec.session_name = session_name();
        }
        SourceKind::Profile => {
            if named && pattern.profile.is_none() {
                spec.profile = Some(wish.listed_name().to_owned());
            }
            spec.session_name = session_name();
        }
        _ => {}
    }
    spec
}

/// Whether a session name or an external id makes other credentials of this source.
fn can_vary(spec: &RoleSpec) -> bool {
    matches!(spec.source, SourceKind::Generated | SourceKind::Profile | SourceKind::AssumeRole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(json: serde_json::Value) -> RoleSpec {
        serde_json::from_value(json).unwrap()
    }

    fn wish(role: &str, external_id: Option<&str>, session_name: Option<&str>) -> Wish {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Wish { role: role.into(), external_id: owned(external_id), session_name: owned(session_name) }
    }

    #[test]
    fn a_template_is_filled_with_what_the_container_says() {
        let template = pattern(serde_json::json!({
            "source": "assume-role", "source-profile": "hub", "external-id": "ours", "duration": "1h"
        }));
        let full = spec(&wish("team/App@prod", Some("theirs"), Some("web-1")), &template, true);
        assert_eq!(full.role_arn.as_deref(), Some("team/App@prod"));
        assert_eq!(full.external_id.as_deref(), Some("theirs"));
        assert_eq!(full.session_name.as_deref(), Some("web-1"));
        assert_eq!((full.source_profile, full.duration), (Some("hub".into()), template.duration));
        let bare = spec(&wish("App", None, None), &template, true);
        assert_eq!((bare.external_id.as_deref(), bare.session_name), (Some("ours"), None));
    }

    #[test]
    fn a_configured_role_stays_the_role_that_it_is() {
        let configured =
            pattern(serde_json::json!({ "source": "assume-role", "role-arn": "Real@123456789012" }));
        let varied = spec(&wish("App", None, Some("web-1")), &configured, false);
        assert_eq!(varied.role_arn.as_deref(), Some("Real@123456789012"));
        assert_eq!(varied.session_name.as_deref(), Some("web-1"));
    }

    #[test]
    fn a_template_of_profiles_names_the_profile_unless_it_has_one() {
        let open = pattern(serde_json::json!({ "source": "profile" }));
        assert_eq!(spec(&wish("App", Some("xy"), None), &open, true).profile.as_deref(), Some("App"));
        let fixed = pattern(serde_json::json!({ "source": "profile", "profile": "dev" }));
        assert_eq!(spec(&wish("App", None, None), &fixed, true).profile.as_deref(), Some("dev"));
    }
}
