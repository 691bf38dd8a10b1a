//! `role login`: a login to IAM Identity Center that the daemon keeps.

use std::time::Duration;

use http::Method;
use serde_json::json;

use super::super::{Outcome, output, plain};
use crate::cli::DaemonSocket;
use crate::control::client::Daemon;

/// How often this looks whether the person has said yes.
const LOOK: Duration = Duration::from_millis(500);

pub(super) fn login(role: &str, daemon: &DaemonSocket) -> Outcome {
    let daemon = Daemon::at(daemon.path());
    let begun = daemon.ask(Method::POST, "/v1/roles/login", Some(&json!({ "role": role })))?;
    let prompt = &begun["prompt"];
    let url = Some(&prompt["url-with-code"]).filter(|url| !url.is_null()).unwrap_or(&prompt["url"]);
    output::line(format_args!("open {}", plain(url)))?;
    output::line(format_args!(
        "the code is {}, good until {}",
        plain(&prompt["code"]),
        plain(&prompt["expires"])
    ))?;
    let asked = json!({ "login": begun["login"] });
    // The daemon gives up when the code runs out, and says so.
    loop {
        std::thread::sleep(LOOK);
        let answer = daemon.ask(Method::POST, "/v1/roles/login/outcome", Some(&asked))?;
        if answer["ended"] == true {
            match answer["error"].as_str() {
                Some(error) => return Err(error.to_owned().into()),
                None => break,
            }
        }
    }
    output::line("logged in")?;
    super::refresh(Some(role), &daemon)
}
