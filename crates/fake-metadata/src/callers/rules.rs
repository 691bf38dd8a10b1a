//! The decision: facts about a caller to the role it is given. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::networks::Networks;
use super::settings::Resolved;

/// The key of the role that is given, or `None`: no role, and no `iam/` in the tree.
pub(crate) type Grant = Option<Arc<str>>;

/// Who gets which role. Immutable; built anew whenever anything about it changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    networks: Networks,
    /// Whether there are more networks that are not known yet.
    awaits_mapping: bool,
    /// Whether container engines are asked.
    containers: bool,
    users: BTreeMap<u32, Grant>,
    default: Grant,
}

/// The container behind an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// No container has it.
    None,
    /// One has it and says nothing of a role.
    Silent,
    /// One has it and names a role: this one, or none that there is.
    Grant(Grant),
    /// It cannot be told: an engine does not answer, or two containers have it.
    Unknown,
}

/// The local user behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// The owner of the client's socket.
    Uid(u32),
    /// It cannot be told.
    Unknown,
}

/// What is known of a caller. `None`: not asked yet.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The caller's address.
    pub(crate) address: IpAddr,
    /// Whether the caller is on this host itself.
    pub(crate) local: bool,
    pub(crate) container: Option<Container>,
    pub(crate) user: Option<User>,
}

/// What the facts come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// This is the caller's role.
    Grant(Grant),
    /// Which container has the address must be found out first.
    NeedsContainer,
    /// Whose socket it is must be found out first.
    NeedsUser,
}

impl Rules {
    /// The rules of a configuration. `containers`: whether engines are asked. `default` is the role of callers that nothing matches.
    pub(crate) fn new(resolved: &Resolved, containers: bool, default: Option<String>) -> Rules {
        Rules {
            networks: resolved.networks.clone().with(&resolved.mapping.networks),
            awaits_mapping: resolved.awaits_mapping(),
            containers,
            users: resolved.users.clone(),
            default: default.map(Arc::from),
        }
    }

    /// The role of callers that nothing matches.
    pub(crate) fn default_role(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// Whether the user behind a local connection may matter.
    pub(crate) fn ask_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Decides, or says which fact is needed first.
    pub(crate) fn decide(&self, facts: &Facts) -> Decision {
        if let Some(grant) = self.networks.find(facts.address) {
            return Decision::Grant(grant.clone());
        }
        if self.awaits_mapping {
            return Decision::Grant(None);
        }
        // A caller on this host has this host's addresses, which are no container's: one on the host's
        // network is a local user like any other.
        if self.containers && !facts.local {
            match &facts.container {
                None => return Decision::NeedsContainer,
                Some(Container::Unknown) => return Decision::Grant(None),
                Some(Container::Grant(grant)) => return Decision::Grant(grant.clone()),
                Some(Container::None | Container::Silent) => {}
            }
        }
        if self.ask_users() && facts.local {
            match facts.user {
                None => return Decision::NeedsUser,
                Some(User::Unknown) => return Decision::Grant(None),
                Some(User::Uid(uid)) => {
                    if let Some(grant) = self.users.get(&uid) {
                        return Decision::Grant(grant.clone());
                    }
                }
            }
        }
        Decision::Grant(self.default.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: &str) -> Decision {
        Decision::Grant(Some(role.into()))
    }

    const NOTHING: Decision = Decision::Grant(None);

    fn rules() -> Rules {
        let mut networks = Networks::default();
        networks.add("172.17.0.0/24".parse().unwrap(), Some("network".into()));
        networks.add("172.17.0.66".parse().unwrap(), None);
        Rules {
            networks,
            awaits_mapping: false,
            containers: true,
            users: BTreeMap::from([(0, Some("root".into())), (1000, Some("ann".into())), (1001, None)]),
            default: Some("default".into()),
        }
    }

    fn remote(address: &str, container: Option<Container>) -> Decision {
        let address = address.parse().unwrap();
        rules().decide(&Facts { address, local: false, container, user: None })
    }

    fn local(user: Option<User>) -> Decision {
        let address = "169.254.169.254".parse().unwrap();
        rules().decide(&Facts { address, local: true, container: None, user })
    }

    #[test]
    fn networks_come_first() {
        let app = Some(Container::Grant(Some("app".into())));
        assert_eq!(remote("172.17.0.5", app.clone()), grant("network"));
        assert_eq!(remote("172.17.0.66", app), NOTHING);
    }

    #[test]
    fn then_containers() {
        assert_eq!(remote("172.18.0.5", None), Decision::NeedsContainer);
        assert_eq!(remote("172.18.0.5", Some(Container::Grant(Some("app".into())))), grant("app"));
        assert_eq!(remote("172.18.0.5", Some(Container::Grant(None))), NOTHING);
        assert_eq!(remote("172.18.0.5", Some(Container::Silent)), grant("default"));
        assert_eq!(remote("172.18.0.5", Some(Container::None)), grant("default"));
    }

    #[test]
    fn then_users() {
        assert_eq!(local(None), Decision::NeedsUser);
        assert_eq!(local(Some(User::Uid(1000))), grant("ann"));
        assert_eq!(local(Some(User::Uid(1001))), NOTHING);
        assert_eq!(local(Some(User::Uid(0))), grant("root"));
        assert_eq!(local(Some(User::Uid(7))), grant("default"));
    }

    #[test]
    fn what_cannot_be_told_gets_no_role_rather_than_anothers() {
        assert_eq!(remote("172.18.0.5", Some(Container::Unknown)), NOTHING);
        assert_eq!(local(Some(User::Unknown)), NOTHING);
    }

    #[test]
    fn before_the_mapping_is_known_only_the_configured_networks_have_roles() {
        let rules = Rules { awaits_mapping: true, ..rules() };
        let decide = |address: &str, local| {
            let address = address.parse().unwrap();
            rules.decide(&Facts { address, local, container: None, user: Some(User::Uid(1000)) })
        };
        assert_eq!(decide("172.17.0.5", false), grant("network"));
        assert_eq!(decide("172.18.0.5", false), NOTHING);
        assert_eq!(decide("169.254.169.254", true), NOTHING);
    }

    #[test]
    fn without_containers_and_users_nobody_is_asked() {
        let rules = Rules { default: Some("default".into()), ..Rules::default() };
        for local in [false, true] {
            let facts = Facts { address: "172.18.0.5".parse().unwrap(), local, container: None, user: None };
            assert_eq!(rules.decide(&facts), grant("default"));
        }
    }
}
