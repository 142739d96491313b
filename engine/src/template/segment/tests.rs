//! Segments of both versions of IP, judged by etherparse.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{SlicedPacket, TcpOptionElement, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::{link::LinkLayer, sources::Sources};

const SOURCES: Sources = Sources {
    v4: Some(Ipv4Addr::new(198, 18, 0, 1)),
    v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
};

fn is_right<A: Address>((layer, vlan): (LinkLayer, Option<u16>), fields: &SegmentFields<'_, A>) {
    let ends = Ends { layer, source_mac: MacAddr([2, 0, 0, 0, 0, 1]), vlan, sources: SOURCES };
    let template = SegmentTemplate::<A>::new(&ends, TcpProfile::Windows).unwrap();
    let mut slot = [0xaa; 2_048];
    let len = usize::from(template.write(&mut slot, fields));
    let packet = match layer {
        LinkLayer::Ethernet => SlicedPacket::from_ethernet(&slot[..len]),
        LinkLayer::Ip => SlicedPacket::from_ip(&slot[..len]),
    }
    .unwrap();
    assert_eq!(packet.vlan_ids().first().map(|id| id.value()), vlan);
    if layer == LinkLayer::Ethernet {
        assert_eq!(slot[..6], fields.next_hop.0);
    }
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("{packet:?}") };
    let net = packet.net.as_ref().unwrap();
    let sum = if let Some(ip) = net.ipv4_ref() {
        let header = ip.header();
        assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
        assert_eq!(usize::from(header.total_len()), 20 + tcp.slice().len());
        assert_eq!((header.identification(), header.ttl()), (fields.ip_id as u16, 128));
        tcp.calc_checksum_ipv4(header.source(), header.destination())
    } else {
        let header = net.ipv6_ref().unwrap().header();
        assert_eq!(usize::from(header.payload_length()), tcp.slice().len());
        assert_eq!(header.flow_label().value(), fields.ip_id & 0xf_ffff);
        tcp.to_header().calc_checksum_ipv6(&header.to_header(), tcp.payload())
    };
    assert_eq!(Ok(tcp.checksum()), sum);
    assert_eq!(
        (tcp.source_port(), tcp.destination_port()),
        (fields.source_port, fields.destination_port)
    );
    assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (fields.seq, fields.ack));
    assert_eq!((tcp.window_size(), tcp.payload()), (fields.window, fields.payload));
    let flags = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg()];
    let bits = flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum::<u8>();
    assert_eq!(bits, fields.flags.0 & 0x3f);
    let sack = tcp.options_iterator().find_map(|option| match option.unwrap() {
        TcpOptionElement::SelectiveAcknowledgement(block, [None, None, None]) => Some(block),
        _ => None,
    });
    assert_eq!(sack, fields.sack);
    assert!(slot[len..].iter().all(|octet| *octet == 0xaa));
}

proptest! {
    #[test]
    fn each_segment_is_whole(
        link in prop::sample::select(vec![
            (LinkLayer::Ethernet, None),
            (LinkLayer::Ethernet, Some(42)),
            (LinkLayer::Ip, None),
        ]),
        (mac, v4, v6) in any::<([u8; 6], u32, u128)>(),
        (source_port, destination_port, window, flags) in any::<(u16, u16, u16, u8)>(),
        (seq, ack, ip_id, sack) in any::<(u32, u32, u32, Option<(u32, u32)>)>(),
        payload in prop::collection::vec(any::<u8>(), 0..=1_440),
    ) {
        let fields = SegmentFields {
            next_hop: MacAddr(mac),
            destination: Ipv4Addr::from(v4),
            destination_port,
            source_port,
            seq,
            ack,
            flags: Flags(flags & 0x3f),
            window,
            sack,
            payload: &payload,
            ip_id,
        };
        is_right(link, &fields);
        let SegmentFields { next_hop, flags, .. } = fields;
        is_right(link, &SegmentFields {
            next_hop,
            destination: Ipv6Addr::from(v6),
            destination_port,
            source_port,
            seq,
            ack,
            flags,
            window,
            sack,
            payload: &payload,
            ip_id,
        });
    }
}
