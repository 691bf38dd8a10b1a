//! `event`: what happens to the instance of the running daemon.

use std::path::Path;
use std::process::ExitCode;

use http::Method;
use serde_json::json;

use super::{Outcome, Usage, lines, output};
use crate::cli::{AddEvent, DaemonSocket, EventCommand, event_script};
use crate::control::client::Daemon;
use crate::events::{Clock, EventSpec};

pub(super) fn event(command: EventCommand) -> Outcome {
    match command {
        EventCommand::Add(event) => add(event),
        EventCommand::Script { file, keep, daemon } => script(&file, keep, &daemon),
        EventCommand::List { daemon, json } => list(&daemon, json),
        EventCommand::Clear { ids, completed, history, daemon } => {
            let request = json!({ "ids": ids, "completed": completed, "history": history });
            let answer = Daemon::at(daemon.path()).ask(Method::POST, "/v1/events/clear", Some(&request))?;
            output::line(format_args!("cleared: {}", answer["cleared"]))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn add(event: AddEvent) -> Outcome {
    let (spec, daemon) = event.into_spec();
    let clock = Clock::system();
    // What is wrong in itself is said without a daemon.
    spec.resolve(&clock, 0).map_err(|e| Usage(e.to_string()))?;
    send(&daemon, &[spec], &clock, false)
}

fn script(file: &Path, keep: bool, daemon: &DaemonSocket) -> Outcome {
    let script = event_script(&file.to_string_lossy()).map_err(Usage)?;
    send(daemon, &script.events, &Clock::system(), !keep)
}

fn send(daemon: &DaemonSocket, specs: &[EventSpec], clock: &Clock, replace: bool) -> Outcome {
    let fixed: Result<Vec<EventSpec>, _> = specs.iter().map(|spec| spec.fixed(clock)).collect();
    let events = fixed.map_err(|e| Usage(e.to_string()))?;
    let request = json!({ "events": events, "replace": replace });
    let answer = Daemon::at(daemon.path()).ask(Method::POST, "/v1/events", Some(&request))?;
    output::print(lines(&answer["events"], &["id", "phase"]))?;
    Ok(ExitCode::SUCCESS)
}

fn list(daemon: &DaemonSocket, json: bool) -> Outcome {
    let answer = Daemon::at(daemon.path()).ask(Method::GET, "/v1/events", None)?;
    let events = &answer["events"];
    match json {
        true => output::line(serde_json::to_string_pretty(events)?)?,
        false if events.as_array().is_none_or(Vec::is_empty) => output::line("no events")?,
        false => output::print(lines(events, &["id", "phase"]))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses events of flags that cannot be beside each other.
pub(super) fn check(specs: &[EventSpec]) -> Result<(), Usage> {
    let mut events = crate::events::Timeline::default();
    let clock = Clock::system();
    for (i, spec) in specs.iter().enumerate() {
        // Ids of its own for each.
        events
            .add(spec, crate::events::Origin::Configuration, &clock, None, i as u128)
            .map_err(|e| Usage(format!("--event: {e}")))?;
    }
    Ok(())
}
