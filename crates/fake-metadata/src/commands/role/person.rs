//! The person who runs this command, as the AWS credentials crate wants to know them.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use credentials::Person;

use crate::places::environment;

/// This process's person: their environment, and questions on their terminal. `session_name` names the
/// sessions of roles whose profile does not; `asked` is set when they are asked for a code.
pub(super) fn person(session_name: String, asked: Arc<AtomicBool>) -> Person {
    let ask_code = move |serial: &str| {
        asked.store(true, Relaxed);
        ask_code(serial)
    };
    Person { environment: environment().collect(), session_name, ask_code: Box::new(ask_code) }
}

/// Asks on standard error, and reads a line of standard input.
fn ask_code(serial: &str) -> io::Result<String> {
    let mut errors = io::stderr();
    write!(errors, "MFA code of {serial}: ")?;
    errors.flush()?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    match line.trim() {
        "" => Err(io::Error::other("none was typed (run this where you can be asked, in a terminal)")),
        code => Ok(code.to_owned()),
    }
}
