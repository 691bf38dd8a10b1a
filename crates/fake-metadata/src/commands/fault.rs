//! `fault`: failures that the running daemon plays.

use std::process::ExitCode;

use http::Method;
use serde_json::json;

use super::{Outcome, Usage, lines, output};
use crate::cli::FaultCommand;
use crate::control::client::Daemon;

pub(super) fn fault(command: FaultCommand) -> Outcome {
    match command {
        FaultCommand::Add { fault } => {
            let (spec, daemon) = fault.into_spec().map_err(|e| Usage(e.to_string()))?;
            let request = serde_json::to_value(&spec)?;
            let answer = Daemon::at(daemon.path()).ask(Method::POST, "/v1/faults", Some(&request))?;
            output::print(lines(&answer["faults"], &["id", "phase", "fault"]))?;
        }
        FaultCommand::List { daemon, json } => {
            let answer = Daemon::at(daemon.path()).ask(Method::GET, "/v1/faults", None)?;
            let faults = &answer["faults"];
            match json {
                true => output::line(serde_json::to_string_pretty(faults)?)?,
                false if faults.as_array().is_none_or(Vec::is_empty) => output::line("no faults")?,
                false => output::print(lines(faults, &["id", "phase", "fault"]))?,
            }
        }
        FaultCommand::Clear { ids, daemon } => {
            let request = json!({ "ids": ids });
            let answer = Daemon::at(daemon.path()).ask(Method::POST, "/v1/faults/clear", Some(&request))?;
            output::line(format_args!("cleared: {}", answer["cleared"]))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
