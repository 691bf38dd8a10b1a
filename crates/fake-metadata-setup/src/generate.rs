//! The man page and the completions, made from the command line's own definition. For the package's build.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::arguments::{Arguments, Generated};

pub(crate) fn print(what: Generated) -> ExitCode {
    let mut text = Vec::new();
    let shell = match what {
        Generated::Man => None,
        Generated::Bash => Some(Shell::Bash),
        Generated::Zsh => Some(Shell::Zsh),
        Generated::Fish => Some(Shell::Fish),
    };
    let mut command = Arguments::command();
    let made = match shell {
        Some(shell) => {
            let name = command.get_name().to_owned();
            clap_complete::generate(shell, &mut command, name, &mut text);
            Ok(())
        }
        None => manual(command, &mut text),
    };
    match made.and_then(|()| io::stdout().write_all(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-metadata-setup: write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One page for all: a page for each of four subcommands would be mostly headings.
fn manual(command: Command, page: &mut Vec<u8>) -> io::Result<()> {
    let subcommands: Vec<Command> =
        command.get_subcommands().filter(|each| !each.is_hide_set()).cloned().collect();
    let man = Man::new(command.clone().disable_help_subcommand(true)).section("8");
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    Roff::new().control("SH", ["COMMANDS"]).to_writer(page)?;
    for subcommand in subcommands {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        let name = format!("{} {}", command.get_name(), subcommand.get_name());
        Roff::new().control("SS", [name.as_str()]).text([roman(about)]).to_writer(page)?;
        if subcommand.get_arguments().any(|argument| !argument.is_hide_set()) {
            page.write_all(&options_without_heading(subcommand)?)?;
        }
    }
    man.render_options_section(page)?;
    man.render_extra_section(page)?;
    man.render_version_section(page)
}

/// The flags of a subcommand itself, below the heading that is there already.
fn options_without_heading(subcommand: Command) -> io::Result<Vec<u8>> {
    let mut options = Vec::new();
    Man::new(subcommand.disable_help_flag(true)).render_options_section(&mut options)?;
    let text = String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "");
    Ok(text.into_bytes())
}
