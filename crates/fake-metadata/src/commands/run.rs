//! `run`: the service for the life of one command.

use std::error::Error;
use std::ffi::OsString;
use std::fs::Permissions;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::Outcome;
use crate::cli::Run;
use crate::config::KeyPath;
use crate::control::{self, Control};
use crate::front::{Front, listen};
use crate::identity::Signer;
use crate::logging::Log;
use crate::state::State;
use crate::state_dir::StateDir;
use crate::vital;

/// Variables with which an SDK would find other credentials first, or not ask for metadata at all.
/// Sources: the SDKs' reference on credential providers; reference 6.10 and 7.1.
const CONFLICTING: [&str; 19] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ACCESS_KEY",
    "AWS_SECRET_KEY",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_IMDS_USE_IPV6",
    "AWS_CREDENTIAL_EXPIRATION",
];
/// The files an SDK reads before it asks for metadata.
const FILES: [&str; 2] = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"];

/// Exit codes for a command that is not there, and for one that cannot be run. Source: POSIX, `sh` and `env`.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// Where a program finds out which addresses to ask without a proxy. Many read but one of them.
const UNPROXIED: [&str; 2] = ["NO_PROXY", "no_proxy"];

pub(super) fn run(args: Run) -> Outcome {
    let mut sources = args.configuration.sources();
    sources.events = args.events.specs();
    super::event::check(&sources.events)?;
    let root = KeyPath::root();
    sources.flags.push(("run".into(), root.key("listen"), "\"127.0.0.1:0\"".into()));
    match &args.log_file {
        Some(file) => {
            let value = format!("{:?}", file.display().to_string());
            sources.flags.push(("--log-file".into(), root.key("log").key("file"), value));
        }
        // The command's output is its user's: say only what is wrong.
        None if args.configuration.log_level.is_none() => {
            sources.flags.push(("run".into(), root.key("log").key("level"), "warn".into()));
        }
        None => {}
    }
    let loaded = sources.load()?;
    let log = Log::start(&loaded.config.log)?;
    vital::log_panics();
    let listeners = loaded.config.listen().into_iter().map(listen::open).collect::<Result<Vec<_>, _>>()?;
    let directory = StateDir::new(args.places.state_dir()?);
    let state = State::start(sources, loaded, log, &directory)?;
    let control = OwnControl::start(&state)?;
    let front = Front::new(state.clone(), Signer::start(directory)?)?;
    let stop = Arc::new(Notify::new());
    let (tell_address, address) = mpsc::channel();
    let stopped = stop.clone();
    let serving = vital::spawn("front", move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let served = runtime.map_err(Into::into).and_then(|runtime| {
            runtime.block_on(front.serve(listeners, stopped, async |addresses| {
                let checked = state.check_upstream().await;
                // The receiver waits below until it has this, and ends what is wrong.
                let _ = tell_address.send(checked.map(|()| addresses[0]));
                Ok(())
            }))
        });
        if let Err(error) = served {
            log::error!("serve: {error}");
        }
    })?;
    let address: Result<SocketAddr, Box<dyn Error>> = match address.recv() {
        Ok(checked) => checked.map_err(Into::into),
        Err(_) => Err("serve: no address to listen on".into()),
    };
    let code = address.and_then(|address| child(&args, address, &control.socket));
    stop.notify_one();
    // A panic there has ended the process already.
    let _ = serving.join();
    code
}

/// The control API for the command alone, in a folder that goes when this is dropped.
struct OwnControl {
    socket: PathBuf,
    _control: Control,
    _folder: TempDir,
}

impl OwnControl {
    fn start(state: &Arc<State>) -> Result<OwnControl, String> {
        let mut folder = tempfile::Builder::new();
        folder.prefix("fake-metadata-run-").permissions(Permissions::from_mode(0o700));
        let told = |e: std::io::Error| {
            format!("open the control socket of this run: {e} (name another folder with TMPDIR)")
        };
        let folder = folder.tempdir().map_err(told)?;
        let socket = folder.path().join("control.sock");
        let control = control::start(&socket, state).map_err(told)?;
        Ok(OwnControl { socket, _control: control, _folder: folder })
    }
}

/// Runs the command and passes signals on to it. Commands of ours that it calls reach this service by `control`, and
/// no other daemon.
fn child(args: &Run, address: SocketAddr, control: &Path) -> Outcome {
    let (program, arguments) = args.command.split_first().ok_or("no command given")?;
    let mut command = Command::new(program);
    command.args(arguments).env("AWS_EC2_METADATA_SERVICE_ENDPOINT", format!("http://{address}"));
    command.env("FAKE_METADATA_CONTROL", control);
    for name in CONFLICTING {
        command.env_remove(name);
    }
    if !args.keep_aws_files {
        command.envs(FILES.map(|name| (name, "/dev/null")));
    }
    let listed = UNPROXIED.map(|name| std::env::var_os(name).filter(|list| !list.is_empty()));
    let [upper, lower] = listed;
    let both = [upper.clone().or(lower.clone()), lower.or(upper)];
    command.envs(UNPROXIED.into_iter().zip(both.map(|list| unproxied(list, address.ip()))));
    let mut signals = Signals::new([SIGTERM, SIGHUP, SIGINT])?;
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("fake-metadata: run {}: {error}", program.display());
            return Ok(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN }.into());
        }
    };
    let pid = Pid::from_raw(child.id().try_into()?);
    vital::spawn("signals", move || {
        for signal in signals.forever() {
            // A terminal sends its interrupt to the command itself.
            if signal != SIGINT
                && let Ok(signal) = Signal::try_from(signal)
            {
                let _ = kill(pid, signal);
            }
        }
    })?;
    Ok(code_of(child.wait()?))
}

/// A list of what is asked without a proxy, with our address in it: no proxy reaches this machine's loopback.
fn unproxied(list: Option<OsString>, address: IpAddr) -> OsString {
    match list {
        // Stands for everything, and for nothing in particular once it is one of several.
        Some(list) if list == "*" => list,
        Some(mut list) => {
            list.push(format!(",{address}"));
            list
        }
        None => address.to_string().into(),
    }
}

/// The command's own code; 128 and the signal's number, as shells have it.
fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|s| 128 + s)).unwrap_or(1);
    u8::try_from(code).unwrap_or(1).into()
}
