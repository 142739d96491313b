//! What servers send though they should not, one by one.

use super::super::{
    Kind, Matched, Message, Qclass, Qtype, Query, Rcode, Record, Section, fuzzing::fuzz_message,
};
use super::build::{Built, ID, QUESTION, wire};

/// A's data, wherever it does not matter.
const ADDRESS: &[u8] = &[198, 19, 0, 7];

fn example() -> Built {
    Built::new(0, "www.example.com", Qtype::A)
}

/// The records of a message, which holds to all that a fuzzer asks of it.
fn records(built: &Built) -> (Vec<Record<'_>>, bool) {
    fuzz_message(&built.0);
    let mut records = Message::parse(&built.0).unwrap().records();
    (records.by_ref().collect(), records.is_cut())
}

fn owners(built: &Built) -> Vec<Option<String>> {
    records(built).0.iter().map(|record| record.owner().map(|owner| owner.to_string())).collect()
}

fn data(built: &Built) -> Vec<String> {
    records(built).0.iter().map(Record::data).collect()
}

#[test]
fn pointers_lead_back_alone() {
    let at = example().at() as u8;
    // To itself, forward, to another that leads back to it, behind the message.
    for pointer in [at, at + 20, 255] {
        let built = example().answer(&[0xc0, pointer], Qtype::A, ADDRESS).answer(
            QUESTION,
            Qtype::A,
            ADDRESS,
        );
        assert_eq!(owners(&built), [None, Some("www.example.com".to_owned())], "{pointer}");
    }
    // A label before the pointer and the pointer to that label: each step leads back, and the walk does not end.
    let built = example().answer(&[&[1, b'a'][..], &[0xc0, at]].concat(), Qtype::A, ADDRESS);
    assert_eq!(owners(&built), [None]);
    // Two that lead to each other: the first to the second is forward.
    let built = example().answer(&[0xc0, at + 16], Qtype::A, ADDRESS).answer(
        &[0xc0, at],
        Qtype::A,
        ADDRESS,
    );
    assert_eq!(owners(&built), [None, None]);
}

#[test]
fn a_bad_owner_costs_its_record_alone() {
    let bad = example().answer(&[0xc3, 0xff], Qtype::A, ADDRESS).answer(
        QUESTION,
        Qtype::A,
        &[198, 19, 0, 8],
    );
    let message = Message::parse(&bad.0).unwrap();
    assert_eq!(message.outcome(), Kind::Answer);
    assert!(!records(&bad).1);
    assert_eq!(data(&bad), ["198.19.0.7", "198.19.0.8"]);
}

#[test]
fn pointers_may_lead_into_the_header() {
    // As other servers read it too; the two octets in the middle of an id are a label if they look like one.
    let mut built = example().answer(&[0xc0, 0], Qtype::A, ADDRESS);
    built.0[..2].copy_from_slice(&[0, 7]);
    assert_eq!(owners(&built), [Some(".".to_owned())]);
    built.0[..2].copy_from_slice(&[1, b'x']);
    // The flags are no label type, so that is none.
    assert_eq!(owners(&built), [None]);
}

#[test]
fn chains_of_pointers_end() {
    // Each leads to the one before: 255 are followed, more are not.
    for (pointers, is_name) in [(255, true), (256, false)] {
        let mut built = example();
        let mut text = vec![0];
        let start = built.at() + 11;
        text.extend((0..pointers - 1).flat_map(|number| {
            let to = if number == 0 { start } else { start + 1 + 2 * (number - 1) };
            (0xc000 | to as u16).to_be_bytes()
        }));
        let last = (0xc000 | (start + text.len() - 2) as u16).to_be_bytes();
        built = built.answer(&[0], Qtype::NULL, &text).answer(&last, Qtype::A, ADDRESS);
        assert_eq!(owners(&built)[1].is_some(), is_name, "{pointers}");
    }
}

#[test]
fn names_end_at_255_octets_and_127_labels() {
    let long: Vec<u8> = [1, b'a'].repeat(127);
    let whole = [&long[..], &[0]].concat();
    let built = example().answer(&whole, Qtype::CNAME, &whole);
    assert_eq!(owners(&built)[0].as_deref().map(str::len), Some(2 * 127 - 1));
    // One octet more, by a pointer to them.
    let at = example().at();
    let pointer = (0xc000 | at as u16).to_be_bytes();
    for label in [&[][..], &[1, b'b']] {
        let built = example().answer(&whole, Qtype::A, ADDRESS).answer(
            &[label, &pointer].concat(),
            Qtype::A,
            ADDRESS,
        );
        assert_eq!(owners(&built)[1].is_some(), label.is_empty());
    }
    // Without one, where a record ends is not known.
    let built = example().answer(QUESTION, Qtype::A, ADDRESS).answer(
        &[&[1, b'b'][..], &whole].concat(),
        Qtype::A,
        ADDRESS,
    );
    let (read, is_cut) = records(&built);
    assert_eq!((read.len(), is_cut), (1, true));
}

#[test]
fn label_types_of_the_past_are_no_labels() {
    for label in [0x41, 0x80, 0xbf] {
        let built = example().answer(QUESTION, Qtype::A, ADDRESS).answer(
            &[&[label][..], &[b'x'; 64], &[0]].concat(),
            Qtype::A,
            ADDRESS,
        );
        let (read, is_cut) = records(&built);
        assert_eq!((read.len(), is_cut), (1, true), "{label:#x}");
    }
}

#[test]
fn names_in_data_are_decompressed_where_they_must_not_be_compressed() {
    let suffix = [0xc0, 12 + 4]; // example.com in www.example.com
    let name = |label: &[u8]| [&[label.len() as u8][..], label, &suffix].concat();
    let built = example()
        .answer(QUESTION, Qtype::SRV, &[&[0, 1, 0, 2, 0x14, 0x66][..], &name(b"sip")].concat())
        .answer(
            QUESTION,
            Qtype::NAPTR,
            &[&[0, 1, 0, 2][..], b"\x01s\x07SIP+D2U\x00", &name(b"_sip")].concat(),
        )
        .answer(QUESTION, Qtype::DNAME, &suffix)
        .answer(QUESTION, Qtype::KX, &[&[0, 1][..], &suffix].concat())
        .answer(QUESTION, Qtype::RP, &[&suffix[..], &name(b"a.b")].concat())
        .answer(
            QUESTION,
            Qtype::RRSIG,
            &[&[0, 1, 8, 3, 0, 0, 1, 44, 0x6a, 0, 0, 0, 0x69, 0, 0, 0, 0, 7][..], &suffix, b"sig"]
                .concat(),
        )
        .answer(QUESTION, Qtype::NSEC, &[&suffix[..], &[0, 1, 0x40]].concat())
        .answer(QUESTION, Qtype::SVCB, &[&[0, 0][..], &suffix].concat());
    assert_eq!(
        data(&built),
        [
            "1 2 5222 sip.example.com.",
            "1 2 \"s\" \"SIP+D2U\" \"\" _sip.example.com.",
            "example.com.",
            "1 example.com.",
            "example.com. a\\.b.example.com.",
            "A 8 3 300 1778384896 1761607680 7 example.com. c2ln",
            "example.com. A",
            "0 example.com.",
        ]
    );
}

#[test]
fn a_cut_record_costs_none_before() {
    let whole = example()
        .answer(QUESTION, Qtype::A, ADDRESS)
        .answer(QUESTION, Qtype::A, &[198, 19, 0, 8])
        .record(Section::Authority, QUESTION, Qtype::NS, &wire("ns.example.com"));
    let ends: Vec<usize> =
        records(&whole).0.iter().map(|record| record.rdata_at + record.rdata.len()).collect();
    for len in 12..whole.0.len() {
        let short = Built(whole.0[..len].to_vec());
        let (read, is_cut) = records(&short);
        assert_eq!(read.len(), ends.iter().filter(|end| **end <= len).count(), "{len}");
        assert!(is_cut);
    }
    assert!((0..12).all(|len| Message::parse(&whole.0[..len]).is_none()));
}

#[test]
fn data_of_another_length_are_octets() {
    for rdata in [&[][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
        let built = example().answer(QUESTION, Qtype::A, rdata).answer(QUESTION, Qtype::A, ADDRESS);
        let texts = data(&built);
        assert!(texts[0].starts_with(&format!("\\# {}", rdata.len())), "{texts:?}");
        assert_eq!(texts[1], "198.19.0.7");
    }
    // A name that goes on behind its data.
    let built =
        example().answer(QUESTION, Qtype::NS, &[2, b'n']).answer(QUESTION, Qtype::A, ADDRESS);
    assert_eq!(data(&built), ["\\# 2 026e", "198.19.0.7"]);
    // Something behind a name.
    let built = example().answer(QUESTION, Qtype::NS, &[QUESTION, &[0]].concat());
    assert_eq!(data(&built), ["\\# 3 c00c00"]);
    // No data where a list has to have one item at least.
    let built = example().answer(QUESTION, Qtype::TXT, &[]).answer(QUESTION, Qtype::CAA, &[0, 0]);
    assert_eq!(data(&built), ["\\# 0", "\\# 2 0000"]);
}

#[test]
fn the_header_counts_more_than_there_is() {
    let mut built = example().answer(QUESTION, Qtype::A, ADDRESS);
    built.0[6..12].fill(0xff);
    let (read, is_cut) = records(&built);
    assert_eq!((read.len(), is_cut), (1, true));
    // And less: what follows is not looked at.
    let mut built =
        example().answer(QUESTION, Qtype::A, ADDRESS).answer(QUESTION, Qtype::A, ADDRESS);
    built.0[7] = 1;
    let (read, is_cut) = records(&built);
    assert_eq!((read.len(), is_cut), (1, false));
    // Questions without end.
    let mut built = example();
    built.0[4..6].fill(0xff);
    assert_eq!((records(&built).0.len(), records(&built).1), (0, true));
}

#[test]
fn questions_are_missing_or_repeated() {
    let query = Query {
        id: ID,
        name: &wire("www.example.com"),
        case: 0,
        qtype: Qtype::A,
        qclass: Qclass::IN,
        recursion: true,
        edns: None,
    };
    let matched = |built: &Built| query.answers(&Message::parse(&built.0).unwrap());
    for (rcode, expected) in [
        (Rcode::FORMERR, Matched::NoQuestion),
        (Rcode::NOTIMP, Matched::NoQuestion),
        (Rcode::REFUSED, Matched::NoQuestion),
        (Rcode::SERVFAIL, Matched::NoQuestion),
        (Rcode::NOERROR, Matched::Other),
        (Rcode::NXDOMAIN, Matched::Other),
    ] {
        let built = Built::bare(rcode.0);
        assert_eq!(matched(&built), expected, "{rcode}");
        assert!(Message::parse(&built.0).unwrap().question().is_none());
    }
    // Without a question there is no answer either.
    assert_eq!(matched(&Built::bare(5).answer(&[0], Qtype::A, ADDRESS)), Matched::Other);
    let built = Built::bare(0).answer(&[0], Qtype::A, ADDRESS);
    assert_eq!(Message::parse(&built.0).unwrap().outcome(), Kind::Malformed);
    assert_eq!(data(&built), ["198.19.0.7"]);
    // Two of them are no answer to one, and their records can be read all the same.
    let twice = example().question(&wire("www.example.com"), Qtype::A);
    let twice = twice.answer(QUESTION, Qtype::A, ADDRESS);
    assert_eq!(matched(&twice), Matched::Other);
    assert_eq!(data(&twice), ["198.19.0.7"]);
}

#[test]
fn response_codes_have_twelve_bits() {
    let rcode = |built: &Built| {
        fuzz_message(&built.0);
        Message::parse(&built.0).unwrap().rcode()
    };
    assert_eq!(rcode(&Built::new(3, "a", Qtype::A)), Rcode::NXDOMAIN);
    assert_eq!(rcode(&Built::new(0, "a", Qtype::A).opt(1, 0, &[])), Rcode::BADVERS);
    assert_eq!(rcode(&Built::new(7, "a", Qtype::A).opt(1, 0, &[])), Rcode::BADCOOKIE);
    assert_eq!(rcode(&Built::new(15, "a", Qtype::A).opt(255, 0, &[])), Rcode(4095));
    let badvers = Built::new(0, "a", Qtype::A).opt(1, 3, &[]);
    let message = Message::parse(&badvers.0).unwrap();
    assert_eq!(message.outcome(), Kind::Failure(Rcode::BADVERS));
    assert_eq!(message.opt().map(|opt| opt.version()), Some(3));
}

#[test]
fn opt_counts_once_and_in_its_place() {
    // In the answer section it is a record like any other.
    let wrong = Built::new(0, "a", Qtype::A).class(
        Section::Answer,
        &[0],
        Qtype::OPT,
        4096,
        0x0100_0000,
        &[],
    );
    let message = Message::parse(&wrong.0).unwrap();
    assert!(message.opt().is_none());
    assert_eq!((message.rcode(), message.outcome()), (Rcode::NOERROR, Kind::NoData));
    assert_eq!(data(&wrong), ["\\# 0"]);
    // Of two, the first.
    let two = Built::new(0, "a", Qtype::A).opt(0, 0, &[0, 3, 0, 2, b'h', b'i']).opt(1, 1, &[]);
    let message = Message::parse(&two.0).unwrap();
    let opt = message.opt().unwrap();
    assert_eq!((opt.version(), opt.udp_size(), opt.dnssec_ok()), (0, 1232, true));
    assert_eq!(opt.options().collect::<Vec<_>>(), [(3, &b"hi"[..])]);
    assert_eq!(message.rcode(), Rcode::NOERROR);
    assert_eq!(records(&two).0.len(), 2);
    // An option that is cut costs none before.
    let cut = Built::new(0, "a", Qtype::A).opt(0, 0, &[0, 3, 0, 0, 0, 10, 0, 9, 1]);
    let mut options = Message::parse(&cut.0).unwrap().opt().unwrap().options();
    assert_eq!(options.by_ref().collect::<Vec<_>>(), [(3, &[][..])]);
    assert!(options.is_cut());
}

#[test]
fn strings_keep_their_boundaries() {
    let built = example()
        .answer(QUESTION, Qtype::TXT, b"\x03one\x00\x05t\"w\\o")
        .answer(QUESTION, Qtype::TXT, b"\x04\xff\xfe\x00\x0a")
        .answer(QUESTION, Qtype::TXT, b"\x07v=spf1;")
        .answer(QUESTION, Qtype::TXT, b"\x06onetwo");
    assert_eq!(
        data(&built),
        ["\"one\" \"\" \"t\\\"w\\\\o\"", "\"\\255\\254\\000\\010\"", "\"v=spf1;\"", "\"onetwo\""]
    );
}

#[test]
fn strings_fill_64_kilobytes() {
    let mut rdata: Vec<u8> = [&[255][..], &[b'x'; 255]].concat().repeat(255);
    rdata.push(0);
    let built = example().answer(QUESTION, Qtype::TXT, &rdata);
    assert!(built.0.len() > 65_000);
    assert_eq!(data(&built)[0].matches("\" \"").count(), 255);
    // A string that is cut makes none of them strings.
    rdata.push(1);
    let built = example().answer(QUESTION, Qtype::TXT, &rdata);
    assert!(data(&built)[0].starts_with("\\# 65282 ff78"));
}

#[test]
fn truncation_is_told() {
    let built = Built::new(0x0200, "www.example.com", Qtype::A).answer(QUESTION, Qtype::A, ADDRESS);
    let message = Message::parse(&built.0).unwrap();
    assert!(message.tc() && message.flags().tc());
    assert!(!Message::parse(&example().0).unwrap().tc());
}
