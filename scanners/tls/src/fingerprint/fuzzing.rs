//! What a fuzzer does with the answer to a hello; compiled for fuzzing and tests alone.
//!
//! # Panics
//!
//! When an invariant does not hold.

use super::{ja3s, jarm};

/// What a connection gave: JARM and JA3S read the same ServerHello in two ways, and agree on it where JARM looks.
pub fn fuzz_jarm_answer(data: &[u8]) {
    let answer = jarm::Answer::read(data);
    let raw = answer.to_string();
    assert!(raw.matches('|').count() >= 3);
    let answers = std::array::from_fn(|_| answer.clone());
    let hash = jarm::hash(&answers);
    assert_eq!(hash.len(), 62);
    assert!(hash.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(hash.bytes().all(|octet| octet == b'0'), answer == jarm::Answer::FAILED);

    // More than JARM looks at changes nothing; neither do octets behind a whole answer.
    if let Some(looked_at) = data.get(..jarm::MOST) {
        assert_eq!(jarm::Answer::read(looked_at), answer);
        assert!(jarm::Answer::is_whole(looked_at));
    }

    let text = data.get(5..).and_then(ja3s::text);
    assert_eq!(text.is_some(), data.get(5..).and_then(super::ja3s).is_some());
    if let (Some(text), [0x16, ..]) = (text, data) {
        let length = data.get(6..9).map_or(0, |length| {
            length.iter().fold(0, |length, octet| length << 8 | usize::from(*octet))
        });
        let Some(kinds) = raw.rsplit('|').next().filter(|kinds| !kinds.is_empty()) else {
            return; // no answer, or one of the oddities
        };
        if length + 9 <= data.len().min(jarm::MOST) {
            let kinds = kinds.split('-').map(|kind| u16::from_str_radix(kind, 16));
            let kinds: Vec<String> =
                kinds.map(|kind| kind.expect("4 hex digits").to_string()).collect();
            // A ServerHello without extensions ends there for JA3S; the program of JARM reads on in what follows.
            let theirs = text.rsplit(',').next().filter(|kinds| !kinds.is_empty());
            assert!(theirs.is_none_or(|theirs| theirs == kinds.join("-")), "{raw} {text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/jarm_answer");
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            fuzz_jarm_answer(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 8, "{count} inputs in {}", folder.display());
    }

    proptest! {
        #[test]
        fn octets_behind_the_head_of_a_server_hello_hold(
            session_id in 0..=33u8,
            rest in prop::collection::vec(any::<u8>(), 0..60),
            kinds in prop::collection::vec((prop::sample::select(vec![0u16, 11, 16, 43, 51, 0x0b00]), 0..9u8), 0..6),
        ) {
            let extensions: Vec<u8> = kinds
                .iter()
                .flat_map(|(kind, length)| [&kind.to_be_bytes()[..], &[0, *length], &vec![2; (*length).into()]].concat())
                .collect();
            let mut body = vec![3, 3];
            body.extend([7; 32]);
            body.push(session_id);
            body.resize(body.len() + usize::from(session_id), 0);
            body.extend([0xc0, 0x2f, 0]);
            body.extend((extensions.len() as u16).to_be_bytes());
            body.extend(extensions);
            let length = body.len() as u8;
            let record = [&[22, 3, 3, 0, length + 4, 2, 0, 0, length], &body[..], &rest].concat();
            fuzz_jarm_answer(&record);
            fuzz_jarm_answer(&rest);
            fuzz_jarm_answer(&record[..record.len() - rest.len() / 2]);
        }
    }
}
