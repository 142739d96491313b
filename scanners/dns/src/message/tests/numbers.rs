//! Types, classes and codes as text.

use domain::base::iana::Rtype;

use super::super::{Qclass, Qtype, Rcode};

#[test]
fn all_numbers_come_back() {
    for number in 0..=u16::MAX {
        let (qtype, class) = (Qtype(number), Qclass(number));
        assert_eq!(qtype.to_string().parse(), Ok(qtype));
        assert_eq!(qtype.to_string().to_lowercase().parse(), Ok(qtype));
        assert_eq!(format!("type{number}").parse(), Ok(qtype));
        assert_eq!(class.to_string().parse(), Ok(class));
        assert_eq!(format!("CLASS{number}").parse(), Ok(class));
        if number < 4096 {
            assert_eq!(Rcode(number).to_string().parse(), Ok(Rcode(number)));
        }
    }
}

#[test]
fn names_are_those_of_iana() {
    assert!(Qtype::NAMED.is_sorted_by_key(|(number, _)| *number));
    for number in (0..=u16::MAX).filter(|number| *number != Qtype::NSAP_PTR.0) {
        assert_eq!(Qtype(number).to_string(), Rtype::from_int(number).to_string());
    }
    assert_eq!(Qtype::NSAP_PTR.to_string(), "NSAP-PTR");
    assert_eq!(Qtype(65_280).to_string(), "TYPE65280");
    assert_eq!("*".parse(), Ok(Qtype::ANY));
    assert_eq!("chaos".parse(), Ok(Qclass::CH));
    assert_eq!(
        (Qclass(7).to_string(), Rcode(12).to_string()),
        ("CLASS7".to_owned(), "RCODE12".to_owned())
    );
    assert_eq!(format!("{:>5}|{:<8}|", Qtype::A, Qtype(999)), "    A|TYPE999 |");
}

#[test]
fn other_texts_say_what_they_are_not() {
    for text in [
        "",
        "AB",
        "TYPE",
        "TYPE65536",
        "TYPE-1",
        "TYPE+1",
        "TYPE 1",
        "TYPE\u{e4}",
        "\u{e4}\u{e4}1",
        "1",
    ] {
        let error = text.parse::<Qtype>().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{text:?} is no DNS record type; those without a name are TYPE0 to TYPE65535")
        );
    }
    assert!("RCODE4096".parse::<Rcode>().is_err() && "CLASS".parse::<Qclass>().is_err());
}
