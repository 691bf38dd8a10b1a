//! The person who runs this command, as the AWS credentials crate wants to know them.

use std::io::{self, BufRead, Write};

use credentials::Person;

use crate::places::environment;

/// This process's person: their environment, and questions on their terminal. `session_name` names the
/// sessions of roles whose profile does not.
pub(super) fn person(session_name: String) -> Person {
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
