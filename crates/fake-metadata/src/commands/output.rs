//! What commands write. A reader that has seen enough closes the pipe: that ends a command's output, quietly, and
//! never what the command does.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Nobody reads standard output any more; the command is done.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub(super) struct Closed;

/// Writes text to standard output as it is.
///
/// # Errors
/// [`Closed`] when nobody reads it, and otherwise what is wrong with writing.
pub(super) fn print(text: impl AsRef<[u8]>) -> Result<(), Box<dyn std::error::Error>> {
    write(&mut std::io::stdout().lock(), text.as_ref())
}

/// The same with a line's end.
pub(super) fn line(text: impl Display) -> Result<(), Box<dyn std::error::Error>> {
    print(format!("{text}\n"))
}

/// Writes a line to standard error. Where that cannot be, nobody is left to be told.
pub(crate) fn remark(text: impl Display) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

fn write(to: &mut impl Write, text: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
    match to.write_all(text).and_then(|()| to.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(format!("write to standard output: {error}").into()),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_told_apart_from_what_is_wrong() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        write(&mut writer, b"text").unwrap();
        drop(reader);
        assert!(write(&mut writer, b"more").unwrap_err().is::<Closed>());
        let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let told = write(&mut full, b"text").unwrap_err();
        assert!(told.to_string().starts_with("write to standard output: "), "{told}");
    }
}
