//! What a run says, for a person or as JSON, and its exit code.

use std::io::{self, ErrorKind, Write};
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
        return print(&[with_changed(report, !report.steps.is_empty())], ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = report.steps.iter().map(|step| step.text.clone()).collect();
    if lines.is_empty() {
        lines.push(nothing.to_owned());
    }
    lines.extend(report.leads.iter().cloned());
    print(&lines, ExitCode::SUCCESS)
}

pub(crate) fn plan(report: &Report, json: bool) -> ExitCode {
    warnings(&report.warnings);
    if json {
        return print(&[with_changed(report, false)], ExitCode::SUCCESS);
    }
    let mut lines: Vec<String> = report.steps.iter().map(|step| format!("would {}", step.text)).collect();
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    print(&lines, ExitCode::SUCCESS)
}

pub(crate) fn status(status: &Status, json: bool) -> ExitCode {
    let code = if status.state == State::Applied { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    warnings(&status.warnings);
    if json {
        return print(&[json!(status).to_string()], code);
    }
    let state = match status.state {
        State::Applied => "applied",
        State::Partial => "partial (run `fake-metadata-setup apply`)",
        State::Absent => "absent (run `fake-metadata-setup apply`)",
    };
    let mut lines = vec![state.to_owned()];
    lines.extend(status.present.iter().map(|line| format!("present: {line}")));
    lines.extend(status.pending.iter().map(|line| format!("to do: {}", line.text)));
    lines.extend(status.leads.iter().cloned());
    print(&lines, code)
}

fn with_changed(report: &Report, changed: bool) -> String {
    json!({ "changed": changed, "steps": report.steps, "warnings": report.warnings, "leads": report.leads })
        .to_string()
}

/// Prints lines; the exit code is `code` if they could be written. A reader that has seen enough, `head -1`, is no
/// failure.
fn print(lines: &[String], code: ExitCode) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let mut written = lines.iter().try_for_each(|line| writeln!(stdout, "{line}"));
    written = written.and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("write to stdout: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

fn warnings(lines: &[String]) {
    for line in lines {
        warning(line);
    }
}

pub(crate) fn warning(line: &str) {
    complain(&format!("warning: {line}"));
}

/// One line to standard error. Where that is closed there is nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "fake-metadata-setup: {line}");
}

/// What `--boot` makes of an error that may be none later: warnings, and nothing was done.
pub(crate) fn for_later(error: &Error, json: bool) -> ExitCode {
    let lines = chain(error).lines().map(str::to_owned).collect();
    let report = Report { warnings: lines, ..Report::default() };
    warnings(&report.warnings);
    if json { print(&[with_changed(&report, false)], ExitCode::SUCCESS) } else { ExitCode::SUCCESS }
}

/// Prints the chain once, and as JSON to standard output when that was asked for.
pub(crate) fn error(error: &Error, json: bool) -> ExitCode {
    let text = chain(error);
    text.lines().for_each(complain);
    let code = match error {
        Error::Config(_) => ExitCode::from(BAD_CONFIGURATION),
        _ => ExitCode::FAILURE,
    };
    if json { print(&[json!({ "error": text }).to_string()], code) } else { code }
}
