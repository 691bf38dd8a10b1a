//! Leads 169.254.169.254 on this host to fake-metadata, and undoes it.

mod arguments;
mod generate;
mod report;
mod watch;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;
use hostnet::{Error, Options};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Generate { what } = arguments.command {
        return generate::print(what);
    }
    let options = arguments.options();
    match run(&arguments, &options) {
        Ok(code) => code,
        Err(error) if arguments.is_boot() && error.is_for_later() => {
            report::for_later(&error, arguments.common.json)
        }
        Err(error) => report::error(&error, arguments.common.json),
    }
}

fn run(arguments: &Arguments, options: &Options) -> Result<ExitCode, Error> {
    let config = || arguments.config();
    let json = arguments.common.json;
    Ok(match &arguments.command {
        Command::Apply { dry_run: true, .. } | Command::Plan => {
            report::plan(&hostnet::plan(&config()?, options)?, json)
        }
        Command::Apply { watch: Some(_), .. } => watch::run(arguments, options)?,
        Command::Apply { .. } => report::apply(&hostnet::apply(&config()?, options)?, json),
        Command::Remove { dry_run: true } => report::plan(&hostnet::plan_remove(options)?, json),
        Command::Remove { dry_run: false } => report::remove(&hostnet::remove(options)?, json),
        Command::Status => report::status(&hostnet::status(&config()?, options)?, json),
        Command::Generate { .. } => ExitCode::SUCCESS,
    })
}
