//! `fake-metadata`: a local EC2 instance metadata service, and the commands that read from one.
//!
//! - `cli` is what may be typed, `commands` what is done;
//! - `config` reads configuration, `state` turns it into what is served and swaps it on reload;
//! - `front` serves the metadata address, `imds` decides what it says;
//! - `callers` finds out who asks, and so which role is given;
//! - `upstream` passes other paths on to another service, in proxy mode;
//! - `control` is the API on the Unix socket that commands use;
//! - `import` makes our configuration of another tool's;
//! - `recording` reads and writes what is served with `--snapshot`;
//! - `identity` signs documents, `state_dir` keeps keys, `places` says where things are;
//! - `logging`, `signals`, `supervisor` and `vital` are the process's own housekeeping.

mod callers;
mod cli;
mod client;
mod commands;
mod config;
mod control;
mod events;
mod faults;
mod front;
mod identity;
mod import;
mod live;
mod logging;
mod places;
mod recording;
mod role_documents;
mod signals;
mod state;
mod state_dir;
mod supervisor;
mod upstream;
mod vital;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli) => commands::run(cli),
        Err(code) => code,
    }
}
