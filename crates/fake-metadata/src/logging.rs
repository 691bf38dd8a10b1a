//! The log: log and simplelog over a buffered output that can be reopened for logrotate.
//!
//! Lines are buffered and written at least every [`FLUSH_EVERY`]; what a crash of the process can
//! lose is the lines of that last moment. An orderly end, a reload and a panic write them first.
//! Only our own crates are heard: a library below us could log what must never be written.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use log::LevelFilter;
use serde::Deserialize;
use simplelog::{ConfigBuilder, WriteLogger};
use time::macros::format_description;

/// How long a line may wait in memory.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
const BUFFER_BYTES: usize = 64 * 1024;
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

enum Sink {
    Stderr(BufWriter<io::Stderr>),
    File(BufWriter<File>),
}

impl Sink {
    fn open(file: Option<&Path>) -> io::Result<Sink> {
        Ok(match file {
            None => Sink::Stderr(BufWriter::with_capacity(BUFFER_BYTES, io::stderr())),
            Some(path) => Sink::File(BufWriter::with_capacity(
                BUFFER_BYTES,
                OpenOptions::new().append(true).create(true).open(path)?,
            )),
        })
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Sink::Stderr(w) => w,
            Sink::File(w) => w,
        }
    }
}

/// What the log writes to at this moment.
struct Held {
    sink: Sink,
    /// The file behind it; `None` is standard error.
    file: Option<PathBuf>,
    /// Whether lines wait in memory.
    dirty: bool,
}

struct Output {
    held: Mutex<Held>,
    became_dirty: Condvar,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The running log, shared by every thread.
#[derive(Clone)]
pub(crate) struct Log(Arc<Output>);

impl Log {
    /// Starts logging for this process, once, and the thread that writes buffered lines out.
    pub(crate) fn start(settings: &LogSettings) -> io::Result<Log> {
        let sink = Sink::open(settings.file.as_deref())?;
        let held = Held { sink, file: settings.file.clone(), dirty: false };
        let log = Log(Arc::new(Output { held: Mutex::new(held), became_dirty: Condvar::new() }));
        let mut config = ConfigBuilder::new();
        config
            .set_time_format_custom(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
            ))
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off);
        for name in OUR_CRATES {
            config.add_filter_allow_str(name);
        }
        WriteLogger::init(LevelFilter::Trace, config.build(), LineWriter::new(log.clone()))
            .map_err(io::Error::other)?;
        log::set_max_level(settings.filter());
        let flushed = log.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || flushed.write_out_forever())?;
        Ok(log)
    }

    /// Opens the file anew, which a rotation has renamed, and takes new settings when there are any.
    /// When that fails the old output stays in use.
    pub(crate) fn reopen(&self, settings: Option<&LogSettings>) -> io::Result<()> {
        let mut held = self.0.lock();
        let file = settings.map_or_else(|| held.file.clone(), |new| new.file.clone());
        let fresh = Sink::open(file.as_deref())?;
        let written = held.sink.writer().flush();
        *held = Held { sink: fresh, file, dirty: false };
        if let Some(settings) = settings {
            log::set_max_level(settings.filter());
        }
        written
    }

    /// Writes out what is buffered.
    pub(crate) fn flush(&self) {
        let mut held = self.0.lock();
        held.dirty = false;
        // Nobody is left to tell when the log itself cannot be written.
        let _ = held.sink.writer().flush();
    }

    fn write_out_forever(&self) {
        loop {
            let held = self.0.lock();
            drop(self.0.became_dirty.wait_while(held, |held| !held.dirty));
            std::thread::sleep(FLUSH_EVERY);
            self.flush();
        }
    }
}

/// What simplelog writes its lines to, in a dozen pieces each: they are put together here, and a line is taken to
/// the output as a whole.
struct LineWriter {
    log: Log,
    line: Vec<u8>,
}

impl LineWriter {
    fn new(log: Log) -> Self {
        LineWriter { log, line: Vec::new() }
    }
}

impl Write for LineWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf)?;
        Ok(buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.line.extend_from_slice(buf);
        if !buf.ends_with(b"\n") {
            return Ok(());
        }
        let mut held = self.log.0.lock();
        let written = held.sink.writer().write_all(&self.line);
        self.line.clear();
        if !held.dirty {
            held.dirty = true;
            self.log.0.became_dirty.notify_one();
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.flush();
        Ok(())
    }
}
