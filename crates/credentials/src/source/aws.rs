//! What the sources that ask AWS are made of: plain values, so that two sources are equal exactly when
//! their credentials would be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What `profile` and `assume-role` share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Aws {
    pub(crate) config_file: Option<PathBuf>,
    pub(crate) credentials_file: Option<PathBuf>,
    /// What `~` stands for, and where the SSO cache is.
    pub(crate) home: Option<PathBuf>,
    /// The URL of STS, where it is not the region's own.
    pub(crate) endpoint: Option<String>,
    /// The role's own region; it goes before the profile's.
    pub(crate) region: Option<String>,
    /// The region where nothing else says one.
    pub(crate) default_region: String,
    /// The role's own session name; it goes before the profile's.
    pub(crate) session_name: Option<String>,
    /// The session name where nothing else says one.
    pub(crate) default_session_name: String,
    /// Another metadata service, which `credential_source = Ec2InstanceMetadata` may ask.
    pub(crate) upstream: Option<String>,
    pub(crate) duration: Option<Duration>,
    /// The longest that one attempt may take.
    pub(crate) timeout: Duration,
}

/// `source = "profile"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Whether long-lived keys are exchanged for a session.
    pub(crate) session: bool,
    pub(crate) told: Told,
    pub(crate) aws: Aws,
}

/// `source = "assume-role"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AssumeRole {
    pub(crate) arn: String,
    /// The profile that assumes the role.
    pub(crate) by: String,
    pub(crate) external_id: Option<String>,
    /// JSON.
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) aws: Aws,
}

/// `source = "static"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Static {
    pub(crate) credentials_file: PathBuf,
    pub(crate) profile: String,
    pub(crate) told: Told,
}

/// `source = "process"`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Process {
    pub(crate) command: crate::spec::Command,
    pub(crate) timeout: Duration,
}

impl Process {
    /// What to show of the command: its program. Arguments and variables may hold a password, so of a line
    /// whose first word is anything but a plain path it is the shell.
    pub(crate) fn shown(&self) -> String {
        let plain = |word: &&str| word.chars().all(|c| c.is_alphanumeric() || "/._+~-".contains(c));
        let program = match &self.command {
            crate::spec::Command::Program(words) => words.first().map_or("", String::as_str),
            crate::spec::Command::Shell(line) => line.split_whitespace().next().filter(plain).unwrap_or("sh"),
        };
        program.to_owned()
    }
}

/// Whether something worth one line in the log has had it. Says nothing of what the credentials are, so
/// all are equal.
#[derive(Debug, Default)]
pub(crate) struct Told(AtomicBool);

impl Told {
    /// Calls `tell` the first time.
    pub(crate) fn once(&self, tell: impl FnOnce()) {
        if !self.0.swap(true, Relaxed) {
            tell();
        }
    }
}

impl Clone for Told {
    fn clone(&self) -> Self {
        Told(AtomicBool::new(self.0.load(Relaxed)))
    }
}

impl PartialEq for Told {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_once_makes_no_difference() {
        let told = Told::default();
        let mut lines = 0;
        told.once(|| lines += 1);
        told.once(|| lines += 1);
        assert_eq!((lines, &told), (1, &Told::default()));
    }

    #[test]
    fn no_more_than_the_program_is_shown_of_a_command() {
        let shown = |command| Process { command, timeout: Duration::from_secs(1) }.shown();
        let words = ["get", "--password", "hunter2"].map(str::to_owned);
        assert_eq!(shown(crate::spec::Command::Program(words.into())), "get");
        for (line, expected) in [
            ("/usr/bin/get --password hunter2", "/usr/bin/get"),
            ("PASSWORD=hunter2 get it", "sh"),
            ("PASS='correct horse battery' /bin/false", "sh"),
            ("'/opt/my tool/get' hunter2", "sh"),
            ("echo;hunter2", "sh"),
        ] {
            assert_eq!(shown(crate::spec::Command::Shell(line.into())), expected, "{line}");
        }
    }
}
