//! `generate`: manual pages and completions from the command line's own definition, for the package.

use std::io;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Outcome;
use crate::cli::{Cli, Generated};

pub(super) fn generate(what: Generated, subcommand: Option<&str>) -> Outcome {
    let mut command = Cli::command();
    let shell = match what {
        Generated::Man => return manual(command, subcommand),
        Generated::Bash => Shell::Bash,
        Generated::Zsh => Shell::Zsh,
        Generated::Fish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "fake-metadata", &mut io::stdout());
    Ok(ExitCode::SUCCESS)
}

fn manual(mut command: clap::Command, subcommand: Option<&str>) -> Outcome {
    // Builds the full names (`fake-metadata serve`) that the pages show.
    command.build();
    let page = match subcommand {
        None => command,
        Some(name) => {
            let found =
                command.find_subcommand(name).ok_or_else(|| format!("there is no subcommand {name}"))?;
            // A command line is built once in the life of this process.
            let full: &'static str = format!("fake-metadata-{name}").leak();
            found.clone().name(full).display_name(full)
        }
    };
    clap_mangen::Man::new(page).render(&mut io::stdout())?;
    Ok(ExitCode::SUCCESS)
}
