//! The hosts seen from outside: etherparse writes the questions and reads the answers.

use std::{net::Ipv4Addr, time::Duration};

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacket, Icmpv4Type, NetSlice, PacketBuilder, SlicedPacket,
    TcpSlice, TransportSlice, icmpv4::DestUnreachableHeader,
};
use proptest::prelude::*;

use super::*;

mod by_hand;
mod ipv6;
mod serving;
mod speaking;

const US: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(198, 19, 7, 9);
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const SEQ: u32 = 0xffff_ffff; // so that its successor wraps

/// One segment of ours, in as many VLAN tags as `vids`.
fn frame(vids: &[u16], source_port: u16, flags: &str, seq: u32, ack: u32) -> Vec<u8> {
    let builder = PacketBuilder::ipv4(US.octets(), HOST.octets(), 64);
    let mut tcp = builder.tcp(source_port, 80, seq, 64_240);
    for flag in flags.chars() {
        tcp = match flag {
            'S' => tcp.syn(),
            'R' => tcp.rst(),
            'A' => tcp.ack(ack),
            'F' => tcp.fin(),
            other => unreachable!("{other}"),
        };
    }
    let mut bytes = [THEIR_MAC, OUR_MAC].concat();
    for vid in vids {
        bytes.extend([0x81, 0x00]);
        bytes.extend(vid.to_be_bytes());
    }
    bytes.extend([0x08, 0x00]);
    tcp.write(&mut bytes, &[]).unwrap();
    bytes
}

fn syn(source_port: u16) -> Vec<u8> {
    frame(&[], source_port, "S", SEQ, 0)
}

fn hosts(behaviour: Behaviour) -> Hosts {
    Hosts::new(0x5eed).rule((HOST, HOST), 80..=80, behaviour)
}

fn ask(hosts: &mut Hosts, frame: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    let mut answers = Vec::new();
    hosts.answer(frame, LinkLayer::Ethernet, &mut |delay, bytes| {
        answers.push((delay, bytes.to_vec()))
    });
    answers
}

/// Flags, relative ack and source port.
fn said(tcp: &TcpSlice<'_>) -> String {
    let mut text = String::new();
    for (is_set, letter) in [(tcp.syn(), 'S'), (tcp.rst(), 'R'), (tcp.ack(), 'A')] {
        text.extend(is_set.then_some(letter));
    }
    let ack = match tcp.acknowledgment_number().wrapping_sub(SEQ) {
        0 => "seq",
        1 => "seq+1",
        _ => "other",
    };
    format!("{text} {ack} from {}", tcp.source_port())
}

/// What a strict reader makes of one answer: flags, relative ack and source port of a segment, or type and code.
fn read(frame: &[u8]) -> String {
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return "malformed".to_owned();
    };
    let Some(NetSlice::Ipv4(ip)) = &packet.net else {
        return "not IPv4".to_owned();
    };
    assert_eq!(ip.header().destination_addr(), US);
    assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
    match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let checksum = tcp.calc_checksum_ipv4(ip.header().source(), US.octets()).unwrap();
            assert_eq!(checksum, tcp.checksum());
            assert_eq!(ip.header().source_addr(), HOST);
            let options = if tcp.options_iterator().any(|option| option.is_err()) {
                " bad options"
            } else {
                ""
            };
            format!("{}{options}", said(&tcp))
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let checksum = icmp.header().icmp_type.calc_checksum(icmp.payload());
            assert_eq!(checksum, icmp.header().checksum);
            let Icmpv4Type::DestinationUnreachable(kind) = icmp.icmp_type() else {
                return "other ICMP".to_owned();
            };
            let quoted = icmp.payload();
            let seq = u32::from_be_bytes(quoted[24..28].try_into().unwrap());
            let from = ip.header().source_addr();
            let of = if seq == SEQ { "ours" } else { "foreign" };
            format!("{} from {from} quoting {} of {of}", code(&kind), quoted.len())
        }
        Some(_) => "other transport".to_owned(),
        None => format!("fragment at {}", ip.header().fragments_offset().byte_offset()),
    }
}

fn code(kind: &DestUnreachableHeader) -> u8 {
    kind.code_u8()
}

#[track_caller]
fn check(behaviour: Behaviour, expected: &[&str]) {
    let answers = ask(&mut hosts(behaviour), &syn(40_000));
    let read: Vec<String> = answers.iter().map(|(_, bytes)| read(bytes)).collect();
    assert_eq!(read, expected);
}

#[test]
fn each_behaviour_answers_as_it_says() {
    let unreachable = |code, responder, quote| Behaviour::Unreachable { code, responder, quote };
    check(Behaviour::open(), &["SA seq+1 from 80"]);
    check(Behaviour::Open(OpenHost::windows()), &["SA seq+1 from 80"]);
    check(Behaviour::Open(OpenHost::bsd()), &["SA seq+1 from 80"]);
    check(Behaviour::closed(), &["RA seq+1 from 80"]);
    check(Behaviour::Closed { ttl: 64, ack: RstAck::Seq }, &["RA seq from 80"]);
    check(Behaviour::Silent, &[]);
    check(Behaviour::Duplicate(3, Box::new(Behaviour::closed())), &["RA seq+1 from 80"; 3]);
    check(Behaviour::Lossy { percent: 100, of: Box::new(Behaviour::open()) }, &[]);
    check(Behaviour::Lossy { percent: 0, of: Box::new(Behaviour::open()) }, &["SA seq+1 from 80"]);
    check(unreachable(3, None, Quote::Minimum), &["3 from 198.19.7.9 quoting 28 of ours"]);
    check(
        unreachable(13, Some(US.into()), Quote::Full),
        &["13 from 198.18.0.1 quoting 40 of ours"],
    );
}

#[test]
fn each_oddity_is_what_it_says() {
    check(Behaviour::Odd(Odd::BadDataOffset(4)), &["malformed"]);
    check(Behaviour::Odd(Odd::BadDataOffset(15)), &["malformed"]);
    check(Behaviour::Odd(Odd::ForeignQuote), &["1 from 198.19.7.9 quoting 40 of foreign"]);
    check(Behaviour::Odd(Odd::Fragment), &["fragment at 8"]);
    check(Behaviour::Odd(Odd::LoopingOptions), &["SA seq+1 from 80 bad options"]);
    check(Behaviour::Odd(Odd::OtherPort), &["SA seq+1 from 81"]);
    check(Behaviour::Odd(Odd::Padded(1_000)), &["SA seq+1 from 80"]);
    check(Behaviour::Odd(Odd::RstWithoutAck), &["R seq+1 from 80"]); // ack 0 is SEQ + 1, and not claimed
    check(Behaviour::Odd(Odd::TruncatedTcp), &["malformed"]);
    check(Behaviour::Odd(Odd::VlanTagged(7)), &["SA seq+1 from 80"]);
    check(Behaviour::Odd(Odd::WrongAck), &["SA other from 80"]);
}

#[test]
fn odd_hosts_hold_a_connection_exactly_when_they_are_open() {
    for odd in Odd::ALL {
        let mut hosts = hosts(Behaviour::Odd(odd));
        ask(&mut hosts, &syn(40_000));
        assert_eq!(hosts.half_open(), usize::from(odd.is_open()), "{odd:?}");
    }
}

#[test]
fn padding_and_tags_are_really_there() {
    let plain = ask(&mut hosts(Behaviour::open()), &syn(40_000))[0].1.len();
    let length = |odd| ask(&mut hosts(Behaviour::Odd(odd)), &syn(40_000))[0].1.len();
    assert_eq!(length(Odd::Padded(1_000)), plain + 1_000);
    assert_eq!(length(Odd::VlanTagged(7)), plain + 4);
}

#[test]
fn tags_of_the_question_are_kept_and_addresses_turn_round() {
    for vids in [&[][..], &[7], &[7, 4_000]] {
        let question = frame(vids, 40_000, "S", SEQ, 0);
        let answer = &ask(&mut hosts(Behaviour::open()), &question)[0].1;
        assert_eq!(answer[..12], [OUR_MAC, THEIR_MAC].concat(), "{vids:?}");
        assert_eq!(answer[12..14 + 4 * vids.len()], question[12..14 + 4 * vids.len()], "{vids:?}");
        assert_eq!(read(answer), "SA seq+1 from 80", "{vids:?}");
    }
}

#[test]
fn without_ethernet_an_answer_begins_with_the_ip_header() {
    let mut answers = Vec::new();
    let mut hosts = hosts(Behaviour::open());
    hosts.answer(&syn(40_000)[14..], LinkLayer::Ip, &mut |_, bytes| answers.push(bytes.to_vec()));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][0], 0x45);
}

#[test]
fn the_first_rule_that_matches_wins() {
    let mut hosts = Hosts::new(1).rule((HOST, HOST), 80..=80, Behaviour::closed()).rule(
        (HOST, HOST),
        0..=65_535,
        Behaviour::open(),
    );
    assert_eq!(read(&ask(&mut hosts, &syn(1))[0].1), "RA seq+1 from 80");
    assert!(matches!(hosts.behaviour(HOST, 81), Some(Behaviour::Open(_))));
    assert!(hosts.behaviour(US, 80).is_none());
}

#[test]
fn delays_add_up_and_jitter_stays_below_its_bound() {
    let second = Duration::from_secs(1);
    let jittered =
        Behaviour::Reorder(second, Box::new(Behaviour::open().slow(second).slow(second)));
    let mut hosts = hosts(jittered);
    let delays: Vec<Duration> = (1..200).map(|port| ask(&mut hosts, &syn(port))[0].0).collect();
    assert!(delays.iter().all(|delay| (2 * second..3 * second).contains(delay)));
    assert!(!delays.is_sorted());
}

#[test]
fn a_challenge_goes_to_the_first_source_port_until_its_rst() {
    let mut hosts = hosts(Behaviour::Challenge(OpenHost::linux()));
    for _ in 0..2 {
        let answers = ask(&mut hosts, &syn(40_000));
        assert_eq!(read(&answers[0].1), "A other from 80");
    }
    assert_eq!(read(&ask(&mut hosts, &syn(40_001))[0].1), "SA seq+1 from 80");
    let challenge = ask(&mut hosts, &syn(40_000))[0].1.clone();
    let acked = u32::from_be_bytes(challenge[42..46].try_into().unwrap());
    ask(&mut hosts, &frame(&[], 40_000, "R", acked.wrapping_add(1), 0));
    assert_eq!(read(&ask(&mut hosts, &syn(40_000))[0].1), "A other from 80");
    ask(&mut hosts, &frame(&[], 40_000, "R", acked, 0));
    assert_eq!(read(&ask(&mut hosts, &syn(40_000))[0].1), "SA seq+1 from 80");
    let counts = hosts.counters();
    assert_eq!((counts.syns_challenged, counts.syns_open), (4, 2));
    assert_eq!((counts.resets, counts.stray_resets), (1, 1));
}

#[test]
fn a_rst_or_an_ack_of_the_right_numbers_closes_and_no_other() {
    let mut hosts = hosts(Behaviour::open());
    let syn_ack = ask(&mut hosts, &syn(40_000))[0].1.clone();
    let isn = u32::from_be_bytes(syn_ack[38..42].try_into().unwrap());
    let next = SEQ.wrapping_add(1);
    for wrong in [
        frame(&[], 40_000, "R", next.wrapping_add(1), 0),
        frame(&[], 40_001, "R", next, 0),
        frame(&[], 40_000, "A", next, isn),
        frame(&[], 40_000, "A", SEQ, isn.wrapping_add(1)),
    ] {
        assert_eq!(ask(&mut hosts, &wrong), []);
        assert_eq!(hosts.half_open(), 1);
    }
    ask(&mut hosts, &frame(&[], 40_000, "A", next, isn.wrapping_add(1)));
    assert_eq!((hosts.half_open(), hosts.counters().completed), (0, 1));
    ask(&mut hosts, &syn(40_000));
    ask(&mut hosts, &frame(&[], 40_000, "R", next, 0));
    assert_eq!((hosts.half_open(), hosts.counters().resets), (0, 1));
    assert_eq!(hosts.next_due(), Instant::NEVER);
}

#[test]
fn a_syn_ack_comes_again_after_1_and_3_seconds_and_is_given_up_after_63() {
    let second = |n: u64| Instant::from_nanos(n * 1_000_000_000);
    let mut hosts = hosts(Behaviour::open());
    let first = ask(&mut hosts, &syn(40_000));
    let mut at = Vec::new();
    while hosts.next_due() != Instant::NEVER {
        let due = hosts.next_due();
        let mut again = Vec::new();
        hosts.advance(due, &mut |delay, bytes| again.push((delay, bytes.to_vec())));
        at.push((due, again.len()));
        assert!(again.is_empty() || again == first);
    }
    assert_eq!(at, [(second(1), 1), (second(3), 1), (second(63), 0)]);
    assert_eq!((hosts.half_open(), hosts.counters().expired), (0, 1));
}

#[test]
fn no_more_connections_are_held_than_the_table_takes() {
    let mut hosts = Hosts::new(1).rule((HOST, HOST), 0..=65_535, Behaviour::open());
    let mut count = 0;
    for port in [80_u16, 81, 82] {
        for source_port in 0..=u16::MAX {
            let mut syn = syn(source_port);
            syn[36..38].copy_from_slice(&port.to_be_bytes());
            // Left to the hardware: only the pseudo-header, which holds no port, is summed.
            let pseudo = reply::sum(&syn[26..34]) + 6 + (syn.len() as u32 - 34);
            syn[50..52].copy_from_slice(&reply::fold(pseudo).to_be_bytes());
            count += ask(&mut hosts, &syn).len();
        }
    }
    assert_eq!(count, 3 << 16);
    assert_eq!(hosts.half_open(), MAX_HALF_OPEN);
    assert_eq!(hosts.counters().untracked, 1 << 16);
}

#[test]
fn a_frame_with_a_wrong_checksum_is_not_answered() {
    for at in [24, 30, 44, 51] {
        let mut syn = syn(40_000);
        syn[at] ^= 0x10;
        let mut hosts = hosts(Behaviour::open());
        assert_eq!(ask(&mut hosts, &syn), [], "octet {at}");
        assert_eq!(hosts.counters().bad_checksums, 1, "octet {at}");
    }
}

#[test]
fn nothing_but_a_syn_is_answered() {
    let mut hosts = hosts(Behaviour::open());
    for flags in ["SA", "A", "R", "RA", "F", ""] {
        assert_eq!(ask(&mut hosts, &frame(&[], 40_000, flags, SEQ, 1)), [], "{flags}");
    }
    let mut udp = Vec::new();
    PacketBuilder::ethernet2(OUR_MAC, THEIR_MAC)
        .ipv4(US.octets(), HOST.octets(), 64)
        .udp(40_000, 80)
        .write(&mut udp, &[1, 2, 3])
        .unwrap();
    assert_eq!(ask(&mut hosts, &udp), []);
}

#[test]
fn arp_is_answered_for_owned_addresses_alone() {
    let mac = [2, 0, 0, 0, 0, 9];
    let last = Ipv4Addr::new(198, 18, 0, 20);
    let mut hosts =
        Hosts::new(1).owning((Ipv4Addr::new(198, 18, 0, 10), last)).hardware_address(mac);
    let mut request = |operation, wanted: Ipv4Addr| {
        let arp = ArpEthIpv4Packet {
            operation,
            sender_mac: OUR_MAC,
            sender_ipv4: US.octets(),
            target_mac: [0; 6],
            target_ipv4: wanted.octets(),
        };
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(OUR_MAC, [0xff; 6]).arp(arp.into()).write(&mut frame).unwrap();
        ask(&mut hosts, &frame)
    };
    let answers = request(ArpOperation::REQUEST, last);
    let packet = SlicedPacket::from_ethernet(&answers[0].1).unwrap();
    let Some(NetSlice::Arp(arp)) = packet.net else {
        panic!("{:?}", packet.net);
    };
    let expected = ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: mac,
        sender_ipv4: last.octets(),
        target_mac: OUR_MAC,
        target_ipv4: US.octets(),
    };
    assert_eq!(arp.to_packet(), ArpPacket::from(expected));
    assert_eq!(answers[0].1[..12], [OUR_MAC, mac].concat());
    assert_eq!(request(ArpOperation::REQUEST, Ipv4Addr::new(198, 18, 0, 21)), []);
    assert_eq!(request(ArpOperation::REPLY, last), []);
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let run = |seed| {
        let lossy = Behaviour::Lossy { percent: 50, of: Box::new(Behaviour::open()) };
        let jittered = Behaviour::Reorder(Duration::from_secs(1), Box::new(lossy));
        let mut hosts = Hosts::new(seed).rule((HOST, HOST), 80..=80, jittered);
        (0..64).flat_map(|port| ask(&mut hosts, &syn(port))).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

proptest! {
    /// Whatever arrives, nothing panics and every answer goes to where the question came from.
    #[test]
    fn damaged_frames_do_no_harm(
        damage in prop::collection::vec((0..64_usize, any::<u8>()), 0..4),
        cut in 0..80_usize,
        layer in prop_oneof![Just(LinkLayer::Ethernet), Just(LinkLayer::Ip)],
    ) {
        let mut bytes = frame(&[7], 40_000, "S", SEQ, 0);
        for (at, octet) in damage {
            let at = at % bytes.len();
            bytes[at] = octet;
        }
        bytes.truncate(cut);
        let mut hosts = hosts(Behaviour::open()).owning((HOST, HOST));
        hosts.answer(&bytes, layer, &mut |_, answer| {
            if layer == LinkLayer::Ethernet {
                assert_eq!(answer[..6], bytes[6..12]);
            }
        });
    }

    /// Every address and port of a question comes back turned round, with checksums that hold.
    #[test]
    fn ends_turn_round(peer in any::<u32>(), host in any::<u32>(), ports in any::<(u16, u16)>(), seq in any::<u32>()) {
        let (peer, host) = (Ipv4Addr::from(peer), Ipv4Addr::from(host));
        let mut question = Vec::new();
        PacketBuilder::ipv4(peer.octets(), host.octets(), 64)
            .tcp(ports.0, ports.1, seq, 1)
            .syn()
            .write(&mut question, &[])
            .unwrap();
        let mut hosts = Hosts::new(9).rule((Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST), 0..=65_535, Behaviour::open());
        let mut answer = Vec::new();
        hosts.answer(&question, LinkLayer::Ip, &mut |_, bytes| answer = bytes.to_vec());
        let packet = SlicedPacket::from_ip(&answer).unwrap();
        let Some(NetSlice::Ipv4(ip)) = packet.net else { panic!() };
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!() };
        prop_assert_eq!((ip.header().source_addr(), ip.header().destination_addr()), (host, peer));
        prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (ports.1, ports.0));
        prop_assert_eq!(tcp.acknowledgment_number(), seq.wrapping_add(1));
        prop_assert_eq!(tcp.calc_checksum_ipv4(host.octets(), peer.octets()).unwrap(), tcp.checksum());
    }
}
