//! Where words go: answers to standard output, everything else to standard error.

use std::io::{self, Write};

use crate::ConsoleError;

/// A line on standard error. Nobody is left to tell when that fails.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text and a new line on standard output, at once: who reads it may wait for it. A reader that has gone away has seen enough.
///
/// # Errors
///
/// [`ConsoleError::Stdout`].
pub fn answer(text: &str) -> Result<(), ConsoleError> {
    to(&mut io::stdout(), text)
}

fn to(out: &mut impl Write, text: &str) -> Result<(), ConsoleError> {
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ConsoleError::Stdout(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing.
    struct Closed(io::ErrorKind);

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_told_from_a_disk_that_is_full() {
        let mut text = Vec::new();
        to(&mut text, "an answer").unwrap();
        assert_eq!(text, b"an answer\n");
        assert!(to(&mut Closed(io::ErrorKind::BrokenPipe), "x").is_ok());
        let error = to(&mut Closed(io::ErrorKind::StorageFull), "x").unwrap_err();
        assert!(error.to_string().starts_with("writing to standard output: "), "{error}");
    }
}
