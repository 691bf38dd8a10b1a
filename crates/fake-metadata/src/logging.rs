//! The log: log and simplelog over an output that can be reopened for logrotate.
//!
//! Lines wait in memory and a thread of their own writes them, at least every [`WRITE_EVERY`]; what a crash of the
//! process can lose is the lines of that last moment. An orderly end, a reload and a panic have them written first.
//! No answer ever waits for the log: where it cannot be written, or not fast enough, lines are lost and later counted.
//! Only our own crates are heard: a library below us could log what must never be written.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use log::LevelFilter;
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use simplelog::{ConfigBuilder, WriteLogger};

/// How long a line may wait in memory.
const WRITE_EVERY: Duration = Duration::from_millis(200);
/// So many bytes are written at once.
const WRITE_BYTES: usize = 64 * 1024;
/// So much memory is kept for them, since more lines come while some are written.
const KEPT_BYTES: usize = 2 * WRITE_BYTES;
/// So many bytes are gathered before they join those that wait.
const GATHERED_BYTES: usize = 4 * 1024;
/// The most bytes that wait; what comes on top is lost.
const MOST_BYTES: usize = 1024 * 1024;
/// How long an end, a reload or a panic waits for the lines before it to be written.
const PATIENCE: Duration = Duration::from_secs(2);
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

/// What lines are written to, without a buffer.
type Sink = Box<dyn Write + Send>;

fn open(file: Option<&Path>) -> io::Result<Sink> {
    Ok(match file {
        None => Box::new(io::stderr()),
        Some(path) => Box::new(OpenOptions::new().append(true).create(true).open(path)?),
    })
}

/// Where the log is between those who log and the thread that writes.
#[derive(Default)]
struct Held {
    /// Whole lines, in their order.
    waiting: Vec<u8>,
    /// The lines after those. Memory that the log's thread has read is slow to write for another processor, and the
    /// slower the smaller the pieces.
    gathered: Vec<u8>,
    lost: Lost,
    /// How many there were since the start, with those that wait.
    taken: u64,
    /// How many of them are written, or lost in the attempt.
    done: u64,
    /// Whether somebody waits until they are written.
    urgent: bool,
    /// What is written to from now on, where that has changed.
    fresh: Option<Sink>,
    /// The file behind it; `None` is standard error.
    file: Option<PathBuf>,
}

impl Held {
    /// How many bytes are to be written.
    fn bytes(&self) -> usize {
        self.waiting.len() + self.gathered.len()
    }

    /// Puts a line behind all others.
    fn add(&mut self, line: &[u8]) {
        self.gathered.extend_from_slice(line);
        if self.gathered.len() >= GATHERED_BYTES {
            self.waiting.append(&mut self.gathered);
        }
        self.taken += 1;
    }

    /// Exchanges all lines for the empty `lines`.
    fn take(&mut self, lines: &mut Vec<u8>) {
        self.waiting.append(&mut self.gathered);
        std::mem::swap(lines, &mut self.waiting);
    }
}

/// Lines that were not written.
#[derive(Default)]
struct Lost {
    lines: u64,
    why: String,
}

impl Lost {
    fn add(&mut self, lines: u64, why: impl ToString) {
        if self.lines == 0 {
            self.why = why.to_string();
        }
        self.lines += lines;
    }
}

#[derive(Default)]
struct Output {
    held: Mutex<Held>,
    /// Told when there is something to write, or reason to hurry.
    due: Condvar,
    /// Told when something was written.
    written: Condvar,
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a whole line to be written.
    fn push(&self, line: &[u8]) {
        let mut held = self.lock();
        let before = held.bytes();
        let after = before + line.len();
        if after > MOST_BYTES {
            return held.lost.add(1, "they could not be written as fast as they came");
        }
        held.add(line);
        if before == 0 || (before < WRITE_BYTES && after >= WRITE_BYTES) {
            self.due.notify_one();
        }
    }

    /// Waits until the lines so far are written, but not for ever.
    fn flush(&self) {
        let mut held = self.lock();
        let last = held.taken;
        if held.done < last {
            held.urgent = true;
            self.due.notify_one();
            drop(self.written.wait_timeout_while(held, PATIENCE, |held| held.done < last));
        }
    }

    /// What the log's thread does. It alone writes, and holds no lock meanwhile.
    fn write_forever(&self, mut sink: Sink) {
        let mut lines = Vec::new();
        let mut clock = LineClock::default();
        let mut is_torn = false;
        loop {
            let nothing = |held: &mut Held| held.bytes() == 0 && held.fresh.is_none();
            let held = self.due.wait_while(self.lock(), nothing).unwrap_or_else(PoisonError::into_inner);
            let more_may_come =
                |held: &mut Held| !held.urgent && held.fresh.is_none() && held.bytes() < WRITE_BYTES;
            let waited = self.due.wait_timeout_while(held, WRITE_EVERY, more_may_come);
            let mut held = waited.unwrap_or_else(PoisonError::into_inner).0;
            held.take(&mut lines);
            let lost = std::mem::take(&mut held.lost);
            if let Some(fresh) = held.fresh.take() {
                (sink, is_torn) = (fresh, false);
            }
            held.urgent = false;
            let taken = held.taken;
            drop(held);

            if lost.lines > 0 {
                clock.write(now(), &mut lines);
                let told = format!("[WARN] {} lines of the log were lost: {}\n", lost.lines, lost.why);
                lines.extend_from_slice(told.as_bytes());
            }
            // What failed may have ended within a line.
            let written = if is_torn { sink.write_all(b"\n") } else { Ok(()) };
            let written = written.and_then(|()| sink.write_all(&lines));
            is_torn = written.is_err();

            let mut held = self.lock();
            if let Err(error) = written {
                let these = taken - held.done;
                held.lost.add(lost.lines + these, error);
            }
            held.done = taken;
            drop(held);
            self.written.notify_all();
            lines.clear();
            lines.shrink_to(KEPT_BYTES);
        }
    }
}

/// The running log, shared by every thread.
#[derive(Clone)]
pub(crate) struct Log(Arc<Output>);

impl Log {
    /// Starts logging for this process, once, and the thread that writes buffered lines out.
    pub(crate) fn start(settings: &LogSettings) -> io::Result<Log> {
        let sink = open(settings.file.as_deref())?;
        let held = Held { file: settings.file.clone(), ..Held::default() };
        let log = Log(Arc::new(Output { held: Mutex::new(held), ..Output::default() }));
        let mut config = ConfigBuilder::new();
        config
            // It makes both anew for each line, of a dozen pieces; LineWriter has them ready.
            .set_time_level(LevelFilter::Off)
            .set_max_level(LevelFilter::Off)
            .set_thread_level(LevelFilter::Off)
            .set_location_level(LevelFilter::Off)
            .set_target_level(LevelFilter::Off);
        for name in OUR_CRATES {
            config.add_filter_allow_str(name);
        }
        let lines = WriteLogger::new(LevelFilter::Trace, config.build(), LineWriter::new(log.clone()));
        log::set_boxed_logger(Box::new(WithLevel { lines, log: log.clone() })).map_err(io::Error::other)?;
        log::set_max_level(settings.filter());
        let output = log.0.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || output.write_forever(sink))?;
        Ok(log)
    }

    /// Opens the file anew, which a rotation has renamed, and takes new settings when there are any.
    /// When that fails the old output stays in use.
    pub(crate) fn reopen(&self, settings: Option<&LogSettings>) -> io::Result<()> {
        let file = settings.map_or_else(|| self.0.lock().file.clone(), |new| new.file.clone());
        let fresh = open(file.as_deref())?;
        self.0.flush();
        let mut held = self.0.lock();
        held.fresh = Some(fresh);
        held.file = file;
        self.0.due.notify_one();
        if let Some(settings) = settings {
            log::set_max_level(settings.filter());
        }
        Ok(())
    }
}

thread_local! {
    /// The level of the line that this thread writes.
    static LEVEL: Cell<Option<log::Level>> = const { Cell::new(None) };
}

/// Tells [`LineWriter`] the level of each line: simplelog would write it in pieces.
struct WithLevel {
    lines: Box<WriteLogger<LineWriter>>,
    log: Log,
}

impl log::Log for WithLevel {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        self.lines.enabled(metadata)
    }

    fn log(&self, record: &log::Record<'_>) {
        LEVEL.set(Some(record.level()));
        self.lines.log(record);
    }

    fn flush(&self) {
        // Not by simplelog, which would have all who log wait too.
        self.log.0.flush();
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
        self.log.0.push(&self.line);
        self.line.clear();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.log.0.flush();
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
