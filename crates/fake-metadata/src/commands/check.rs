//! `check`: would this file be accepted?

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Outcome, output};
use crate::config::Sources;
use crate::places::Surroundings;
use crate::state::{Played, events_left_out};

pub(super) fn check(file: PathBuf) -> Outcome {
    let aws = Surroundings::read().aws();
    let loaded = Sources { file: Some(file.clone()), aws, ..Sources::default() }.load()?;
    crate::callers::Resolved::load(&loaded)?;
    Played::from(&loaded, Timestamp::now())?;
    for event in events_left_out(&loaded) {
        output::remark(format_args!("fake-metadata: {event}"));
    }
    output::line(format_args!("{}: ok", file.display()))?;
    Ok(ExitCode::SUCCESS)
}
