//! What the log is written to: lines wait in memory, and a thread of their own writes them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::line::{LineClock, now};

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

/// The output of the log, shared by every thread.
#[derive(Default)]
pub(super) struct Output {
    held: Mutex<Held>,
    /// Told when there is something to write, or reason to hurry.
    due: Condvar,
    /// Told when something was written.
    written: Condvar,
}

impl Output {
    /// An output to that file, or to standard error, and the thread that writes to it.
    pub(super) fn start(file: Option<&Path>) -> io::Result<Arc<Output>> {
        let sink = open(file)?;
        let held = Held { file: file.map(Path::to_owned), ..Held::default() };
        let output = Arc::new(Output { held: Mutex::new(held), ..Output::default() });
        let written = output.clone();
        std::thread::Builder::new().name("log".into()).spawn(move || written.write_forever(sink))?;
        Ok(output)
    }

    /// The file that is written to; `None` is standard error.
    pub(super) fn file(&self) -> Option<PathBuf> {
        self.lock().file.clone()
    }

    /// Has the lines from now on written to `file`, opened anew. When that fails the old one stays in use.
    pub(super) fn reopen(&self, file: Option<PathBuf>) -> io::Result<()> {
        let fresh = open(file.as_deref())?;
        self.flush();
        let mut held = self.lock();
        held.fresh = Some(fresh);
        held.file = file;
        self.due.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a whole line to be written.
    pub(super) fn push(&self, line: &[u8]) {
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
    pub(super) fn flush(&self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_whole_and_in_order_however_they_are_gathered_and_taken() {
        let mut held = Held::default();
        let (mut added, mut taken) = (Vec::new(), Vec::new());
        for number in 0..2000 {
            let line = format!("{number} {}\n", "x".repeat(number * 7 % 500));
            held.add(line.as_bytes());
            added.extend_from_slice(line.as_bytes());
            assert_eq!(taken.len() + held.bytes(), added.len());
            if number % 123 == 0 {
                let mut lines = Vec::new();
                held.take(&mut lines);
                assert_eq!(held.bytes(), 0);
                taken.append(&mut lines);
            }
        }
        let mut rest = Vec::new();
        held.take(&mut rest);
        taken.append(&mut rest);
        assert_eq!((taken == added, held.taken), (true, 2000));
    }
}
