//! Digests of answers.

use super::super::{Answers, Message, Qtype, Section};
use super::build::{Built, QUESTION, wire};

fn digest(built: &Built) -> Answers {
    Message::parse(&built.0).unwrap().digest()
}

fn addresses(name: &str, last: impl IntoIterator<Item = u8>) -> Answers {
    let built = Built::new(0, name, Qtype::A);
    let add = |built: Built, last| built.answer(QUESTION, Qtype::A, &[198, 19, 0, last]);
    digest(&last.into_iter().fold(built, add))
}

#[test]
fn owners_times_and_order_make_no_difference() {
    let one = addresses("a.example.com", [1, 2, 3]);
    assert_eq!(one, addresses("b.example.com", [3, 1, 2, 2]));
    assert_ne!(one, addresses("a.example.com", [1, 2, 4]));
    let built = Built::new(0, "c.example.com", Qtype::A).class(
        Section::Answer,
        QUESTION,
        Qtype::A,
        1,
        7,
        &[198, 19, 0, 1],
    );
    assert_eq!(digest(&built), addresses("d.example.com", [1]));
    // Only the answer section counts, and signatures do not.
    let signed = Built::new(0, "c.example.com", Qtype::A)
        .answer(QUESTION, Qtype::A, &[198, 19, 0, 1])
        .answer(QUESTION, Qtype::RRSIG, &[1; 30])
        .record(Section::Authority, QUESTION, Qtype::NS, &[0])
        .opt(0, 0, &[]);
    assert_eq!(digest(&signed), addresses("d.example.com", [1]));
}

#[test]
fn names_in_data_are_the_same_in_any_form() {
    let whole = Built::new(0, "a.example.com", Qtype::CNAME).answer(
        QUESTION,
        Qtype::CNAME,
        &wire("WWW.Example.COM"),
    );
    let pointing = Built::new(0, "b.example.com", Qtype::CNAME).answer(
        QUESTION,
        Qtype::CNAME,
        b"\x03www\xc0\x0e",
    );
    assert_eq!(digest(&whole), digest(&pointing));
    // The same octets are something else in another type; text is not folded.
    let other = Built::new(0, "a.example.com", Qtype::DNAME).answer(
        QUESTION,
        Qtype::DNAME,
        &wire("www.example.com"),
    );
    assert!(!digest(&whole).overlaps(&digest(&other)));
    let text = |text| digest(&Built::new(0, "a", Qtype::TXT).answer(QUESTION, Qtype::TXT, text));
    assert_ne!(text(b"\x01a"), text(b"\x01A"));
    assert_ne!(text(b"\x01a\x01b"), text(b"\x03a\x01b"));
}

#[test]
fn what_stands_behind_an_alias_is_not_the_name_s() {
    let alias = |to: &str, behind: u8| {
        let built =
            Built::new(0, "a.example.com", Qtype::A).answer(QUESTION, Qtype::CNAME, &wire(to));
        digest(&built.answer(&wire(to), Qtype::A, &[198, 19, 0, behind]))
    };
    assert_eq!(alias("one.example", 1), alias("one.example", 2));
    assert!(!alias("one.example", 1).overlaps(&alias("two.example", 1)));
    // A DNAME makes another alias of each name, and is one.
    let below = |name: &str, to: &str| {
        let dname = Built::new(0, name, Qtype::A).answer(
            &wire("example.com"),
            Qtype::DNAME,
            &wire("example.org"),
        );
        digest(&dname.answer(QUESTION, Qtype::CNAME, &wire(to)))
    };
    let (one, other) =
        (below("a.example.com", "a.example.org"), below("b.example.com", "b.example.org"));
    assert!(one.overlaps(&other) && one != other);
}

#[test]
fn digests_overlap_and_hold_each_other() {
    let digest = |last: std::ops::Range<u8>| addresses("a.example.com", last);
    let (none, low, all) = (digest(0..0), digest(0..3), digest(0..8));
    assert!(none.is_empty() && none.is_subset(&low) && !none.overlaps(&low));
    assert!(low.is_subset(&all) && !all.is_subset(&low) && low.overlaps(&all));
    assert!(!low.overlaps(&digest(3..6)) && digest(2..5).overlaps(&low));
    assert!(!digest(2..5).is_subset(&low));
    assert_eq!((low.hashes().len(), all.hashes().len()), (3, Answers::KEPT));

    let mut pool = digest(0..3);
    pool.absorb(&digest(2..8));
    assert_eq!(pool, all);
}

#[test]
fn of_many_records_the_same_ones_are_kept() {
    let (one, other) = (addresses("a.x", 0..40), addresses("b.x", (0..40).rev()));
    assert_eq!(one, other);
    assert_eq!(one.hashes().len(), Answers::KEPT);
    // Each part is in the whole, kept or not; what was never in it, is not, if it would have been kept.
    for first in 0..40 {
        assert!(addresses("c.x", first..first + 1).is_subset(&one));
    }
    let strangers = (100..=250).filter(|last| !addresses("d.x", [*last]).is_subset(&one)).count();
    assert!((10..100).contains(&strangers), "{strangers}");
    let mut pool = addresses("a.x", 0..20);
    pool.absorb(&addresses("a.x", 20..40));
    assert_eq!(pool, one);
}
