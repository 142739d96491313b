//! The second ClientHello: RFC 8446 section 4.1.2 and nothing else.

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    super::{Hello, KeyShares, NoRetry, Profile, Retry, group},
    SALT, ours,
    parsed::Parsed,
    salts, written,
};

proptest! {
    #[test]
    fn only_the_share_and_the_cookie_differ(
        salt in salts(),
        name in prop::option::of("[a-z]{1,63}(\\.[a-z]{1,20}){0,4}"),
        group in prop::option::of(prop::sample::select(vec![0x1du16, 0x17, 0x18, 0x19])),
        cookie in prop::collection::vec(any::<u8>(), 0..600),
        is_fresh: bool,
    ) {
        let shares = Arc::new(if is_fresh { KeyShares::fresh().unwrap() } else { KeyShares::identity() });
        let hello = Hello::new(Profile::Modern, Arc::clone(&shares));
        let first = Parsed::of(&written(&hello, &salt, name.as_deref()));
        let mut out = Vec::new();
        let retry = Retry { group, cookie };
        hello.write_retry(&mut out, &salt, name.as_deref(), &retry).unwrap();
        let second = Parsed::of(&out);

        prop_assert_eq!(second.record_version, 0x0303);
        prop_assert!(!(256..512).contains(&second.length));
        let wanted = match group {
            Some(group) => vec![(group, shares.public(group).unwrap().to_vec())],
            None => first.key_shares().unwrap(),
        };
        prop_assert_eq!(second.key_shares().unwrap(), wanted);
        match second.extension(44) {
            None => prop_assert!(retry.cookie.is_empty()),
            Some(body) => {
                let length = (retry.cookie.len() as u16).to_be_bytes();
                prop_assert_eq!(body, [&length[..], &retry.cookie].concat());
            }
        }
        let rest = |mut parsed: Parsed| {
            parsed.extensions.retain(|(kind, _)| ![21, 44, 51].contains(kind));
            Parsed { record_version: 0, length: 0, ..parsed }
        };
        let order = |parsed: &Parsed| -> Vec<u16> {
            parsed.kinds().into_iter().filter(|kind| ![21, 44].contains(kind)).collect()
        };
        prop_assert_eq!(order(&first), order(&second));
        prop_assert_eq!(rest(first), rest(second));
    }
}

#[test]
fn what_we_have_no_share_of_is_refused() {
    let mut out = vec![1, 2, 3];
    for hello in ours() {
        // x448 and X25519MLKEM768
        for group in [0x001e, 0x11ec] {
            let retry = Retry { group: Some(group), cookie: Vec::new() };
            let refused = hello.write_retry(&mut out, &SALT, None, &retry);
            assert_eq!(refused, Err(NoRetry::Group(group)));
            assert!(out.is_empty());
        }
    }
}

#[test]
fn the_longest_cookie_fits_one_record_exactly() {
    let hello = Hello::new(Profile::Modern, Arc::new(KeyShares::identity()));
    let mut out = Vec::new();
    let mut write = |octets: usize| {
        let retry = Retry { group: Some(group::SECP521R1), cookie: vec![7; octets] };
        hello.write_retry(&mut out, &SALT, Some("a.example"), &retry).map(|()| Parsed::of(&out))
    };
    let spare = (1 << 14) - write(1_000).unwrap().length;
    assert_eq!(write(1_000 + spare).unwrap().length, 1 << 14);
    assert_eq!(write(1_001 + spare), Err(NoRetry::TooLong((1 << 14) + 1)));
    assert!(write(usize::from(u16::MAX)).is_err());
}
