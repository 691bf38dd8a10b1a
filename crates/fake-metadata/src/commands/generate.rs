//! `generate`: manual pages and completions from the command line's own definition, for the package.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Arg, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde_json::{Value, json};

use super::{Outcome, Usage, output};
use crate::cli::{Cli, Generated};

pub(super) fn generate(what: Generated, subcommand: Option<&str>) -> Outcome {
    let mut command = Cli::command();
    let shell = match what {
        Generated::Man => return manual(command, subcommand),
        Generated::Arguments => {
            command.build();
            output::line(Value::Array(arguments(&command)))?;
            return Ok(ExitCode::SUCCESS);
        }
        Generated::Bash => Shell::Bash,
        Generated::Zsh => Shell::Zsh,
        Generated::Fish => Shell::Fish,
    };
    // Clap panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "fake-metadata", &mut script);
    output::print(script)?;
    Ok(ExitCode::SUCCESS)
}

/// What every command that does something takes: its words, options and positional arguments.
fn arguments(command: &clap::Command) -> Vec<Value> {
    let below = command.get_subcommands().filter(|command| command.get_name() != "help");
    let mut all: Vec<Value> = below.flat_map(arguments).collect();
    if !command.has_subcommands() {
        let (positional, options): (Vec<&Arg>, Vec<&Arg>) =
            command.get_arguments().partition(|arg| arg.is_positional());
        let name = command.get_bin_name().unwrap_or(command.get_name());
        all.push(json!({
            "words": name.split(' ').skip(1).collect::<Vec<_>>(),
            "options": options.into_iter().map(argument).collect::<Vec<_>>(),
            "positional": positional.into_iter().map(argument).collect::<Vec<_>>(),
        }));
    }
    all
}

fn argument(arg: &Arg) -> Value {
    let values: Vec<String> = arg.get_possible_values().iter().map(|v| v.get_name().to_owned()).collect();
    json!({
        "option": arg.get_long(),
        "value": arg.get_value_names().unwrap_or_default().iter().map(|n| n.as_str()).collect::<Vec<_>>(),
        "takes-value": arg.get_action().takes_values(),
        "required": arg.is_required_set(),
        "most": arg.get_num_args().map(|range| range.max_values()).filter(|most| *most < usize::MAX),
        "values": values,
    })
}

/// One page with every command and its options; of a subcommand, that one's alone.
fn manual(mut command: clap::Command, subcommand: Option<&str>) -> Outcome {
    let mut page = Vec::new();
    match subcommand {
        None => whole(&command, &mut page)?,
        Some(name) => {
            // Builds the full names (`fake-metadata serve`) that the page shows.
            command.build();
            let found = command.find_subcommand(name).ok_or_else(|| {
                let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
                Usage(format!("there is no subcommand {name}: give one of {}", names.join(", ")))
            })?;
            // A command line is built once in the life of this process.
            let full: &'static str = format!("fake-metadata-{name}").leak();
            Man::new(found.clone().name(full).display_name(full)).render(&mut page)?;
        }
    }
    output::print(page)?;
    Ok(ExitCode::SUCCESS)
}

fn whole(command: &clap::Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone().disable_help_subcommand(true));
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    Roff::new().control("SH", ["COMMANDS"]).to_writer(page)?;
    each(command, command.get_name(), page)?;
    man.render_options_section(page)?;
    man.render_extra_section(page)?;
    man.render_version_section(page)
}

/// The commands below one, however deep: a heading, what each is for, its options, and its examples.
fn each(above: &clap::Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    for command in above.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("{name} {}", command.get_name());
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
        let mut heading = Roff::new();
        heading.control("SS", [name.as_str()]);
        for (number, paragraph) in about.unwrap_or_default().split("\n\n").enumerate() {
            if number > 0 {
                heading.control("PP", []);
            }
            heading.text([roman(paragraph)]);
        }
        heading.to_writer(page)?;
        if command.get_arguments().any(|argument| !argument.is_hide_set()) {
            page.write_all(&options_without_heading(command)?)?;
        }
        if let Some(examples) = command.get_after_long_help().or(command.get_after_help()) {
            let mut lines = Roff::new();
            lines.control("PP", []).control("nf", []);
            lines.text([roman(examples.to_string())]).control("fi", []).to_writer(page)?;
        }
        each(command, &name, page)?;
    }
    Ok(())
}

/// The options of a command itself, below the heading that is there already.
fn options_without_heading(command: &clap::Command) -> io::Result<Vec<u8>> {
    // Those below have their own places, and `help` is everywhere.
    let mut options = Vec::new();
    Man::new(command.clone().disable_help_flag(true).disable_help_subcommand(true))
        .render_options_section(&mut options)?;
    Ok(String::from_utf8_lossy(&options).replace(".SH OPTIONS\n", "").into_bytes())
}
