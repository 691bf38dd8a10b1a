//! The log: log and simplelog over a buffered output that can be reopened for logrotate.
//!
//! Lines are buffered and written at least every [`FLUSH_EVERY`]; what a crash of the process can
//! lose is the lines of that last moment. An orderly end, a reload and a panic write them first.
//! Only our own crates are heard: a library below us could log what must never be written.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use log::LevelFilter;
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use simplelog::{ConfigBuilder, WriteLogger};

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
            // It makes both anew for each line, of a dozen pieces; LineWriter does so once a second.
            .set_time_level(LevelFilter::Off)
            .set_max_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off);
        for name in OUR_CRATES {
            config.add_filter_allow_str(name);
        }
        let lines = WriteLogger::new(LevelFilter::Trace, config.build(), LineWriter::new(log.clone()));
        log::set_boxed_logger(Box::new(WithLevel(lines))).map_err(io::Error::other)?;
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

thread_local! {
    /// The level of the line that this thread writes.
    static LEVEL: Cell<Option<log::Level>> = const { Cell::new(None) };
}

/// Tells [`LineWriter`] the level of each line: simplelog would write it in pieces.
struct WithLevel(Box<WriteLogger<LineWriter>>);

impl log::Log for WithLevel {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        LEVEL.set(Some(record.level()));
        self.0.log(record);
    }

    fn flush(&self) {
        self.0.flush();
    }
}

fn bracketed(level: log::Level) -> &'static str {
    match level {
        log::Level::Error => "[ERROR] ",
        log::Level::Warn => "[WARN] ",
        log::Level::Info => "[INFO] ",
        log::Level::Debug => "[DEBUG] ",
        log::Level::Trace => "[TRACE] ",
    }
}

/// What simplelog writes its lines to, in a few pieces each: they are put together here behind the time and the level,
/// and a line is taken to the output as a whole.
struct LineWriter {
    log: Log,
    line: Vec<u8>,
    clock: LineClock,
}

impl LineWriter {
    fn new(log: Log) -> Self {
        LineWriter { log, line: Vec::new(), clock: LineClock::default() }
    }

    fn begin(&mut self) {
        self.clock.write(now(), &mut self.line);
        self.line.extend_from_slice(LEVEL.get().map_or("", bracketed).as_bytes());
    }
}

/// The time by the clock that the kernel moves on every few milliseconds: seconds since 1970, and milliseconds.
fn now() -> (i64, u16) {
    // Linux has had it since 2.6.32.
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE)
        .map_or((0, 0), |at| (at.tv_sec(), (at.tv_nsec() / 1_000_000) as u16))
}

/// The time at the beginning of each line, `2026-11-21T10:00:00.000Z`; the text is made once a second.
#[derive(Default)]
struct LineClock {
    second: Option<i64>,
    text: String,
}

impl LineClock {
    fn write(&mut self, (second, millis): (i64, u16), line: &mut Vec<u8>) {
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = imds::rfc3339(Timestamp::from_second(second).unwrap_or_default());
            self.text.truncate(self.text.trim_end_matches('Z').len());
        }
        line.extend_from_slice(self.text.as_bytes());
        let digit = |value: u16| b'0' + (value % 10) as u8;
        line.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z', b' ']);
    }
}

impl Write for LineWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_all(buf)?;
        Ok(buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        if self.line.is_empty() {
            self.begin();
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_time_to_the_millisecond() {
        let mut clock = LineClock::default();
        let mut written = |at| {
            let mut line = Vec::new();
            clock.write(at, &mut line);
            String::from_utf8(line).unwrap()
        };
        for (at, text) in [
            ((1_795_255_200, 0), "2026-11-21T10:00:00.000Z "),
            ((1_795_255_200, 42), "2026-11-21T10:00:00.042Z "),
            ((1_795_255_259, 999), "2026-11-21T10:00:59.999Z "),
            ((1_795_255_200, 500), "2026-11-21T10:00:00.500Z "),
            ((-1, 250), "1969-12-31T23:59:59.250Z "),
        ] {
            assert_eq!(written(at), text);
        }
    }
}
