//! `role`: where the credentials of roles come from, and how they stand.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DaemonSocket, LiveArgs};

/// `fake-metadata role`
#[derive(Debug, Subcommand)]
pub(crate) enum RoleCommand {
    /// List every role: source, how long its credentials are good, who asked last
    List {
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a role, but no key
    Show {
        /// The role's name
        name: String,
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a role the one of all callers that nothing else matches, or have it resolve another profile
    ///
    /// Takes effect at once, and stays so across a reload, and with --persist across a restart.
    #[command(after_long_help = "Examples:\n  fake-metadata role use App\n  \
                                 fake-metadata role use --profile staging\n  fake-metadata role use --undo")]
    Use(UseRole),
    /// Have a role's source asked now, and say what comes of it
    ///
    /// What is served stays in force until the source has answered, and stays when it fails.
    Refresh {
        /// The role's name [default: every role]
        name: Option<String>,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// Drop a role's credentials: the next answer comes from its source
    ///
    /// To have clients see expired credentials, see `fake-metadata fault add expired-credentials`.
    Expire {
        /// The role's name
        name: String,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// Log the daemon in to IAM Identity Center (SSO) for a role's profile
    ///
    /// Prints the page to open and its code, and waits until you have said yes there. The login is kept in
    /// the daemon's home, its state directory, and renewed as long as the service allows.
    Login {
        /// The role's name
        name: String,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
    /// Serve the credentials of your own login for a role, as long as this runs
    ///
    /// Resolves an AWS profile as you (SSO cache, MFA prompt, credential_process, anything), hands the
    /// short-lived result to the daemon over its control socket, and renews it in time. The keys are
    /// never written to a file. You must be a member of the daemon's group, fake-metadata.
    #[command(after_long_help = "Examples:\n  fake-metadata role feed App --profile dev\n  \
                                 aws sts get-session-token | fake-metadata role feed App --file -")]
    Feed(FeedRole),
}

/// `fake-metadata role use`
#[derive(Debug, Args)]
pub(crate) struct UseRole {
    /// The role's name
    #[arg(required_unless_present_any = ["none", "undo", "profile"])]
    pub(crate) name: Option<String>,
    /// Have it, or the present default role, resolve this profile of the daemon's AWS files: the profile
    /// itself, or for an assume-role source the one that assumes the role
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Give those callers no role: iam/ is absent
    #[arg(long, conflicts_with_all = ["name", "undo", "profile"])]
    pub(crate) none: bool,
    /// Go back to the configured default role and profiles
    #[arg(long, conflicts_with_all = ["name", "persist", "profile"])]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) live: LiveArgs,
}

/// `fake-metadata role feed`
#[derive(Debug, Args)]
pub(crate) struct FeedRole {
    /// The role's name
    pub(crate) name: String,
    /// A profile of your AWS files [default: the keys of AWS_ACCESS_KEY_ID, then AWS_PROFILE, or default]
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Feed what this file holds, - for standard input, and end: a metadata document, the output of a
    /// credential_process, or what `aws sts` prints
    #[arg(long, conflicts_with_all = ["profile", "once"])]
    pub(crate) file: Option<PathBuf>,
    /// End after the first time, and do not renew
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) daemon: DaemonSocket,
}
