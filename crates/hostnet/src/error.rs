//! The one error type of this library. Every message names what was tried on what, the cause, and how to mend it.

use std::path::PathBuf;

use crate::config::ConfigError;
use crate::interfaces::EditError;
use crate::target::ResolveError;

/// Why a run did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not user 0.
    #[error("change the host network: not root (run with sudo)")]
    NotRoot,
    /// The kernel does not let this process change the network.
    #[error(
        "{action}: operation not permitted (give the container NET_ADMIN, or run `fake-metadata-setup apply` later, on the booted system)"
    )]
    NotPermitted {
        /// What was tried.
        action: String,
    },
    /// No iptables program at its usual places.
    #[error("run iptables: program not found in /usr/sbin or /sbin (apt install iptables)")]
    NoIptables,
    /// `ipv6 = true` and no ip6tables or no IPv6.
    #[error("lead fd00:ec2::254: {0}")]
    NoIpv6(&'static str),
    /// `listen` has no address that the rules can lead to.
    #[error("lead {who} to the daemon: listen has no address that they reach (add \"{add}\" to listen)")]
    NoListener {
        /// Whose requests.
        who: &'static str,
        /// What to add.
        add: String,
    },
    /// The address is someone else's, or this is a machine that needs the real one. Each line says what to do.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The configuration is not accepted.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The target's name gives no address.
    #[error(transparent)]
    Target(#[from] ResolveError),
    /// Another run has the lock.
    #[error(
        "lock {}: another run has held it for {seconds} s (fuser -v {} names it: wait for it or end it, then run again)",
        folder.display(), folder.display()
    )]
    Busy {
        /// The state directory, which is the lock.
        folder: PathBuf,
        /// How long this run has waited.
        seconds: u64,
    },
    /// A file could not be read, written or locked.
    #[error("{action} {}", target.display())]
    Io {
        /// What was tried.
        action: String,
        /// On what.
        target: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file of the system cannot be changed.
    #[error("edit {}: {source} (make it writable, or set ifupdown = false in [network])", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Our markers in a file do not form one block.
    #[error("edit {}: {cause}", file.display())]
    Edit {
        /// The file.
        file: PathBuf,
        /// What is wrong with the markers.
        cause: EditError,
    },
    /// The kernel refused.
    #[error("{action}: {cause}")]
    Netlink {
        /// What was tried.
        action: String,
        /// The kernel's word.
        cause: String,
    },
    /// An iptables program failed.
    #[error("{action}: {cause}")]
    Rule {
        /// The command.
        action: String,
        /// The program's own words.
        cause: String,
    },
    /// Every step was done and something is missing all the same.
    #[error("verify the host network: still to do after apply: {}", .0.join("; "))]
    Verify(Vec<String>),
    /// A step failed, and what the run had done was undone; or not.
    #[error("{}{}", chain(cause), undo.iter().map(|error| format!("\nundo: {}", chain(error))).collect::<String>())]
    Undone {
        /// Why the run stopped.
        cause: Box<Error>,
        /// What could not be undone.
        undo: Vec<Error>,
        /// The step that failed concerns IPv6 only.
        about_ipv6: bool,
    },
    /// Several things failed, each reported.
    #[error("{}", .0.iter().map(|error| chain(error)).collect::<Vec<_>>().join("\n"))]
    Several(Vec<Error>),
}

/// An error and its causes in one line, each said once.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Error {
    /// Whether this system cannot or must not be changed *now*, and was not: an image build, a container without
    /// NET_ADMIN, no iptables yet, an address that is someone else's, a target whose
    /// name gives no address yet, another run at work. `apply --boot` makes a warning of it.
    #[must_use]
    pub fn is_for_later(&self) -> bool {
        match self {
            Self::NotPermitted { .. }
            | Self::NoIptables
            | Self::Refused(_)
            | Self::Target(_)
            | Self::Busy { .. } => true,
            Self::Undone { cause, undo, .. } => undo.is_empty() && cause.is_for_later(),
            _ => false,
        }
    }

    /// Whether only IPv6 failed and all was undone.
    pub(crate) fn is_about_ipv6(&self) -> bool {
        matches!(self, Self::Undone { about_ipv6: true, undo, .. } if undo.is_empty())
    }
}
