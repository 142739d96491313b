//! Questions, and which messages answer them.

use domain::base::{Message as TheirMessage, iana::Rtype};
use hickory_proto::op::Message as HickoryMessage;
use proptest::prelude::*;

use super::super::{Edns, Matched, Message, Name, Qclass, Qtype, Query};
use super::build::wire;

fn query<'a>(name: &'a [u8], case: u64) -> Query<'a> {
    Query {
        id: 0xbeef,
        name,
        case,
        qtype: Qtype::A,
        qclass: Qclass::IN,
        recursion: true,
        edns: Some(Edns::USUAL),
    }
}

fn written(query: &Query<'_>) -> Vec<u8> {
    let mut octets = vec![0xff; Query::MAX_LEN];
    let len = query.write(&mut octets);
    assert!(octets[len..].iter().all(|octet| *octet == 0xff));
    octets.truncate(len);
    octets
}

/// The query as a response: with QR.
fn answered(query: &Query<'_>) -> Vec<u8> {
    let mut octets = written(query);
    octets[2] |= 0x80;
    octets
}

fn matched(query: &Query<'_>, octets: &[u8]) -> Matched {
    query.answers(&Message::parse(octets).unwrap())
}

#[test]
fn a_query_is_these_octets() {
    let name = wire("www.Example.com");
    let mut query = query(&name, 0b1011);
    let mut octets =
        b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x03WWw\x07example\x03com\x00\
        \x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
            .to_vec();
    assert_eq!(written(&query), octets);
    query.edns = Some(Edns { udp_size: 4096, dnssec_ok: true });
    octets[36..42].copy_from_slice(&[16, 0, 0, 0, 0x80, 0]);
    assert_eq!(written(&query), octets);
    (query.edns, query.recursion, query.qclass) = (None, false, Qclass::CH);
    octets.truncate(33);
    octets[2] = 0;
    octets[11] = 0;
    octets[32] = 3;
    assert_eq!(written(&query), octets);
}

#[test]
fn the_longest_query_fits() {
    let long = Name::from_wire(&[&[1, b'a'].repeat(127)[..], &[0]].concat()).unwrap();
    let query = query(long.as_wire(), u64::MAX);
    assert_eq!(written(&query).len(), Query::MAX_LEN);
    assert_eq!(matched(&query, &answered(&query)), Matched::Same);
    let root = self::query(&[0], u64::MAX);
    assert_eq!(matched(&root, &answered(&root)), Matched::Same);
}

#[test]
fn every_bit_before_the_records_counts() {
    let name = wire("Www.example.com");
    let query = query(&name, 0x5a5a);
    let octets = answered(&query);
    assert_eq!(matched(&query, &octets), Matched::Same);
    assert_eq!(matched(&query, &written(&query)), Matched::Other, "a query is no answer");
    // Flags and codes may be what they want, and so may what follows the question.
    let free = |at: usize, bit: u8| match at {
        2 => bit & 0x87 == bit && bit != 0x80,
        3 | 6..12 => true,
        _ => false,
    };
    for at in 0..12 + name.len() + 4 {
        for bit in (0..8).map(|bit| 1 << bit) {
            let mut changed = octets.clone();
            changed[at] ^= bit;
            let letter = bit == 0x20
                && octets[at].is_ascii_alphabetic()
                && (12..12 + name.len()).contains(&at);
            let expected = match () {
                () if free(at, bit) => Matched::Same,
                () if letter => Matched::CaseDiffers,
                () => Matched::Other,
            };
            assert_eq!(matched(&query, &changed), expected, "{at} {bit:#x}");
        }
    }
    for len in 12..12 + name.len() + 4 {
        assert_eq!(matched(&query, &octets[..len]), Matched::Other, "{len}");
    }
}

#[test]
fn digits_and_lengths_have_no_case() {
    // '@' and '`', '[' and '{' differ by the bit that letters have for their case.
    let name = wire("a\\@[1-0");
    let query = query(&name, u64::MAX);
    let mut octets = answered(&query);
    assert!(octets.windows(6).any(|window| window == b"A@[1-0"));
    let at = octets.iter().position(|octet| *octet == b'@').unwrap();
    octets[at] ^= 0x20;
    assert_eq!(matched(&query, &octets), Matched::Other);
}

proptest! {
    /// What we ask, others understand.
    #[test]
    fn others_read_our_queries(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8),
        case: u64,
        qtype: u16,
        qclass in prop::sample::select(vec![1_u16, 3, 4]),
        recursion: bool,
        edns in prop::option::of((512_u16.., any::<bool>())),
    ) {
        let mut octets: Vec<u8> =
            labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
        octets.push(0);
        let name = Name::from_wire(&octets).unwrap();
        let edns = edns.map(|(udp_size, dnssec_ok)| Edns { udp_size, dnssec_ok });
        // OPT is no type of questions to hickory.
        let qtype = Qtype(if qtype == 41 { 1 } else { qtype });
        let query = Query {
            id: 7, name: name.as_wire(), case, qtype, qclass: Qclass(qclass), recursion, edns,
        };
        let octets = written(&query);

        let theirs = TheirMessage::from_octets(&octets[..]).unwrap();
        let question = theirs.sole_question().unwrap();
        prop_assert_eq!(question.qname(), &domain::base::Name::from_octets(name.as_wire()).unwrap());
        prop_assert_eq!(question.qtype(), Rtype::from_int(qtype.0));
        prop_assert_eq!(question.qclass().to_int(), qclass);
        prop_assert_eq!((theirs.header().id(), theirs.header().rd(), theirs.header().qr()), (7, recursion, false));
        let opt = theirs.opt().map(|opt| Edns { udp_size: opt.udp_payload_size(), dnssec_ok: opt.dnssec_ok() });
        prop_assert_eq!(opt, edns);

        let theirs = HickoryMessage::from_vec(&octets).unwrap();
        prop_assert_eq!(theirs.queries.len(), 1);
        prop_assert_eq!(u16::from(theirs.queries[0].query_type()), qtype.0);
        let size = theirs.edns.as_ref().map(|edns| edns.max_payload());
        prop_assert_eq!(size, edns.map(|edns| edns.udp_size));

        let ours = Message::parse(&octets).unwrap();
        let question = ours.question().unwrap();
        prop_assert_eq!(question.name(), Some(name.clone()));
        prop_assert_eq!((question.qtype, question.qclass.0, ours.opcode(), ours.is_response()), (qtype, qclass, 0, false));
        prop_assert_eq!(matched(&query, &answered(&query)), Matched::Same);
        let letters = name.as_wire().iter().filter(|octet| octet.is_ascii_alphabetic()).count();
        let other = Query { case: case ^ 1, ..query };
        let expected = if letters == 0 { Matched::Same } else { Matched::CaseDiffers };
        prop_assert_eq!(matched(&other, &answered(&query)), expected);
    }
}
