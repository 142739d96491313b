//! What a fuzzer does with a file that should hold a ClientHello; compiled for fuzzing and tests alone.
//!
//! # Panics
//!
//! When an invariant does not hold.

use std::sync::Arc;

use super::{CustomHello, Hello, KeyShares, NoRetry, Profile, Retry, Salt, group, reader::Reader};

/// A file: what it holds is sent as it is, and what follows a HelloRetryRequest is a ClientHello again, with one share.
pub fn fuzz_custom_hello(data: &[u8]) {
    let Ok(custom) = CustomHello::read(data) else {
        return;
    };
    assert_eq!(CustomHello::read(custom.records()).as_ref(), Ok(&custom));
    let hello = Hello::new(Profile::Custom(custom.clone()), Arc::new(KeyShares::identity()));
    let salt = Salt { random: [1; 32], session_id: [2; 32] };
    let mut out = Vec::new();
    hello.write(&mut out, &salt, Some("a.example"));
    assert_eq!(out, custom.records());

    let retry = Retry { group: Some(group::SECP256R1), cookie: data.to_vec() };
    match hello.write_retry(&mut out, &salt, None, &retry) {
        Err(error) => assert!(matches!(error, NoRetry::TooLong(_)) && out.is_empty()),
        Ok(()) => {
            let second = CustomHello::read(&out).expect("we wrote a ClientHello");
            assert_eq!(second.records(), out);
            let (first, second) = (kinds(custom.records()), kinds(second.records()));
            let kept = |kind: &u16| ![21, 41, 42, 44].contains(kind);
            for kind in first.iter().filter(|kind| kept(kind)) {
                assert!(second.contains(kind), "extension {kind} is gone");
            }
            assert!(second.contains(&51) && second.contains(&44));
            assert!(!second.contains(&41) && !second.contains(&42));
        }
    }
}

/// The kinds of extensions of the ClientHello in `records`.
fn kinds(records: &[u8]) -> Vec<u16> {
    let mut message = Vec::new();
    let mut rest = Reader::new(records);
    while rest.take(3).is_some() {
        message.extend_from_slice(rest.vec16().expect("whole records"));
    }
    let mut kinds = Vec::new();
    let mut rest = Reader::new(&message);
    rest.take(4 + 2 + 32).expect("random");
    rest.vec8().expect("session id");
    rest.vec16().expect("suites");
    rest.vec8().expect("compression");
    let mut extensions = Reader::new(rest.vec16().unwrap_or_default());
    while let Some(kind) = extensions.u16() {
        kinds.push(kind);
        extensions.vec16().expect("whole extension");
    }
    kinds
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/custom_hello");
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            fuzz_custom_hello(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 8, "{count} inputs in {}", folder.display());
    }

    proptest! {
        #[test]
        fn changed_hellos_hold(
            at in any::<prop::sample::Index>(),
            octets in prop::collection::vec(any::<u8>(), 0..4),
            cut in any::<prop::sample::Index>(),
        ) {
            let hello = Hello::new(Profile::Modern, Arc::new(KeyShares::identity()));
            let mut file = Vec::new();
            hello.write(&mut file, &Salt { random: [1; 32], session_id: [2; 32] }, Some("a.example"));
            let start = at.index(file.len());
            let end = file.len().min(start + octets.len());
            file.splice(start..end, octets);
            fuzz_custom_hello(&file);
            fuzz_custom_hello(&file[5..]);
            fuzz_custom_hello(&file[..cut.index(file.len())]);
        }
    }
}
