//! What is learnt from hosts that follow the standard, that do not, and that are none.

mod clear;
mod hosts;
mod rfc8448;
mod sealed;
mod strange;

use mrpf_records::{TlsOutcome, TlsStage};
use proptest::prelude::*;

use super::{
    Cut, Fault, Handshake, LIMIT, Next,
    fuzzing::{
        self, Host, SENT, Script, certificate, clear as record_of, message, retry, server_hello,
    },
    messages,
};
use crate::{
    capture::{Alert, Capture},
    hello::KeyShares,
    record,
};

/// One answer to one hello.
fn script(octets: &[u8]) -> Script {
    Script(vec![(SENT.to_vec(), octets.to_vec())])
}

/// Plays it all ways. The host says no more, and keeps the connection open.
#[track_caller]
fn capture(octets: &[u8]) -> (Capture, bool) {
    script(octets).play_all_ways(&KeyShares::identity(), &[2, 5, 17], Cut::Idle)
}

/// A capture of something that is enough by itself.
#[track_caller]
fn enough(octets: &[u8]) -> Capture {
    let (capture, is_enough) = capture(octets);
    assert!(is_enough, "it waits for more: {capture:?}");
    capture
}

#[track_caller]
fn fault(octets: &[u8]) -> Fault {
    let capture = enough(octets);
    assert_eq!(capture.outcome(), TlsOutcome::Malformed);
    capture.fault().expect("a malformed capture has a fault")
}

fn certificates(capture: &Capture) -> Vec<Vec<u8>> {
    capture.certificates().map(<[u8]>::to_vec).collect()
}

/// Messages in a record each.
fn records(messages: &[&[u8]]) -> Vec<u8> {
    let mut octets = Vec::new();
    for message in messages {
        record_of(&mut octets, record::HANDSHAKE, message);
    }
    octets
}

/// However much of `octets` arrives, what is learnt is a beginning of what all of it tells.
#[track_caller]
fn is_cut_anywhere(script: &Script, shares: &KeyShares) {
    let (whole, is_enough) = script.play(shares, || usize::MAX, Cut::Finished);
    assert!(is_enough && whole.outcome() == TlsOutcome::Ok, "{whole:?}");
    let all = certificates(&whole);
    let mut stage = TlsStage::Connected;
    let mut found = 0;
    let (before, last) = script.0.split_at(script.0.len() - 1);
    let (sent, octets) = &last[0];
    for len in 0..octets.len() {
        let part = (sent.clone(), octets[..len].to_vec());
        let part = Script([before, &[part]].concat());
        let (capture, is_enough) = part.play(shares, || usize::MAX, Cut::Finished);
        if is_enough {
            assert_eq!(capture, whole, "what follows is not needed");
            continue;
        }
        assert_eq!(capture.outcome(), TlsOutcome::Truncated, "{len} octets");
        assert!(capture.stage() >= stage && capture.stage() < TlsStage::Done);
        let here = certificates(&capture);
        assert!(all.starts_with(&here) && here.len() >= found, "{len} octets");
        (stage, found) = (capture.stage(), here.len());
    }
}

#[test]
fn before_the_host_speaks_a_handshake_is_a_pointer() {
    assert_eq!(size_of::<Handshake>(), size_of::<usize>());
    assert!(size_of::<Capture>() <= 160, "{}", size_of::<Capture>());
    let mut handshake = Handshake::new();
    assert_eq!(handshake.read(&SENT, &KeyShares::identity(), &[]), (0, Next::More));
    assert!(handshake.0.is_none());
}

#[test]
fn a_host_that_says_nothing_ends_as_the_connection_did() {
    let end = |cut| {
        let capture = Handshake::new().finish(cut);
        assert_eq!(capture.stage(), TlsStage::Connected);
        assert!(capture.first_bytes().is_empty());
        capture.outcome()
    };
    assert_eq!(end(Cut::Finished), TlsOutcome::Truncated);
    assert_eq!(end(Cut::Full), TlsOutcome::Truncated);
    assert_eq!(end(Cut::Reset), TlsOutcome::Reset);
    assert_eq!(end(Cut::Unreachable), TlsOutcome::Unreachable);
    assert_eq!(end(Cut::Idle), TlsOutcome::Timeout);
    assert_eq!(end(Cut::Deadline), TlsOutcome::Timeout);
    assert_eq!(end(Cut::Enough), TlsOutcome::Truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn noise_is_survived(
        choice: u8,
        records in prop::collection::vec(
            (19_u8..26, any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut data = vec![choice];
        for (kind, is_hello, mut fragment) in records {
            if is_hello {
                fragment.splice(0..0, [2, 0, 0, 38, 3, 3]);
            }
            record_of(&mut data, kind, &fragment);
        }
        fuzzing::fuzz_records(&data);
    }

    #[test]
    fn noise_under_the_keys_is_survived(
        choice: u8,
        records in prop::collection::vec(
            (any::<u8>(), any::<bool>(), prop::sample::select(vec![8_u8, 11, 13, 20]),
             prop::collection::vec(any::<u8>(), 0..40)), 0..6),
    ) {
        let mut data = vec![choice];
        for (how, is_message, kind, mut content) in records {
            if is_message {
                content = message(kind, &content);
            }
            data.extend_from_slice(&[how, 0, content.len() as u8]);
            data.extend_from_slice(&content);
        }
        fuzzing::fuzz_handshake(&data);
    }
}
