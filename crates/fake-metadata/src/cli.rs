//! The command line: what may be typed, and its help. What is done is in `commands`.

mod event;
mod fault;
mod live;
mod record;
mod refusal;
mod role;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::client::Endpoint;
use crate::config::{KeyPath, Sources};
use crate::places::{Surroundings, default_config, environment};

pub(crate) use event::{AddEvent, EventCommand, EventFlags, script as event_script};
pub(crate) use fault::FaultCommand;
pub(crate) use live::{EndpointMode, LiveArgs, Set, TagsCommand, TokensMode, Unset, UserData};
pub(crate) use record::Record;
pub(crate) use role::{FeedRole, RoleCommand, UseRole};

/// A local EC2 instance metadata service.
#[derive(Debug, Parser)]
#[command(
    name = "fake-metadata",
    version,
    propagate_version = true,
    about = "A local EC2 instance metadata service (IMDS)",
    long_about = "A local EC2 instance metadata service (IMDS) that AWS clients cannot tell from EC2's: the whole \
                  metadata tree, IMDSv1 and IMDSv2, a signed identity document, and role credentials that never go \
                  stale.",
    after_long_help = "Without a configuration a complete default instance is served. Try:\n\n  \
                       fake-metadata run -- aws sts get-caller-identity\n  \
                       fake-metadata serve &\n  \
                       curl http://127.0.0.1:8000/latest/meta-data/\n\n\
                       Exit codes: 0 done, 1 failed, 2 wrong usage, 78 wrong configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the metadata of one instance until told to stop
    ///
    /// Prints `listening on http://ADDRESS:PORT` for each address once it answers. SIGHUP reloads the
    /// configuration and reopens the log; SIGTERM and SIGINT finish the requests in flight and end.
    ///
    /// With `upstream` in the configuration everything but roles is asked of that metadata service
    /// (proxy mode). One that leads back to this daemon is refused, with exit code 78.
    #[command(
        after_long_help = "Example: fake-metadata serve --listen 127.0.0.1:0 --set instance.region=eu-west-1"
    )]
    Serve(Serve),
    /// Serve for the life of one command
    ///
    /// Serves on a free port of 127.0.0.1 and runs COMMAND with AWS_EC2_METADATA_SERVICE_ENDPOINT set to
    /// it. Variables that would give the command other credentials (AWS_ACCESS_KEY_ID, AWS_PROFILE, ...)
    /// are removed, and the AWS configuration files are hidden from it. Commands of this program that it
    /// calls (event, fault, set, tokens, ...) steer this service and no other daemon. Exits as COMMAND does;
    /// with 128 and the signal's number when a signal ended it, with 127 when there is no such command and 126
    /// when it cannot be run.
    #[command(after_long_help = "Example: fake-metadata run -- aws s3 ls")]
    Run(Run),
    /// Check a configuration file, and say what is wrong with it
    ///
    /// Prints one line for the first error: file, line, key, what is wrong. Exits with 78 then.
    Check {
        /// The file to check
        file: PathBuf,
    },
    /// Read a path as an IMDSv2 client does
    ///
    /// Asks whatever answers on the metadata address, EC2's own service or this one: first for a
    /// session token, then for the path. Prints the body as it came.
    #[command(after_long_help = "Examples:\n  fake-metadata get instance-id\n  \
                                 fake-metadata get dynamic/instance-identity/document\n  \
                                 fake-metadata get /2009-04-04/meta-data/")]
    Get(Get),
    /// Print every path and value that would be served
    ///
    /// One line a path: the path, a space, and its value (as a JSON string where it has line breaks or
    /// is not text). Nothing is asked of a running daemon. Credentials are named, not printed. In proxy
    /// mode these are the paths that are not the upstream's.
    Tree(Tree),
    /// Show what the running daemon serves
    Status {
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the running daemon read its configuration again
    ///
    /// A configuration that is wrong is refused whole: the old one stays in force, and this command fails
    /// with the reason. SIGHUP does the same. What commands have changed on the running service stays
    /// changed.
    Reload {
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Take back every live change, event and fault of commands first
        #[arg(long)]
        reset: bool,
    },
    /// Have something happen to the instance: a spot interruption, maintenance, ...
    ///
    /// TIME is a duration from now (90s, 2m, 1h30m), a date with time and zone (2026-11-21T18:30:00Z), or a
    /// time of the day (18:30), the nearest one of that name.
    Event {
        #[command(subcommand)]
        command: EventCommand,
    },
    /// Have the service fail on purpose: late, wrong or no answers
    ///
    /// What is played is shown by `status` and marked in the log.
    Fault {
        #[command(subcommand)]
        command: FaultCommand,
    },
    /// The roles of the running service: list, switch, renew, feed
    Role {
        #[command(subcommand)]
        command: RoleCommand,
    },
    /// Give paths of the running service values, until a restart
    ///
    /// Takes effect at once and for all paths given at the same moment.
    #[command(after_long_help = "Examples:\n  fake-metadata set instance-type m7g.large\n  \
                                 fake-metadata set dynamic/my/own value --persist")]
    Set(Set),
    /// Take values given with `set` back; remove a path that has none
    Unset(Unset),
    /// Change the instance tags of the running service
    Tags {
        #[command(subcommand)]
        command: TagsCommand,
    },
    /// Replace the user data of the running service
    UserData(UserData),
    /// Require session tokens of the running service, or not (HttpTokens)
    Tokens {
        /// What to require
        mode: TokensMode,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Switch the running service on or off (HttpEndpoint)
    Endpoint {
        /// What to do
        mode: EndpointMode,
        #[command(flatten)]
        live: LiveArgs,
    },
    /// Make a configuration from another tool's
    Import {
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// Write everything that a metadata service answers to a file, to be served elsewhere
    ///
    /// Reads the whole tree under every API version, as an IMDSv2 client. Credentials and signatures are not
    /// asked for; user data is in the file as it is. `serve --snapshot FILE` serves the recording with
    /// credentials and signatures of its own.
    #[command(
        after_long_help = "Examples, on an instance:\n  fake-metadata record --anonymise -o web-1.json\n  \
                                 fake-metadata record --versions latest,2021-03-23 -o -"
    )]
    Record(Record),
    /// The identity that signs the instance identity document
    Identity {
        #[command(subcommand)]
        command: IdentityCommand,
    },
    /// Write documentation or shell completions to standard output
    #[command(hide = true)]
    Generate {
        /// What to write
        what: Generated,
        /// The subcommand whose manual page is wanted
        subcommand: Option<String>,
    },
}

/// `fake-metadata serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Address and port to listen on; may be given several times; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = address_and_port)]
    pub(crate) listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) events: EventFlags,
    #[command(flatten)]
    pub(crate) places: Places,
    /// Socket of the control API
    #[arg(long, value_name = "SOCKET", env = "FAKE_METADATA_CONTROL")]
    pub(crate) control: Option<PathBuf>,
    /// Log to this file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
}

/// `fake-metadata run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    #[command(flatten)]
    pub(crate) events: EventFlags,
    #[command(flatten)]
    pub(crate) places: Places,
    /// Log requests and everything else to this file (otherwise warnings go to standard error)
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Let the command see the AWS configuration files of its user
    #[arg(long)]
    pub(crate) keep_aws_files: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

/// `fake-metadata get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// A path below /latest/meta-data, a path that starts with `meta-data`, `dynamic`, `user-data` or a
    /// version, or a whole path with a leading slash
    #[arg(default_value = "")]
    pub(crate) path: String,
    /// Where to ask
    #[arg(
        long,
        value_name = "URL",
        value_parser = endpoint,
        env = "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        default_value = "http://169.254.169.254"
    )]
    pub(crate) endpoint: Endpoint,
    /// Ask without a session token, as an IMDSv1 client does
    #[arg(long)]
    pub(crate) v1: bool,
}

/// `fake-metadata tree`
#[derive(Debug, Args)]
pub(crate) struct Tree {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// The API version to print, such as 2009-04-04
    #[arg(long, default_value = "latest", value_name = "VERSION")]
    pub(crate) api_version: String,
}

/// `fake-metadata import`
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Make a configuration from one of Amazon's ec2-metadata-mock
    ///
    /// Values that the file does not name are fake-metadata's own. What has no counterpart is said on standard
    /// error, and in comments of the configuration.
    #[command(after_long_help = "Example: fake-metadata import aemm aemm-config.json -o config.toml")]
    Aemm {
        /// AEMM's configuration: JSON, or YAML or TOML where the name ends so
        file: PathBuf,
        /// The file to write [default: standard output]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// `fake-metadata identity`
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Print the certificate that verifies the identity document's signatures, in PEM
    ///
    /// Made when there is none yet. Give it to whatever verifies the document in place of AWS's regional
    /// certificate.
    #[command(after_long_help = "Example, AWS's documented check with our certificate:\n  \
                                 fake-metadata identity certificate > certificate.pem\n  \
                                 (echo '-----BEGIN PKCS7-----'; fake-metadata get dynamic/instance-identity/rsa2048; \
                                 echo; echo '-----END PKCS7-----') > rsa2048.pem\n  \
                                 openssl smime -verify -in rsa2048.pem -inform PEM -certfile certificate.pem -noverify")]
    Certificate(Places),
}

/// Which configuration is meant.
#[derive(Debug, Args)]
pub(crate) struct Configuration {
    /// Configuration file [default: /etc/fake-metadata/config.toml where it exists]
    #[arg(long, value_name = "FILE", env = "FAKE_METADATA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Serve this recording, made with `fake-metadata record`, in place of a configured instance
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,
    /// Whether a session token is needed
    #[arg(long, value_name = "MODE", value_parser = ["optional", "required"])]
    pub(crate) tokens: Option<String>,
    /// Set any key of the configuration, as in instance.region=eu-west-1
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<(String, String)>,
    /// How much is logged
    #[arg(long, value_name = "LEVEL", value_parser = ["off", "error", "warn", "info", "debug", "trace"])]
    pub(crate) log_level: Option<String>,
}

/// Where state is kept.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Folder for the token key and the identity [default: /var/lib/fake-metadata, or the XDG state folder]
    #[arg(long, value_name = "DIR", env = "FAKE_METADATA_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl Places {
    /// # Errors
    /// When the folder that would be used is somebody else's.
    pub(crate) fn state_dir(&self) -> Result<PathBuf, String> {
        if let Some(named) = &self.state_dir {
            return Ok(named.clone());
        }
        let surroundings = Surroundings::read();
        let folder = surroundings.state_dir();
        let claimed = surroundings.claim(&folder);
        claimed
            .map_err(|error| format!("{error} (name another with --state-dir or FAKE_METADATA_STATE_DIR)"))?;
        Ok(folder)
    }
}

/// Which daemon is meant.
#[derive(Debug, Args)]
pub(crate) struct DaemonSocket {
    /// Socket of the daemon's control API [default: /run/fake-metadata/control.sock, or in the XDG runtime folder]
    #[arg(long, value_name = "SOCKET", env = "FAKE_METADATA_CONTROL")]
    pub(crate) control: Option<PathBuf>,
}

impl DaemonSocket {
    /// The named socket; else that of this user's own daemon where one has been started, else the
    /// system's.
    pub(crate) fn path(&self) -> PathBuf {
        self.control.clone().unwrap_or_else(|| Surroundings::read().control_socket_in_use())
    }
}

/// What `generate` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Generated {
    /// A manual page
    Man,
    /// Completions for bash
    Bash,
    /// Completions for zsh
    Zsh,
    /// Completions for fish
    Fish,
    /// Every command with what it takes, in JSON, for tests that must not forget one
    Arguments,
}

/// What was typed.
///
/// # Errors
/// The exit code, after help was printed or the reason of a refusal.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let words: Vec<OsString> = std::env::args_os().collect();
    without_empty_variables(Cli::command())
        .try_get_matches_from(&words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| refusal::finish(&error, Cli::command(), words.get(1..).unwrap_or_default()))
}

/// An empty variable says nothing: clap would take it for an empty value.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) { arg.env(None::<&'static str>) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

/// What is said of an address to listen on that is none.
pub(crate) const WRITE_ADDRESS_AND_PORT: &str =
    "write ADDRESS:PORT, as in 127.0.0.1:8000 or [::1]:8000 (port 0 is a free one)";

fn address_and_port(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| WRITE_ADDRESS_AND_PORT.into())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse::<Endpoint>().map_err(|e| e.to_string())
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().into(), value.trim().into())),
        _ => Err("write KEY=VALUE, as in instance.region=eu-west-1".into()),
    }
}

impl Configuration {
    /// The sources of configuration that this command line names, and the process's environment.
    pub(crate) fn sources(&self) -> Sources {
        let mut flags: Vec<(String, KeyPath, String)> = self
            .set
            .iter()
            .map(|(key, value)| (format!("--set {key}={value}"), KeyPath::written(key), value.clone()))
            .collect();
        let root = KeyPath::root();
        if let Some(mode) = &self.tokens {
            flags.push((format!("--tokens {mode}"), root.key("tokens"), mode.clone()));
        }
        if let Some(file) = &self.snapshot {
            // Typed where the person is, not where the configuration lies.
            let whole = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let value = format!("{:?}", whole.display().to_string());
            flags.push((format!("--snapshot {}", file.display()), root.key("snapshot"), value));
        }
        if let Some(level) = &self.log_level {
            flags.push((format!("--log-level {level}"), root.key("log").key("level"), level.clone()));
        }
        let file = self.config.clone().or_else(default_config);
        let aws = Surroundings::read().aws();
        Sources { file, environment: environment().collect(), flags, events: Vec::new(), aws }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn set_takes_a_key_and_a_value() {
        assert_eq!(key_and_value("a.b=c=d"), Ok(("a.b".into(), "c=d".into())));
        assert!(key_and_value("a.b").is_err());
        assert!(key_and_value("=x").is_err());
    }
}
