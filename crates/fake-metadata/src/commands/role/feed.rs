//! `role feed`: credentials of a person's own login, pushed to the daemon for as long as this runs.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use http::Method;
use serde_json::{Value, json};

use super::super::{Outcome, Usage, plain};
use crate::cli::FeedRole;
use crate::control::client::{ControlError, Daemon};

/// The longest document that is read.
const LONGEST: u64 = 64 * 1024;

pub(super) fn feed(args: &FeedRole) -> Outcome {
    let daemon = Daemon::at(args.daemon.path());
    match &args.file {
        Some(file) => {
            let answer = push(&daemon, &args.name, &document(file)?)?;
            println!("{}: {}", args.name, super::state_of(&answer, jiff::Timestamp::now()));
            Ok(ExitCode::SUCCESS)
        }
        None => Err("--profile is not there yet".into()),
    }
}

/// Hands credentials to the daemon; how the role stands then.
fn push(daemon: &Daemon, role: &str, credentials: &Value) -> Result<Value, ControlError> {
    let request = json!({ "role": role, "credentials": credentials });
    let answer = daemon.ask(Method::POST, "/v1/roles/feed", Some(&request))?;
    Ok(answer["roles"][0].clone())
}

/// The document in a file. What is wrong with it is told without quoting it.
fn document(file: &Path) -> Result<Value, Usage> {
    let name = if file == Path::new("-") { "standard input".into() } else { plain(&json!(file)) };
    let wrong = |cause: String| Usage(format!("read {name}: {cause}"));
    let mut bytes = Vec::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().take(LONGEST + 1).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|open| open.take(LONGEST + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|e| wrong(e.to_string()))?;
    credentials::parse_document(&bytes, jiff::Timestamp::now()).map_err(|e| wrong(e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|_| wrong("not JSON".into()))
}
