//! The log: log and simplelog over an output that can be reopened for logrotate.
//!
//! Lines wait in memory and a thread of their own writes them, at least every fifth of a second; what a crash of
//! the process can lose is the lines of that last moment. An orderly end, a reload and a panic have them written first.
//! No answer ever waits for the log: where it cannot be written, or not fast enough, lines are lost and later counted
//! (`output`). simplelog filters and formats; `line` puts time and level before what it writes.
//! Only our own crates are heard: a library below us could log what must never be written.

mod line;
mod output;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use log::LevelFilter;
use serde::Deserialize;
use simplelog::ConfigBuilder;

use line::WithLevel;
use output::Output;

/// The crates whose records are written; a record's target begins with its crate's name.
const OUR_CRATES: [&str; 3] = ["fake_metadata", "credentials", "imds"];

/// The `[log]` table.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// What is written: `off`, `error`, `warn`, `info` (one line a request), `debug`, `trace`.
    pub(crate) level: Option<Level>,
    /// A file to append to. Unset: standard error.
    pub(crate) file: Option<PathBuf>,
}

/// The level names of the `log` crate.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogSettings {
    pub(crate) fn filter(&self) -> LevelFilter {
        match self.level {
            Some(Level::Off) => LevelFilter::Off,
            Some(Level::Error) => LevelFilter::Error,
            Some(Level::Warn) => LevelFilter::Warn,
            None | Some(Level::Info) => LevelFilter::Info,
            Some(Level::Debug) => LevelFilter::Debug,
            Some(Level::Trace) => LevelFilter::Trace,
        }
    }
}

/// The running log, shared by every thread.
#[derive(Clone)]
pub(crate) struct Log(Arc<Output>);

impl Log {
    /// Starts logging for this process, once, and the thread that writes buffered lines out.
    pub(crate) fn start(settings: &LogSettings) -> io::Result<Log> {
        let output = Output::start(settings.file.as_deref())?;
        let mut config = ConfigBuilder::new();
        config
            // It makes both anew for each line, of a dozen pieces; `line` has them ready.
            .set_time_level(LevelFilter::Off)
            .set_max_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off);
        for name in OUR_CRATES {
            config.add_filter_allow_str(name);
        }
        let logger = WithLevel::new(config.build(), output.clone());
        log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
        log::set_max_level(settings.filter());
        Ok(Log(output))
    }

    /// Opens the file anew, which a rotation has renamed, and takes new settings when there are any.
    /// When that fails the old output stays in use.
    pub(crate) fn reopen(&self, settings: Option<&LogSettings>) -> io::Result<()> {
        let file = settings.map_or_else(|| self.0.file(), |new| new.file.clone());
        self.0.reopen(file)?;
        if let Some(settings) = settings {
            log::set_max_level(settings.filter());
        }
        Ok(())
    }
}
