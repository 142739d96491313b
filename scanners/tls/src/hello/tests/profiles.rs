//! What each profile says, whatever the name and the salt.

use proptest::prelude::*;

use super::{
    super::{Hello, Profile, Salt, group},
    SALT, jarms, ours,
    parsed::{Parsed, u16s},
    salts, written,
};

/// Names of 1 to 253 octets; the shape of the labels is nothing to a hello.
fn names() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9_.-]{0,251}[a-z]"
}

proptest! {
    #[test]
    fn every_name_and_salt_is_read_back(salt in salts(), name in names()) {
        for hello in ours() {
            check(&hello, &salt, None, None);
            check(&hello, &salt, Some(&name), Some(&name));
            check(&hello, &salt, Some(&format!("{name}.")), Some(&name));
        }
        for hello in jarms() {
            let with = Parsed::of(&written(&hello, &salt, Some(&name)));
            prop_assert_eq!(with.server_name(), Some(name.clone()));
            prop_assert_eq!(&with.random, &salt.random);
            prop_assert_eq!(&with.session_id, &salt.session_id);
        }
    }
}

/// Everything that holds of a profile of ours.
fn check(hello: &Hello, salt: &Salt, asked: Option<&str>, sent: Option<&str>) {
    assert_eq!(hello.server_name(asked), sent);
    let record = written(hello, salt, asked);
    assert_eq!(record, written(hello, salt, asked), "the same salt, the same octets");
    assert!(record.len() <= 1_200, "{} octets", record.len());

    let parsed = Parsed::of(&record);
    let mut bare = Parsed::of(&written(hello, &SALT, None));
    assert_eq!(parsed.server_name().as_deref(), sent);
    assert_eq!(parsed.random, salt.random);
    assert_eq!(parsed.session_id, salt.session_id[..bare.session_id.len()]);

    // RFC 7685: no length that hangs a load balancer, nothing but zeros to avoid it, and no more of them than it takes.
    assert!(!(256..512).contains(&parsed.length), "{} octets", parsed.length);
    if let Some(padding) = parsed.extension(21) {
        assert!(padding.iter().all(|octet| *octet == 0));
        assert!(parsed.length == 512 || (padding.len() == 1 && parsed.length < 517));
        assert_eq!(parsed.kinds().last(), Some(&21));
    }
    let (_, last) = parsed.extensions.last().unwrap();
    assert!(!last.is_empty(), "the last extension is empty");

    // Nothing else depends on the name or the salt.
    let mut parsed = parsed;
    parsed.extensions.retain(|(kind, _)| ![0, 21].contains(kind));
    bare.extensions.retain(|(kind, _)| *kind != 21);
    (parsed.random, parsed.session_id) = (bare.random.clone(), bare.session_id.clone());
    parsed.length = bare.length;
    assert_eq!(parsed, bare);
}

#[test]
fn lengths_around_the_unlucky_ones_are_filled_up() {
    let lengths = |hello: &Hello| -> Vec<usize> {
        let length = |count| {
            let name = "a".repeat(count);
            Parsed::of(&written(hello, &SALT, Some(&name))).length
        };
        (1..=253).map(length).collect()
    };
    let [modern, _, _, legacy] = &ours()[..] else { panic!("four profiles") };
    let modern = lengths(modern);
    assert!(modern.contains(&512) && modern.contains(&513) && modern.contains(&516));
    let legacy = lengths(legacy);
    assert!(legacy.contains(&255) && legacy.contains(&512));
    assert!(legacy.iter().all(|length| *length < 256 || *length == 512));
}

#[test]
fn modern_offers_all_that_a_certificate_needs() {
    let hellos = ours();
    let identity = Parsed::of(&written(&hellos[0], &SALT, Some("a.example")));
    assert_eq!((identity.record_version, identity.version), (0x0301, 0x0303));
    assert_eq!(identity.session_id, [0x22; 32]);
    assert_eq!(identity.compression, [0]);
    assert_eq!(identity.suites[..3], [0x1301, 0x1302, 0x1303]);
    assert_eq!(identity.extension(43), Some(&[8, 3, 4, 3, 3, 3, 2, 3, 1][..]));
    assert_eq!(u16s(&identity.extension(10).unwrap()[2..]), [0x1d, 0x17, 0x18, 0x19]);
    assert_eq!(identity.extension(16), Some(&b"\0\x0c\x02h2\x08http/1.1"[..]));
    assert_eq!(identity.extension(5), Some(&[1, 0, 0, 0, 0][..]));
    assert_eq!(identity.extension(0xff01), Some(&[0][..]));
    assert_eq!(identity.extension(18), Some(&[][..]));
    assert_eq!(identity.extension(23), Some(&[][..]));
    for kind in [27, 41, 42] {
        assert_eq!(identity.extension(kind), None); // no compression of certificates, no session, no early data
    }
    let schemes = u16s(&identity.extension(13).unwrap()[2..]);
    for scheme in [0x0201, 0x0401, 0x0403, 0x0804, 0x0807, 0x080b] {
        assert!(schemes.contains(&scheme), "{scheme:#06x}");
    }

    let groups = |parsed: &Parsed| -> Vec<u16> {
        parsed.key_shares().unwrap().into_iter().map(|(group, _)| group).collect()
    };
    assert_eq!(groups(&identity), [group::X25519, group::SECP256R1, group::SECP384R1]);
    let mut base = [0; 32];
    base[0] = 9;
    assert_eq!(identity.key_shares().unwrap()[0].1, base);
    let fresh = Parsed::of(&written(&hellos[1], &SALT, Some("a.example")));
    assert_eq!(groups(&fresh), [group::X25519]);
    assert_ne!(fresh.key_shares().unwrap()[0].1, base);
}

#[test]
fn older_profiles_know_no_newer_versions() {
    let hellos = ours();
    let tls12 = Parsed::of(&written(&hellos[2], &SALT, None));
    assert_eq!((tls12.record_version, tls12.version), (0x0301, 0x0303));
    let legacy = Parsed::of(&written(&hellos[3], &SALT, None));
    assert_eq!((legacy.record_version, legacy.version), (0x0301, 0x0302));
    assert_eq!(legacy.kinds(), [10, 11]);
    assert_eq!(legacy.suites.last(), Some(&0x00ff));
    for parsed in [tls12, legacy] {
        assert_eq!(parsed.session_id, []);
        assert!(parsed.extension(43).is_none() && parsed.extension(51).is_none());
        assert!(parsed.suites.iter().all(|suite| suite >> 8 != 0x13));
    }
}

#[test]
fn suites_are_few_and_each_has_a_certificate_and_a_key() {
    // IANA: NULL, EXPORT, anonymous, and what needs a key shared beforehand.
    let useless = [
        0x0001, 0x0002, 0x003b, 0xc001, 0xc006, 0xc00b, 0xc010, // NULL
        0x0003, 0x0006, 0x0008, 0x000b, 0x000e, 0x0011, 0x0014, 0x0017, 0x0019, // EXPORT
        0x0018, 0x001a, 0x001b, 0x0034, 0x003a, 0x0046, 0x006c, 0x006d, 0x0089, 0x009b, 0x00a6,
        0x00a7, 0xc015, 0xc016, 0xc017, 0xc018, 0xc019, // anonymous
    ];
    for hello in ours() {
        let suites = Parsed::of(&written(&hello, &SALT, None)).suites;
        assert!(suites.len() < 64, "{} has {}", hello.profile(), suites.len());
        let mut once = suites.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), suites.len(), "{} has one twice", hello.profile());
        assert!(suites.iter().all(|suite| !useless.contains(suite)));
    }
}

#[test]
fn what_is_no_dns_name_is_not_sent() {
    let (ours, jarms) = (ours(), jarms());
    let long = "a".repeat(254);
    for name in [
        "",
        ".",
        "198.18.0.1",
        "198.18.0.1.",
        "2001:db8::1",
        "[2001:db8::1]",
        "ü.example",
        "a b",
        &long,
    ] {
        for hello in &ours {
            check(hello, &SALT, Some(name), None);
        }
    }
    for hello in jarms {
        assert_eq!(hello.server_name(Some("198.18.0.1")), Some("198.18.0.1"));
        assert_eq!(hello.server_name(Some("2001:db8::1")), Some("2001:db8::1"));
        assert_eq!(hello.server_name(Some("")), None);
        assert_eq!(Parsed::of(&written(&hello, &SALT, None)).server_name(), None);
    }
}

#[test]
fn writing_into_a_buffer_that_is_long_enough_allocates_nothing() {
    let mut out = Vec::with_capacity(1_200);
    for hello in ours().iter().chain(&jarms()) {
        let used = allocation_counter::measure(|| {
            for _ in 0..100 {
                hello.write(&mut out, &SALT, Some("a.long.name.of.a.host.example"));
            }
        });
        assert_eq!(used.count_total, 0, "{}", hello.profile());
    }
}

#[test]
fn profiles_are_called_what_they_are() {
    for name in ["modern", "tls12", "legacy"] {
        assert_eq!(name.parse::<Profile>().unwrap().to_string(), name);
    }
    assert_eq!(Profile::default(), Profile::Modern);
    let error = "tls13".parse::<Profile>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no ClientHello profile is called `tls13`: modern, tls12 and legacy are"
    );
}
