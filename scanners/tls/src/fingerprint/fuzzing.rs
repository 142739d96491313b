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
            let theirs = text.rsplit(',').next();
            assert_eq!(theirs, Some(&*kinds.join("-")), "{raw} {text}");
        }
    }
}
