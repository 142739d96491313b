use std::time::Duration;

use mrpf_engine::time::Instant;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::line::Lines;
use crate::message::{
    Edns, Query,
    fuzzing::read_back,
    tests::{
        build::{Built, QUESTION, wire},
        types::EXAMPLES,
    },
};

fn end<'a>(name: &'a [u8], outcome: Outcome, message: &'a [u8]) -> End<'a> {
    End {
        number: 7,
        name,
        qtype: Qtype::A,
        qclass: Qclass::IN,
        outcome,
        resolver: Some("198.19.0.53:53".parse().unwrap()),
        protocol: Protocol::Udp,
        attempts: 2,
        rtt: Some(Duration::from_nanos(1_234_567)),
        at: Instant::START,
        wildcard: None,
        message,
    }
}

/// The row; the line that is written without one says the same, octet for octet.
fn row_and_line(end: &End<'_>, ts: Timestamp, wants_wire: bool) -> DnsRecord {
    let row = Rows::new(wants_wire).row(end, ts);
    let mut lines = Lines::new(wants_wire);
    match lines.line(end, ts) {
        Some(line) => {
            let expected = serde_json::to_string(&mrpf_records::Record::Dns(row.clone())).unwrap();
            assert_eq!(line, expected);
        }
        None => assert_eq!(end.outcome, Outcome::Invalid),
    }
    *row
}

fn row(end: &End<'_>) -> DnsRecord {
    row_and_line(end, Timestamp::from_unix_micros(0), false)
}

/// A row as it stands on a line, read by a reader that knows JSON alone.
fn line(row: &DnsRecord) -> Value {
    serde_json::from_str(&serde_json::to_string(row).unwrap()).unwrap()
}

#[test]
fn an_answer_is_told_whole() {
    let name = wire("www.Example.com");
    let built = Built::new(0x01b0, "www.example.com", Qtype::A)
        .answer(QUESTION, Qtype::CNAME, b"\x04host\xc0\x10")
        .answer(&[0xc0, 45], Qtype::A, &[198, 19, 0, 7])
        .record(Section::Authority, &[0xc0, 16], Qtype::NS, b"\x02ns\xc0\x10")
        .class(Section::Additional, QUESTION, Qtype::TXT, 3, 0, b"\x01a")
        .opt(1, 0, &[0, 3, 0, 2, 0xca, 0xfe, 0, 12, 0, 0]);
    let end = End { wildcard: Some(true), ..end(&name, Outcome::Message, &built.0) };
    let mut row = row(&end);
    row.resolver = None;
    let data = |name: &str, rtype: &'static str, ttl, data: &str| DnsData {
        name: name.to_owned(),
        rtype: rtype.into(),
        class: None,
        ttl,
        data: data.to_owned(),
    };
    let mut expected = DnsRecord::new(
        Timestamp::from_unix_micros(0),
        "www.Example.com".to_owned(),
        "A".into(),
        "BADVERS".into(),
    );
    expected.protocol = Some(DnsProtocol::Udp);
    expected.flags = ["rd", "ra", "ad", "cd"].map(Cow::from).into();
    expected.answers = vec![
        data("www.Example.com", "CNAME", 300, "host.Example.com."),
        data("host.Example.com", "A", 300, "198.19.0.7"),
    ];
    expected.authorities = vec![data("Example.com", "NS", 300, "ns.Example.com.")];
    expected.additionals =
        vec![DnsData { class: Some("CH".into()), ..data("www.Example.com", "TXT", 0, "\"a\"") }];
    expected.edns = Some(DnsEdns {
        version: 0,
        udp_size: 1232,
        dnssec_ok: true,
        options: vec![
            DnsOption { code: 3, data: "cafe".to_owned() },
            DnsOption { code: 12, data: String::new() },
        ],
    });
    expected.rtt_us = Some(1234);
    expected.attempts = Some(2);
    expected.wildcard = Some(true);
    assert_eq!(row, expected);
}

#[test]
fn rows_keep_the_case_of_a_query_to_themselves() {
    let name = wire("www.Example.com");
    let query = Query {
        id: 1,
        name: &name,
        case: 0x5a5a_5a5a,
        qtype: Qtype::A,
        qclass: Qclass::IN,
        recursion: true,
        edns: Some(Edns::USUAL),
    };
    let mut octets = [0; Query::MAX_LEN];
    let len = query.write(&mut octets);
    let asked = &octets[12..12 + name.len()];
    assert_ne!(asked, name);
    // The owner as a pointer, in full, and within another name.
    let built = Built::bare(0)
        .question(asked, Qtype::A)
        .answer(QUESTION, Qtype::A, &[198, 19, 0, 7])
        .answer(asked, Qtype::A, &[198, 19, 0, 8])
        .answer(QUESTION, Qtype::CNAME, b"\x01a\xc0\x0c");
    assert!(len > 12);
    let end = end(&name, Outcome::Message, &built.0);
    let row = row_and_line(&end, Timestamp::from_unix_micros(0), true);
    assert!(row.answers.iter().all(|data| data.name == "www.Example.com"), "{row:?}");
    assert_eq!(row.answers[2].data, "a.www.Example.com.");
    // The octets are those that came.
    assert_eq!(row.wire.map(|wire| BASE64_STANDARD.decode(wire).unwrap()), Some(built.0.clone()));
    assert_eq!(self::row(&end).wire, None);

    // A question that is another stays what it is.
    let other = Built::new(0, "www.example.org", Qtype::A).answer(QUESTION, Qtype::A, &[0; 4]);
    let row = self::row(&self::end(&name, Outcome::Message, &other.0));
    assert_eq!(row.answers[0].name, "www.example.org");
}

#[test]
fn what_did_not_come_has_a_word() {
    let name = wire("www.example.com");
    for (outcome, status) in [
        (Outcome::Timeout, "TIMEOUT"),
        (Outcome::Unreachable, "UNREACHABLE"),
        (Outcome::Truncated, "TRUNCATED"),
        (Outcome::Malformed, "MALFORMED"),
    ] {
        let row = line(&row(&End { rtt: None, ..end(&name, outcome, &[]) }));
        let whole = serde_json::json!({
            "ts": "1970-01-01T00:00:00.000000Z", "name": "www.example.com", "qtype": "A", "status": status,
            "resolver": "198.19.0.53:53", "attempts": 2,
        });
        assert_eq!(row, whole);
    }
    let nobody =
        End { resolver: None, rtt: None, attempts: 0, ..end(b"a..\xff b", Outcome::Invalid, &[]) };
    let row = line(&row(&nobody));
    assert_eq!((&row["name"], &row["status"]), (&"a..\u{fffd} b".into(), &"INVALID".into()));
    assert_eq!(row.as_object().unwrap().len(), 4);
    // What looks like the octets of a name is text all the same.
    assert_eq!(self::row(&End { name: b"\x01a\x00", ..nobody }).name, "\u{1}a\u{0}");
}

#[test]
fn a_truncated_message_that_tcp_did_not_complete_keeps_its_word() {
    let (name, built) = (wire("a"), Built::new(0x0200, "a", Qtype::A));
    let row = row(&end(&name, Outcome::Truncated, &built.0));
    assert_eq!((row.status, row.flags), ("TRUNCATED".into(), vec!["tc".into()]));
}

#[test]
fn what_cannot_be_read_is_missing_and_said_to_be() {
    let name = wire("www.example.com");
    let built = Built::new(0, "www.example.com", Qtype::A)
        .answer(QUESTION, Qtype::A, &[198, 19, 0, 7])
        .answer(&[0xff, 0xff], Qtype::A, &[198, 19, 0, 8])
        .answer(QUESTION, Qtype::A, &[198, 19, 0, 9]);
    let told = |octets: &[u8]| {
        let row = row(&end(&name, Outcome::Message, octets));
        (row.answers.into_iter().map(|data| data.data).collect::<Vec<_>>(), row.cut)
    };
    assert_eq!(
        told(&built.0),
        (vec!["198.19.0.7".to_owned(), "198.19.0.9".to_owned()], Some(true))
    );
    assert_eq!(told(&built.0[..built.0.len() - 1]), (vec!["198.19.0.7".to_owned()], Some(true)));
    assert_eq!(told(&built.0[..49]), (vec!["198.19.0.7".to_owned()], Some(true)));
    // An option that is cut.
    let opt = Built::new(0, "www.example.com", Qtype::A).opt(0, 0, &[0, 3, 0, 9]);
    assert_eq!(told(&opt.0), (vec![], Some(true)));
    let whole = Built::new(0, "www.example.com", Qtype::A);
    assert_eq!(told(&whole.0), (vec![], None));
    let none = row(&end(&name, Outcome::Message, &[1, 2, 3]));
    assert_eq!((&*none.status, none.cut), ("MALFORMED", Some(true)));
}

#[test]
fn a_second_opt_is_a_record_like_others() {
    let name = wire("a");
    let built = Built::new(0, "a", Qtype::A).opt(0, 0, &[]).opt(9, 1, &[0, 1, 0, 0]);
    let row = row(&end(&name, Outcome::Message, &built.0));
    assert_eq!((row.edns.unwrap().version, &*row.status), (0, "NOERROR"));
    let [second] = &row.additionals[..] else { panic!("{:?}", row.additionals) };
    assert_eq!(
        (&*second.name, &*second.rtype, second.class.as_deref()),
        (".", "OPT", Some("CLASS1232"))
    );
    assert_eq!(second.data, "\\# 4 00010000");
}

#[test]
fn numbers_without_names_are_told() {
    let name = wire("a");
    let built =
        Built::new(12, "a", Qtype(65_280)).class(Section::Answer, QUESTION, Qtype(999), 7, 1, &[]);
    let row = row(&End {
        qtype: Qtype(65_280),
        qclass: Qclass(9),
        ..end(&name, Outcome::Message, &built.0)
    });
    assert_eq!(
        (&*row.qtype, row.qclass.as_deref(), &*row.status),
        ("TYPE65280", Some("CLASS9"), "RCODE12")
    );
    assert_eq!(
        (&*row.answers[0].rtype, row.answers[0].class.as_deref()),
        ("TYPE999", Some("CLASS7"))
    );
}

/// Every type: from octets to a row, to a line, to what a reader of lines and of zone files makes of it.
#[test]
fn every_type_reads_back_from_its_line() {
    let name = wire("www.example.com");
    let built = EXAMPLES
        .iter()
        .fold(Built::new(0, "www.example.com", Qtype::ANY), |built, (qtype, octets, _)| {
            built.answer(QUESTION, *qtype, octets)
        });
    let row = line(&row(&End { qtype: Qtype::ANY, ..end(&name, Outcome::Message, &built.0) }));
    let answers = row["answers"].as_array().unwrap();
    assert_eq!(answers.len(), EXAMPLES.len());
    let mut read = 0;
    for (answer, (qtype, octets, text)) in answers.iter().zip(EXAMPLES) {
        assert_eq!(answer["type"].as_str().unwrap().parse(), Ok(*qtype));
        assert_eq!((&answer["name"], &answer["ttl"]), (&"www.example.com".into(), &300.into()));
        let data = answer["data"].as_str().unwrap();
        assert_eq!(data, *text);
        // The reader does not know all types: those that it does not know are compared with their text alone.
        if let Ok(back) = read_back(*qtype, data) {
            assert_eq!(back, *octets, "{qtype}");
            read += 1;
        }
    }
    assert!(read >= EXAMPLES.len() - 20, "{read}");
}

proptest! {
    /// Whatever comes, the row is one line of JSON that reads back as the row, and with its octets is the message.
    #[test]
    fn any_octets_are_a_row(octets in prop::collection::vec(any::<u8>(), 0..200), names in any::<bool>()) {
        let name = wire("a.b");
        let mut message = Built::new(0, "a.b", Qtype::A).0;
        message[6..12].copy_from_slice(&[0, 9, 0, 9, 0, 9]);
        if names {
            message.clear();
        }
        message.extend(&octets);
        let end = end(&name, Outcome::Message, &message);
        let row = row_and_line(&end, Timestamp::from_unix_micros(1), true);
        let line = serde_json::to_string(&row).unwrap();
        prop_assert!(!line.contains('\n'));
        prop_assert_eq!(&serde_json::from_str::<DnsRecord>(&line).unwrap(), &row);
        if !message.is_empty() {
            prop_assert_eq!(BASE64_STANDARD.decode(row.wire.unwrap()).unwrap(), message);
        }
    }
}
