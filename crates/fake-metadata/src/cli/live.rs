//! Commands that change the running service: `set`, `unset`, `tags`, `user-data`, `tokens`, `endpoint`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DaemonSocket;

/// Which daemon, and for how long.
#[derive(Debug, Args)]
pub(crate) struct LiveArgs {
    /// Keep the change across a restart of the daemon
    #[arg(long)]
    pub(crate) persist: bool,
    #[command(flatten)]
    pub(crate) daemon: DaemonSocket,
}

/// `fake-metadata set`
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Paths and their values: PATH VALUE, and more of them to be changed at once. A path is below meta-data
    /// unless it starts with `meta-data`, `dynamic`, `user-data` or a version
    #[arg(value_name = "PATH VALUE", required = true, num_args = 2.., allow_negative_numbers = true)]
    pub(crate) pairs: Vec<String>,
    #[command(flatten)]
    pub(crate) live: LiveArgs,
}

/// `fake-metadata unset`
#[derive(Debug, Args)]
pub(crate) struct Unset {
    /// Paths as for `set`
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<String>,
    /// Bring a removed path back too: take back whatever was changed of it
    #[arg(long, conflicts_with = "persist")]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) live: LiveArgs,
}

/// `fake-metadata tags`
#[derive(Debug, Subcommand)]
pub(crate) enum TagsCommand {
    /// Give instance tags values, all at once
    #[command(after_long_help = "Example: fake-metadata tags set Name web-1 Team core")]
    Set {
        /// Keys and their values: KEY VALUE, and more of them
        #[arg(value_name = "KEY VALUE", required = true, num_args = 2.., allow_negative_numbers = true)]
        pairs: Vec<String>,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Remove instance tags
    Unset {
        /// Their keys
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        live: LiveArgs,
    },
}

/// `fake-metadata user-data`
#[derive(Debug, Args)]
pub(crate) struct UserData {
    /// The file, or - for standard input; at most 16 KB
    #[arg(required_unless_present = "none")]
    pub(crate) file: Option<PathBuf>,
    /// Have no user data
    #[arg(long, conflicts_with = "file")]
    pub(crate) none: bool,
    #[command(flatten)]
    pub(crate) live: LiveArgs,
}

/// `fake-metadata tokens`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TokensMode {
    /// IMDSv1 is answered too
    Optional,
    /// IMDSv2 alone
    Required,
}

/// `fake-metadata endpoint`
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum EndpointMode {
    /// The service answers
    #[value(alias = "enabled")]
    Enable,
    /// Every request is a 403
    #[value(alias = "disabled")]
    Disable,
}
