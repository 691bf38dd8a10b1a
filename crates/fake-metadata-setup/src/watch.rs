//! `apply --watch`: apply again and again, until a signal.
//!
//! The configuration is read each time. Only changes and new errors are said; an error after the first round ends
//! nothing, because a name that cannot be resolved now may be resolved later.

use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};

use hostnet::{Error, Options};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::arguments::Arguments;
use crate::report;

pub(crate) fn run(arguments: &Arguments, options: &Options) -> Result<ExitCode, Error> {
    let (sender, ended) = mpsc::channel();
    let failed = |source| Error::Io { action: "handle".into(), target: "SIGTERM".into(), source };
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    std::thread::spawn(move || {
        signals.forever().take(1).for_each(|signal| {
            // Nobody listens any more when the process is ending anyway.
            let _ = sender.send(signal);
        })
    });

    let interval = arguments.watch().unwrap_or_default();
    let json = arguments.common.json;
    let apply = || hostnet::apply(&arguments.config()?, options);
    report::apply(&apply()?, json);
    let mut last_error = String::new();
    loop {
        match ended.recv_timeout(interval) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(ExitCode::SUCCESS),
            Err(RecvTimeoutError::Timeout) => {}
        }
        match apply() {
            Ok(done) => {
                last_error.clear();
                if !done.steps.is_empty() {
                    report::apply(&done, json);
                }
            }
            Err(error) => {
                let text = hostnet::chain(&error);
                if text != last_error {
                    report::warning(&text);
                    last_error = text;
                }
            }
        }
    }
}
