//! What asking and reading cost in memory.

use std::hint::black_box;

use super::super::{Edns, Kind, Matched, Message, Qclass, Qtype, Query, Section};
use super::build::{Built, QUESTION, wire};

/// Asks, and reads the answer, as a lookup does; gives the digest's first hash so that nothing is left out.
fn lookup(name: &[u8], answer: &mut [u8], id: u16) -> u32 {
    let query = Query {
        id,
        name,
        case: u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        qtype: Qtype::A,
        qclass: Qclass::IN,
        recursion: true,
        edns: Some(Edns::USUAL),
    };
    let mut octets = [0; Query::MAX_LEN];
    query.write(&mut octets);
    let question = 12 + name.len() + 4;
    answer[12..question].copy_from_slice(&octets[12..question]);
    answer[..2].copy_from_slice(&octets[..2]);
    let message = Message::parse(answer).unwrap();
    assert_eq!(query.answers(&message), Matched::Same);
    assert_eq!(message.outcome(), Kind::Answer);
    message.digest().hashes()[0]
}

fn answer() -> Vec<u8> {
    let built = Built::new(0x0180, "www.example.com", Qtype::A)
        .answer(QUESTION, Qtype::CNAME, b"\x04host\xc0\x10")
        .answer(&[0xc0, 45], Qtype::A, &[198, 19, 0, 7])
        .answer(&[0xc0, 45], Qtype::A, &[198, 19, 0, 8])
        .record(Section::Authority, &[0xc0, 16], Qtype::NS, b"\x02ns\xc0\x10");
    built.opt(0, 0, &[]).0
}

#[test]
fn asking_and_reading_allocate_nothing() {
    let (name, mut answer) = (wire("www.example.com"), answer());
    let used = allocation_counter::measure(|| {
        for id in 0..1000 {
            black_box(lookup(&name, &mut answer, id));
        }
        let message = Message::parse(&answer).unwrap();
        for record in message.records() {
            black_box((record.owner(), record.rdata));
        }
        black_box((message.question().and_then(|question| question.name()), message.opt()));
    });
    assert_eq!(used.count_total, 0);
}
