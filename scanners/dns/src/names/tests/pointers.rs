use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use mrpf_engine::target::Targets;
use proptest::prelude::*;

use super::{
    super::{Names, Pointers, Pull, Question, pointers::pointer},
    all,
};
use crate::message::Name;

/// The address of a name, by the definition of RFC 1035, section 3.5, and RFC 3596, section 2.5.
fn address(name: &Name) -> Option<IpAddr> {
    let text = name.to_string();
    if let Some(octets) = text.strip_suffix(".in-addr.arpa") {
        let reversed: Vec<&str> = octets.split('.').rev().collect();
        return reversed.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = text.strip_suffix(".ip6.arpa")?.split('.').collect();
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| nibble.len() != 1) {
        return None;
    }
    let digits: String = nibbles.into_iter().rev().collect();
    u128::from_str_radix(&digits, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
}

fn targets(specs: &str) -> Arc<Targets> {
    Arc::new(Targets::builder().spec(specs).ports("53").allow_reserved(true).build().unwrap())
}

#[test]
fn all_addresses_of_networks_and_ranges_in_order_or_mixed() {
    let targets = targets("198.18.0.0/23 198.19.0.3-9 2001:db8::/120 2001:db8:1::5-2001:db8:1::7");
    let named = |seed| {
        let given = all(Pointers::new(Arc::clone(&targets), seed));
        let addr = |question: &Question| address(question.name.as_ref().unwrap()).unwrap();
        given.iter().map(addr).collect::<Vec<_>>()
    };
    let expected: Vec<IpAddr> = (0..targets.len()).map(|index| targets.nth(index).addr).collect();
    assert_eq!(expected.len(), 512 + 7 + 256 + 3);
    assert_eq!(named(None), expected);
    let mixed = named(Some(7));
    assert_ne!(mixed, expected);
    assert_eq!(BTreeSet::from_iter(mixed.iter().copied()), BTreeSet::from_iter(expected));
    assert_eq!(mixed.len(), 512 + 7 + 256 + 3);
    assert_eq!(named(Some(7)), mixed);
}

/// As many as there are, without any of them in memory; and passing over most of them takes no time.
#[test]
fn a_large_network_is_not_walked_to_be_passed_over() {
    let mut pointers = Pointers::new(targets("2001:db8::/64"), None);
    pointers.skip(u64::MAX).unwrap();
    let mut question = Question::default();
    assert_eq!(pointers.next(&mut question).unwrap(), Pull::Question);
    let last = "2001:db8::ffff:ffff:ffff:ffff".parse().unwrap();
    assert_eq!(address(&question.name.unwrap()), Some(last));
    assert_eq!(pointers.next(&mut Question::default()).unwrap(), Pull::End);
}

proptest! {
    #[test]
    fn names_and_addresses_undo_each_other(v4: Ipv4Addr, v6: Ipv6Addr) {
        prop_assert_eq!(address(&pointer(v4.into())), Some(v4.into()));
        prop_assert_eq!(address(&pointer(v6.into())), Some(v6.into()));
    }
}
