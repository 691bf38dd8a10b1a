//! Where things are on this machine: configuration, state directory, control socket. As root (and
//! under the package) the system's folders, otherwise those of the XDG Base Directory
//! Specification. Environment and flags come before either.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The packaged configuration.
pub(crate) const SYSTEM_CONFIG: &str = "/etc/fake-metadata/config.toml";
const SYSTEM_STATE: &str = "/var/lib/fake-metadata";
const SYSTEM_CONTROL: &str = "/run/fake-metadata/control.sock";
/// The AWS files of the packaged daemon.
const SYSTEM_AWS: &str = "/etc/fake-metadata/aws";

/// This process's environment, without what is no text: a variable in another encoding is none of ours.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// What the places depend on, read once at start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Surroundings {
    /// Whether the process is root or the daemon's own user, to whom the system's folders belong.
    pub(crate) system: bool,
    /// `HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `AWS_CONFIG_FILE` and `AWS_SHARED_CREDENTIALS_FILE`.
    pub(crate) aws_files: [Option<PathBuf>; 2],
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
            aws_files: ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"].map(absolute),
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
            (None, None) => self.temporary(),
        }
    }

    /// The socket of the control API.
    pub(crate) fn control_socket(&self) -> PathBuf {
        if self.system {
            return SYSTEM_CONTROL.into();
        }
        match &self.xdg_runtime {
            Some(runtime) => runtime.join("fake-metadata/control.sock"),
            None => self.temporary().join("control.sock"),
        }
    }

    /// A folder for what has no place of its own. Everybody may make one there by that name.
    fn temporary(&self) -> PathBuf {
        self.temp.join(format!("fake-metadata-{}", self.uid))
    }

    /// Makes the folder of ours among the short-lived files, where `path` is in it.
    ///
    /// # Errors
    /// Also when somebody else has made it: they could read what is kept there, or answer in our place.
    pub(crate) fn claim(&self, path: &Path) -> io::Result<()> {
        let folder = self.temporary();
        if path.starts_with(&folder)
            && let Err(error) = DirBuilder::new().mode(0o700).create(&folder)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        self.check_own(path)
    }

    /// Removes that folder where `path` was in it and nothing else is.
    pub(crate) fn let_go(&self, path: &Path) {
        let folder = self.temporary();
        if path.starts_with(&folder) {
            // A state directory in it is there to stay.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Whether a path, where it is in that folder, is in one that is ours alone.
    pub(crate) fn check_own(&self, path: &Path) -> io::Result<()> {
        let folder = self.temporary();
        if !path.starts_with(&folder) {
            return Ok(());
        }
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(found) if found.is_dir() && found.uid() == self.uid && found.mode() & 0o022 == 0 => Ok(()),
            Ok(_) => Err(io::Error::other(format!("{} is not this user's alone", folder.display()))),
        }
    }

    /// Where AWS's files are: those that the environment names as for every AWS program, the package's
    /// for the system, and a person's own in `~/.aws` otherwise.
    pub(crate) fn aws(&self) -> AwsPlaces {
        let folder = match (self.system && Path::new(SYSTEM_AWS).is_dir(), &self.home) {
            (true, _) => Some(PathBuf::from(SYSTEM_AWS)),
            (false, home) => home.as_ref().map(|home| home.join(".aws")),
        };
        let [config, credentials] = &self.aws_files;
        let file = |named: &Option<PathBuf>, name: &str| {
            named.clone().or_else(|| folder.as_ref().map(|folder| folder.join(name)))
        };
        AwsPlaces {
            config_file: file(config, "config"),
            credentials_file: file(credentials, "credentials"),
            home: self.home.clone(),
        }
    }

    /// The socket a command asks: one's own daemon's where there is one, the system's otherwise.
    pub(crate) fn control_socket_in_use(&self) -> PathBuf {
        let own = self.control_socket();
        let ours = own.exists() && self.check_own(&own).is_ok();
        if ours || !Path::new(SYSTEM_CONTROL).exists() { own } else { SYSTEM_CONTROL.into() }
    }
}

/// Where AWS's files are, and the home that `~` in them stands for. None need exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AwsPlaces {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) credentials_file: Option<PathBuf>,
    pub(crate) home: Option<PathBuf>,
}

/// The configuration that is read when none is named: the packaged one where it exists.
pub(crate) fn default_config() -> Option<PathBuf> {
    Path::new(SYSTEM_CONFIG).exists().then(|| SYSTEM_CONFIG.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_among_short_lived_files_is_ours_alone_or_not_used() {
        let temp = tempfile::tempdir().unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        let us = Surroundings { temp: temp.path().into(), uid, ..Surroundings::default() };
        let socket = us.control_socket();
        let folder = socket.parent().unwrap();
        assert!(us.check_own(&socket).is_ok(), "there is none");
        us.claim(&socket).unwrap();
        assert_eq!(folder.metadata().unwrap().mode() & 0o777, 0o700);
        us.claim(&socket).unwrap();
        us.let_go(&socket);
        assert!(!folder.exists());

        let refused = |us: &Surroundings| us.claim(&us.control_socket()).unwrap_err().to_string();
        us.claim(&socket).unwrap();
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&us).ends_with("is not this user's alone"));
        fs::remove_dir(folder).unwrap();
        symlink(temp.path(), folder).unwrap();
        assert!(refused(&us).ends_with("is not this user's alone"));
        let other = Surroundings { uid: uid + 1, ..us.clone() };
        fs::create_dir(other.control_socket().parent().unwrap()).unwrap();
        assert!(refused(&other).ends_with("is not this user's alone"));
        assert!(us.check_own(Path::new("/run/user/1/control.sock")).is_ok());
    }

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
    fn aws_files_are_a_persons_own_unless_the_environment_names_others() {
        let own = person().aws();
        assert_eq!(own.config_file.as_deref(), Some(Path::new("/home/ann/.aws/config")));
        assert_eq!(own.credentials_file.as_deref(), Some(Path::new("/home/ann/.aws/credentials")));
        let named = Surroundings { aws_files: [Some("/x/config".into()), None], ..person() }.aws();
        assert_eq!(named.config_file.as_deref(), Some(Path::new("/x/config")));
        assert_eq!(named.credentials_file, own.credentials_file);
        assert_eq!(Surroundings { home: None, ..person() }.aws(), AwsPlaces::default());
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
