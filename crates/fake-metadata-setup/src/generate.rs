//! The man page and the completions, made from the command line's own definition. For the package's build.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::{Arguments, Generated};

pub(crate) fn print(what: Generated) -> ExitCode {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let shell = match what {
        Generated::Man => None,
        Generated::Bash => Some(Shell::Bash),
        Generated::Zsh => Some(Shell::Zsh),
        Generated::Fish => Some(Shell::Fish),
    };
    let made = match shell {
        Some(shell) => {
            clap_complete::generate(shell, &mut command, name, &mut text);
            Ok(())
        }
        None => clap_mangen::Man::new(command).section("8").render(&mut text),
    };
    match made.and_then(|()| std::io::stdout().write_all(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fake-metadata-setup: write to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
