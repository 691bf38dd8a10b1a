//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use hostnet::{Config, ConfigError, Options, Paths};

/// Lead 169.254.169.254 on this host to fake-metadata, and undo it
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed (status: not applied), 2 usage, 78 bad configuration"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Configuration file; `listen` and `[network]` are read [default: /etc/fake-metadata/config.toml]
    #[arg(long, global = true, value_name = "FILE", env = "FAKE_METADATA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Folder of the journal, owned by root
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/fake-metadata-setup")]
    pub(crate) state_dir: PathBuf,
    /// Test hook: wait less long for another run
    #[arg(long, global = true, hide = true, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) lock_wait: u32,
    /// Test hook: end with SIGKILL at the N-th point of a run
    #[arg(
        long,
        global = true,
        hide = true,
        env = "FAKE_METADATA_SETUP_KILL_AT",
        hide_env = true,
        value_name = "N"
    )]
    pub(crate) kill_at: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put address and rules in place; a second run changes nothing
    Apply {
        /// Print what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Go on where the address belongs to someone else: a real EC2 instance, a cloud's route, another mock
        #[arg(long)]
        force: bool,
        /// For units, init scripts and maintainer scripts: where the host cannot or must not be changed now (no
        /// NET_ADMIN, no iptables, the address is someone else's, the target's name is not known, another run does not
        /// end) warn in a line, change nothing and exit 0
        #[arg(long)]
        boot: bool,
        /// Stay, and apply again every few seconds: follows a target whose address changes, and puts back what
        /// another program took away. Ends on SIGTERM or SIGINT, leaving everything in place
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "5",
              value_parser = clap::value_parser!(u32).range(1..=3600), conflicts_with = "dry_run")]
        watch: Option<u32>,
    },
    /// Take away whatever apply has put in place
    Remove {
        /// Print what would be done and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Say what is in place; exit 0 when it is as configured, 1 when not
    Status,
    /// Print what apply would do
    Plan,
    /// Print the man page or a shell's completions
    #[command(hide = true)]
    Generate {
        #[arg(value_enum)]
        what: Generated,
    },
}

/// What `generate` prints.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Generated {
    Man,
    Bash,
    Zsh,
    Fish,
}

impl Arguments {
    /// The configuration, as file and environment have it now.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        // What is not UTF-8 is none of ours.
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Config::load(self.common.config.as_deref(), std::env::vars_os().filter_map(text))
    }

    pub(crate) fn options(&self) -> Options {
        let force = matches!(self.command, Command::Apply { force: true, .. });
        let paths = Paths { state: self.common.state_dir.clone(), ..Paths::default() };
        let lock_wait = Duration::from_secs(self.common.lock_wait.into());
        Options { paths, force, lock_wait, kill_at: self.common.kill_at }
    }

    /// Seconds between two looks, with `--watch`.
    pub(crate) fn watch(&self) -> Option<Duration> {
        match self.command {
            Command::Apply { watch: Some(seconds), .. } => Some(Duration::from_secs(seconds.into())),
            _ => None,
        }
    }

    pub(crate) fn is_boot(&self) -> bool {
        matches!(self.command, Command::Apply { boot: true, .. })
    }
}
