//! `fault ...`: failures played on purpose.

use clap::{Args, Subcommand};

use super::DaemonSocket;
use super::event::count;
use crate::events::{CallerName, duration};
use crate::faults::{FaultError, FaultSpec, Kind};

/// `fake-metadata fault`
#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Play a fault
    #[command(
        after_long_help = "Examples:\n  fake-metadata fault add status 503 --path 'iam/*' --times 2\n  \
                                 fake-metadata fault add delay 1500ms --rate 0.3 --for 30s\n  \
                                 fake-metadata fault add hang --path api/token --caller 172.17.0.2"
    )]
    Add {
        #[command(subcommand)]
        fault: AddFault,
    },
    /// Show every fault, in force or over, and how often it struck
    List {
        #[command(flatten)]
        daemon: DaemonSocket,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End faults
    Clear {
        /// Ids as `fault list` shows them; all faults when none is given
        #[arg(value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        daemon: DaemonSocket,
    },
}

/// What goes wrong.
#[derive(Debug, Subcommand)]
pub(crate) enum AddFault {
    /// Answer late
    Delay {
        /// How late, such as 250ms or 2s
        #[arg(value_name = "DURATION", value_parser = a_duration)]
        delay: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Answer with a status: 401, 403, 404, 429, 500 or 503
    Status {
        /// The status
        #[arg(allow_negative_numbers = true, value_parser = status)]
        status: u16,
        #[command(flatten)]
        limits: Limits,
    },
    /// Never answer, and keep the connection until the client closes it
    Hang(Limits),
    /// Close the connection without an answer
    Close(Limits),
    /// Reset the connection without an answer
    Reset(Limits),
    /// Send half of the body, and close
    Truncate(Limits),
    /// Hand out role credentials whose time is over
    ExpiredCredentials(Limits),
    /// Answer with an error code in place of role credentials, with HTTP 200 as EC2 does
    CredentialsCode {
        /// Such as AssumeRoleUnauthorizedAccess
        code: String,
        /// The sentence for the client
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Make every session token issued so far worthless, once
    ForgetTokens(DaemonSocket),
    /// Refuse requests beyond so many a second
    Throttle {
        /// Requests a second
        #[arg(value_name = "N", allow_negative_numbers = true, value_parser = per_second)]
        per_second: f64,
        /// What the others are answered: 429 or 503
        #[arg(long, default_value = "503", value_parser = throttle_status)]
        status: u16,
        #[command(flatten)]
        limits: Limits,
    },
}

/// Whom it strikes, and when.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Only these paths: * is any characters, ? is one; below meta-data unless it starts with a slash, a
    /// star, a version, `meta-data`, `dynamic`, `user-data` or `api`
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
    /// Only this caller, an address or a role
    #[arg(long, value_name = "ADDRESS|ROLE")]
    caller: Option<CallerName>,
    /// For so long, such as 30s
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true, value_parser = a_duration, conflicts_with = "times")]
    length: Option<String>,
    /// So many times
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = count)]
    times: Option<u32>,
    /// A share of the requests, more than 0 and at most 1
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true, value_parser = share)]
    rate: Option<f64>,
    #[command(flatten)]
    daemon: DaemonSocket,
}

fn a_duration(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

fn per_second(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "write how many requests a second, as in 5 or 0.5".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "write a share of the requests, more than 0 and at most 1, as in 0.3".to_owned())
}

fn number(text: &str, all: &[imds::Status]) -> Result<u16, String> {
    let given = text.parse().ok().filter(|code| all.iter().any(|status| status.code() == *code));
    given.ok_or_else(|| {
        let codes: Vec<String> = all.iter().map(|status| status.code().to_string()).collect();
        format!("give one of {}", codes.join(", "))
    })
}

fn status(text: &str) -> Result<u16, String> {
    number(text, &crate::faults::STATUSES)
}

fn throttle_status(text: &str) -> Result<u16, String> {
    number(text, &crate::faults::THROTTLE_STATUSES)
}

impl AddFault {
    /// The fault, checked as far as it can be here, and the daemon it is for.
    pub(crate) fn into_spec(self) -> Result<(FaultSpec, DaemonSocket), FaultError> {
        let (kind, limits) = match self {
            AddFault::Delay { delay, limits } => (Kind::Delay { delay }, limits),
            AddFault::Status { status, limits } => (Kind::Status { status }, limits),
            AddFault::Hang(limits) => (Kind::Hang, limits),
            AddFault::Close(limits) => (Kind::Close, limits),
            AddFault::Reset(limits) => (Kind::Reset, limits),
            AddFault::Truncate(limits) => (Kind::Truncate, limits),
            AddFault::ExpiredCredentials(limits) => (Kind::ExpiredCredentials, limits),
            AddFault::CredentialsCode { code, message, limits } => {
                (Kind::CredentialsCode { code, message }, limits)
            }
            AddFault::Throttle { per_second, status, limits } => {
                (Kind::Throttle { per_second, status }, limits)
            }
            AddFault::ForgetTokens(daemon) => {
                let limits =
                    Limits { path: None, caller: None, length: None, times: None, rate: None, daemon };
                (Kind::ForgetTokens, limits)
            }
        };
        let Limits { path, caller, length, times, rate, daemon } = limits;
        let spec = FaultSpec { kind, path, caller, r#for: length, times, rate };
        spec.check()?;
        Ok((spec, daemon))
    }
}
