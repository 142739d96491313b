//! Names and their texts.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use proptest::prelude::*;

use super::super::{Name, NameError, fuzzing::fuzz_name, is_within, labels, parent};
use super::build::wire;

fn name(text: &str) -> Result<Name, NameError> {
    fuzz_name(text.as_bytes());
    Name::parse(text.as_bytes())
}

#[track_caller]
fn reads(text: &str, octets: &[u8], shown: &str) {
    let name = name(text).unwrap();
    assert_eq!(name.as_wire(), octets);
    assert_eq!(name.to_string(), shown);
}

#[test]
fn texts_become_octets_and_back() {
    reads("www.Example.com", b"\x03www\x07Example\x03com\x00", "www.Example.com");
    reads("www.example.com.", b"\x03www\x07example\x03com\x00", "www.example.com");
    reads(".", b"\x00", ".");
    reads("com", b"\x03com\x00", "com");
    reads("_dmarc.a-b.x", b"\x06_dmarc\x03a-b\x01x\x00", "_dmarc.a-b.x");
    reads("*.x", b"\x01*\x01x\x00", "*.x");
    reads("a\\.b\\\\.x", b"\x04a.b\\\x01x\x00", "a\\.b\\\\.x");
    reads("\\000\\255\\032.\\065", b"\x03\x00\xff \x01A\x00", "\\000\\255\\032.A");
    reads("a@b$(c);\\\"", b"\x09a@b$(c);\"\x00", "a\\@b\\$\\(c\\)\\;\\\"");
}

#[test]
fn what_is_no_name_says_why() {
    for (text, error) in [
        ("", NameError::Empty),
        ("..", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a..b", NameError::EmptyLabel),
        ("a..", NameError::EmptyLabel),
        ("a b", NameError::Octet(b' ')),
        ("a\tb", NameError::Octet(b'\t')),
        ("a\u{7f}", NameError::Octet(0x7f)),
        ("\\", NameError::Escape),
        ("\\25", NameError::Escape),
        ("\\256", NameError::Escape),
        ("\\2x5", NameError::Escape),
        ("\u{e4}\\.b", NameError::Escape),
        ("\u{2e2f}\u{378}.de", NameError::Idna),
    ] {
        assert_eq!(name(text), Err(error), "{text:?}");
    }
    assert_eq!(Name::parse(b"\xff.de"), Err(NameError::Idna));
}

#[test]
fn names_end_where_the_wire_ends() {
    let label = "a".repeat(63);
    assert!(name(&label).is_ok());
    assert_eq!(name(&format!("{label}a")), Err(NameError::LongLabel));
    assert_eq!(name(&format!("{label}\\097.b")), Err(NameError::LongLabel));
    // 3 labels of 63 and one of 61: 255 octets.
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(name(&longest).unwrap().as_wire().len(), 255);
    assert!(name(&format!("{longest}.")).is_ok());
    assert_eq!(name(&format!("{longest}b")), Err(NameError::TooLong));
    assert_eq!(name(&format!("{}.c", &longest[..longest.len() - 1])), Err(NameError::TooLong));
    assert_eq!(name(&"a.".repeat(128)), Err(NameError::TooLong));
    assert_eq!(name(&"a.".repeat(127)).unwrap().labels().count(), 127);
}

#[test]
fn names_that_people_write_become_a_labels_once() {
    reads("M\u{fc}nchen.de", b"\x0exn--mnchen-3ya\x02de\x00", "xn--mnchen-3ya.de");
    reads(
        "\u{4f8b}\u{3048}\u{ff0e}\u{30c6}\u{30b9}\u{30c8}",
        b"\x0bxn--r8jz45g\x0axn--zckzah\x00",
        "xn--r8jz45g.xn--zckzah",
    );
}

#[test]
fn labels_in_ascii_stay_as_they_are() {
    reads("xn--mnchen-3ya.DE", b"\x0exn--mnchen-3ya\x02DE\x00", "xn--mnchen-3ya.DE");
    reads("XN--\u{2d}.de", b"\x05XN---\x02de\x00", "XN---.de");
    // One label beyond ASCII does not change another.
    reads(
        "_X.b\u{fc}cher\u{3002}A\\.b.",
        b"\x02_X\x0dxn--bcher-kva\x03A.b\x00",
        "_X.xn--bcher-kva.A\\.b",
    );
}

#[test]
fn octets_are_names_or_not() {
    for octets in [&b""[..], b"\x03ab\x00", b"\x01a", b"\x01a\x00\x00", b"\xc0\x0c", b"\x40a\x00"] {
        fuzz_name(octets);
        assert_eq!(Name::from_wire(octets), Err(NameError::Wire));
    }
    let long = [&[63; 64].repeat(4)[..], &[0]].concat();
    assert_eq!(Name::from_wire(&long), Err(NameError::Wire));
}

#[test]
fn case_is_kept_and_makes_no_difference() {
    let (one, other) = (name("WWW.example.com").unwrap(), name("www.EXAMPLE.com.").unwrap());
    assert_eq!(one, other);
    assert_ne!(one.to_string(), other.to_string());
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    assert_eq!(hasher.hash_one(&one), hasher.hash_one(&other));
    // '[' is '{' but for the bit that letters have for their case.
    assert_ne!(name("[").unwrap(), name("{").unwrap());
}

#[test]
fn names_stand_below_others() {
    let (www, com) = (name("www.a").unwrap(), wire("example.com"));
    assert_eq!(www.below(&com).unwrap().to_string(), "www.a.example.com");
    assert_eq!(www.below(&[0]).unwrap().to_string(), "www.a");
    assert_eq!(Name::ROOT.below(&com).unwrap().to_string(), "example.com");
    assert_eq!(www.below(b"\x01a"), Err(NameError::Wire));
    let long = name(&"a.".repeat(126)).unwrap();
    assert!(name("b").unwrap().below(long.as_wire()).is_ok());
    assert_eq!(
        name("bb").unwrap().below(long.as_wire()).map(|name| name.as_wire().len()),
        Err(NameError::TooLong)
    );
    assert_eq!(www.below(long.as_wire()), Err(NameError::TooLong));

    let whole = wire("a.b.example.com");
    assert_eq!(parent(&whole), Some(&wire("b.example.com")[..]));
    assert_eq!(parent(&[0]), None);
    assert_eq!(labels(&whole).collect::<Vec<_>>(), [&b"a"[..], b"b", b"example", b"com"]);
    assert!(is_within(&whole, &wire("EXAMPLE.com")) && is_within(&whole, &whole));
    assert!(is_within(&whole, &[0]));
    assert!(!is_within(&com, &whole) && !is_within(&whole, &wire("ample.com")));
    // The octets of the one end those of the other, but in the middle of a label.
    assert!(!is_within(b"\x05a\x03com\x00", b"\x03com\x00"));
}

proptest! {
    #[test]
    fn any_octets_hold(data in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz_name(&data);
    }

    #[test]
    fn any_text_holds(text in "([a-zA-Z0-9_*\u{e4}\u{4e2d}\u{3002}-]{0,20}|\\\\[0-9]{0,3}|[.\\\\;\" @]){0,30}") {
        fuzz_name(text.as_bytes());
    }

    #[test]
    fn any_labels_hold(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..6)) {
        let mut octets: Vec<u8> =
            labels.iter().flat_map(|label| [&[label.len() as u8], &label[..]].concat()).collect();
        octets.push(0);
        fuzz_name(&octets);
    }
}
