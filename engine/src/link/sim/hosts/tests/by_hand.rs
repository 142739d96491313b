//! One host that speaks, and our segments by hand: what exactly is answered to what, and when.

use super::{speaking::syn_to, *};

/// One host, and our segments by hand: sequence numbers are counted from the first octets.
struct Hand {
    hosts: Hosts,
    isn: u32,
}

impl Hand {
    fn connected(speaker: Speaker) -> Self {
        let mut hosts = hosts(Behaviour::Speaks(speaker));
        let syn_ack = ask(&mut hosts, &syn(40_000))[0].1.clone();
        let isn = u32::from_be_bytes(syn_ack[38..42].try_into().unwrap());
        let mut hand = Self { hosts, isn };
        assert_eq!(hand.says("A", 0, 0, b""), [""; 0]);
        assert_eq!(hand.hosts.talks(), 1);
        hand
    }

    /// What is answered to a segment of ours: flags, number, what it acknowledges, octets.
    fn says(&mut self, flags: &str, seq: u32, ack: u32, payload: &[u8]) -> Vec<String> {
        let builder =
            PacketBuilder::ethernet2(OUR_MAC, THEIR_MAC).ipv4(US.octets(), HOST.octets(), 64);
        let seq = SEQ.wrapping_add(1).wrapping_add(seq);
        let mut tcp = builder.tcp(40_000, 80, seq, 64_240);
        for flag in flags.chars() {
            tcp = match flag {
                'S' => tcp.syn(),
                'R' => tcp.rst(),
                'A' => tcp.ack(self.isn.wrapping_add(1).wrapping_add(ack)),
                'F' => tcp.fin(),
                other => unreachable!("{other}"),
            };
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, payload).unwrap();
        ask(&mut self.hosts, &frame).iter().map(|(_, frame)| self.read(frame)).collect()
    }

    /// Lets time pass until the hosts wake; when that is, and what is said then.
    fn wakes(&mut self) -> (f64, Vec<String>) {
        let (due, mut said) = (self.hosts.next_due(), Vec::new());
        self.hosts.advance(due, &mut |_, frame| said.push(frame.to_vec()));
        (due.as_nanos() as f64 / 1e9, said.iter().map(|frame| self.read(frame)).collect())
    }

    fn read(&self, frame: &[u8]) -> String {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        let flags = [(tcp.rst(), 'R'), (tcp.fin(), 'F'), (tcp.ack(), 'A')];
        let flags: String =
            flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag).collect();
        let seq = tcp.sequence_number().wrapping_sub(self.isn.wrapping_add(1)) as i32;
        let ack = tcp.acknowledgment_number().wrapping_sub(SEQ.wrapping_add(1)) as i32;
        let ack = if tcp.ack() { format!(" {ack}") } else { String::new() };
        format!("{flags} {seq}{ack} {}", String::from_utf8_lossy(tcp.payload()))
            .trim_end()
            .to_owned()
    }
}

fn hello() -> Speaker {
    Speaker::answering(|_, asked| if asked == b"hi" { Say::bytes("hello") } else { Say::nothing() })
}

#[test]
fn a_reset_or_syn_of_the_wrong_number_is_challenged_and_changes_nothing() {
    let mut hand = Hand::connected(hello());
    assert_eq!(hand.says("R", 1, 0, b""), ["A 0 0"]);
    assert_eq!(hand.says("S", 500, 0, b""), ["A 0 0"]);
    assert_eq!(hand.says("R", 70_000, 0, b""), [""; 0]);
    assert_eq!(hand.says("A", 0, 1, b""), [""; 0]); // it acknowledges what was not said
    assert_eq!(hand.says("A", 0, 0, b"hi"), ["A 0 2 hello"]);
    assert_eq!(hand.says("R", 2, 0, b""), [""; 0]);
    let counts = hand.hosts.counters();
    assert_eq!((counts.challenged, counts.stray_resets, counts.resets), (2, 1, 1));
    assert_eq!((hand.hosts.talks(), hand.hosts.next_due()), (0, Instant::NEVER));
    // Nobody knows that connection any more.
    assert_eq!(hand.says("A", 2, 5, b"hi"), ["R 5"]);
    assert_eq!(hand.hosts.counters().strangers, 1);
}

#[test]
fn both_sides_close_and_what_was_not_heard_is_said_again() {
    let mut hand = Hand::connected(hello());
    assert_eq!(hand.says("FA", 0, 0, b"hi"), ["FA 0 3 hello"]);
    assert_eq!(hand.says("FA", 0, 0, b"hi"), ["A 6 3"]);
    assert_eq!(hand.wakes(), (0.3, vec!["FA 0 3 hello".to_owned()]));
    assert_eq!(hand.says("A", 3, 5, b""), [""; 0]);
    assert_eq!(hand.wakes(), (0.6, vec!["FA 5 3".to_owned()]));
    assert_eq!(hand.says("A", 3, 6, b""), [""; 0]);
    // The peer did not hear that its FIN was.
    assert_eq!(hand.says("FA", 2, 6, b""), ["A 6 3"]);
    assert_eq!(hand.wakes(), (2.6, vec![]));
    assert_eq!((hand.hosts.talks(), hand.hosts.counters().expired), (0, 0));
}

#[test]
fn a_host_gives_up_on_a_peer_that_is_gone() {
    let mut hand = Hand::connected(hello());
    assert_eq!(hand.says("A", 0, 0, b"hi"), ["A 0 2 hello"]);
    let mut at = Vec::new();
    while hand.hosts.next_due() != Instant::NEVER {
        let (when, said) = hand.wakes();
        at.push((when, said.len()));
    }
    let expected = [0.3, 0.9, 2.1, 4.5, 9.3, 18.9, 38.1, 76.5].map(|when| (when, 1));
    assert_eq!(at, [&expected[..], &[(153.3, 0)]].concat());
    assert_eq!((hand.hosts.talks(), hand.hosts.counters().expired), (0, 1));

    let mut hand = Hand::connected(hello());
    assert_eq!(hand.wakes(), (63.0, vec![]));
    assert_eq!((hand.hosts.talks(), hand.hosts.counters().expired), (0, 1));
}

#[test]
fn the_syn_ack_has_the_options_that_the_syn_offers() {
    let options = |syn: &[u8], speaker: Speaker| {
        let mut hosts = Hosts::new(1).rule((HOST, HOST), 0..=65_535, Behaviour::Speaks(speaker));
        ask(&mut hosts, syn)[0].1[54..].to_vec()
    };
    assert_eq!(options(&syn(40_000), hello()), [2, 4, 5, 0xb4]);
    assert!(options(&syn(40_000), hello().mss(None)).is_empty());
    let all = [2, 4, 5, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7];
    assert_eq!(options(&syn_to(HOST.into()), hello()), all);
}

#[test]
fn no_more_talks_are_held_than_the_table_takes() {
    let mut hosts = hosts(Behaviour::Speaks(hello()));
    let mut refused = 0;
    for peer in 0..=MAX_TALKS as u32 {
        let addr = Ipv4Addr::from_bits(US.to_bits() + peer).octets();
        let send = |hosts: &mut Hosts, ack: Option<u32>| {
            let builder = PacketBuilder::ipv4(addr, HOST.octets(), 64);
            let seq = ack.map_or(SEQ, |_| SEQ.wrapping_add(1));
            let tcp = builder.tcp(40_000, 80, seq, 1_024);
            let tcp = match ack {
                Some(ack) => tcp.ack(ack),
                None => tcp.syn(),
            };
            let (mut packet, mut answers) = (Vec::new(), Vec::new());
            tcp.write(&mut packet, &[]).unwrap();
            hosts.answer(&packet, LinkLayer::Ip, &mut |_, bytes| answers.push(bytes.to_vec()));
            answers
        };
        let syn_ack = send(&mut hosts, None).remove(0);
        let isn = u32::from_be_bytes(syn_ack[24..28].try_into().unwrap());
        refused += send(&mut hosts, Some(isn.wrapping_add(1))).len();
    }
    assert_eq!((hosts.talks(), refused), (MAX_TALKS, 1));
    assert_eq!((hosts.counters().strangers, hosts.half_open()), (1, 0));
}
