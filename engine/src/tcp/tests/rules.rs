//! What exactly is answered to what: the rules of retransmission, acknowledgement, windows, resets and timers, one at a time.

use std::time::Duration;

use etherparse::TcpOptionElement::{MaximumSegmentSize, WindowScale};

use super::{
    super::{Counts, End, Flows, FlowsError, Handled, Refused, Settings, Stage},
    Said, few,
    hand::{
        ACK, FIN, HOST, Hand, PORT, PSH, REQUEST, RST, SYN_ACK, acks, asks, open, resets, sacks,
    },
};
use crate::{cookie::Cookie, target::Target, template::TcpProfile, wire::tcp::Flags};

const SECOND: u64 = 1_000;
const FULL: &[u8] = &[b'x'; 1_460];

// --- asking -----------------------------------------------------------------------------------------------------------

#[test]
fn the_request_leaves_with_the_acknowledgement() {
    let mut hand = Hand::new();
    assert_eq!(hand.flows.pending(), 1);
    assert_eq!(hand.sent(), [asks(0)]);
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    assert_eq!(hand.data(), b"yes");
    let at = hand.now;
    let (report, sent) = hand.close();
    assert_eq!(sent, [resets(REQUEST as i32)]);
    assert_eq!((report.end, report.stage), (End::Closed, Stage::Answering));
    assert_eq!((report.remote, report.local_port, report.word), (HOST, PORT, 9));
    assert_eq!((report.opened, report.first, report.last), (at, Some(at), Some(at)));
    assert_eq!((report.received, report.truncated, report.zero_window), (3, false, false));
    assert_eq!((report.resent, report.suspicious), (0, 0));
}

#[test]
fn a_request_that_nobody_acknowledges_is_sent_twice_more_and_given_up() {
    let mut hand = Hand::new();
    assert_eq!(hand.sent(), [asks(0)]);
    assert_eq!(hand.waits(990), None);
    assert_eq!(hand.sent(), []);
    assert_eq!(hand.waits(20), None);
    assert_eq!(hand.sent(), [asks(0)]);
    assert_eq!(hand.waits(1_990), None);
    assert_eq!(hand.sent(), []);
    assert_eq!(hand.waits(20), None);
    assert_eq!(hand.sent(), [asks(0)]);
    let ended = hand.waits(10 * SECOND).unwrap();
    assert!((2_990..=3_020).contains(&(ended.as_millis() as u64)), "{ended:?}");
    let (report, sent) = hand.close();
    assert_eq!((report.end, report.stage, report.resent), (End::Idle, Stage::Requested, 2));
    assert_eq!((report.first, report.last), (None, None));
    assert_eq!(sent, [resets(REQUEST as i32)]);
}

#[test]
fn an_acknowledged_request_is_not_sent_again() {
    let mut hand = Hand::asked();
    let ended = hand.waits(10 * SECOND).unwrap();
    assert!((2_990..=3_020).contains(&(ended.as_millis() as u64)), "{ended:?}");
    assert_eq!(hand.sent(), []);
    let (report, _) = hand.close();
    assert_eq!((report.end, report.stage), (End::Idle, Stage::Acknowledged));
}

#[test]
fn a_long_request_is_cut_to_what_a_segment_may_carry() {
    let mss = |said: &mut Said| said.options = vec![MaximumSegmentSize(120)];
    let mut hand = Hand::with(few(), mss);
    let parts: Vec<_> = hand.sent().iter().map(|sent| (sent.seq, sent.len, sent.flags)).collect();
    assert_eq!(parts, [(0, 120, ACK), (120, 120, ACK), (240, 60, PSH)]);
    // The first part is acknowledged, the rest is sent again.
    assert_eq!(hand.says_acking(0, 120, ACK, b""), Handled::Quiet);
    assert_eq!(hand.sent(), []);
    assert_eq!(hand.waits(1_010), None);
    let parts: Vec<_> = hand.sent().iter().map(|sent| (sent.seq, sent.len)).collect();
    assert_eq!(parts, [(120, 120), (240, 60)]);
}

#[test]
fn a_host_that_names_no_segment_size_gets_the_default_and_no_request_is_cut_finer_than_sense() {
    let mut hand = Hand::asking(few(), &[1_000], |said| said.options.clear());
    assert_eq!(hand.sent().iter().map(|sent| sent.len).collect::<Vec<_>>(), [536, 464]);
    let tiny = |said: &mut Said| said.options = vec![MaximumSegmentSize(1)];
    let mut hand = Hand::asking(few(), &[100], tiny);
    assert_eq!(hand.sent().iter().map(|sent| sent.len).collect::<Vec<_>>(), [48, 48, 4]);
    let huge = |said: &mut Said| said.options = vec![MaximumSegmentSize(8_961)];
    let mut hand = Hand::asking(few(), &[2_000], huge);
    assert_eq!(hand.sent().iter().map(|sent| sent.len).collect::<Vec<_>>(), [1_460, 540]);
}

#[test]
fn no_more_than_ten_segments_leave_at_once() {
    let mut hand = Hand::asking(few(), &[20_000], |_| ());
    assert_eq!(hand.sent().len(), 10);
    assert_eq!(hand.says_acking(0, 2_920, ACK, b""), Handled::Quiet);
    assert_eq!(hand.sent().len(), 2);
}

#[test]
fn a_host_that_speaks_first_is_listened_to() {
    let mut hand = Hand::asking(few(), &[0], |_| ());
    let opened = hand.sent();
    assert_eq!((opened.len(), opened[0].seq, opened[0].len, opened[0].flags), (1, 0, 0, ACK));
    assert_eq!(hand.says_acking(0, 0, PSH, b"220 ready\r\n"), Handled::Data(hand.id));
    assert_eq!(hand.data(), b"220 ready\r\n");
    let (report, sent) = hand.close();
    assert_eq!((report.stage, sent), (Stage::Answering, vec![resets(0)]));
}

#[test]
fn another_request_follows_on_the_same_flow() {
    let mut hand = Hand::asking(few(), &[300, 40], |_| ());
    assert!(!hand.flows.ask(hand.id, 40, hand.now), "the first was not even sent");
    assert_eq!(hand.sent(), [asks(0)]);
    assert_eq!(hand.says(0, PSH, b"retry"), Handled::Data(hand.id));
    hand.flows.consume(hand.id, 5);
    assert_eq!(hand.flows.buffered(), 0);
    assert!(hand.flows.ask(hand.id, 40, hand.now));
    assert_eq!(hand.flows.about(hand.id).unwrap().request, 1);
    let sent = hand.sent();
    // The acknowledgement of the answer rides on it.
    assert_eq!((sent.len(), sent[0].seq, sent[0].ack, sent[0].len), (1, 300, 5, 40));
    assert_eq!(hand.waits(1_010), None);
    assert_eq!(hand.sent(), sent, "it is sent again as the first would be");
    assert_eq!(hand.says_acking(5, 340, PSH, b"done"), Handled::Data(hand.id));
    assert_eq!(hand.data(), b"done");
    assert_eq!(hand.close().1, [resets(340)]);
}

// --- windows ----------------------------------------------------------------------------------------------------------

#[test]
fn a_closed_window_is_asked_for_until_the_deadline() {
    let mut hand = Hand::with(few(), |said| said.window = 0);
    let opened = hand.sent();
    assert_eq!((opened.len(), opened[0].seq, opened[0].len), (1, 0, 0));
    let mut probes = 0;
    let ended = loop {
        let ended = hand.waits(10);
        if ended.is_some() || probes > 10 {
            break ended;
        }
        for probe in hand.sent() {
            assert_eq!((probe.seq, probe.len, probe.flags), (-1, 0, ACK));
            probes += 1;
        }
    };
    assert!(ended.is_some());
    assert_eq!(probes, 4); // after 1, 3, 5 and 7 s
    let (report, sent) = hand.close();
    assert_eq!((report.end, report.stage), (End::Deadline, Stage::Opened));
    assert!(report.zero_window);
    assert_eq!(sent, [resets(0)]);
}

#[test]
fn a_window_smaller_than_the_request_is_honoured() {
    let mut hand = Hand::with(few(), |said| said.window = 100);
    assert_eq!(hand.sent().iter().map(|sent| sent.len).collect::<Vec<_>>(), [100]);
    let mut opened = hand.said(0, 100, ACK, b"");
    opened.window = 1_000;
    assert_eq!(hand.hears(&opened), Handled::Quiet);
    let sent = hand.sent();
    assert_eq!((sent.len(), sent[0].seq, sent[0].len, sent[0].flags), (1, 100, 200, PSH));
}

#[test]
fn windows_are_shifted_where_both_agreed_to() {
    let scale = |said: &mut Said| said.options.push(WindowScale(7));
    let mut hand = Hand::asking(few(), &[300, 300], scale);
    assert_eq!(hand.sent()[0].window, 255); // times 256 is 65,280
    let mut two = hand.said(0, REQUEST as i32, ACK, b"");
    two.window = 2;
    assert_eq!(hand.hears(&two), Handled::Quiet);
    assert!(hand.flows.ask(hand.id, 300, hand.now));
    assert_eq!(hand.sent().iter().map(|sent| sent.len).collect::<Vec<_>>(), [256]);
    let bare = Settings { profile: TcpProfile::Bare, ..few() };
    let mut unasked = Hand::with(bare, scale);
    assert_eq!(unasked.sent()[0].window, 65_535);
}

// --- acknowledging ----------------------------------------------------------------------------------------------------

#[test]
fn every_second_full_segment_is_acknowledged() {
    let mut hand = Hand::asked();
    for n in 0..10 {
        assert_eq!(hand.says(n * 1_460, ACK, FULL), Handled::Data(hand.id));
        let expected = if n % 2 == 0 { vec![] } else { vec![acks((n + 1) * 1_460)] };
        assert_eq!(hand.sent(), expected, "segment {n}");
    }
}

#[test]
fn a_burst_that_waits_for_the_governor_gets_one_acknowledgement() {
    let mut hand = Hand::asked();
    for n in 0..10 {
        hand.says(n * 1_460, ACK, FULL);
    }
    assert_eq!(hand.sent(), [acks(14_600)]);
}

#[test]
fn the_odd_one_is_acknowledged_before_its_sender_worries() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, ACK, FULL), Handled::Data(hand.id));
    assert_eq!(hand.waits(30), None);
    assert_eq!(hand.sent(), []);
    assert_eq!(hand.waits(20), None);
    assert_eq!(hand.sent(), [acks(1_460)]);
    assert_eq!(hand.waits(500), None);
    assert_eq!(hand.sent(), []);
}

#[test]
fn a_push_is_acknowledged_at_once() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, PSH, b"x"), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(1)]);
}

#[test]
fn a_hole_is_told_with_each_segment_beyond_it_and_when_it_is_filled() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(1_460, ACK, FULL), Handled::Quiet);
    assert_eq!(hand.sent(), [sacks(0, (1_460, 2_920))]);
    assert_eq!(hand.says(4_380, ACK, FULL), Handled::Quiet);
    assert_eq!(hand.sent(), [sacks(0, (4_380, 5_840))]); // the newest first (RFC 2018, section 4)
    assert_eq!(hand.says(2_920, ACK, FULL), Handled::Quiet);
    assert_eq!(hand.sent(), [sacks(0, (1_460, 5_840))]);
    assert_eq!(hand.data(), b"");
    assert_eq!(hand.says(0, ACK, FULL), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(5_840)]);
    assert_eq!(hand.data().len(), 5_840);
}

#[test]
fn a_host_that_did_not_permit_it_gets_no_sack() {
    let mss = |said: &mut Said| said.options = vec![MaximumSegmentSize(1_460)];
    let mut hand = Hand::with(few(), mss);
    hand.sent();
    for n in 1..4 {
        assert_eq!(hand.says(n * 1_460, ACK, FULL), Handled::Quiet);
        assert_eq!(hand.sent(), [acks(0)]); // the third makes it send the first again
    }
}

#[test]
fn what_was_heard_is_acknowledged_again() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(3)]);
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Quiet);
    assert_eq!(hand.sent(), [acks(3)]);
    // A host that asks whether we live says its last octet's number, or that octet.
    assert_eq!(hand.says(2, ACK, b""), Handled::Quiet);
    assert_eq!(hand.sent(), [acks(3)]);
    // An older acknowledgement that was overtaken asks for nothing.
    assert_eq!(hand.says(0, ACK, b""), Handled::Quiet);
    assert_eq!(hand.sent(), []);
    assert_eq!(hand.data(), b"yes");
}

#[test]
fn the_end_waits_for_what_is_missing() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(3, FIN, b"de"), Handled::Quiet);
    assert_eq!(hand.sent(), [sacks(0, (3, 5))]);
    assert_eq!(hand.says(0, ACK, b"abc"), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"abcde");
    let (report, sent) = hand.close();
    assert_eq!((report.end, report.received), (End::Finished, 5));
    assert_eq!(sent, [resets(REQUEST as i32)]);
}

#[test]
fn nothing_is_said_after_the_end() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(3, FIN, b""), Handled::Quiet);
    hand.sent();
    assert_eq!(hand.says(0, ACK, b"abcXYZ"), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"abc");
    assert_eq!(hand.says(3, PSH, b"more"), Handled::Quiet, "it is over");
    let (report, _) = hand.close();
    assert_eq!((report.received, report.truncated), (3, false));
}

// --- what is not believed ---------------------------------------------------------------------------------------------

#[test]
fn data_that_acknowledges_what_was_not_sent_is_ignored() {
    let mut hand = Hand::asked();
    let too_much = REQUEST as i32 + 1;
    assert_eq!(hand.says_acking(0, too_much, PSH, b"forged"), Handled::Quiet);
    assert_eq!(hand.says_acking(0, -1, PSH, b"forged"), Handled::Quiet);
    assert_eq!(hand.says(0, Flags(0x08), b"forged"), Handled::Quiet, "no acknowledgement at all");
    assert_eq!((hand.sent(), hand.data()), (vec![], &b""[..]));
    assert_eq!(hand.flows.counts(), Counts { ignored: 3, ..Counts::default() });
}

#[test]
fn a_reset_is_believed_with_the_next_number_alone() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, PSH, b"yes"), Handled::Data(hand.id));
    assert_eq!(hand.sent(), [acks(3)]);
    // Near: it is challenged, three times at most. Behind or far: nothing.
    for n in 0..5 {
        assert_eq!(hand.says(4 + n, RST, b""), Handled::Quiet);
        assert_eq!(hand.sent(), if n < 3 { vec![acks(3)] } else { vec![] });
    }
    for seq in [2, 3 + 65_535, 3 - 65_535, i32::MAX, i32::MIN] {
        assert_eq!(hand.says(seq, RST, b""), Handled::Quiet);
    }
    assert_eq!(hand.sent(), []);
    // A host that did reset answers a challenge with what we acknowledged.
    assert_eq!(hand.says(3, RST, b""), Handled::Ended(hand.id));
    assert_eq!(hand.data(), b"yes");
    let (report, sent) = hand.close();
    assert_eq!((report.end, report.suspicious, sent), (End::Reset, 5, vec![]));
    assert_eq!(hand.flows.counts().ignored, 5);
}

#[test]
fn a_syn_in_mid_connection_is_challenged() {
    let mut hand = Hand::asked();
    assert_eq!(hand.says(0, Flags::SYN, b""), Handled::Quiet);
    assert_eq!(hand.sent(), [acks(0)]);
    assert_eq!(hand.says_acking(77, 0, SYN_ACK, b""), Handled::Quiet); // another first number
    assert_eq!(hand.sent(), [acks(0)]);
    assert_eq!(hand.close().0.suspicious, 2);
}

#[test]
fn unreachable_ends_a_flow_that_sent_what_is_quoted() {
    let mut hand = Hand::asked();
    let number = |place: u32| Some((u32::MAX - 99).wrapping_add(place));
    for seq in [None, number(REQUEST + 1), number(0_u32.wrapping_sub(2))] {
        assert_eq!(hand.flows.unreachable(HOST, PORT, seq), Handled::Quiet);
    }
    let stranger = Target { port: 80, ..HOST };
    assert_eq!(hand.flows.unreachable(stranger, PORT, number(0)), Handled::Stranger);
    assert_eq!(hand.flows.unreachable(HOST, PORT, number(0)), Handled::Ended(hand.id));
    assert_eq!(hand.close().0.end, End::Unreachable);
}

#[test]
fn strangers_are_refused_by_a_trickle() {
    let mut hand = Hand::new();
    hand.sent();
    let said = hand.said(0, 17, PSH, b"late");
    hand.close();
    assert_eq!(hand.hears(&said), Handled::Stranger);
    let frame = said.frame();
    let packet = crate::wire::parse(&frame, crate::link::LinkLayer::Ethernet).unwrap();
    let incoming = super::super::Incoming::of(&packet).unwrap();
    (0..70).for_each(|_| hand.flows.refuse(&incoming, super::ROUTER, 0));
    assert_eq!(hand.flows.pending(), 64);
    assert_eq!(hand.flows.counts().strays_skipped, 6);
    assert_eq!(hand.sent(), vec![resets(17); 64]); // what the host expects next
}

// --- room and time ----------------------------------------------------------------------------------------------------

#[test]
fn a_full_table_refuses_until_a_flow_is_closed() {
    let settings = Settings { flows: 2, ..few() };
    let mut flows = Flows::new(settings, Cookie::from_key(&[3; 16])).unwrap();
    let hand = Hand::new();
    let syn_ack = |port| Said { from: Target { port, ..HOST }, ..hand.syn_ack.clone() };
    let [first, _] = [1, 2].map(|port| open(&mut flows, &syn_ack(port), 1, hand.now).unwrap());
    assert_eq!(open(&mut flows, &syn_ack(3), 1, hand.now), Err(Refused::Full));
    let mut asker = super::Asker::new(&[1]);
    flows.close(first).unwrap();
    assert_eq!(open(&mut flows, &syn_ack(3), 1, hand.now), Err(Refused::Full), "its reset waits");
    while flows.poll_transmit(hand.now, &mut asker).is_some() {}
    let third = open(&mut flows, &syn_ack(3), 1, hand.now).unwrap();
    // The same place, and yet another flow.
    assert_eq!(third.place(), first.place());
    assert_eq!((flows.about(first), flows.close(first), flows.data(first)), (None, None, &b""[..]));
    assert_eq!(flows.about(third).unwrap().remote.port, 3);
    assert_eq!(flows.len(), 2);
    for place in 0..2 {
        let id = flows.at(place).unwrap();
        flows.close(id).unwrap();
        assert_eq!(flows.at(place), None);
    }
    while flows.poll_transmit(hand.now, &mut asker).is_some() {}
    assert!(flows.is_empty());
}

#[test]
fn the_deadline_holds_for_a_host_that_never_pauses() {
    let mut hand = Hand::asked();
    let mut waited = Duration::ZERO;
    for n in 0.. {
        if let Some(last) = hand.waits(1_000) {
            waited += last;
            break;
        }
        waited += Duration::from_secs(1);
        assert_eq!(hand.says(n, PSH, b"."), Handled::Data(hand.id));
        hand.sent();
    }
    assert!((8_000..=8_020).contains(&waited.as_millis()), "{waited:?}");
    let (report, _) = hand.close();
    assert_eq!((report.end, report.received), (End::Deadline, 8));
}

#[test]
fn settings_that_cannot_be_are_refused() {
    let cookie = || Cookie::from_key(&[3; 16]);
    let refused = |settings| Flows::new(settings, cookie()).unwrap_err();
    let all = few();
    assert!(matches!(refused(Settings { flows: 0, ..all }), FlowsError::Flows(0)));
    assert!(matches!(refused(Settings { cap: 65_537, ..all }), FlowsError::Cap(65_537)));
    let linux = Settings { profile: TcpProfile::Linux, ..all };
    assert!(matches!(refused(linux), FlowsError::Timestamps(TcpProfile::Linux)));
    let much = Settings { buffers: 1 << 41, ..all };
    assert!(matches!(refused(much), FlowsError::Memory(_)));
}
