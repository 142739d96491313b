//! The same hosts asked over IPv6.

use std::net::{IpAddr, Ipv6Addr};

use etherparse::{IpNumber, Ipv6HeaderSlice, TcpSlice};

use super::*;
use crate::{
    sources::Sources,
    template::{self, Ends},
    wire::{self, MacAddr, Network, Transport, ndp},
};

const US: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, 9);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

fn frame(source_port: u16, is_rst: bool, seq: u32) -> Vec<u8> {
    let tcp = PacketBuilder::ethernet2(OUR_MAC, THEIR_MAC)
        .ipv6(US.octets(), HOST.octets(), 64)
        .tcp(source_port, 80, seq, 64_240);
    let tcp = if is_rst { tcp.rst() } else { tcp.syn() };
    let mut bytes = Vec::new();
    tcp.write(&mut bytes, &[]).unwrap();
    bytes
}

fn syn() -> Vec<u8> {
    frame(40_000, false, SEQ)
}

fn hosts(behaviour: Behaviour) -> Hosts {
    Hosts::new(0x5eed).rule((HOST, HOST), 80..=80, behaviour)
}

/// What a strict reader makes of one answer, as [`super::read`] does of IPv4.
fn read(frame: &[u8]) -> String {
    assert_eq!(frame[..12], [OUR_MAC, THEIR_MAC].concat());
    let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
        return "malformed".to_owned();
    };
    let Some(NetSlice::Ipv6(ip)) = &packet.net else {
        return "not IPv6".to_owned();
    };
    assert_eq!(ip.header().destination_addr(), US);
    let from = ip.header().source_addr();
    match packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let checksum = tcp.calc_checksum_ipv6(from.octets(), US.octets()).unwrap();
            assert_eq!((from, checksum), (HOST, tcp.checksum()));
            format!("{} hops {}", said(&tcp), ip.header().hop_limit())
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            assert!(icmp.is_checksum_valid(from.octets(), US.octets()));
            let quoted = icmp.payload();
            let header = Ipv6HeaderSlice::from_slice(quoted).unwrap();
            assert_eq!((header.source_addr(), header.next_header()), (US, IpNumber::TCP));
            let seq = u32::from_be_bytes(quoted[44..48].try_into().unwrap());
            let of = if seq == SEQ { "ours" } else { "foreign" };
            format!("{}/{} from {from}, {} of {of}", icmp.type_u8(), icmp.code_u8(), quoted.len())
        }
        Some(_) => "other transport".to_owned(),
        None => format!("in parts: {}", ip.is_payload_fragmented()),
    }
}

#[track_caller]
fn check(behaviour: Behaviour, expected: &[&str]) {
    let answers = ask(&mut hosts(behaviour), &syn());
    let read: Vec<String> = answers.iter().map(|(_, bytes)| read(bytes)).collect();
    assert_eq!(read, expected);
}

#[test]
fn each_behaviour_answers_as_it_says() {
    let unreachable =
        |code, responder: Option<IpAddr>, quote| Behaviour::Unreachable { code, responder, quote };
    check(Behaviour::open(), &["SA seq+1 from 80 hops 64"]);
    check(Behaviour::Open(OpenHost::windows()), &["SA seq+1 from 80 hops 128"]);
    check(Behaviour::closed(), &["RA seq+1 from 80 hops 64"]);
    check(Behaviour::Closed { ttl: 50, ack: RstAck::Seq }, &["RA seq from 80 hops 50"]);
    check(Behaviour::Silent, &[]);
    let twice = Behaviour::Duplicate(2, Box::new(Behaviour::open()));
    check(twice, &["SA seq+1 from 80 hops 64"; 2]);
    check(Behaviour::Challenge(OpenHost::linux()), &["A other from 80 hops 64"]);
    let minimum = format!("1/3 from {HOST}, 48 of ours");
    check(unreachable(3, None, Quote::Minimum), &[&minimum]);
    // A router of the other family cannot say anything.
    check(unreachable(3, Some(super::US.into()), Quote::Minimum), &[&minimum]);
    let full = format!("1/1 from {ROUTER}, 60 of ours");
    check(unreachable(1, Some(ROUTER.into()), Quote::Full), &[&full]);
}

#[test]
fn each_oddity_is_what_it_says() {
    for odd in Odd::ALL {
        let expected = match odd {
            Odd::BadDataOffset(_) | Odd::TruncatedTcp => "malformed".to_owned(),
            Odd::ForeignQuote => format!("1/1 from {HOST}, 60 of foreign"),
            Odd::Fragment => "in parts: true".to_owned(),
            Odd::OtherPort => "SA seq+1 from 81 hops 64".to_owned(),
            Odd::RstWithoutAck => "R seq+1 from 80 hops 64".to_owned(), // not claimed, see above
            Odd::WrongAck => "SA other from 80 hops 64".to_owned(),
            Odd::VlanTagged(_) | Odd::LoopingOptions | Odd::Padded(_) => {
                "SA seq+1 from 80 hops 64".to_owned()
            }
        };
        check(Behaviour::Odd(odd), &[&expected]);
    }
}

#[test]
fn connections_are_held_until_our_rst() {
    let mut hosts = hosts(Behaviour::open());
    ask(&mut hosts, &syn());
    assert_eq!(hosts.half_open(), 1);
    ask(&mut hosts, &frame(40_000, true, SEQ.wrapping_add(2)));
    assert_eq!(hosts.half_open(), 1);
    ask(&mut hosts, &frame(40_000, true, SEQ.wrapping_add(1)));
    assert_eq!((hosts.half_open(), hosts.counters().resets), (0, 1));
}

#[test]
fn a_wrong_checksum_is_not_answered_and_one_left_to_the_hardware_is() {
    // In the source, the destination, the source port and the flags.
    for at in [14 + 9, 14 + 30, 14 + 40 + 1, 14 + 40 + 13] {
        let mut syn = syn();
        syn[at] ^= 0x10;
        let mut hosts = hosts(Behaviour::open());
        assert_eq!(ask(&mut hosts, &syn), [], "octet {at}");
        assert_eq!(hosts.counters().bad_checksums, 1, "octet {at}");
    }
    let mut syn = syn();
    let len = TcpSlice::from_slice(&syn[54..]).unwrap().slice().len() as u32;
    let pseudo = reply::sum(&syn[22..54]) + 6 + len;
    syn[70..72].copy_from_slice(&reply::fold(pseudo).to_be_bytes());
    assert_eq!(ask(&mut hosts(Behaviour::open()), &syn).len(), 1);
}

#[test]
fn families_do_not_cover_each_other() {
    let everything = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
    let mut hosts = Hosts::new(1).rule(everything, 0..=65_535, Behaviour::open());
    assert_eq!(ask(&mut hosts, &syn()), []);
    let everything = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::from_bits(u128::MAX));
    let mut hosts = Hosts::new(1).rule(everything, 0..=65_535, Behaviour::open());
    assert_eq!(ask(&mut hosts, &super::syn(40_000)), []);
    assert_eq!(ask(&mut hosts, &syn()).len(), 1);
}

#[test]
fn without_ethernet_an_answer_begins_with_the_ip_header() {
    let mut answers = Vec::new();
    let mut hosts = hosts(Behaviour::open());
    hosts.answer(&syn()[14..], LinkLayer::Ip, &mut |_, bytes| answers.push(bytes.to_vec()));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][0], 0x60);
}

#[test]
fn solicitations_are_answered_for_owned_addresses_alone() {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
    let host = |last| Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, last);
    let ends = Ends {
        layer: LinkLayer::Ethernet,
        source_mac: MacAddr(OUR_MAC),
        vlan: Some(7),
        sources: Sources::default(),
    };
    let mut hosts = Hosts::new(1).owning((host(10), host(20))).hardware_address(MAC);
    let mut solicit = |source, target, changed: Option<usize>| {
        let mut slot = [0; 128];
        let len = usize::from(template::neighbour_solicitation(&mut slot, &ends, source, target));
        if let Some(at) = changed {
            slot[at] ^= 0x10;
        }
        ask(&mut hosts, &slot[..len])
    };
    let all_nodes = (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), MacAddr([0x33, 0x33, 0, 0, 0, 1]));
    for (asker, is_solicited, to) in
        [(US, true, (US, MacAddr(OUR_MAC))), (Ipv6Addr::UNSPECIFIED, false, all_nodes)]
    {
        let answers = solicit(asker, host(20), None);
        let packet = wire::parse(&answers[0].1, LinkLayer::Ethernet).unwrap();
        let Network::Ipv6(header, Transport::Icmpv6(message)) = packet.network else {
            panic!("{packet:?}");
        };
        assert!(message.has_right_checksum(header.source(), header.destination()));
        assert_eq!((packet.vlan, header.source()), (Some(7), host(20)));
        assert_eq!((header.destination(), packet.ethernet.unwrap().destination()), to);
        let expected = ndp::Advertisement {
            target: host(20),
            is_router: false,
            is_solicited,
            is_override: true,
            target_mac: Some(MacAddr(MAC)),
        };
        assert_eq!(ndp::Advertisement::parse(&header, &message), Ok(expected));
    }
    assert_eq!(solicit(US, host(21), None), []);
    assert_eq!(solicit(US, host(20), Some(18 + 40 + 20)), []); // not the target that was summed
    assert_eq!(solicit(US, host(20), Some(18 + 7)), []); // from behind a router
    let counts = hosts.counters();
    assert_eq!((counts.ndp_answers, counts.bad_checksums, counts.ignored), (2, 1, 2));
}
