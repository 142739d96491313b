//! Messages that others write, changed at random; what fuzzing knows.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::super::{
    Message, Qtype, Section,
    fuzzing::{agrees, fuzz_message, fuzz_name},
};
use super::build::{Built, QUESTION, wire};
use super::types::EXAMPLES;

/// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
#[test]
fn the_corpora_hold() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, fuzz) in [("dns_message", fuzz_message as fn(&[u8])), ("dns_name", fuzz_name)] {
        let inputs = fs::read_dir(corpus.join(target)).unwrap();
        let count = inputs.map(|input| fuzz(&fs::read(input.unwrap().path()).unwrap())).count();
        assert!(count >= 8, "{target}: {count}");
    }
}

/// There is a comparison: both take nearly all that is well-formed.
#[test]
fn both_oracles_take_the_types_that_they_know() {
    let compared = EXAMPLES.iter().filter(|(qtype, octets, _)| {
        let built = Built::new(0, "a", *qtype).answer(QUESTION, *qtype, octets);
        let message = Message::parse(&built.0).unwrap();
        agrees(&built.0, &message, &message.records().collect::<Vec<_>>())
    });
    let count = compared.count();
    assert!(count >= EXAMPLES.len() - 8, "{count} of {}", EXAMPLES.len());
}

/// A record of any section: its owner, type, class, and data that are often those of a type.
fn record() -> impl Strategy<Value = (Section, Vec<u8>, Qtype, u16, u32, Vec<u8>)> {
    let owner = prop_oneof![
        4 => Just(QUESTION.to_vec()),
        1 => Just(wire("a.b.example")),
        1 => (0_u8..100).prop_map(|to| vec![3, b'a', b'b', b'c', 0xc0, to]),
        1 => (0_u8..100).prop_map(|to| vec![0xc0, to]),
    ];
    let section =
        prop::sample::select(vec![Section::Answer, Section::Authority, Section::Additional]);
    let known = prop::sample::select(EXAMPLES.to_vec())
        .prop_map(|(qtype, octets, _)| (qtype, octets.to_vec()));
    let data = prop_oneof![
        6 => known,
        1 => (0_u16..300, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(qtype, data)| (Qtype(qtype), data)),
    ];
    (section, owner, data, prop::sample::select(vec![1_u16, 1, 1, 3, 4]), any::<u32>()).prop_map(
        |(section, owner, (qtype, data), class, ttl)| (section, owner, qtype, class, ttl, data),
    )
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    (any::<u16>(), prop::collection::vec(record(), 0..6)).prop_map(|(flags, mut records)| {
        records.sort_by_key(|(section, ..)| *section);
        let built = Built::new(flags & 0x07ff, "www.example.com", Qtype::A);
        let add = |built: Built, (section, owner, qtype, class, ttl, data): (_, Vec<u8>, _, _, _, Vec<u8>)| {
            built.class(section, &owner, qtype, class, ttl, &data)
        };
        records.into_iter().fold(built, add).0
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn messages_hold(octets in message()) {
        fuzz_message(&octets);
    }

    #[test]
    fn changed_messages_hold(
        octets in message(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut octets = octets;
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
        }
        fuzz_message(&octets);
    }

    #[test]
    fn noise_holds(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz_message(&octets);
        let _ = Message::parse(&octets).map(|message| message.outcome());
    }
}
