//! How a line is put together: its time, its level, and what simplelog writes.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;
use log::LevelFilter;
use nix::time::{ClockId, clock_gettime};
use simplelog::WriteLogger;

use super::output::Output;

thread_local! {
    /// The level of the line that this thread writes.
    static LEVEL: Cell<Option<log::Level>> = const { Cell::new(None) };
}

/// Tells [`LineWriter`] the level of each line: simplelog would write it in pieces.
pub(super) struct WithLevel {
    lines: Box<WriteLogger<LineWriter>>,
    output: Arc<Output>,
}

impl WithLevel {
    pub(super) fn new(config: simplelog::Config, output: Arc<Output>) -> Self {
        let lines = WriteLogger::new(LevelFilter::Trace, config, LineWriter::new(output.clone()));
        WithLevel { lines, output }
    }
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
        self.output.flush();
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
    output: Arc<Output>,
    line: Vec<u8>,
    clock: LineClock,
}

impl LineWriter {
    fn new(output: Arc<Output>) -> Self {
        LineWriter { output, line: Vec::new(), clock: LineClock::default() }
    }

    fn begin(&mut self) {
        self.clock.write(now(), &mut self.line);
        self.line.extend_from_slice(LEVEL.get().map_or("", bracketed).as_bytes());
    }
}

/// The time by the clock that the kernel moves on every few milliseconds: seconds since 1970, and milliseconds.
pub(super) fn now() -> (i64, u16) {
    // Linux has had it since 2.6.32.
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE)
        .map_or((0, 0), |at| (at.tv_sec(), (at.tv_nsec() / 1_000_000) as u16))
}

/// The time at the beginning of each line, `2026-11-21T10:00:00.000Z`; the text is made once a second.
#[derive(Default)]
pub(super) struct LineClock {
    second: Option<i64>,
    text: String,
}

impl LineClock {
    pub(super) fn write(&mut self, (second, millis): (i64, u16), line: &mut Vec<u8>) {
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
        self.output.push(&self.line);
        self.line.clear();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush();
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
