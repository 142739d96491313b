//! TLS 1.3, all but the ServerHello under keys.

use std::sync::Arc;

use super::*;
use crate::hello::{Hello, Profile, Retry, Salt, group};

const LEAF: &[u8] = &[0x30, 1, 2, 3, 4];
const ISSUER: &[u8] = &[0x30, 9, 9];
/// A stapled response, and two timestamps.
const EXTENSIONS: &[u8] =
    &[0, 5, 0, 6, 1, 0, 0, 2, 6, 6, 0, 18, 0, 8, 0, 6, 0, 1, 7, 0, 1, 8, 0xab, 0xcd, 0, 0];
/// Of h2, behind an extension that is of no interest.
const ALPN: &[u8] = &[8, 0, 0, 15, 0, 13, 0, 10, 0, 0, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
const REQUEST: &[u8] =
    &[13, 0, 0, 19, 0, 0, 16, 0, 13, 0, 2, 0, 0, 0, 47, 0, 6, 0, 4, 0, 2, 0x30, 0];

fn flight() -> [Vec<u8>; 3] {
    [ALPN.to_vec(), REQUEST.to_vec(), certificate(&[LEAF, ISSUER], Some(EXTENSIONS))]
}

fn is_flight(capture: &Capture) {
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!((capture.version(), capture.group()), (Some(0x0304), Some(group::X25519)));
    assert_eq!(capture.alpn(), Some(&b"h2"[..]));
    assert_eq!(certificates(capture), [LEAF, ISSUER]);
    assert_eq!(capture.ocsp(), Some(&[6, 6][..]));
    assert_eq!(capture.scts().collect::<Vec<_>>(), [[7], [8]]);
    assert!(capture.client_auth());
    assert_eq!(capture.client_cas().collect::<Vec<_>>(), [[0x30, 0]]);
    assert_eq!(capture.fault(), None);
}

#[test]
fn all_that_a_host_says_under_each_suite() {
    for cipher in 0x1301..=0x1303 {
        let mut host = Host::new(&SENT, cipher);
        record_of(&mut host.octets, record::CHANGE_CIPHER_SPEC, &[1]);
        host.say(record::HANDSHAKE, &flight().concat(), 0);
        host.octets.extend_from_slice(b"signatures, which nobody reads");
        let capture = enough(&host.octets);
        assert_eq!(capture.cipher(), Some(cipher));
        is_flight(&capture);
    }
}

#[test]
fn records_and_messages_are_cut_at_other_places() {
    let whole = flight().concat();
    for len in [1, 3, 4, 5, 17, 60] {
        let mut host = Host::new(&SENT, 0x1301);
        for (n, part) in whole.chunks(len).enumerate() {
            host.say(record::HANDSHAKE, part, n % 3);
            record_of(&mut host.octets, record::CHANGE_CIPHER_SPEC, &[1]);
            host.say(record::HANDSHAKE, &[], n % 2);
        }
        is_flight(&enough(&host.octets));
    }
}

#[test]
fn padding_of_any_length() {
    for zeros in [0, 1, 255, record::LONGEST_CLEAR - flight().concat().len()] {
        let mut host = Host::new(&SENT, 0x1303);
        host.say(record::HANDSHAKE, &flight().concat(), zeros);
        is_flight(&enough(&host.octets));
    }
}

#[test]
fn it_is_cut_anywhere() {
    let [extensions, request, chain] = flight();
    let mut host = Host::new(&SENT, 0x1302);
    host.say(record::HANDSHAKE, &[extensions, request].concat(), 3);
    for part in chain.chunks(11) {
        host.say(record::HANDSHAKE, part, 0);
    }
    is_cut_anywhere(&script(&host.octets), &KeyShares::identity());
}

#[test]
fn certificates_that_arrived_whole_are_kept() {
    let mut host = Host::new(&SENT, 0x1301);
    let chain = certificate(&[LEAF, ISSUER], Some(EXTENSIONS));
    host.say(record::HANDSHAKE, &[ALPN, &chain[..chain.len() - 1]].concat(), 0);
    let (capture, is_enough) = capture(&host.octets);
    assert_eq!((is_enough, capture.stage()), (false, TlsStage::ServerHello));
    assert_eq!((certificates(&capture).len(), capture.ocsp().is_some()), (2, true));
    // Another record does not open; what came before it stays.
    host.octets.extend_from_slice(&[23, 3, 3, 0, 20]);
    host.octets.extend_from_slice(&[0; 20]);
    let capture = enough(&host.octets);
    assert_eq!((capture.outcome(), capture.fault()), (TlsOutcome::Malformed, Some(Fault::Sealed)));
    assert_eq!(certificates(&capture), [LEAF, ISSUER]);
}

#[test]
fn alerts_in_clear_and_under_keys() {
    let mut host = Host::new(&SENT, 0x1301);
    let mut open = Host::new(&SENT, 0x1301);
    host.say(record::ALERT, &[1, 40], 1); // the level says nothing
    open.octets.extend_from_slice(&[21, 3, 3, 0, 2, 2, 40]);
    for octets in [&host.octets, &open.octets] {
        let capture = enough(octets);
        assert_eq!(capture.outcome(), TlsOutcome::Alert);
        assert_eq!(
            (capture.alert().unwrap().description, capture.stage()),
            (40, TlsStage::ServerHello)
        );
    }
    let mut host = Host::new(&SENT, 0x1301);
    host.say(record::ALERT, &[1, 90], 0); // user_canceled: more comes
    host.say(record::HANDSHAKE, &flight().concat(), 0);
    is_flight(&enough(&host.octets));
    let mut host = Host::new(&SENT, 0x1301);
    host.say(record::ALERT, &[1], 0);
    assert_eq!(fault(&host.octets), Fault::Alert);
}

#[test]
fn a_host_that_does_not_show_a_certificate() {
    let mut host = Host::new(&SENT, 0x1301);
    host.say(record::HANDSHAKE, &[&[8, 0, 0, 2, 0, 0][..], &message(20, &[1; 32])].concat(), 0);
    let capture = enough(&host.octets);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!(capture.certificates().count(), 0);
}

#[test]
fn records_that_break_the_rules() {
    let said = |say: &dyn Fn(&mut Host)| {
        let mut host = Host::new(&SENT, 0x1301);
        say(&mut host);
        fault(&host.octets)
    };
    assert_eq!(said(&|host| host.say(0, &[], 5)), Fault::Padding);
    assert_eq!(said(&|host| host.say(record::APPLICATION_DATA, b"x", 0)), Fault::RecordType(23));
    assert_eq!(said(&|host| host.say(record::CHANGE_CIPHER_SPEC, &[1], 0)), Fault::RecordType(20));
    let too_long = |host: &mut Host| host.say(record::HANDSHAKE, &[0; 16_385], 0);
    assert_eq!(said(&too_long), Fault::RecordLength(16_385));
    let longest = [&flight().concat()[..], &[0; 16_384]].concat();
    let mut host = Host::new(&SENT, 0x1301);
    host.say(record::HANDSHAKE, &longest[..16_384], 0);
    is_flight(&enough(&host.octets));
    assert_eq!(
        said(&|host| host.octets.extend_from_slice(&[23, 3, 3, 0x41, 1])),
        Fault::RecordLength(0x4101)
    );
    assert_eq!(said(&|host| record_of(&mut host.octets, 22, &[8, 0, 0, 2])), Fault::RecordType(22));
    assert_eq!(said(&|host| host.say(22, &message(14, &[]), 0)), Fault::Unexpected(14));
    assert_eq!(said(&|host| host.say(22, &message(15, &[]), 0)), Fault::Unexpected(15));
    assert_eq!(said(&|host| host.say(22, &message(8, &[0, 9]), 0)), Fault::Message(8));
    assert_eq!(said(&|host| host.say(22, &message(13, &[0]), 0)), Fault::Message(13));
    assert_eq!(said(&|host| host.say(22, &message(11, &[9]), 0)), Fault::Message(11));
    // A short record cannot hold a tag.
    assert_eq!(said(&|host| host.octets.extend_from_slice(&[23, 3, 3, 0, 1, 0])), Fault::Sealed);
    let hello = Host::new(&SENT, 0x1301).octets;
    let more = [&hello[5..], &[8]].concat();
    assert_eq!(fault(&records(&[&more])), Fault::KeyChange);
}

#[test]
fn a_record_that_was_changed_does_not_open() {
    let mut host = Host::new(&SENT, 0x1301);
    let hello_len = host.octets.len();
    host.say(record::HANDSHAKE, &flight().concat(), 0);
    for at in [hello_len + 1, hello_len + 5, host.octets.len() - 1] {
        let mut octets = host.octets.clone();
        octets[at] ^= 0x40;
        let capture = enough(&octets);
        assert!(matches!(capture.fault(), Some(Fault::Sealed | Fault::RecordType(_))));
        assert_eq!((capture.stage(), capture.alpn()), (TlsStage::ServerHello, None));
    }
}

/// As [`SENT`], with another suite in place of the last, and another group in place of x25519.
fn offering(suite: u16, group: u16) -> Vec<u8> {
    let mut sent = SENT.to_vec();
    sent[50..52].copy_from_slice(&suite.to_be_bytes());
    for at in [69, 79] {
        sent[at..at + 2].copy_from_slice(&group.to_be_bytes());
    }
    sent
}

#[test]
fn a_host_that_picks_what_was_not_offered() {
    let hello = |cipher, group: u16| {
        let share = [&group.to_be_bytes()[..], &[0, 32], &[7; 32]].concat();
        records(&[&server_hello(0x0303, cipher, &[(43, &[3, 4]), (51, &share)])])
    };
    assert!(!capture(&hello(0x1303, group::X25519)).1);
    assert_eq!(fault(&hello(0x1304, group::X25519)), Fault::Suite(0x1304));
    assert_eq!(fault(&hello(0x1301, 0x11ec)), Fault::Group(0x11ec));
    // Offered, but without a share.
    assert_eq!(fault(&hello(0x1301, group::SECP384R1)), Fault::Group(group::SECP384R1));
    for profile in [Profile::Tls12, Profile::Legacy] {
        let mut sent = Vec::new();
        let shares = KeyShares::identity();
        let salt = Salt { random: [3; 32], session_id: [4; 32] };
        Hello::new(profile, Arc::new(shares)).write(&mut sent, &salt, None);
        let script = Script(vec![(sent, hello(0x1301, group::X25519))]);
        let (capture, _) = script.play_all_ways(&KeyShares::identity(), &[9], Cut::Idle);
        assert_eq!(
            (capture.outcome(), capture.fault()),
            (TlsOutcome::Malformed, Some(Fault::Version(0x0304)))
        );
    }
}

#[test]
fn a_hello_that_we_have_no_keys_for() {
    let share = |group: u16, len: usize| {
        [&group.to_be_bytes()[..], &(len as u16).to_be_bytes(), &vec![7; len]].concat()
    };
    let hello = |cipher, share: &[u8]| {
        records(&[&server_hello(0x0303, cipher, &[(43, &[3, 4]), (51, share)])])
    };
    let foreign = [
        (offering(0x1304, group::X25519), hello(0x1304, &share(group::X25519, 32))),
        (offering(0x1303, 0x11ec), hello(0x1301, &share(0x11ec, 1_120))),
    ];
    for part in foreign {
        let script = Script(vec![part]);
        let (capture, is_enough) = script.play_all_ways(&KeyShares::identity(), &[9], Cut::Idle);
        assert!(is_enough);
        assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::ServerHello));
        assert_eq!((capture.fault(), capture.version()), (Some(Fault::NoKeys), Some(0x0304)));
    }
    // With the share of somebody else in the hello, nothing opens, and it is not the host's fault.
    let sent = SENT.map(|octet| if octet == 9 { 8 } else { octet });
    let mut host = Host::new(&SENT, 0x1301);
    host.say(record::HANDSHAKE, &flight().concat(), 0);
    let script = Script(vec![(sent.to_vec(), host.octets)]);
    let (capture, _) = script.play_all_ways(&KeyShares::identity(), &[9], Cut::Idle);
    assert_eq!((capture.outcome(), capture.fault()), (TlsOutcome::Ok, Some(Fault::NoKeys)));

    assert_eq!(fault(&hello(0x1301, &share(group::X25519, 31))), Fault::Share(group::X25519));
    let none = server_hello(0x0303, 0x1301, &[(43, &[3, 4])]);
    assert_eq!(fault(&records(&[&none])), Fault::Message(2));
}

#[test]
fn another_hello_is_asked_for() {
    let request = retry(&[(43, &[3, 4]), (51, &[0, 24]), (44, &[0, 2, 5, 6])]);
    let mut octets = records(&[&request]);
    record_of(&mut octets, record::CHANGE_CIPHER_SPEC, &[1]);
    let mut handshake = Handshake::new();
    let (used, next) = handshake.read(&SENT, &KeyShares::identity(), &octets);
    assert_eq!(used, octets.len() - 6);
    assert_eq!(next, Next::Retry(Retry { group: Some(24), cookie: vec![5, 6] }));
    let capture = handshake.finish(Cut::Finished);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Truncated, TlsStage::Hello));
    assert!(!capture.retried(), "nothing was sent yet");
    assert!(capture.server_hello().is_none());
    assert_eq!((capture.version(), capture.group()), (Some(0x0304), Some(24)));

    // The cookie alone.
    let request = records(&[&retry(&[(43, &[3, 4]), (44, &[0, 1, 5])])]);
    let (_, next) = Handshake::new().read(&SENT, &KeyShares::identity(), &request);
    assert_eq!(next, Next::Retry(Retry { group: None, cookie: vec![5] }));
}

#[test]
fn requests_for_another_hello_that_lead_nowhere() {
    let request = retry(&[(43, &[3, 4]), (51, &[0, 24])]);
    let twice = Script(vec![(SENT.to_vec(), records(&[&request])); 2]);
    let (capture, is_enough) = twice.play_all_ways(&KeyShares::identity(), &[7], Cut::Idle);
    assert_eq!((is_enough, capture.fault()), (true, Some(Fault::Retry)));
    assert!(capture.retried());
    assert_eq!(fault(&records(&[&retry(&[(43, &[3, 4]), (51, &[0x11, 0xec])])])), Fault::Retry);
    // What is there already, and what changes nothing.
    assert_eq!(fault(&records(&[&retry(&[(43, &[3, 4]), (51, &[0, 29])])])), Fault::Retry);
    assert_eq!(fault(&records(&[&retry(&[(43, &[3, 4])])])), Fault::Retry);
    assert_eq!(fault(&records(&[&retry(&[(51, &[0, 24])])])), Fault::Message(2));
    assert_eq!(fault(&records(&[&[&request[..], &[2]].concat()])), Fault::KeyChange);
}
