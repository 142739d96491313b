//! The ten hellos against those of the published program (`testdata/jarm`).

use std::collections::HashSet;

use super::{
    super::{JarmProbe, NoRetry, Retry, Salt},
    SALT, jarms, octets,
    parsed::Parsed,
    written,
};

const HELLOS: &str = include_str!("../../../testdata/jarm/hellos.txt");

#[test]
fn they_are_those_of_the_published_program() {
    let hellos = jarms();
    let mut count = 0;
    for (index, line) in HELLOS.lines().enumerate() {
        let (host, theirs) = line.split_once(' ').unwrap();
        let mut theirs = octets(theirs);
        let mut ours = written(&hellos[index % 10], &SALT, Some(host));
        assert_eq!(ours.len(), theirs.len(), "{host}, hello {}", index % 10 + 1);
        if let Some(at) = theirs.windows(32).position(|window| window == [0x33; 32]) {
            theirs[at..at + 32].fill(0);
            ours[at..at + 32].fill(0);
        }
        for at in 0..theirs.len() - 1 {
            if theirs[at..at + 2] == [0xde, 0xad] {
                assert_eq!((ours[at], ours[at] & 0x0f), (ours[at + 1], 0x0a), "GREASE");
                ours[at..at + 2].copy_from_slice(&[0xde, 0xad]);
            }
        }
        assert_eq!(ours, theirs, "{host}, hello {}", index % 10 + 1);
        count += 1;
    }
    assert_eq!(count, 20);
}

#[test]
fn what_is_drawn_differs_from_salt_to_salt() {
    let hello = &jarms()[9];
    let (mut shares, mut greases) = (HashSet::new(), HashSet::new());
    for salt in 0..200 {
        let salt = Salt { random: [salt; 32], session_id: [1; 32] };
        let parsed = Parsed::of(&written(hello, &salt, Some("a.example")));
        let key_shares = parsed.key_shares().unwrap();
        shares.insert(key_shares[1].1.clone());
        greases.insert((parsed.suites[0], parsed.extensions[0].0, key_shares[0].0));
        assert_eq!(hello.server_name(Some("a.example")), parsed.server_name().as_deref());
    }
    assert_eq!(shares.len(), 200);
    // 4,096 combinations: 200 draws meet about five times.
    assert!(greases.len() > 170, "{} of 200", greases.len());
    assert_eq!(greases.iter().map(|drawn| drawn.0).collect::<HashSet<_>>().len(), 16);
    assert_eq!(greases.iter().map(|drawn| drawn.2).collect::<HashSet<_>>().len(), 16);
}

#[test]
fn they_have_numbers_and_no_second_hello() {
    assert_eq!(JarmProbe::ALL.map(JarmProbe::number), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(JarmProbe::ALL.map(JarmProbe::index), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut out = vec![1];
    let retry = Retry { group: Some(0x17), cookie: Vec::new() };
    for hello in jarms() {
        assert_eq!(hello.write_retry(&mut out, &SALT, None, &retry), Err(NoRetry::Jarm));
        assert!(out.is_empty());
    }
}
