//! `generate`: manual pages and completions from the command line's own definition, for the package.

use std::process::ExitCode;

use clap::{Arg, CommandFactory};
use clap_complete::Shell;
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

fn manual(mut command: clap::Command, subcommand: Option<&str>) -> Outcome {
    // Builds the full names (`fake-metadata serve`) that the pages show.
    command.build();
    let page = match subcommand {
        None => command,
        Some(name) => {
            let found = command.find_subcommand(name).ok_or_else(|| {
                let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
                Usage(format!("there is no subcommand {name}: give one of {}", names.join(", ")))
            })?;
            // A command line is built once in the life of this process.
            let full: &'static str = format!("fake-metadata-{name}").leak();
            found.clone().name(full).display_name(full)
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    output::print(text)?;
    Ok(ExitCode::SUCCESS)
}
