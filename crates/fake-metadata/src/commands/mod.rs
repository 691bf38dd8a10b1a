//! What each command does: from parsed arguments to an exit code.

mod check;
mod control;
mod event;
mod fault;
mod generate;
mod get;
mod identity;
mod import;
mod live;
pub(crate) mod output;
mod record;
mod role;
mod run;
mod serve;
mod tree;

use std::error::Error;
use std::process::ExitCode;

use serde_json::Value;

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
        Command::Reload { daemon, reset } => control::reload(&daemon, reset),
        Command::Event { command } => event::event(command),
        Command::Fault { command } => fault::fault(command),
        Command::Role { command } => role::role(command),
        Command::Set(args) => live::set(args),
        Command::Unset(args) => live::unset(&args),
        Command::Tags { command } => live::tags(&command),
        Command::UserData(args) => live::user_data(&args),
        Command::Tokens { mode, live } => live::tokens(mode, &live),
        Command::Endpoint { mode, live } => live::endpoint(mode, &live),
        Command::Import { command } => import::run(&command),
        Command::Record(args) => record::record(&args),
        Command::Identity { command: IdentityCommand::Certificate(places) } => identity::certificate(&places),
        Command::Generate { what, subcommand } => generate::generate(what, subcommand.as_deref()),
    };
    log::logger().flush();
    outcome.unwrap_or_else(|error| {
        if error.is::<output::Closed>() {
            return ExitCode::SUCCESS;
        }
        output::remark(format_args!("fake-metadata: {}", chain(&*error)));
        match error.downcast_ref::<ControlError>() {
            Some(ControlError::Refused { usage: true, .. }) => WRONG_USAGE.into(),
            _ if error.is::<Usage>() => WRONG_USAGE.into(),
            _ => match error.downcast_ref::<ConfigError>() {
                Some(error) if error.is_of_an_option() => WRONG_USAGE.into(),
                Some(_) => BAD_CONFIGURATION.into(),
                None => ExitCode::FAILURE,
            },
        }
    })
}

/// What was asked makes no sense, as clap has it.
const WRONG_USAGE: u8 = 2;

/// An argument that makes no sense, found after clap was content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

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

/// A list of objects as text: a line each, the values of `first` and then every other key with its value.
fn lines(list: &Value, first: &[&str]) -> String {
    let mut text = String::new();
    for item in list.as_array().into_iter().flatten() {
        let mut words: Vec<String> = first.iter().map(|key| plain(&item[key])).collect();
        let others = item.as_object().into_iter().flatten();
        let others = others.filter(|(key, value)| !first.contains(&key.as_str()) && !value.is_null());
        words.extend(others.map(|(key, value)| format!("{key}={}", plain(value))));
        text.push_str(&words.join("  "));
        text.push('\n');
    }
    text
}

/// A JSON value as a person writes it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
