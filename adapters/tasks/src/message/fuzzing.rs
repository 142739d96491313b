//! What a fuzzer does with messages; compiled for fuzzing and tests alone.

use super::{Envelope, MessageError};

/// Reads `data` as a message; what can be read must be written and read again as the same.
///
/// # Panics
///
/// When it is not.
pub fn fuzz_message(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = match Envelope::parse(&text) {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let written = match read.to_json() {
        Ok(written) => written,
        // The writer escapes less and spells out more than others may.
        Err(MessageError::TooLarge { octets, .. }) => {
            assert!(octets > super::MOST_BODY);
            return;
        }
        Err(error) => panic!("read and not written: {error}"),
    };
    assert_eq!(Envelope::parse(&written).as_ref(), Ok(&read), "{written}");
    assert_eq!(read.to_json().as_ref(), Ok(&written));
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows; and each with any octet changed.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/message");
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let mut message = fs::read(entry.unwrap().path()).unwrap();
            fuzz_message(&message);
            for at in 0..message.len() {
                let was = message[at];
                for octet in [b'0', b'"', b'}', b'\\', 0xff] {
                    message[at] = octet;
                    fuzz_message(&message);
                }
                message[at] = was;
            }
            count += 1;
        }
        assert!(count >= 7, "{count} inputs in {}", folder.display());
    }
}
