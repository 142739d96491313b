//! Hosts that answer datagrams: etherparse writes the questions and reads the answers.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use etherparse::UdpSlice;

use super::*;
use crate::{
    sources::Sources,
    template::{DatagramFields, DatagramTemplate, Ends},
    wire::{self, MacAddr, Network, Transport},
};

const US_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, 9);

fn question(to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(OUR_MAC, THEIR_MAC);
    let builder = match to {
        IpAddr::V4(to) => builder.ipv4(US.octets(), to.octets(), 64),
        IpAddr::V6(to) => builder.ipv6(US_6.octets(), to.octets(), 64),
    };
    let mut bytes = Vec::new();
    builder.udp(61_000, 53).write(&mut bytes, payload).unwrap();
    bytes
}

/// From where and what; an ICMP error is its code and the last octets that it quotes.
fn read(frame: &[u8]) -> String {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (from, to): (IpAddr, IpAddr) = match packet.net.as_ref().unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.to_header().calc_header_checksum(), header.header_checksum());
            (header.source_addr().into(), header.destination_addr().into())
        }
        NetSlice::Ipv6(ip) => {
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        other => panic!("{other:?}"),
    };
    assert!(to == IpAddr::from(US) || to == IpAddr::from(US_6));
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!(udp.destination_port(), 61_000);
            assert_eq!(udp.checksum(), checksum(udp, from, to));
            let said = String::from_utf8_lossy(udp.payload()).into_owned();
            format!("{} {said}", SocketAddr::new(from, udp.source_port()))
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            let Icmpv4Type::DestinationUnreachable(kind) = icmp.icmp_type() else {
                panic!("{icmp:?}")
            };
            let quoted = String::from_utf8_lossy(icmp.payload().get(28..).unwrap_or_default());
            format!("{from} unreachable {} {quoted}", kind.code_u8())
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let quoted = String::from_utf8_lossy(icmp.payload().get(48..).unwrap_or_default());
            format!("{from} unreachable {} {quoted}", icmp.code_u8())
        }
        other => panic!("{other:?}"),
    }
}

fn checksum(udp: &UdpSlice<'_>, from: IpAddr, to: IpAddr) -> u16 {
    let header = udp.to_header();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), udp.payload()).unwrap()
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), udp.payload()).unwrap()
        }
        _ => panic!("{from} to {to}"),
    }
}

/// Hosts at both addresses that answer so, and closed to SYNs on all ports.
fn serving(service: Service, wrap: impl Fn(Behaviour) -> Behaviour) -> Hosts {
    let mut hosts = Hosts::new(1);
    for addr in [IpAddr::from(HOST), IpAddr::from(HOST_6)] {
        hosts = hosts.rule((addr, addr), 0..=u16::MAX, Behaviour::closed());
        hosts = hosts.rule((addr, addr), 53..=53, wrap(Behaviour::Serves(service.clone())));
    }
    hosts
}

fn plain(behaviour: Behaviour) -> Behaviour {
    behaviour
}

fn answers(hosts: &mut Hosts, to: impl Into<IpAddr>, payload: &[u8]) -> Vec<(Duration, String)> {
    let answers = ask(hosts, &question(to.into(), payload));
    answers.iter().map(|(delay, frame)| (*delay, read(frame))).collect()
}

#[test]
fn what_the_closure_says_is_sent_late_and_in_the_name_of_others() {
    let second = Duration::from_secs(1);
    let service = Service::new(move |heard: &Heard<'_>| {
        let port = heard.to.port() + 1;
        let other: IpAddr = if heard.to.is_ipv4() { US.into() } else { US_6.into() };
        vec![
            Said::datagram(heard.payload),
            Said::datagram("late").after(second).after(second),
            Said::datagram("forged").from(SocketAddr::new(other, port)),
            Said::datagram(format!("{}", heard.from)).from(SocketAddr::new([9, 9, 9, 9].into(), 9)),
            Said::unreachable(3, Quote::Full),
            Said::unreachable(3, Quote::Minimum),
        ]
    });
    let mut hosts = serving(service, plain);
    let expected = |host: &str, us: &str, name: &str, other: &str, to: &str| {
        [
            (Duration::ZERO, format!("{host}:53 what?")),
            (2 * second, format!("{host}:53 late")),
            (Duration::ZERO, format!("{us}:54 forged")),
            (Duration::ZERO, format!("{other} {us}:61000")),
            (Duration::ZERO, format!("{name} unreachable 3 {to}")),
            (Duration::ZERO, format!("{name} unreachable 3 ")),
        ]
    };
    let v4 = expected("198.19.7.9", "198.18.0.1", "198.19.7.9", "9.9.9.9:9", "what?");
    assert_eq!(answers(&mut hosts, HOST, b"what?"), v4);
    let (host, us) = ("[2001:db8:1::7:9]", "[2001:db8::1]");
    // An address of the other family changes nothing.
    let v6 = expected(host, us, "2001:db8:1::7:9", "[2001:db8:1::7:9]:53", "what?");
    assert_eq!(answers(&mut hosts, HOST_6, b"what?"), v6);
    let counts = hosts.counters();
    assert_eq!((counts.datagrams, counts.datagrams_said, counts.bad_checksums), (2, 8, 0));
}

#[test]
fn rules_for_datagrams_and_for_syns_do_not_hide_each_other() {
    let service = Service::new(|heard: &Heard<'_>| vec![Said::datagram(heard.payload)]);
    let mut hosts = serving(service.clone(), plain);
    assert_eq!(answers(&mut hosts, HOST, b"x").len(), 1);
    assert_eq!(super::read(&ask(&mut hosts, &syn(40_000))[0].1), "RA seq+1 from 80");
    let mut hosts = Hosts::new(1)
        .rule((HOST, HOST), 0..=u16::MAX, Behaviour::Serves(service).slow(Duration::ZERO))
        .rule((HOST, HOST), 0..=u16::MAX, Behaviour::open());
    assert_eq!(super::read(&ask(&mut hosts, &syn(40_000))[0].1), "SA seq+1 from 80");
    assert_eq!(answers(&mut hosts, HOST, b"x").len(), 1);
    assert!(matches!(hosts.behaviour(HOST, 53), Some(Behaviour::Open(_))));
    // Where none serves nobody answers, not even with an error.
    let mut hosts = Hosts::new(1).rule((HOST, HOST), 0..=u16::MAX, Behaviour::open());
    assert_eq!(answers(&mut hosts, HOST, b"x"), []);
    assert_eq!((hosts.counters().datagrams, hosts.counters().datagrams_unclaimed), (0, 1));
}

#[test]
fn wrappers_wrap_datagrams_too() {
    let service = Service::new(|heard: &Heard<'_>| vec![Said::datagram(heard.payload)]);
    let second = Duration::from_secs(1);
    let thrice = |inner| Behaviour::Duplicate(3, Box::new(Behaviour::slow(inner, second)));
    let mut hosts = serving(service.clone(), thrice);
    assert_eq!(answers(&mut hosts, HOST, b"x"), vec![(second, "198.19.7.9:53 x".to_owned()); 3]);
    let half = |inner| Behaviour::Lossy { percent: 50, of: Box::new(inner) };
    let mut hosts = serving(service.clone(), half);
    let count = (0..1_000).filter(|_| !answers(&mut hosts, HOST, b"x").is_empty()).count();
    assert!((400..600).contains(&count), "{count}");
    assert_eq!(hosts.counters().datagrams_lost, 1_000 - count as u64);
    let mut hosts = serving(service, |inner| Behaviour::Reorder(second, Box::new(inner)));
    let delays: Vec<_> = (0..100).map(|_| answers(&mut hosts, HOST, b"x")[0].0).collect();
    assert!(delays.iter().all(|delay| *delay < second) && !delays.is_sorted());
}

#[test]
fn all_hosts_of_a_service_have_one_memory_and_know_the_time() {
    let mut heard_at = Vec::new();
    let service = Service::new(move |heard: &Heard<'_>| {
        heard_at.push((heard.now, heard.to));
        vec![Said::datagram(format!("{}", heard_at.len()))]
    });
    let mut hosts = serving(service, plain);
    assert_eq!(answers(&mut hosts, HOST, b"x")[0].1, "198.19.7.9:53 1");
    assert_eq!(answers(&mut hosts, HOST_6, b"x")[0].1, "[2001:db8:1::7:9]:53 2");
    let clock =
        Service::new(|heard: &Heard<'_>| vec![Said::datagram(format!("{}", heard.now.as_nanos()))]);
    let mut hosts = serving(clock, plain);
    hosts.advance(Instant::from_nanos(77), &mut |_, _| {});
    assert_eq!(answers(&mut hosts, HOST, b"x")[0].1, "198.19.7.9:53 77");
}

#[test]
fn a_damaged_datagram_is_not_heard() {
    let service = Service::new(|heard: &Heard<'_>| vec![Said::datagram(heard.payload)]);
    for host in [IpAddr::from(HOST), IpAddr::from(HOST_6)] {
        let whole = question(host, b"what?");
        let mut hosts = serving(service.clone(), plain);
        assert_eq!(ask(&mut hosts, &whole).len(), 1);
        let ip = if host.is_ipv4() { 20 } else { 40 };
        // A source address, the checksum, and what is said.
        for at in
            [if ip == 20 { 26 } else { 22 }, 14 + ip + 6, 14 + ip + 7, 14 + ip + 8, whole.len() - 1]
        {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(ask(&mut hosts, &damaged), [], "octet {at} to {host}");
        }
        assert_eq!(hosts.counters().bad_checksums, 5);
        // No checksum is one, in IPv4 alone; so is what a virtual device leaves to the hardware.
        let mut without = whole.clone();
        without[14 + ip + 6..14 + ip + 8].fill(0);
        assert_eq!(ask(&mut hosts, &without).len(), usize::from(host.is_ipv4()));
        let addrs = if host.is_ipv4() { &whole[26..34] } else { &whole[22..54] };
        let pseudo = reply::fold(reply::sum(addrs) + 17 + 8 + 5);
        without[14 + ip + 6..14 + ip + 8].copy_from_slice(&pseudo.to_be_bytes());
        assert_eq!(ask(&mut hosts, &without).len(), 1);
    }
}

/// What our templates write is heard as it was said, and our reader finds what comes back whole.
fn echoes<A: crate::template::Address + Into<IpAddr>>(
    to: A,
    (source_port, port): (u16, u16),
    payload: &[u8],
) {
    let sources = Sources { v4: Some(US), v6: Some(US_6) };
    let source_mac = MacAddr(OUR_MAC);
    let ends = Ends { layer: LinkLayer::Ethernet, source_mac, vlan: Some(7), sources };
    let template = DatagramTemplate::<A>::new(&ends).unwrap();
    let mut slot = [0; 2_048];
    template.payload(&mut slot)[..payload.len()].copy_from_slice(payload);
    let fields = DatagramFields {
        next_hop: MacAddr(THEIR_MAC),
        destination: to,
        destination_port: port,
        source_port,
        ip_id: 9,
    };
    let len = template.finish(&mut slot, &fields, payload.len() as u16);
    let addr: IpAddr = to.into();
    let service = Service::new(move |heard: &Heard<'_>| {
        assert_eq!((heard.from.port(), heard.to), (source_port, SocketAddr::new(addr, port)));
        vec![Said::datagram(heard.payload)]
    });
    let serves = Behaviour::Serves(service);
    let mut hosts = Hosts::new(1).rule((addr, addr), 0..=u16::MAX, serves);
    let answers = ask(&mut hosts, &slot[..usize::from(len)]);
    let [(_, answer)] = &answers[..] else { panic!("{answers:?}") };
    let packet = wire::parse(answer, LinkLayer::Ethernet).unwrap();
    assert_eq!(packet.vlan, Some(7));
    let (from, to, datagram) = match packet.network {
        Network::Ipv4(ip, Transport::Udp(udp)) => {
            (IpAddr::from(ip.source()), IpAddr::from(ip.destination()), udp)
        }
        Network::Ipv6(ip, Transport::Udp(udp)) => {
            (IpAddr::from(ip.source()), IpAddr::from(ip.destination()), udp)
        }
        other => panic!("{other:?}"),
    };
    assert!(datagram.is_intact(from, to) && from == addr);
    assert_eq!((datagram.source_port(), datagram.destination_port()), (port, source_port));
    assert_eq!(datagram.payload(), payload);
}

proptest! {
    #[test]
    fn our_datagrams_are_heard_and_theirs_are_whole(
        v4: u32,
        v6: u128,
        ports: (u16, u16),
        payload in prop::collection::vec(any::<u8>(), 0..=1_452),
    ) {
        echoes(Ipv4Addr::from(v4), ports, &payload);
        echoes(Ipv6Addr::from(v6), ports, &payload);
    }
}
