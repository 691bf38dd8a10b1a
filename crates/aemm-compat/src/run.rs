//! The program: command line to settings to service.

use std::fs::{DirBuilder, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use jiff::Timestamp;

use crate::cli::{Cli, VERSION, command_first};
use crate::config::{Command, Config};
use crate::log::log;
use crate::mock::Mock;
use crate::server;
use crate::settings::{FileError, Settings};

const NAME: &str = "ec2-metadata-mock";
/// AEMM panics on a wrong value, with which Go's programs end with 2; on a wrong file it ends with 1.
const REFUSED: u8 = 2;
const WRONG_FILE: u8 = 1;
/// How often a watched configuration file is looked at.
const WATCH: Duration = Duration::from_millis(500);

/// Runs `ec2-metadata-mock` with the process's arguments and environment.
pub fn run() -> ExitCode {
    let cli = Cli::parse_from(command_first(std::env::args_os()));
    if cli.version {
        println!("{VERSION}");
        return ExitCode::SUCCESS;
    }
    let start = Timestamp::now();
    let file = Source::find(cli.config_file());
    let config = match load(&cli, &file, start) {
        Ok(config) => config,
        Err(Failure::File(error)) => {
            log(&format!("Error while attempting to apply overrides from {error}"));
            return WRONG_FILE.into();
        }
        Err(Failure::Value(message)) => return refuse(&[message]),
    };
    match &file {
        Source::Read(path) => println!("Using configuration from file:  {}", path.display()),
        Source::None => log("Warning:  Config File \"aemm-config\" Not Found in $HOME"),
    }
    if config.save {
        save(&config.settings);
    }
    let command = cli.mocked();
    let refusals = config.refusals(command);
    if !refusals.is_empty() {
        return refuse(&refusals);
    }
    log(&format!("Initiating {NAME} for {} on port {}", described(command), config.port));
    print_flags(&cli);
    match serve(&cli, &file, config, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("panic: {message}");
            REFUSED.into()
        }
    }
}

/// The flags that were given, as AEMM prints them; it has them in no order, here they are in that of their names.
fn print_flags(cli: &Cli) {
    let flags = cli.given();
    if !flags.is_empty() {
        let lines: String = flags.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        println!("\nFlags:\n{lines}");
    }
}

fn described(command: Command) -> &'static str {
    match command {
        Command::All => "all mocks",
        Command::Spot => "EC2 Spot interruption notice",
        Command::Events => "EC2 Events",
        Command::AsgLifecycle => "EC2 ASG Lifecycle",
    }
}

/// The configuration file in use.
enum Source {
    Read(PathBuf),
    None,
}

impl Source {
    /// The one named by flag, else by `AEMM_CONFIG_FILE`, else `aemm-config` with a known ending in the home folder.
    /// With the variable set to nothing AEMM looks nowhere.
    fn find(named: Option<&str>) -> Source {
        if let Some(path) = named.filter(|path| !path.is_empty()) {
            return Source::Read(path.into());
        }
        if let Some(path) = std::env::var_os("AEMM_CONFIG_FILE") {
            return if path.is_empty() { Source::None } else { Source::Read(path.into()) };
        }
        let found = home().into_iter().flat_map(|home| {
            ["json", "toml", "yaml", "yml"].map(|extension| home.join(format!("aemm-config.{extension}")))
        });
        found.filter(|path| path.is_file()).map(Source::Read).next().unwrap_or(Source::None)
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

enum Failure {
    File(FileError),
    Value(String),
}

/// Defaults, file, environment, flags.
fn load(cli: &Cli, file: &Source, start: Timestamp) -> Result<Config, Failure> {
    let mut settings = Settings::defaults(start);
    if let Source::Read(path) = file {
        settings.lay(Settings::read(path).map_err(Failure::File)?);
    }
    let environment = settings.environment(|name| std::env::var(name).ok());
    settings.lay(environment);
    settings.lay(cli.flags());
    Config::new(settings).map_err(Failure::Value)
}

fn refuse(refusals: &[String]) -> ExitCode {
    for refusal in refusals {
        eprintln!("Error: {refusal}");
    }
    eprintln!("panic: Fatal error while executing the root command: {}", refusals.join(" "));
    REFUSED.into()
}

/// Writes the configuration in use to the home folder, or the working folder where there is none. A failure is a
/// warning.
fn save(settings: &Settings) {
    let folder = home().unwrap_or_else(|| PathBuf::from(".")).join(".ec2-metadata-mock");
    let path = folder.join(".aemm-config-used.json");
    match write(&folder, &path, settings) {
        Ok(()) => println!("Successfully saved final configuration to local file  {}", path.display()),
        Err(error) => log(&format!(
            "Warning: Failed to save the final configuration to local file {}: {error}",
            path.display()
        )),
    }
}

fn write(folder: &Path, path: &Path, settings: &Settings) -> std::io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().mode(0o755).create(folder)?;
    }
    let text = serde_json::to_string_pretty(&settings.nested())?;
    // As AEMM has it, for others to read; less where the umask says so.
    let readable = Permissions::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}

fn serve(cli: &Cli, file: &Source, config: Config, start: Timestamp) -> Result<(), String> {
    let (host, port) = (config.hostname.clone(), config.port.clone());
    let watched = match file {
        Source::Read(path) if config.watch => Some(path.clone()),
        _ => None,
    };
    let listener =
        server::open(&host, &port).map_err(|error| format!("listen tcp {host}:{port}: {error}"))?;
    let mock = Arc::new(Mutex::new(Mock::new(cli.mocked(), Arc::new(config), start)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("start: {error}"))?;
    runtime.block_on(async {
        if let Ok(address) = listener.local_addr() {
            println!("listening on http://{address}");
        }
        tokio::select! {
            result = server::serve(listener, mock.clone()) => result.map_err(|error| format!("accept: {error}")),
            () = watch(cli, watched, &mock, start) => Ok(()),
        }
    })
}

/// Takes over the file whenever its text changes; a file that is wrong changes nothing. Waits for ever without one.
async fn watch(cli: &Cli, file: Option<PathBuf>, mock: &Mutex<Mock>, start: Timestamp) {
    let Some(path) = file else { return std::future::pending().await };
    let mut known = std::fs::read(&path).ok();
    loop {
        tokio::time::sleep(WATCH).await;
        let text = std::fs::read(&path).ok();
        if text.is_none() || text == known {
            continue;
        }
        known = text;
        match load(cli, &Source::Read(path.clone()), start) {
            Ok(config) if config.refusals(cli.mocked()).is_empty() => {
                mock.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(config));
                log("configuration file changed and taken over");
            }
            Ok(config) => log(&config.refusals(cli.mocked()).join(" ")),
            Err(Failure::File(error)) => log(&format!("Failed to reset config on config change: {error}")),
            Err(Failure::Value(message)) => {
                log(&format!("Failed to reset config on config change: {message}"));
            }
        }
    }
}
