//! Wrong usage, said on one line with what is allowed instead. Clap's own message takes several lines and
//! leaves the allowed options and subcommands to another call.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

use crate::commands::output::remark;

/// What a command line that cannot be understood comes to: help and the version are printed as clap has
/// them, everything else is refused.
pub(super) fn finish(error: &Error, command: Command, arguments: &[OsString]) -> ExitCode {
    let is_help = !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help {
        // Nobody is left to be told when the terminal is gone.
        let _ = error.print();
    } else {
        remark(format_args!("fake-metadata: {}", describe(error, command, arguments)));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The error on one line, and what is allowed where it was made.
pub(super) fn describe(error: &Error, mut command: Command, arguments: &[OsString]) -> String {
    // Gives subcommands their full names.
    command.build();
    let meant = meant(&command, arguments);
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim);
    let told = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let told = told.filter(|line| !line.is_empty()).map(|line| match line.strip_prefix("tip: ") {
        Some(tip) => format!("({tip})"),
        None => line.to_owned(),
    });
    let told: Vec<String> = told.collect();
    let told = told.join(" ");
    let told = match error.kind() {
        // Clap has the whole help here.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a subcommand is missing",
        _ => told.trim_start_matches("error: "),
    };
    match allowed(error.kind(), told, meant) {
        Some(allowed) => format!("{told}: {allowed}"),
        None => told.to_owned(),
    }
}

/// The command that was to be run, as far as the words name one.
fn meant<'a>(root: &'a Command, arguments: &[OsString]) -> &'a Command {
    let words = arguments.iter().map_while(|word| word.to_str()).take_while(|word| *word != "--");
    words.fold(root, |command, word| command.find_subcommand(word).unwrap_or(command))
}

fn allowed(kind: ErrorKind, told: &str, command: &Command) -> Option<String> {
    match kind {
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
            let names: Vec<&str> = shown.map(Command::get_name).filter(|name| *name != "help").collect();
            Some(format!("give one of {}", names.join(", ")))
        }
        ErrorKind::UnknownArgument if told.contains("'-") => {
            let options: Vec<String> = command.get_arguments().filter_map(option).collect();
            Some(format!("{} takes {}", command_name(command), options.join(", ")))
        }
        ErrorKind::InvalidValue if told.starts_with("a value is required") => {
            let named = |arg: &&Arg| option(arg).is_some_and(|name| told.contains(&format!("'{name} ")));
            command.get_arguments().find(named).and_then(Arg::get_help).map(ToString::to_string)
        }
        ErrorKind::MissingRequiredArgument => Some(format!("{}{}", usage(command), choices(command))),
        // What was wrong with a value is told with what is right.
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::ArgumentConflict => None,
        _ => Some(usage(command)),
    }
}

/// The values that positional arguments choose from.
fn choices(command: &Command) -> String {
    let choices = command.get_positionals().filter_map(|arg| {
        let values = arg.get_possible_values();
        let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        let name = arg.get_value_names().and_then(|names| names.first())?;
        (!names.is_empty()).then(|| format!(", where {name} is one of {}", names.join(", ")))
    });
    choices.collect()
}

fn option(arg: &Arg) -> Option<String> {
    arg.get_long().filter(|_| !arg.is_hide_set()).map(|name| format!("--{name}"))
}

fn command_name(command: &Command) -> &str {
    command.get_bin_name().unwrap_or(command.get_name())
}

fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let words: Vec<&str> = usage.split_whitespace().collect();
    words.join(" ").replacen("Usage:", "usage:", 1)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;

    fn refused(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let error = Cli::try_parse_from(&words).unwrap_err();
        describe(&error, Cli::command(), &words[1..])
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        for (line, expected) in [
            ("f fly", "unrecognized subcommand 'fly': give one of serve, run, check"),
            ("f event explode", "unrecognized subcommand 'explode': give one of spot, rebalance"),
            ("f event list --jsn", "exists: '--json'): fake-metadata event list takes --control, --json"),
            ("f event", "a subcommand is missing: give one of spot, rebalance"),
            ("f fault add hang now", "'now' found: usage: fake-metadata fault add hang [OPTIONS]"),
            ("f event spot --action x", "[possible values: terminate, stop, hibernate]"),
            ("f tokens maybe", "[possible values: optional, required]"),
            (
                "f tokens",
                "usage: fake-metadata tokens [OPTIONS] <MODE>, where MODE is one of optional, required",
            ),
            ("f event spot --in", "but none was supplied: How long from now, such as 90s or 2m"),
            ("f set", "<PATH VALUE> <PATH VALUE>...: usage: fake-metadata set"),
        ] {
            let told = refused(line);
            assert!(told.contains(expected), "{line}: {told}");
            assert!(!told.contains('\n') && !told.starts_with("error"), "{line}: {told}");
        }
    }
}
