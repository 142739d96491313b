//! Every type that has a form of its own: its data, and their text.

use super::super::{
    Message, Qclass, Qtype, Section,
    fuzzing::{decompressed, read_back},
};
use super::build::{Built, QUESTION};

/// Data as octets and as text; the text of most is also read by another program: see `fuzzing.rs`.
pub(crate) const EXAMPLES: &[(Qtype, &[u8], &str)] = &[
    (Qtype::A, &[198, 19, 0, 7], "198.19.0.7"),
    (Qtype::AAAA, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", "2001:db8::7"),
    (Qtype::AAAA, b"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x13\0\x07", "::ffff:198.19.0.7"),
    (Qtype::NS, b"\x02ns\x07example\x00", "ns.example."),
    (Qtype::NS, b"\x00", "."),
    (Qtype::CNAME, b"\x04a.b;\x00", "a\\.b\\;."),
    (Qtype::PTR, b"\x04h\"\xffz\x00", "h\\\"\\255z."),
    (Qtype::DNAME, b"\x01d\x00", "d."),
    (Qtype::MD, b"\x01d\x00", "d."),
    (Qtype::MF, b"\x01d\x00", "d."),
    (Qtype::MB, b"\x01d\x00", "d."),
    (Qtype::MG, b"\x01d\x00", "d."),
    (Qtype::MR, b"\x01d\x00", "d."),
    (Qtype::NSAP_PTR, b"\x01d\x00", "d."),
    (
        Qtype::SOA,
        b"\x02ns\x00\x05a.dmi\x00\x78\xc9\x2e\xd5\0\0\x1c\x20\0\0\x0e\x10\0\x12\x75\0\xff\xff\xff\xff",
        "ns. a\\.dmi. 2026450645 7200 3600 1209600 4294967295",
    ),
    (Qtype::MX, b"\x00\x0a\x02mx\x00", "10 mx."),
    (Qtype::MX, b"\x00\x00\x00", "0 ."),
    (Qtype::AFSDB, b"\x00\x01\x02mx\x00", "1 mx."),
    (Qtype::RT, b"\x00\x01\x02mx\x00", "1 mx."),
    (Qtype::KX, b"\x00\x01\x02mx\x00", "1 mx."),
    (Qtype::LP, b"\x00\x01\x02mx\x00", "1 mx."),
    (Qtype::PX, b"\x00\x01\x02mx\x00\x01x\x00", "1 mx. x."),
    (Qtype::TXT, b"\x05hello\x00\x01\"", "\"hello\" \"\" \"\\\"\""),
    (Qtype::TXT, b"\x06\xc3\xa4;\\ \x7f", "\"\\195\\164;\\\\ \\127\""),
    (Qtype::SPF, b"\x06v=spf1", "\"v=spf1\""),
    (Qtype::NINFO, b"\x01a", "\"a\""),
    (Qtype::AVC, b"\x01a", "\"a\""),
    (Qtype::RESINFO, b"\x0aqnamemin=1\x01b", "\"qnamemin=1\" \"b\""),
    (Qtype::WALLET, b"\x03BTC\x01x", "\"BTC\" \"x\""),
    (Qtype::ISDN, b"\x01a\x01b", "\"a\" \"b\""),
    (Qtype::X25, b"\x03311", "\"311\""),
    (Qtype::GPOS, b"\x011\x012\x013", "\"1\" \"2\" \"3\""),
    (Qtype::HINFO, b"\x07RFC8482\x00", "\"RFC8482\" \"\""),
    (Qtype::SRV, b"\x00\x01\x00\x02\x14\x66\x03sip\x00", "1 2 5222 sip."),
    (
        Qtype::NAPTR,
        b"\x00\x64\x00\x0a\x01U\x07E2U+sip\x11!^.*$!sip:a@b.c!i\x00",
        "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:a@b.c!i\" .",
    ),
    (Qtype::CAA, b"\x80\x05issueca.example; a=\"b\"", "128 issue \"ca.example; a=\\\"b\\\"\""),
    (Qtype::CAA, b"\x00\x05iodef", "0 iodef \"\""),
    (Qtype::CAA, b"\x00\x02a b", "\\# 5 0002612062"),
    (Qtype::URI, b"\x00\x01\x00\x02https://a/\"", "1 2 \"https://a/\\\"\""),
    (Qtype::MINFO, b"\x01a\x00\x01b\x00", "a. b."),
    (Qtype::RP, b"\x01a\x00\x00", "a. ."),
    (Qtype::TALINK, b"\x01a\x00\x01b\x00", "a. b."),
    (Qtype::L32, b"\x00\x0a\x0a\x01\x02\x00", "10 10.1.2.0"),
    (Qtype::SMIMEA, b"\x03\x01\x01\xab\xcd", "3 1 1 abcd"),
    (Qtype::TA, b"\x12\x34\x08\x02\xab\xcd", "4660 8 2 abcd"),
    (Qtype::DLV, b"\x12\x34\x08\x02\xab\xcd", "4660 8 2 abcd"),
    (Qtype::DS, b"\x12\x34\x08\x02\xab\xcd", "4660 8 2 ABCD"),
    (Qtype::CDS, b"\x00\x00\x00\x00\x00", "0 0 0 00"),
    (Qtype::DNSKEY, b"\x01\x01\x03\x08key", "257 3 8 a2V5"),
    (Qtype::CDNSKEY, b"\x00\x00\x03\x00\x00", "0 3 0 AA=="),
    (
        Qtype::RRSIG,
        b"\x00\x01\x08\x03\0\0\x01\x2c\x6a\0\0\0\x69\0\0\0\x00\x07\x01a\x00sig",
        "A 8 3 300 1778384896 1761607680 7 a. c2ln",
    ),
    (Qtype::NSEC, b"\x01b\x00\x00\x06\x40\x01\x00\x00\x00\x03", "b. A MX RRSIG NSEC"),
    (
        Qtype::NSEC,
        b"\x01;\x00\x00\x01\x40\xff\x20\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01",
        "\\;. A TYPE65280 TYPE65535",
    ),
    // Blocks out of order, empty, too long or with zeros at their end: octets.
    (Qtype::NSEC, b"\x00\x01\x01\x40\x00\x01\x40", "\\# 7 00010140000140"),
    (Qtype::NSEC, b"\x00\x00\x00", "\\# 3 000000"),
    (Qtype::NSEC, b"\x00\x00\x02\x40\x00", "\\# 5 0000024000"),
    (Qtype::NSEC, b"\x00\x00\x02\x40", "\\# 4 00000240"),
    (
        Qtype::NSEC3,
        b"\x01\x01\x00\x0a\x02\xab\xcd\x05hello\x00\x01\x40",
        "1 1 10 ABCD D1IMOR3F A",
    ),
    (Qtype::NSEC3, b"\x01\x00\x00\x00\x00\x05hello", "1 0 0 - D1IMOR3F"),
    (Qtype::NSEC3PARAM, b"\x01\x00\x00\x0a\x02\xab\xcd", "1 0 10 ABCD"),
    (Qtype::TLSA, b"\x03\x01\x01\xab\xcd", "3 1 1 ABCD"),
    (Qtype::SSHFP, b"\x04\x02\xab\xcd", "4 2 ABCD"),
    (Qtype::OPENPGPKEY, b"key", "a2V5"),
    (
        Qtype::ZONEMD,
        b"\x00\x00\x00\x07\x01\x01\xab\xcd\xab\xcd\xab\xcd\xab\xcd\xab\xcd\xab\xcd",
        "7 1 1 ABCDABCDABCDABCDABCDABCD",
    ),
    (Qtype::IPSECKEY, b"\x0a\x01\x02\xc6\x13\x00\x07key", "10 1 2 198.19.0.7 a2V5"),
    (Qtype::IPSECKEY, b"\x0a\x03\x02\x01g\x00key", "10 3 2 g. a2V5"),
    (Qtype::IPSECKEY, b"\x0a\x00\x02key", "10 0 2 . a2V5"),
    (
        Qtype::IPSECKEY,
        b"\x0a\x02\x02\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07key",
        "10 2 2 2001:db8::7 a2V5",
    ),
    (Qtype::IPSECKEY, b"\x0a\x04\x02key", "\\# 6 0a04026b6579"),
    (Qtype::SVCB, b"\x00\x00\x01a\x00", "0 a."),
    (
        Qtype::HTTPS,
        b"\x00\x01\x00\x00\x01\x00\x06\x02h3\x02h2\x00\x03\x00\x02\x20\xfb\x00\x04\x00\x04\xc6\x13\x00\x07",
        "1 . alpn=h3,h2 port=8443 ipv4hint=198.19.0.7",
    ),
    (
        Qtype::SVCB,
        b"\x00\x02\x01a\x00\x00\x00\x00\x04\x00\x01\x02\x38\x00\x01\x00\x06\x05h2-14\x00\x02\x00\x00\x00\x05\x00\x02ab\
          \x00\x07\x00\x10/dns-query{?dns}\x00\x08\x00\x00\x02\x38\x00\x03x;\xff\x02\x80\x00\x00",
        "2 a. mandatory=alpn,key568 alpn=h2-14 no-default-alpn ech=YWI= dohpath=/dns-query{?dns} ohttp \
         key568=x\\;\\255 key640",
    ),
    // A key twice, a list with an empty item, a word that lists would have to escape twice: octets.
    (Qtype::SVCB, b"\x00\x01\x00\x00\x08\x00\x00\x00\x08\x00\x00", "\\# 11 0001000008000000080000"),
    (Qtype::SVCB, b"\x00\x01\x00\x00\x01\x00\x01\x00", "\\# 8 0001000001000100"),
    (Qtype::HTTPS, b"\x00\x01\x00\x00\x01\x00\x02\x01,", "\\# 9 00010000010002012c"),
    // No form of their own here: the octets.
    (Qtype::LOC, b"\x00\x12\x16\x13", "\\# 4 00121613"),
    (Qtype::NULL, b"\xff", "\\# 1 ff"),
    (Qtype(65_280), b"", "\\# 0"),
];

#[test]
fn data_have_these_texts() {
    for (qtype, octets, text) in EXAMPLES {
        let built = Built::new(0, "www.example.com", *qtype).answer(QUESTION, *qtype, octets);
        let record = Message::parse(&built.0).unwrap().records().next().unwrap();
        assert_eq!(record.data(), *text, "{qtype}");
        let plain = decompressed(&record);
        assert!(plain.is_none_or(|plain| plain == *octets), "{qtype}");
    }
}

#[test]
fn texts_read_back() {
    let mut count = 0;
    for (qtype, octets, text) in EXAMPLES {
        // Those that `domain` has no text for are in `data_have_these_texts` alone.
        match read_back(*qtype, text) {
            Ok(back) => assert_eq!(&back, octets, "{qtype}"),
            Err(error) => {
                assert!(error.contains("unknown record type with concrete data"), "{error}");
                continue;
            }
        }
        count += 1;
    }
    assert!(count >= EXAMPLES.len() - 20, "{count}");
}

#[test]
fn addresses_of_chaos_are_something_else() {
    let built = Built::new(0, "a", Qtype::A).class(
        Section::Answer,
        QUESTION,
        Qtype::A,
        Qclass::CH.0,
        0,
        b"\x01a\x00\x01\x02",
    );
    let record = Message::parse(&built.0).unwrap().records().next().unwrap();
    assert_eq!(record.data(), "\\# 5 0161000102");
}
