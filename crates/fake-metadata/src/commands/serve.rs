//! `serve`: the daemon itself, from start to the last request.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Notify;

use super::{Outcome, output};
use crate::cli::Serve;
use crate::config::KeyPath;
use crate::front::{Front, listen};
use crate::identity::Signer;
use crate::logging::Log;
use crate::places::Surroundings;
use crate::state::State;
use crate::state_dir::StateDir;
use crate::{control, signals, supervisor, vital};

pub(super) fn serve(args: Serve) -> Outcome {
    let mut sources = args.configuration.sources();
    sources.events = args.events.specs();
    super::event::check(&sources.events)?;
    if !args.listen.is_empty() {
        let addresses: Vec<String> = args.listen.iter().map(|a| format!("{:?}", a.to_string())).collect();
        sources.flags.push((
            "--listen".into(),
            KeyPath::root().key("listen"),
            format!("[{}]", addresses.join(",")),
        ));
    }
    if let Some(file) = &args.log_file {
        let value = format!("{:?}", file.display().to_string());
        sources.flags.push(("--log-file".into(), KeyPath::root().key("log").key("file"), value));
    }
    let loaded = sources.load()?;
    let log = Log::start(&loaded.config.log).map_err(|e| log_error(&loaded.config.log.file, &e))?;
    vital::log_panics();
    let listeners = loaded.config.listen().into_iter().map(listen::open).collect::<Result<Vec<_>, _>>()?;
    let directory = StateDir::new(args.places.state_dir()?);
    let state = State::start(sources, loaded, log, &directory)?;
    let stop = Arc::new(Notify::new());
    signals::start(state.clone(), stop.clone())?;
    let socket = args.control.clone().unwrap_or_else(|| Surroundings::read().control_socket());
    let _control = control::start(&socket, &state)
        .inspect_err(|e| log::warn!("open the control socket {}: {e}; commands cannot reach this daemon (name another with --control)", socket.display()));
    let front = Front::new(state.clone(), Signer::start(directory)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    vital::guard("front", || {
        runtime.block_on(async {
            supervisor::watch();
            front
                .serve(listeners, stop, async |addresses| {
                    state.check_upstream().await?;
                    for address in addresses {
                        // Whoever started us may have seen enough: that is no reason to end.
                        if let Err(error) = output::line(format_args!("listening on http://{address}")) {
                            log::debug!("{error}");
                        }
                        log::info!("listening on http://{address}");
                    }
                    supervisor::ready();
                    Ok(())
                })
                .await
        })
    })?;
    log::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn log_error(file: &Option<PathBuf>, cause: &std::io::Error) -> String {
    let name = file.as_ref().map_or("standard error".into(), |f| f.display().to_string());
    format!("open log {name}: {cause}")
}
