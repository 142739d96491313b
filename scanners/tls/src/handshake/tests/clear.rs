//! Up to TLS 1.2, all in clear.

use super::*;

const DONE: [u8; 4] = [14, 0, 0, 0];
const LEAF: &[u8] = &[0x30, 1, 2, 3, 4];
const ISSUER: &[u8] = &[0x30, 9, 9];

/// An ephemeral key of P-256 that is signed.
fn key_exchange(version: u16) -> Vec<u8> {
    let algorithm: &[u8] = if version == messages::TLS12 { &[4, 3] } else { &[] };
    message(12, &[&[3, 0, 23, 2, 4, 4][..], algorithm, &[0, 3, 1, 1, 1]].concat())
}

fn request(version: u16, names: &[u8]) -> Vec<u8> {
    let algorithms: &[u8] = if version == messages::TLS12 { &[0, 2, 4, 3] } else { &[] };
    message(13, &[&[2, 1, 64][..], algorithms, &[0, names.len() as u8], names].concat())
}

/// A host that says all there is to say.
fn talkative(version: u16) -> Vec<Vec<u8>> {
    let extensions: [(u16, &[u8]); 4] =
        [(16, &[0, 3, 2, b'h', b'2']), (5, &[]), (18, &[0, 6, 0, 1, 7, 0, 1, 8]), (0xff01, &[0])];
    vec![
        server_hello(version, 0xc02b, &extensions),
        certificate(&[LEAF, ISSUER], None),
        message(22, &[1, 0, 0, 3, 5, 5, 5]),
        key_exchange(version),
        request(version, &[0, 2, 0x30, 0, 0, 3, 0x30, 1, 1]),
        DONE.to_vec(),
    ]
}

fn is_talkative(capture: &Capture, version: u16) {
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!((capture.version(), capture.cipher()), (Some(version), Some(0xc02b)));
    assert_eq!((capture.group(), capture.alpn()), (Some(23), Some(&b"h2"[..])));
    assert_eq!(certificates(capture), [LEAF, ISSUER]);
    assert_eq!(capture.ocsp(), Some(&[5, 5, 5][..]));
    assert_eq!(capture.scts().collect::<Vec<_>>(), [[7], [8]]);
    assert!(capture.client_auth() && !capture.retried());
    let names: Vec<_> = capture.client_cas().collect();
    assert_eq!(names, [&[0x30, 0][..], &[0x30, 1, 1]]);
    assert_eq!((capture.alert(), capture.fault()), (None, None));
    assert!(capture.first_bytes().is_empty());
}

#[test]
fn all_that_a_host_says_in_each_version() {
    for version in 0x0300..=0x0303 {
        let messages = talkative(version);
        let parts: Vec<_> = messages.iter().map(Vec::as_slice).collect();
        let capture = enough(&records(&parts));
        is_talkative(&capture, version);
        assert_eq!(capture.server_hello(), Some(&messages[0][..]));
    }
}

#[test]
fn records_and_messages_are_cut_at_other_places() {
    let whole = talkative(0x0303).concat();
    for len in [1, 2, 3, 5, 7, 64, whole.len()] {
        let parts: Vec<_> = whole.chunks(len).collect();
        is_talkative(&enough(&records(&parts)), 0x0303);
    }
    // Empty records, and change_cipher_spec, anywhere.
    let mut octets = Vec::new();
    for part in whole.chunks(9) {
        record_of(&mut octets, record::HANDSHAKE, &[]);
        record_of(&mut octets, record::CHANGE_CIPHER_SPEC, &[1]);
        record_of(&mut octets, record::HANDSHAKE, part);
    }
    is_talkative(&enough(&octets), 0x0303);
}

#[test]
fn what_follows_the_end_is_not_read() {
    let messages = talkative(0x0303);
    let parts: Vec<_> = messages.iter().map(Vec::as_slice).collect();
    let mut octets = records(&parts);
    octets.extend_from_slice(b"whatever");
    let mut handshake = Handshake::new();
    let (used, next) = handshake.read(&SENT, &KeyShares::identity(), &octets);
    assert_eq!((used, next), (octets.len(), Next::Enough));
    assert_eq!(handshake.read(&SENT, &KeyShares::identity(), b"more"), (4, Next::Enough));
    is_talkative(&handshake.finish(Cut::Reset), 0x0303);
}

#[test]
fn it_is_cut_anywhere() {
    let parts = talkative(0x0303);
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).collect();
    is_cut_anywhere(&script(&records(&parts)), &KeyShares::identity());
    is_cut_anywhere(&script(&records(&[&parts.concat()])), &KeyShares::identity());
}

#[test]
fn certificates_that_arrived_whole_are_kept() {
    let octets = records(&[&talkative(0x0303)[..2].concat()]);
    let (capture, _) = capture(&octets[..octets.len() - 1]);
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Timeout, TlsStage::ServerHello));
    assert_eq!(certificates(&capture), [LEAF]);
}

#[test]
fn between_the_certificate_and_the_end() {
    let messages = talkative(0x0303);
    let octets = records(&[&messages[0], &messages[1]]);
    for (cut, outcome) in [
        (Cut::Finished, TlsOutcome::Truncated),
        (Cut::Reset, TlsOutcome::Reset),
        (Cut::Idle, TlsOutcome::Timeout),
    ] {
        let (capture, _) = script(&octets).play_all_ways(&KeyShares::identity(), &[4], cut);
        assert_eq!((capture.outcome(), capture.stage()), (outcome, TlsStage::Certificate));
        assert_eq!(certificates(&capture), [LEAF, ISSUER]);
    }
}

#[test]
fn a_host_without_extensions() {
    let hello = message(2, &[&[3, 0][..], &[9; 32], &[1, 7], &[0, 5], &[0]].concat());
    let capture = enough(&records(&[&hello, &certificate(&[LEAF], None), &DONE]));
    assert_eq!((capture.version(), capture.cipher()), (Some(0x0300), Some(5)));
    assert_eq!((capture.alpn(), capture.group(), capture.ocsp()), (None, None, None));
    assert!(!capture.client_auth() && capture.scts().next().is_none());
    assert_eq!(certificates(&capture), [LEAF]);
}

#[test]
fn a_host_without_a_certificate() {
    let anonymous = message(12, &[3, 0, 24, 2, 4, 4]);
    let capture = enough(&records(&[&server_hello(0x0303, 0xc018, &[]), &anonymous, &DONE]));
    assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
    assert_eq!((capture.group(), capture.certificates().count()), (Some(24), 0));
}

#[test]
fn a_prime_of_6144_bits_is_no_curve() {
    let number = |len: u16| [&len.to_be_bytes()[..], &vec![0xff; len.into()]].concat();
    let body = [number(768), number(1), number(768), vec![4, 1], number(256)].concat();
    assert_eq!(body[0], 3); // which is that of a named curve
    let exchange = message(12, &body);
    let capture = enough(&records(&[
        &server_hello(0x0303, 0x9e, &[]),
        &certificate(&[LEAF], None),
        &exchange,
        &DONE,
    ]));
    assert_eq!((capture.outcome(), capture.group()), (TlsOutcome::Ok, None));
}

#[test]
fn messages_that_change_nothing() {
    let octets = records(&[
        &[0, 0, 0, 0], // HelloRequest
        &server_hello(0x0302, 0x2f, &[]),
        &message(23, &[1, 2, 3]),
        &[0, 0, 0, 0],
        &certificate(&[LEAF], None),
        &message(22, &[2, 0, 0, 1, 5]), // a list of responses
        &DONE,
    ]);
    let capture = enough(&octets);
    assert_eq!((capture.outcome(), capture.ocsp()), (TlsOutcome::Ok, None));
    assert_eq!(certificates(&capture), [LEAF]);
}

#[test]
fn a_flight_of_64_kib() {
    let large: Vec<_> = (0..4_u8).map(|n| vec![n; 16_000]).collect();
    let all: Vec<_> = large.iter().map(Vec::as_slice).collect();
    let whole = [server_hello(0x0303, 0x2f, &[]), certificate(&all, None), DONE.to_vec()].concat();
    let parts: Vec<_> = whole.chunks(record::LONGEST_CLEAR).collect();
    let (capture, is_enough) =
        script(&records(&parts)).play(&KeyShares::identity(), || 1_460, Cut::Idle);
    assert!(is_enough && capture.outcome() == TlsOutcome::Ok);
    assert_eq!(certificates(&capture), large);
}

#[test]
fn more_than_is_kept() {
    let chain = vec![&[5; 30_000][..]; 5];
    let whole = [server_hello(0x0303, 0x2f, &[]), certificate(&chain, None)].concat();
    let parts: Vec<_> = whole.chunks(9_000).collect();
    let script = script(&records(&parts));
    let (capture, is_enough) = script.play(&KeyShares::identity(), || 1_460, Cut::Idle);
    assert!(is_enough);
    assert_eq!((capture.outcome(), capture.fault()), (TlsOutcome::Truncated, None));
    assert_eq!(capture.octets.len(), LIMIT);
    assert_eq!(certificates(&capture), &chain[..4]);
    assert_eq!(script.play(&KeyShares::identity(), || 16_500, Cut::Idle), (capture, true));
}

#[test]
fn a_certificate_that_lies_about_its_length() {
    let hello = server_hello(0x0303, 0x2f, &[]);
    let mut says_more = certificate(&[LEAF, ISSUER], None);
    says_more[1] = 0xff; // 16 MiB: what came is what there is
    let (capture, is_enough) = capture(&records(&[&hello, &says_more]));
    assert_eq!((is_enough, capture.outcome()), (false, TlsOutcome::Timeout));
    assert_eq!(certificates(&capture), [LEAF, ISSUER]);

    let mut list = certificate(&[LEAF, ISSUER], None);
    list[6] += 1; // the list is longer than the message
    assert_eq!(fault(&records(&[&hello, &list])), Fault::Message(11));
    let mut entry = certificate(&[LEAF, ISSUER], None);
    let at = entry.len() - ISSUER.len() - 1;
    entry[at] += 1; // the second is longer than the list
    let capture = enough(&records(&[&hello, &entry]));
    assert_eq!(capture.fault(), Some(Fault::Message(11)));
    assert_eq!(
        (certificates(&capture), capture.stage()),
        (vec![LEAF.to_vec()], TlsStage::ServerHello)
    );
    let behind = [&certificate(&[LEAF], None)[4..], &[0]].concat();
    assert_eq!(fault(&records(&[&hello, &message(11, &behind)])), Fault::Message(11));
}

#[test]
fn no_certificate_is_empty() {
    let hello = server_hello(0x0303, 0x2f, &[]);
    let capture = enough(&records(&[&hello, &certificate(&[LEAF, &[], ISSUER], None)]));
    assert_eq!(
        (capture.outcome(), capture.fault()),
        (TlsOutcome::Malformed, Some(Fault::Message(11)))
    );
    assert_eq!(certificates(&capture), [LEAF]);
    let many = vec![&[][..]; 13_000];
    let whole = [hello, certificate(&many, None)].concat();
    let parts: Vec<_> = whole.chunks(record::LONGEST_CLEAR).collect();
    let (capture, _) = script(&records(&parts)).play(&KeyShares::identity(), || 1_460, Cut::Idle);
    assert_eq!((capture.fault(), capture.certificates().count()), (Some(Fault::Message(11)), 0));
}

#[test]
fn messages_that_may_not_come() {
    let hello = server_hello(0x0303, 0x2f, &[]);
    assert_eq!(fault(&records(&[&DONE])), Fault::Unexpected(14));
    assert_eq!(fault(&records(&[&[1, 0, 0, 0]])), Fault::Unexpected(1));
    assert_eq!(fault(&records(&[&hello, &hello])), Fault::Unexpected(2));
    assert_eq!(fault(&records(&[&hello, &message(8, &[0, 0])])), Fault::Unexpected(8));
    let leaf = certificate(&[LEAF], None);
    let capture = enough(&records(&[&hello, &leaf, &leaf]));
    assert_eq!(capture.fault(), Some(Fault::Unexpected(11)));
    assert_eq!(certificates(&capture), [LEAF]);
    // Four octets tell; nobody waits for 16 MiB.
    assert_eq!(fault(&records(&[&[99, 0xff, 0xff, 0xff]])), Fault::Unexpected(99));
    assert_eq!(fault(&records(&[&[2, 0xff, 0xff, 0xff]])), Fault::MessageLength(2));
}

#[test]
fn hellos_that_are_not_built_as_they_must_be() {
    let right = server_hello(0x0303, 0x2f, &[(16, &[0, 3, 2, b'h', b'2'])]);
    assert!(!capture(&records(&[&right])).1);
    let wrong = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = right[4..].to_vec();
        change(&mut body);
        assert_eq!(fault(&records(&[&message(2, &body)])), Fault::Message(2));
    };
    wrong(&|body| body.truncate(37));
    wrong(&|body| body[34] = 33);
    wrong(&|body| body.push(0)); // behind the extensions
    wrong(&|body| body[39] -= 1);
    wrong(&|body| body[43] += 1);
    wrong(&|body| body[45] = 2); // a list of no whole name
    for version in [0x0304, 0x0200, 0x0400] {
        assert_eq!(fault(&records(&[&server_hello(version, 1, &[])])), Fault::Version(version));
    }
    let strange = server_hello(0x0303, 1, &[(43, &[0x7f, 0x17])]);
    assert_eq!(fault(&records(&[&strange])), Fault::Version(0x7f17));
}

#[test]
fn requests_that_are_not_built_as_they_must_be() {
    let before = [server_hello(0x0303, 0x2f, &[]), certificate(&[LEAF], None)].concat();
    let capture = enough(&records(&[&before, &message(13, &[1, 1, 0, 2, 4, 3, 0, 9])]));
    assert_eq!(capture.fault(), Some(Fault::Message(13)));
    assert!(capture.client_auth() && certificates(&capture) == [LEAF]);
    // A name that is longer than the list ends it.
    let capture = enough(&records(&[&before, &request(0x0303, &[0, 1, 7, 0, 9, 1]), &DONE]));
    assert_eq!(capture.client_cas().collect::<Vec<_>>(), [[7]]);
    assert_eq!(fault(&records(&[&before, &message(22, &[1, 0, 0, 4, 5])])), Fault::Message(22));
}
