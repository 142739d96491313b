//! What messages mean.

use super::super::{Kind, Message, Qtype, Rcode, Section, fuzzing::fuzz_message};
use super::build::{AA, Built, QUESTION, wire};

const ADDRESS: &[u8] = &[198, 19, 0, 7];

fn outcome(built: &Built) -> Kind {
    fuzz_message(&built.0);
    Message::parse(&built.0).unwrap().outcome()
}

fn example() -> Built {
    Built::new(0, "www.example.com", Qtype::A)
}

#[test]
fn records_of_the_type_are_an_answer() {
    assert_eq!(outcome(&example().answer(QUESTION, Qtype::A, ADDRESS)), Kind::Answer);
    assert_eq!(
        outcome(&example().answer(&wire("WWW.example.COM"), Qtype::A, ADDRESS)),
        Kind::Answer
    );
    // Not those of another name, type, class or section.
    assert_eq!(outcome(&example().answer(&wire("w.example.com"), Qtype::A, ADDRESS)), Kind::NoData);
    assert_eq!(outcome(&example().answer(QUESTION, Qtype::AAAA, &[0; 16])), Kind::NoData);
    let chaos = example().class(Section::Answer, QUESTION, Qtype::A, 3, 0, ADDRESS);
    assert_eq!(outcome(&chaos), Kind::NoData);
    let beside = example().record(Section::Additional, QUESTION, Qtype::A, ADDRESS);
    assert_eq!(outcome(&beside), Kind::NoData);
    let any = Built::new(0, "www.example.com", Qtype::ANY);
    assert_eq!(outcome(&any.answer(QUESTION, Qtype::HINFO, b"\x07RFC8482\x00")), Kind::Answer);
}

#[test]
fn aliases_are_followed_in_any_order() {
    let links = [("www.example.com", "a.example.net"), ("A.example.net", "b.example.org")];
    let link = |built: Built, (owner, target): (&str, &str)| {
        built.answer(&wire(owner), Qtype::CNAME, &wire(target))
    };
    let end = |built: Built| built.answer(&wire("b.example.ORG"), Qtype::A, ADDRESS);
    assert_eq!(outcome(&end(links.into_iter().fold(example(), link))), Kind::Answer);
    assert_eq!(outcome(&links.into_iter().rev().fold(end(example()), link)), Kind::Answer);
    // A chain that leads to nothing.
    assert_eq!(outcome(&links.into_iter().fold(example(), link)), Kind::NoData);
    assert_eq!(outcome(&end(link(example(), links[1]))), Kind::NoData);
    // Asked for itself it is what was asked for.
    let alias = Built::new(0, "www.example.com", Qtype::CNAME);
    assert_eq!(outcome(&link(alias, links[0])), Kind::Answer);
}

#[test]
fn aliases_are_followed_so_far() {
    let chain = |links: usize| {
        let name = |number: usize| wire(&format!("n{number}"));
        let links = (0..links).map(|number| (name(number), name(number + 1)));
        let built = Built::new(0, "n0", Qtype::A);
        links.fold(built, |built, (owner, target)| built.answer(&owner, Qtype::CNAME, &target))
    };
    let end = |links: usize| wire(&format!("n{links}"));
    assert_eq!(outcome(&chain(16).answer(&end(16), Qtype::A, ADDRESS)), Kind::Answer);
    assert_eq!(outcome(&chain(17).answer(&end(17), Qtype::A, ADDRESS)), Kind::NoData);
}

#[test]
fn aliases_that_turn_in_a_circle_end() {
    let built = example()
        .answer(&wire("www.example.com"), Qtype::CNAME, &wire("a.example"))
        .answer(&wire("a.example"), Qtype::CNAME, QUESTION);
    assert_eq!(outcome(&built), Kind::NoData);
    let itself = example().answer(QUESTION, Qtype::CNAME, QUESTION);
    assert_eq!(outcome(&itself), Kind::NoData);
    // One that cannot be read leads nowhere.
    let bad = example().answer(QUESTION, Qtype::CNAME, &[0xff, 0xff]);
    assert_eq!(outcome(&bad.answer(QUESTION, Qtype::TXT, &[0])), Kind::NoData);
}

#[test]
fn nothing_is_told_from_somebody_else_knows() {
    let soa = [wire("ns.example.com"), wire("a.example.com"), vec![0; 20]].concat();
    let ns = wire("ns.example.com");
    let authority = |built: Built, rtype, rdata: &[u8]| {
        built.record(Section::Authority, QUESTION, rtype, rdata)
    };
    assert_eq!(outcome(&example()), Kind::NoData);
    assert_eq!(outcome(&authority(example(), Qtype::SOA, &soa)), Kind::NoData);
    assert_eq!(outcome(&authority(example(), Qtype::NS, &ns)), Kind::Referral);
    let both = authority(authority(example(), Qtype::NS, &ns), Qtype::SOA, &soa);
    assert_eq!(outcome(&both), Kind::NoData);
    let speaks = Built::new(AA, "www.example.com", Qtype::A);
    assert_eq!(outcome(&authority(speaks, Qtype::NS, &ns)), Kind::NoData);
    let alias = example().answer(QUESTION, Qtype::CNAME, &wire("a.example"));
    assert_eq!(outcome(&authority(alias, Qtype::NS, &ns)), Kind::NoData);
}

#[test]
fn codes_say_the_rest() {
    let coded = |code| Built::new(code, "www.example.com", Qtype::A);
    assert_eq!(outcome(&coded(3)), Kind::NxDomain);
    let dangling = coded(3).answer(QUESTION, Qtype::CNAME, &wire("gone.example"));
    assert_eq!(outcome(&dangling), Kind::NxDomain);
    for code in [Rcode::FORMERR, Rcode::SERVFAIL, Rcode::NOTIMP, Rcode::REFUSED, Rcode::YXDOMAIN] {
        assert_eq!(outcome(&coded(code.0)), Kind::Failure(code));
    }
}

#[test]
fn what_is_cut_is_no_answer_but_may_hold_one() {
    let mut built = example().answer(QUESTION, Qtype::A, ADDRESS);
    built.0[7] = 2;
    assert_eq!(outcome(&built), Kind::Answer);
    built.0.truncate(built.0.len() - 1);
    assert_eq!(outcome(&built), Kind::Malformed);
    let mut cut = example();
    cut.0[9] = 1;
    assert_eq!(outcome(&cut), Kind::Malformed);
}
