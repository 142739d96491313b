//! Names against zones whose wildcards are known.

mod zone;

use proptest::prelude::*;

use self::zone::{Data, Scan, Zone};
use super::{Verdict, Wildcards, levels::Levels};
use crate::message::{Answers, Name, Qtype};
use Verdict::{Real, Unknown, Wild};

const R: &str = "example.com";

fn fixed(members: &[u16]) -> Data {
    Data::Fixed(members.to_vec())
}

/// Looks names up, all at once, and says what came of each; names without data have no verdict.
#[track_caller]
fn check(zone: &Zone, qtype: Qtype, expected: &[(&str, Option<Verdict>)]) {
    for seed in 0..20 {
        let mut scan = Scan::new(zone, 100, seed);
        for (ticket, (name, _)) in expected.iter().enumerate() {
            scan.look_up(name, 2, qtype, ticket as u32);
        }
        scan.finish();
        for (ticket, (name, verdict)) in expected.iter().enumerate() {
            assert_eq!(
                scan.verdicts.get(&(ticket as u32)),
                verdict.as_ref(),
                "{name}, seed {seed}"
            );
            if let Some(verdict) = verdict.filter(|verdict| *verdict != Unknown) {
                assert_eq!(zone.truth(name, 2, qtype), verdict, "the definition, of {name}");
            }
        }
    }
}

#[test]
fn a_zone_without_wildcards_has_real_names_alone() {
    let zone = Zone::default().with("www.example.com", Qtype::A, fixed(&[1])).with(
        "a.b.c.example.com",
        Qtype::A,
        fixed(&[1]),
    );
    let names = [
        ("www.example.com", Some(Real)),
        ("a.b.c.example.com", Some(Real)),
        ("b.c.example.com", None),
        ("x.example.com", None),
    ];
    check(&zone, Qtype::A, &names);
}

#[test]
fn a_wildcard_at_the_root_and_names_of_their_own_below_it() {
    let zone = Zone::default()
        .with("*.example.com", Qtype::A, fixed(&[1, 2]))
        .with("www.example.com", Qtype::A, fixed(&[3]))
        .with("mail.example.com", Qtype::A, fixed(&[1, 3]))
        .with("same.example.com", Qtype::A, fixed(&[2]))
        .with("a.b.example.com", Qtype::A, fixed(&[4]));
    let names = [
        ("x.example.com", Some(Wild)),
        ("x.y.z.example.com", Some(Wild)),
        ("www.example.com", Some(Real)),
        ("mail.example.com", Some(Real)),
        ("same.example.com", Some(Wild)),
        ("a.b.example.com", Some(Real)),
        // b.example.com is there, if empty: no wildcard above it counts (RFC 4592, section 2.2.2).
        ("x.b.example.com", None),
        ("b.example.com", None),
    ];
    check(&zone, Qtype::A, &names);
}

#[test]
fn wildcards_at_deeper_levels() {
    let zone = Zone::default()
        .with("*.dev.example.com", Qtype::A, fixed(&[1]))
        .with("www.example.com", Qtype::A, fixed(&[1]))
        .with("*.www.example.com", Qtype::A, fixed(&[2]))
        .with("own.www.example.com", Qtype::A, fixed(&[3]));
    let names = [
        ("x.dev.example.com", Some(Wild)),
        ("x.y.dev.example.com", Some(Wild)),
        ("dev.example.com", None),
        ("www.example.com", Some(Real)),
        ("x.www.example.com", Some(Wild)),
        ("own.www.example.com", Some(Real)),
        ("x.example.com", None),
    ];
    check(&zone, Qtype::A, &names);
}

#[test]
fn a_wildcard_of_one_type_says_nothing_of_another() {
    let zone = Zone::default()
        .with("*.example.com", Qtype::AAAA, fixed(&[1]))
        .with("www.example.com", Qtype::A, fixed(&[1]))
        .with("www.example.com", Qtype::AAAA, fixed(&[2]));
    check(&zone, Qtype::A, &[("www.example.com", Some(Real)), ("x.example.com", None)]);
    check(&zone, Qtype::AAAA, &[("www.example.com", Some(Real)), ("x.example.com", Some(Wild))]);
}

/// What stands behind an alias is its target's and never the same; the alias itself tells.
#[test]
fn aliases_are_told_by_their_target() {
    let zone = Zone::default()
        .with("*.example.com", Qtype::CNAME, Data::Alias(1))
        .with("www.example.com", Qtype::CNAME, Data::Alias(2))
        .with("own.example.com", Qtype::A, fixed(&[7]));
    let names = [
        ("x.example.com", Some(Wild)),
        ("www.example.com", Some(Real)),
        ("own.example.com", Some(Real)),
    ];
    check(&zone, Qtype::A, &names);
}

#[test]
fn pools_that_take_turns() {
    for data in [
        Data::Turns { first: 100, members: 20, shown: 4 },
        Data::Turns { first: 100, members: 20, shown: 1 },
        Data::Turns { first: 100, members: 2, shown: 1 },
    ] {
        let zone = Zone::default()
            .with("*.example.com", Qtype::A, data)
            .with("www.example.com", Qtype::A, fixed(&[1, 2]))
            .with("*.sub.example.com", Qtype::A, Data::Turns { first: 200, members: 5, shown: 2 });
        let names = [
            ("x.example.com", Some(Wild)),
            ("y.example.com", Some(Wild)),
            ("www.example.com", Some(Real)),
            ("x.sub.example.com", Some(Wild)),
        ];
        check(&zone, Qtype::A, &names);
    }
}

/// Drawn anew each time: what was not drawn yet may be taken for a name's own, but hardly ever is.
#[test]
fn pools_that_are_drawn_from_are_hardly_ever_taken_for_names() {
    let mut wrong = 0;
    let mut names = 0;
    for (members, shown) in [(2, 1), (20, 1), (20, 4)] {
        let zone = Zone::default()
            .with("*.example.com", Qtype::A, Data::Dice { first: 100, members, shown })
            .with("www.example.com", Qtype::A, fixed(&[1]));
        for seed in 0..100 {
            let mut scan = Scan::new(&zone, 100, seed);
            scan.look_up("www.example.com", 2, Qtype::A, 0);
            for ticket in 1..100 {
                scan.look_up(&format!("x{ticket}.example.com"), 2, Qtype::A, ticket);
                scan.step();
            }
            scan.finish();
            assert_eq!(scan.verdicts.len(), 100);
            assert_eq!(scan.verdicts[&0], Real, "{members} by {shown}, seed {seed}");
            names += 99;
            wrong += scan.verdicts.values().filter(|verdict| **verdict != Wild).count() - 1;
            assert!(scan.questions <= 240, "{} tests", scan.questions);
        }
    }
    println!("{wrong} of {names} wild names were taken for real");
    assert!(wrong * 1_000 <= names, "{wrong} of {names}");
}

#[test]
fn a_pool_without_an_end_leaves_others_undecided() {
    let zone = Zone::default()
        .with("*.example.com", Qtype::A, Data::Dice { first: 1_000, members: 60_000, shown: 1 })
        .with("www.example.com", Qtype::A, fixed(&[1]));
    let mut scan = Scan::new(&zone, 100, 1);
    scan.look_up("www.example.com", 2, Qtype::A, 0);
    scan.look_up("x.example.com", 2, Qtype::A, 1);
    scan.finish();
    assert_eq!(scan.verdicts[&0], Unknown);
    assert_ne!(scan.verdicts[&1], Real);
    let asked = scan.questions;
    assert!(asked <= 250, "{asked}");
    // What is known of it is not asked again.
    (2..1_000)
        .for_each(|ticket| scan.look_up(&format!("y{ticket}.example.com"), 2, Qtype::A, ticket));
    scan.finish();
    assert_eq!(scan.questions, asked);
}

#[test]
fn letters_of_either_case_are_one_level() {
    let zone = Zone::default().with("*.example.com", Qtype::A, fixed(&[1]));
    let mut scan = Scan::new(&zone, 100, 1);
    let answers = scan.answer(&Name::parse(b"x.example.com").unwrap(), Qtype::A).unwrap();
    for (ticket, name) in ["x.example.com", "y.EXAMPLE.com", "z.eXample.COM"].iter().enumerate() {
        let name = Name::parse(name.as_bytes()).unwrap();
        scan.wildcards.judge(name.as_wire(), 2, Qtype::A, &answers, ticket as u32);
    }
    scan.finish();
    assert_eq!(scan.questions, 3);
    assert!(scan.verdicts.values().all(|verdict| *verdict == Wild) && scan.verdicts.len() == 3);
}

#[test]
fn where_all_tests_fail_nothing_is_said() {
    let zone = Zone::default().with("*.example.com", Qtype::A, fixed(&[1]));
    let mut scan = Scan::new(&zone, 100, 1);
    scan.failing = 1_000;
    for ticket in 0..100 {
        scan.look_up(&format!("x{ticket}.example.com"), 2, Qtype::A, ticket);
        scan.finish();
    }
    assert!(scan.verdicts.values().all(|verdict| *verdict == Unknown), "{:?}", scan.verdicts);
    assert_eq!(scan.verdicts.len(), 100);
    assert!(scan.questions <= 3, "{}", scan.questions);
    // It is tried again, and then it is known.
    scan.failing = 0;
    for ticket in 100..1_000 {
        scan.look_up(&format!("x{ticket}.example.com"), 2, Qtype::A, ticket);
        scan.finish();
    }
    assert_eq!(scan.verdicts[&999], Wild);
}

#[test]
fn names_at_the_limits_of_length_and_depth() {
    let label = "a".repeat(61);
    let deep = [label.as_str(); 4].join(".");
    let zone = Zone::default().with(&deep, Qtype::A, fixed(&[1]));
    let mut scan = Scan::new(&zone, 100, 1);
    scan.look_up(&deep, 1, Qtype::A, 0);
    // A root that has more labels than the name, and one of none.
    scan.look_up(&deep, 200, Qtype::A, 1);
    scan.look_up(&deep, 0, Qtype::A, 2);
    scan.finish();
    assert_eq!(scan.verdicts.values().copied().collect::<Vec<_>>(), [Real, Real, Real]);
    let mut wildcards = Wildcards::new(10, [0; 16]);
    assert_eq!(wildcards.judge(&[0], 0, Qtype::A, &Answers::default(), 0), Real);
}

/// As many words as a test has time for; of a million there are ten times as many and no more levels.
#[test]
fn a_long_list_costs_few_questions_more() {
    let words = 100_000_u32;
    let plain = |zone: Zone| {
        // 1.5 % of the words are there, one in five of those with names below it that are in the list too.
        (0..1_500_u32).fold(zone, |zone, number| {
            let name = match number % 5 {
                0 => format!("a.w{}.{R}", number * 66 + 1),
                _ => format!("w{}.{R}", number * 66),
            };
            zone.with(&name, Qtype::A, fixed(&[number as u16 + 1_000]))
        })
    };
    let cases = [
        ("no wildcard", plain(Zone::default())),
        ("one at the root", plain(Zone::default().with("*.example.com", Qtype::A, fixed(&[1])))),
        (
            "one that takes turns",
            plain(Zone::default().with(
                "*.example.com",
                Qtype::A,
                Data::Turns { first: 9, members: 20, shown: 4 },
            )),
        ),
    ];
    for (what, zone) in cases {
        let mut scan = Scan::new(&zone, 1_024, 5);
        let there: Vec<String> =
            (0..words)
                .map(|word| {
                    if word % 330 == 1 { format!("a.w{word}.{R}") } else { format!("w{word}.{R}") }
                })
                .collect();
        for (ticket, name) in there.iter().enumerate() {
            scan.look_up(name, 2, Qtype::A, ticket as u32);
            scan.step();
        }
        scan.finish();
        let share = scan.questions as f64 / f64::from(words) * 100.0;
        println!("{what}: {} questions more for {words} words, {share:.2} %", scan.questions);
        assert!(share <= 3.0, "{what}: {share} %");
        for (ticket, verdict) in &scan.verdicts {
            assert_eq!(
                *verdict,
                zone.truth(&there[*ticket as usize], 2, Qtype::A),
                "{what}: {}",
                there[*ticket as usize]
            );
        }
    }
}

#[test]
fn many_roots_in_little_memory() {
    let zone = (0..300).fold(Zone::default(), |zone, root| match root % 3 {
        0 => zone.with(&format!("*.d{root}.example"), Qtype::A, fixed(&[root])),
        1 => zone.with(&format!("www.d{root}.example"), Qtype::A, fixed(&[root])),
        _ => zone.with(&format!("*.www.d{root}.example"), Qtype::A, fixed(&[root])),
    });
    let mut scan = Scan::new(&zone, 32, 1);
    let mut ticket = 0;
    let mut names = Vec::new();
    for root in 0..300 {
        for word in ["www", "a", "x.www"] {
            let name = format!("{word}.d{root}.example");
            scan.look_up(&name, 2, Qtype::A, ticket);
            names.push(name);
            ticket += 1;
            // As many tests as a few lookups take.
            for _ in 0..12 {
                scan.step();
            }
        }
    }
    scan.finish();
    for (ticket, verdict) in &scan.verdicts {
        let name = &names[*ticket as usize];
        // Where all levels are waited for, some names are not judged rather than wrongly.
        let truth = zone.truth(name, 2, Qtype::A);
        assert!(*verdict == truth || *verdict == Unknown, "{name}: {verdict:?}, is {truth:?}");
    }
    let unknown = scan.verdicts.values().filter(|verdict| **verdict == Unknown).count();
    println!("{unknown} of {} not judged", scan.verdicts.len());
    assert!(unknown * 20 < scan.verdicts.len(), "{unknown}");
}

#[test]
fn the_table_keeps_what_was_used_last() {
    let mut levels = Levels::new(10);
    let first = levels.find_or_add(0, true).unwrap();
    let generation = levels.get(first).generation;
    for key in 1..1_000 {
        levels.find_or_add(key, false).unwrap();
        assert_eq!(levels.find_or_add(0, true), Some(first));
        assert!(levels.len() <= 10);
    }
    assert_eq!(levels.get(first).generation, generation);
    // One that is waited for stays, and a table full of those takes no other.
    let mut levels = Levels::new(3);
    for key in 0..3 {
        let number = levels.find_or_add(key, false).unwrap();
        levels.get(number).asked(1);
    }
    assert_eq!(levels.find_or_add(3, false), None);
    assert!(levels.find_or_add(1, false).is_some());
}

/// An answer to a test of a level that has been forgotten since says nothing of the one in its place.
#[test]
fn tests_of_forgotten_levels_are_not_heard() {
    let zone = Zone::default();
    let mut scan = Scan::new(&zone, 1, 1);
    let answers = |number| {
        let zone = Zone::default().with("x.example.com", Qtype::A, fixed(&[number]));
        let name = Name::parse(b"x.example.com").unwrap();
        Scan::new(&zone, 1, 1).answer(&name, Qtype::A).unwrap()
    };
    let judge = |scan: &mut Scan<'_>, name: &[u8], number| {
        let name = Name::parse(name).unwrap();
        scan.wildcards.judge(name.as_wire(), 2, Qtype::A, &answers(number), u32::from(number))
    };
    assert_eq!(judge(&mut scan, b"x.one.example", 1), Verdict::Hold);
    let (_, _, old) = scan.wildcards.next_question().unwrap();
    for _ in 0..2 {
        let (_, _, tag) = scan.wildcards.next_question().unwrap();
        scan.wildcards.learnt(tag, None);
    }
    scan.wildcards.learnt(old, None);
    assert_eq!(scan.wildcards.released(), Some((1, Real)));
    assert_eq!(judge(&mut scan, b"x.two.example", 2), Verdict::Hold);
    scan.wildcards.learnt(old, Some(answers(2)));
    scan.finish();
    assert_eq!(scan.verdicts[&2], Real);
}

/// Pools that take turns are the same or have nothing in common: of others one answer cannot say which it is from.
fn data() -> impl Strategy<Value = Data> {
    let fixed = prop::collection::btree_set(0..6_u16, 1..3)
        .prop_map(|set| Data::Fixed(set.into_iter().collect()));
    let turns = (0..10_u16).prop_map(|pool| Data::Turns {
        first: 1_000 + pool * 10,
        members: 2 + pool % 7,
        shown: 1 + pool % 3,
    });
    prop_oneof![4 => fixed, 1 => turns, 2 => (0..3_u16).prop_map(Data::Alias)]
}

/// Up to three labels of few kinds, so that names meet; a wildcard is only ever the first.
fn owner() -> impl Strategy<Value = String> {
    ("[*abc]", prop::collection::vec("[abc]", 0..3))
        .prop_map(|(first, rest)| [vec![first], rest, vec![R.to_owned()]].concat().join("."))
}

fn qtype() -> impl Strategy<Value = Qtype> {
    prop_oneof![Just(Qtype::A), Just(Qtype::AAAA)]
}

fn zones() -> impl Strategy<Value = Zone> {
    prop::collection::btree_map((owner(), qtype()), data(), 0..8).prop_map(|nodes| {
        nodes
            .into_iter()
            .fold(Zone::default(), |zone, ((name, qtype), data)| zone.with(&name, qtype, data))
    })
}

fn names() -> impl Strategy<Value = Vec<(String, Qtype)>> {
    let name = prop::collection::vec("[abcx]", 1..5)
        .prop_map(|labels| format!("{}.{R}", labels.join(".")));
    prop::collection::vec((name, qtype()), 24)
}

/// 1,000 zones by 24 names. Debug builds have the time for it: a zone here has few names.
fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(1_000)
}

proptest! {
    #![proptest_config(cases())]

    /// Any zone, any names, in any order of events: each name that has data gets the verdict of the definition, once.
    #[test]
    fn verdicts_are_those_of_the_definition(
        zone in zones(),
        names in names(),
        seed: u64,
        failing in prop::sample::select(vec![0, 0, 0, 50, 300, 900]),
    ) {
        let mut scan = Scan::new(&zone, 64, seed);
        scan.failing = failing;
        for (ticket, (name, qtype)) in names.iter().enumerate() {
            scan.look_up(name, 2, *qtype, ticket as u32);
            if seed.rotate_left(ticket as u32).is_multiple_of(2) {
                scan.step();
            }
        }
        scan.finish();
        for (ticket, (name, qtype)) in names.iter().enumerate() {
            let verdict = scan.verdicts.get(&(ticket as u32)).copied();
            let truth = zone.has_data(name, *qtype).then(|| zone.truth(name, 2, *qtype));
            // Tests that fail may leave a name undecided, but never decide it wrongly.
            let is_well = verdict == truth || (failing > 0 && truth.is_some() && verdict == Some(Unknown));
            prop_assert!(is_well, "{} {}: {:?}, is {:?}", name, qtype, verdict, truth);
        }
    }
}
