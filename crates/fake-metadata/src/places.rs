//! Where things are on this machine: configuration, state directory, control socket. As root (and
//! under the package) the system's folders, otherwise those of the XDG Base Directory
//! Specification. Environment and flags come before either.

use std::path::{Path, PathBuf};

/// The packaged configuration.
pub(crate) const SYSTEM_CONFIG: &str = "/etc/fake-metadata/config.toml";
const SYSTEM_STATE: &str = "/var/lib/fake-metadata";
const SYSTEM_CONTROL: &str = "/run/fake-metadata/control.sock";

/// What the places depend on, read once at start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Whether the process is root or the daemon's own user, to whom the system's folders belong.
    pub(crate) system: bool,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_STATE_HOME`.
    pub(crate) xdg_state: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub(crate) xdg_runtime: Option<PathBuf>,
    /// The folder for short-lived files.
    pub(crate) temp: PathBuf,
    /// The numeric user, for a runtime folder of our own where XDG has none.
    pub(crate) uid: u32,
}

impl Surroundings {
    /// Reads the process's user and environment.
    pub(crate) fn read() -> Self {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let uid = nix::unistd::geteuid();
        let own_user =
            || nix::unistd::User::from_uid(uid).ok().flatten().is_some_and(|u| u.name == "fake-metadata");
        Surroundings {
            system: uid.is_root() || own_user(),
            home: absolute("HOME"),
            xdg_state: absolute("XDG_STATE_HOME"),
            xdg_runtime: absolute("XDG_RUNTIME_DIR"),
            temp: std::env::temp_dir(),
            uid: uid.as_raw(),
        }
    }

    /// The folder for keys that outlive the daemon.
    pub(crate) fn state_dir(&self) -> PathBuf {
        if self.system {
            return SYSTEM_STATE.into();
        }
        match (&self.xdg_state, &self.home) {
            (Some(state), _) => state.join("fake-metadata"),
            (None, Some(home)) => home.join(".local/state/fake-metadata"),
            (None, None) => self.temp.join(format!("fake-metadata-{}", self.uid)),
        }
    }

    /// The socket of the control API.
    pub(crate) fn control_socket(&self) -> PathBuf {
        if self.system {
            return SYSTEM_CONTROL.into();
        }
        match &self.xdg_runtime {
            Some(runtime) => runtime.join("fake-metadata/control.sock"),
            None => self.temp.join(format!("fake-metadata-{}", self.uid)).join("control.sock"),
        }
    }

    /// The socket a command asks: one's own daemon's where there is one, the system's otherwise.
    pub(crate) fn control_socket_in_use(&self) -> PathBuf {
        let own = self.control_socket();
        if own.exists() || !Path::new(SYSTEM_CONTROL).exists() { own } else { SYSTEM_CONTROL.into() }
    }
}

/// The configuration that is read when none is named: the packaged one where it exists.
pub(crate) fn default_config() -> Option<PathBuf> {
    Path::new(SYSTEM_CONFIG).exists().then(|| SYSTEM_CONFIG.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Surroundings {
        Surroundings {
            home: Some("/home/ann".into()),
            temp: "/var/tmp".into(),
            uid: 1000,
            ..Surroundings::default()
        }
    }

    #[test]
    fn a_person_without_xdg_variables_gets_the_specified_defaults() {
        assert_eq!(person().state_dir(), Path::new("/home/ann/.local/state/fake-metadata"));
        assert_eq!(person().control_socket(), Path::new("/var/tmp/fake-metadata-1000/control.sock"));
    }

    #[test]
    fn xdg_variables_come_first_and_the_system_has_its_own() {
        let ann = Surroundings {
            xdg_state: Some("/s".into()),
            xdg_runtime: Some("/run/user/1000".into()),
            ..person()
        };
        assert_eq!(ann.state_dir(), Path::new("/s/fake-metadata"));
        assert_eq!(ann.control_socket(), Path::new("/run/user/1000/fake-metadata/control.sock"));
        let root = Surroundings { system: true, ..ann };
        assert_eq!(root.state_dir(), Path::new(SYSTEM_STATE));
        assert_eq!(root.control_socket(), Path::new(SYSTEM_CONTROL));
    }
}
