//! The commands that ask the running daemon.

use std::process::ExitCode;

use http::Method;
use serde_json::Value;

use super::{Outcome, output, plain};
use crate::cli::DaemonSocket;
use crate::control::client::Daemon;

pub(super) fn status(daemon: &DaemonSocket, json: bool) -> Outcome {
    let status = Daemon::at(daemon.path()).ask(Method::GET, "/v1/status", None)?;
    if json {
        output::line(serde_json::to_string_pretty(&status)?)?;
    } else {
        output::print(table(&status))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn reload(daemon: &DaemonSocket, reset: bool) -> Outcome {
    let request = serde_json::json!({ "reset": reset });
    Daemon::at(daemon.path()).ask(Method::POST, "/v1/reload", Some(&request))?;
    output::line("reloaded")?;
    Ok(ExitCode::SUCCESS)
}

/// A line a key; lists of tables as a block each.
fn table(status: &Value) -> String {
    let mut text = String::new();
    for (key, value) in status.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    text.push_str(&format!("{key}:\n"));
                    for (inner, value) in item.as_object().into_iter().flatten().filter(|(_, v)| !v.is_null())
                    {
                        text.push_str(&format!("  {inner}: {}\n", plain(value)));
                    }
                }
            }
            value => text.push_str(&format!("{key}: {}\n", plain(value))),
        }
    }
    text
}
