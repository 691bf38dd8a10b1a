//! What each command does: from parsed arguments to an exit code.

mod check;
mod control;
mod generate;
mod get;
mod identity;
mod run;
mod serve;
mod tree;

use std::error::Error;
use std::process::ExitCode;

use crate::cli::{Cli, Command, IdentityCommand};
use crate::config::ConfigError;
use crate::control::client::ControlError;

/// Bad configuration (`EX_CONFIG` of sysexits.h).
const BAD_CONFIGURATION: u8 = 78;

/// Does what was asked and maps the outcome to an exit code. An error is printed once, with its
/// causes, on one line.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Serve(args) => serve::serve(args),
        Command::Run(args) => run::run(args),
        Command::Check { file } => check::check(file),
        Command::Get(args) => get::get(args),
        Command::Tree(args) => tree::tree(&args),
        Command::Status { daemon, json } => control::status(&daemon, json),
        Command::Reload(daemon) => control::reload(&daemon),
        Command::Identity { command: IdentityCommand::Certificate(places) } => identity::certificate(&places),
        Command::Generate { what, subcommand } => generate::generate(what, subcommand.as_deref()),
    };
    log::logger().flush();
    outcome.unwrap_or_else(|error| {
        eprintln!("fake-metadata: {}", chain(&*error));
        match error.downcast_ref::<ControlError>() {
            Some(ControlError::Refused { usage: true, .. }) => WRONG_USAGE.into(),
            _ if error.is::<ConfigError>() => BAD_CONFIGURATION.into(),
            _ => ExitCode::FAILURE,
        }
    })
}

/// What was asked makes no sense, as clap has it.
const WRONG_USAGE: u8 = 2;

type Outcome = Result<ExitCode, Box<dyn Error>>;

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
