//! What a run says, for a person or as JSON, and its exit code.

use std::process::ExitCode;

use hostnet::{Error, Report, State, Status, chain};
use serde_json::json;

const BAD_CONFIGURATION: u8 = 78;

pub(crate) fn apply(report: &Report, json: bool) -> ExitCode {
    done(report, json, "nothing to do")
}

pub(crate) fn remove(report: &Report, json: bool) -> ExitCode {
    done(report, json, "nothing to remove")
}

fn done(report: &Report, json: bool, nothing: &str) -> ExitCode {
    warnings(&report.warnings);
    if json {
        println!("{}", with_changed(report, !report.steps.is_empty()));
        return ExitCode::SUCCESS;
    }
    for step in &report.steps {
        println!("{}", step.text);
    }
    if report.steps.is_empty() {
        println!("{nothing}");
    }
    for lead in &report.leads {
        println!("{lead}");
    }
    ExitCode::SUCCESS
}

pub(crate) fn plan(report: &Report, json: bool) -> ExitCode {
    warnings(&report.warnings);
    if json {
        println!("{}", with_changed(report, false));
        return ExitCode::SUCCESS;
    }
    for step in &report.steps {
        println!("would {}", step.text);
    }
    if report.steps.is_empty() {
        println!("nothing to do");
    }
    ExitCode::SUCCESS
}

pub(crate) fn status(status: &Status, json: bool) -> ExitCode {
    let code = if status.state == State::Applied { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    warnings(&status.warnings);
    if json {
        println!("{}", json!(status));
        return code;
    }
    println!(
        "{}",
        match status.state {
            State::Applied => "applied",
            State::Partial => "partial (run `fake-metadata-setup apply`)",
            State::Absent => "absent (run `fake-metadata-setup apply`)",
        }
    );
    for line in &status.present {
        println!("present: {line}");
    }
    for line in &status.pending {
        println!("to do: {}", line.text);
    }
    for line in &status.leads {
        println!("{line}");
    }
    code
}

fn with_changed(report: &Report, changed: bool) -> serde_json::Value {
    json!({ "changed": changed, "steps": report.steps, "warnings": report.warnings, "leads": report.leads })
}

fn warnings(lines: &[String]) {
    for line in lines {
        warning(line);
    }
}

pub(crate) fn warning(line: &str) {
    eprintln!("fake-metadata-setup: warning: {line}");
}

/// Prints the chain once.
pub(crate) fn error(error: &Error) -> ExitCode {
    for line in chain(error).lines() {
        eprintln!("fake-metadata-setup: {line}");
    }
    match error {
        Error::Config(_) => ExitCode::from(BAD_CONFIGURATION),
        _ => ExitCode::FAILURE,
    }
}
