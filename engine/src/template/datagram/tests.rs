//! Datagrams of both versions of IP, judged by etherparse.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::{
    link::LinkLayer,
    sources::Sources,
    wire::{self, Network, Transport},
};

const SOURCES: Sources = Sources {
    v4: Some(Ipv4Addr::new(198, 18, 0, 1)),
    v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
};

fn ends(layer: LinkLayer, vlan: Option<u16>) -> Ends {
    Ends { layer, source_mac: MacAddr([2, 0, 0, 0, 0, 1]), vlan, sources: SOURCES }
}

/// The frame in a slot that held something else; nothing behind it is touched.
fn write<A: Address>(ends: &Ends, fields: &DatagramFields<A>, payload: &[u8]) -> Vec<u8> {
    let template = DatagramTemplate::<A>::new(ends).unwrap();
    let mut slot = vec![0xaa; 2_048];
    template.payload(&mut slot)[..payload.len()].copy_from_slice(payload);
    let len = usize::from(template.finish(&mut slot, fields, payload.len() as u16));
    assert_eq!(len, template.headers_len() + payload.len());
    assert!(slot[len..].iter().all(|octet| *octet == 0xaa));
    slot.truncate(len);
    slot
}

/// Whether our own reader finds the checksum right too.
fn is_intact(frame: &[u8], layer: LinkLayer) -> bool {
    match wire::parse(frame, layer).unwrap().network {
        Network::Ipv4(ip, Transport::Udp(udp)) => {
            udp.is_intact(ip.source().into(), ip.destination().into())
        }
        Network::Ipv6(ip, Transport::Udp(udp)) => {
            udp.is_intact(ip.source().into(), ip.destination().into())
        }
        other => panic!("{other:?}"),
    }
}

fn is_right<A: Address>(
    (layer, vlan): (LinkLayer, Option<u16>),
    fields: &DatagramFields<A>,
    payload: &[u8],
) {
    let frame = write(&ends(layer, vlan), fields, payload);
    let packet = match layer {
        LinkLayer::Ethernet => SlicedPacket::from_ethernet(&frame),
        LinkLayer::Ip => SlicedPacket::from_ip(&frame),
    }
    .unwrap();
    assert_eq!(packet.vlan_ids().first().map(|id| id.value()), vlan);
    if layer == LinkLayer::Ethernet {
        assert_eq!(frame[..6], fields.next_hop.0);
    }
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("{packet:?}") };
    assert_eq!(udp.payload(), payload);
    assert_eq!(usize::from(udp.length()), 8 + payload.len());
    let net = packet.net.as_ref().unwrap();
    let sum = if let Some(ip) = net.ipv4_ref() {
        let header = ip.header();
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        assert_eq!(usize::from(header.total_len()), 20 + udp.slice().len());
        assert_eq!((header.identification(), header.ttl()), (fields.ip_id as u16, 64));
        udp.to_header().calc_checksum_ipv4(&header.to_header(), payload)
    } else {
        let header = net.ipv6_ref().unwrap().header();
        assert_eq!(usize::from(header.payload_length()), udp.slice().len());
        assert_eq!(header.flow_label().value(), fields.ip_id & 0xf_ffff);
        udp.to_header().calc_checksum_ipv6(&header.to_header(), payload)
    };
    assert_eq!(Ok(udp.checksum()), sum);
    assert_eq!(
        (udp.source_port(), udp.destination_port()),
        (fields.source_port, fields.destination_port)
    );
    assert!(is_intact(&frame, layer));
}

fn fields<A>(destination: A, source_port: u16) -> DatagramFields<A> {
    let next_hop = MacAddr([2, 0, 0, 0, 0, 2]);
    DatagramFields { next_hop, destination, destination_port: 53, source_port, ip_id: 0xabcd_ef01 }
}

proptest! {
    #[test]
    fn each_datagram_is_whole(
        link in prop::sample::select(vec![
            (LinkLayer::Ethernet, None),
            (LinkLayer::Ethernet, Some(42)),
            (LinkLayer::Ip, None),
        ]),
        (mac, v4, v6) in any::<([u8; 6], u32, u128)>(),
        (source_port, destination_port, ip_id) in any::<(u16, u16, u32)>(),
        payload in prop::collection::vec(any::<u8>(), 0..=1_452),
    ) {
        let next_hop = MacAddr(mac);
        let destination = Ipv4Addr::from(v4);
        let fields =
            DatagramFields { next_hop, destination, destination_port, source_port, ip_id };
        is_right(link, &fields, &payload);
        let destination = Ipv6Addr::from(v6);
        let fields =
            DatagramFields { next_hop, destination, destination_port, source_port, ip_id };
        is_right(link, &fields, &payload);
    }
}

#[test]
fn no_checksum_is_ever_zero() {
    #[track_caller]
    fn check<A: Address>(destination: A, at: usize) {
        let mut seen = 0;
        for source_port in 0..=u16::MAX {
            let frame =
                write(&ends(LinkLayer::Ethernet, None), &fields(destination, source_port), b"?");
            assert_ne!(frame[at..at + 2], [0, 0], "{source_port}");
            seen += u32::from(frame[at..at + 2] == [0xff; 2]);
        }
        // The sums of two ports are congruent to zero: that of 0 and 65535, or another and none.
        assert!((1..=2).contains(&seen), "{seen}");
    }
    check(Ipv4Addr::new(198, 19, 0, 7), 14 + 20 + 6);
    check(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7), 14 + 40 + 6);
}

#[test]
fn what_was_changed_on_the_way_is_told() {
    let frame = write(
        &ends(LinkLayer::Ethernet, None),
        &fields(Ipv4Addr::new(198, 19, 0, 7), 61_000),
        b"a question",
    );
    assert!(is_intact(&frame, LinkLayer::Ethernet));
    for at in 26..frame.len() {
        let mut damaged = frame.clone();
        damaged[at] ^= 0x10;
        // A length that does not fit is malformed or cut.
        let intact = wire::parse(&damaged, LinkLayer::Ethernet).is_ok()
            && is_intact(&damaged, LinkLayer::Ethernet);
        assert!(!intact, "octet {at}");
    }
}
