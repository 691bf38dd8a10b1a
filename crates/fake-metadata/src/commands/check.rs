//! `check`: would this file be accepted?

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;

use super::Outcome;
use crate::config::Sources;
use crate::places::Surroundings;
use crate::state::Played;

pub(super) fn check(file: PathBuf) -> Outcome {
    let aws = Surroundings::read().aws();
    let loaded = Sources { file: Some(file.clone()), aws, ..Sources::default() }.load()?;
    crate::callers::Resolved::load(&loaded)?;
    Played::from(&loaded, Timestamp::now())?;
    println!("{}: ok", file.display());
    Ok(ExitCode::SUCCESS)
}
