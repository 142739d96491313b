//! Hosts and strangers that do what TCP allows, or does not: one fixture a trick, and exactly what comes of it.

use proptest::prelude::*;

use super::{
    super::{Counts, End, Handled, Report, Settings, Stage},
    few,
    hand::{ACK, FIN, Hand, PSH, REQUEST, RST, SYN_ACK, acks, asks, resets, sacks},
    octets,
};

const KEY: u64 = 42;
const FLIGHT: usize = 64 << 10;

/// What a flow is that got `received` octets in the moment it was opened, and that we closed.
fn closed(hand: &Hand, received: u32) -> Report {
    Report {
        remote: super::hand::HOST,
        local_port: super::hand::PORT,
        word: 9,
        end: End::Closed,
        stage: Stage::Answering,
        opened: hand.now,
        first: Some(hand.now),
        last: Some(hand.now),
        received,
        truncated: false,
        zero_window: false,
        resent: 0,
        suspicious: 0,
    }
}

#[track_caller]
fn ends_clean(mut hand: Hand, flight: &[u8]) {
    assert_eq!(hand.data(), flight);
    hand.sent();
    assert_eq!(
        hand.flows.counts(),
        Counts { moved: hand.flows.counts().moved, ..Counts::default() }
    );
    let expected = closed(&hand, flight.len() as u32);
    assert_eq!(hand.close(), (expected, vec![resets(REQUEST as i32)]));
}

#[test]
fn segments_of_one_octet() {
    let flight = octets(KEY, 3_000);
    let mut hand = Hand::asked();
    for (at, octet) in flight.iter().enumerate() {
        assert_eq!(hand.says(at as i32, PSH, &[*octet]), Handled::Data(hand.id));
        assert_eq!(hand.sent(), [acks(at as i32 + 1)]);
    }
    ends_clean(hand, &flight);
}

#[test]
fn everything_again_and_differently() {
    let flight = octets(KEY, 3_000);
    let mut hand = Hand::asked();
    for (at, part) in flight.chunks(1_000).enumerate() {
        assert_eq!(hand.says(at as i32 * 1_000, ACK, part), Handled::Data(hand.id));
    }
    hand.sent();
    // Other octets in the same places, from the middle and over the end: what is there stays.
    let other = vec![!0; 1_000];
    for at in [0, 500, 1_500, 2_000] {
        assert_eq!(hand.says(at, ACK, &other), Handled::Quiet);
        assert_eq!(hand.sent(), [acks(3_000)]);
    }
    assert_eq!(hand.says(2_500, ACK, &other), Handled::Data(hand.id));
    ends_clean(hand, &[&flight[..], &other[500..]].concat());
}

#[test]
fn overlaps_beyond_a_hole() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(4, ACK, b"EFGH"), Handled::Quiet);
    assert_eq!(hand.says(10, ACK, b"KL"), Handled::Quiet);
    assert_eq!(hand.says(2, ACK, b"cdefghijklmn"), Handled::Quiet);
    assert_eq!(hand.sent(), [sacks(0, (2, 14))]);
    assert_eq!(hand.says(0, ACK, b"ab??"), Handled::Data(hand.id));
    ends_clean(hand, b"abcdEFGHijKLmn");
}

#[test]
fn the_last_segment_first() {
    let flight = octets(KEY, 14_600);
    let mut hand = Hand::asked();
    for at in (1..10).rev() {
        let part = &flight[at * 1_460..(at + 1) * 1_460];
        assert_eq!(hand.says(at as i32 * 1_460, ACK, part), Handled::Quiet);
        assert_eq!(hand.sent(), [sacks(0, (at as i32 * 1_460, 14_600))]);
    }
    assert_eq!(hand.says(0, ACK, &flight[..1_460]), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(14_600)]);
    ends_clean(hand, &flight);
}

#[test]
fn every_second_segment_until_there_are_too_many_holes() {
    let flight = octets(KEY, 20_000);
    let mut hand = Hand::asked();
    let part = |at: usize| &flight[at * 1_000..(at + 1) * 1_000];
    for at in (1..20).step_by(2) {
        assert_eq!(hand.says(at as i32 * 1_000, ACK, part(at)), Handled::Quiet);
    }
    assert_eq!(hand.flows.counts().too_many_holes, 2); // eight blocks are kept, ten came
    for at in (0..20).step_by(2) {
        hand.says(at as i32 * 1_000, ACK, part(at));
    }
    assert_eq!(hand.data().len(), 17_000);
    assert_eq!(hand.sent(), [sacks(17_000, (18_000, 19_000))]);
    hand.says(17_000, ACK, part(17));
    hand.says(19_000, PSH, part(19));
    assert_eq!(hand.data(), flight);
    assert_eq!(hand.close().0.received, 20_000);
}

#[test]
fn a_flight_of_64_kib() {
    let flight = octets(KEY, FLIGHT);
    let mut hand = Hand::asked();
    for (at, part) in flight.chunks(1_460).enumerate() {
        assert_eq!(hand.says(at as i32 * 1_460, ACK, part), Handled::Data(hand.id));
    }
    // Each growth doubled the buffer.
    assert!(hand.flows.counts().moved <= 3, "{:?}", hand.flows.counts());
    ends_clean(hand, &flight);
}

#[test]
fn more_than_64_kib() {
    let flight = octets(KEY, FLIGHT + 10_000);
    let mut hand = Hand::asked();
    let mut ended = None;
    for (at, part) in flight.chunks(1_460).enumerate() {
        match hand.says(at as i32 * 1_460, ACK, part) {
            Handled::Data(_) => assert_eq!(ended, None),
            Handled::Ended(_) => ended = ended.or(Some(at)),
            _ => assert!(ended.is_some()),
        }
    }
    assert_eq!(ended, Some(FLIGHT / 1_460)); // as soon as the cap was reached
    assert_eq!(hand.data(), &flight[..FLIGHT]);
    let expected = Report { end: End::Full, truncated: true, ..closed(&hand, FLIGHT as u32) };
    assert_eq!(hand.close(), (expected, vec![resets(REQUEST as i32)]));
}

#[test]
fn more_than_the_cap_with_a_hole_below_it() {
    let settings = Settings { cap: 10, ..few() };
    let mut hand = Hand::with(settings, |_| ());
    hand.sent();
    assert_eq!(hand.says(4, ACK, b"efghijklmnop"), Handled::Quiet);
    assert_eq!(hand.says(30, FIN, b"late"), Handled::Quiet);
    assert_eq!(hand.says(0, ACK, b"abcd"), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"abcdefghij");
    let expected = Report { end: End::Full, truncated: true, ..closed(&hand, 10) };
    assert_eq!(hand.close().0, expected);
}

#[test]
fn the_window_is_shut_and_opens_after_two_seconds() {
    let mut hand = Hand::with(few(), |said| said.window = 0);
    hand.sent();
    assert_eq!(hand.waits(2_000), None);
    assert_eq!(hand.sent().len(), 1, "one probe");
    assert_eq!(hand.says_acking(0, 0, ACK, b""), Handled::Quiet); // says 64,240, as the SYN-ACK did not
    let mut open = hand.said(0, 0, ACK, b"");
    open.window = 64_240;
    assert_eq!(hand.hears(&open), Handled::Quiet);
    assert_eq!(hand.sent(), [asks(0)]);
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    let (report, _) = hand.close();
    assert!(report.zero_window);
    assert_eq!((report.end, report.stage), (End::Closed, Stage::Answering));
}

#[test]
fn the_end_in_the_middle_of_a_record() {
    let mut hand = Hand::asked();
    let record = [0x16, 3, 3, 0, 200, 2, 0];
    assert_eq!(hand.says(0, FIN, &record), Handled::Ended(hand.id));
    assert_eq!(hand.data(), record);
    let expected = Report { end: End::Finished, ..closed(&hand, 7) };
    assert_eq!(hand.close(), (expected, vec![resets(REQUEST as i32)]));
}

#[test]
fn the_end_before_any_octet() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, FIN, b""), Handled::Ended(hand.id));
    let (report, _) = hand.close();
    let expected = Report { end: End::Finished, first: None, last: None, ..closed(&hand, 0) };
    assert_eq!(report, Report { stage: Stage::Acknowledged, ..expected });
}

#[test]
fn two_ends() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(8, ACK, b"i"), Handled::Quiet);
    assert_eq!(hand.says(6, FIN, b""), Handled::Quiet, "it said more than that");
    assert_eq!(hand.says(9, FIN, b""), Handled::Quiet);
    assert_eq!(hand.says(12, FIN, b"mno"), Handled::Quiet, "the first counts");
    assert_eq!(hand.says(0, ACK, b"abcdefgh"), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"abcdefghi");
    assert_eq!(hand.close().0.end, End::Finished);
}

#[test]
fn blind_resets_all_over_the_numbers() {
    let flight = octets(KEY, 3_000);
    let mut hand = Hand::asked();
    for step in 0..4_096_u32 {
        // One that hits the next number would be no blind one.
        let seq = (step << 20 | 0x8_0000) as i32;
        assert_eq!(hand.says(seq, RST, b""), Handled::Quiet);
    }
    hand.says(0, ACK, &flight);
    assert_eq!(hand.data(), flight);
    assert_eq!(hand.close().0.end, End::Closed);
}

#[test]
fn the_syn_ack_again() {
    let mut hand = Hand::new();
    assert_eq!(hand.sent(), [asks(0)]);
    let again = hand.syn_ack.clone();
    for n in 0..8 {
        assert_eq!(hand.hears(&again), Handled::Quiet);
        // Our acknowledgement was lost, so the request was; but nobody makes us send it without end.
        assert_eq!(hand.sent(), if n < 5 { vec![asks(0)] } else { vec![] }, "time {n}");
    }
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    assert_eq!(hand.close().0.end, End::Closed);
    // Once the request was acknowledged, it is a stray: the host is told where we are.
    let mut hand = Hand::asked();
    assert_eq!(hand.says_acking(-1, 0, SYN_ACK, b""), Handled::Quiet);
    assert_eq!(hand.sent(), [acks(0)]);
    assert_eq!(hand.close().0.suspicious, 0);
}

#[test]
fn a_frame_of_60_kb_that_the_kernel_put_together() {
    let flight = octets(KEY, 60_000);
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, ACK, &flight), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(60_000)]);
    assert_eq!(hand.flows.counts().moved, 0);
    ends_clean(hand, &flight);
}

#[test]
fn jumbo_frames() {
    let flight = octets(KEY, 2 * 8_961);
    let mut hand = Hand::asked();
    for (at, part) in flight.chunks(8_961).enumerate() {
        assert_eq!(hand.says(at as i32 * 8_961, ACK, part), Handled::Data(hand.id));
        assert_eq!(hand.sent(), [acks((at as i32 + 1) * 8_961)]);
    }
    assert_eq!(hand.flows.counts().moved, 0); // the first had no PSH, so there was room
    ends_clean(hand, &flight);
}

#[test]
fn a_frame_that_the_link_cut_has_no_end() {
    let mut hand = Hand::asked();
    let frame = hand.said(0, REQUEST as i32, FIN, b"abcdef").frame();
    let cut = &frame[..frame.len() - 2];
    let packet = crate::wire::parse(cut, crate::link::LinkLayer::Ethernet).unwrap();
    let incoming = super::super::Incoming::of(&packet).unwrap();
    assert_eq!(hand.flows.handle(&incoming, hand.now), Handled::Data(hand.id));
    assert_eq!(hand.data(), b"abcd");
    assert_eq!(hand.says(4, FIN, b"ef"), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"abcdef");
}

#[test]
fn a_typical_chain_is_copied_once() {
    for len in [900, 2_500, 4_000, 5_500] {
        let flight = octets(KEY, len);
        let mut hand = Hand::asked();
        let parts = flight.chunks(1_460);
        let last = parts.len() - 1;
        for (at, part) in parts.enumerate() {
            let flags = if at == last { PSH } else { ACK };
            assert_eq!(hand.says(at as i32 * 1_460, flags, part), Handled::Data(hand.id));
        }
        assert_eq!(hand.flows.counts().moved, 0, "{len} octets");
        ends_clean(hand, &flight);
    }
}

#[test]
fn data_without_a_buffer_is_taken_when_it_comes_again() {
    let settings = Settings { buffers: 1, ..few() };
    let mut hand = Hand::with(settings, |_| ());
    hand.sent();
    let syn_ack = super::Said {
        from: crate::target::Target { port: 8_443, ..super::hand::HOST },
        ..hand.syn_ack.clone()
    };
    let other = super::hand::open(&mut hand.flows, &syn_ack, REQUEST, hand.now).unwrap();
    let all = super::Said { from: syn_ack.from, ..hand.said(0, 0, ACK, &octets(KEY, 65_000)) };
    assert_eq!(hand.hears(&all), Handled::Data(other));
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Quiet);
    assert_eq!((hand.data(), hand.flows.counts().no_buffer), (&b""[..], 1));
    hand.flows.close(other).unwrap();
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    assert_eq!(hand.data(), b"yes");
}

proptest! {
    /// However a host cuts, repeats and orders what it says, the first octet said for a place is the one that is read.
    #[test]
    fn any_order_of_any_pieces(
        pieces in prop::collection::vec((0..2_000_usize, 1..700_usize, any::<bool>()), 1..60),
        reads in prop::collection::vec(0..900_usize, 60),
    ) {
        let flight = octets(KEY, 2_700);
        let mut hand = Hand::asked();
        let mut read = Vec::new();
        for ((at, len, push), take) in pieces.into_iter().zip(reads) {
            let end = at + len;
            let flags = if push { PSH } else { ACK };
            let before = read.len() + hand.data().len();
            let handled = hand.says(at as i32, flags, &flight[at..end]);
            let after = read.len() + hand.data().len();
            prop_assert_eq!(handled == Handled::Data(hand.id), after > before);
            let take = take.min(hand.data().len());
            read.extend_from_slice(&hand.data()[..take]);
            hand.flows.consume(hand.id, take);
            prop_assert!(hand.sent().len() <= 1);
        }
        read.extend_from_slice(hand.data());
        prop_assert_eq!(&read[..], &flight[..read.len()]);
        let (report, _) = hand.close();
        prop_assert_eq!(report.received as usize, read.len());
    }
}
