//! What a fuzzer does with received bytes; compiled for fuzzing and tests alone.
//!
//! Each function asserts more than that nothing panics: views stay inside the bytes they borrow, and etherparse, which
//! reads the same headers in its own way, agrees wherever both read a packet.
//!
//! # Panics
//!
//! All of them, when an invariant does not hold.

use etherparse::{
    Icmpv4Slice, Icmpv6Slice, Ipv4HeaderSlice, Ipv6ExtensionsSlice, Ipv6HeaderSlice,
    SingleVlanSlice, TcpOptionElement, TcpOptionsIterator, TcpSlice, UdpHeaderSlice,
};

use super::{
    Network, Transport, arp, ethernet, icmp, icmpv6, ipv4, ipv6, ndp, parse, tcp,
    tcp_options::{self, TcpOption},
    udp,
};
use crate::link::LinkLayer;

/// A whole frame; the lowest bit of the first octet tells whether it has an Ethernet header.
pub fn fuzz_frame(data: &[u8]) {
    let Some((choice, frame)) = data.split_first() else {
        return;
    };
    let layer = if choice & 1 == 0 { LinkLayer::Ethernet } else { LinkLayer::Ip };
    let Ok(packet) = parse(frame, layer) else {
        return;
    };
    assert_eq!(packet.ethernet.is_some(), layer == LinkLayer::Ethernet);
    assert!(packet.vlan.is_none_or(|vid| vid < 4_096));
    let (protocol, is_fragment, transport) = match packet.network {
        Network::Ipv4(header, transport) => {
            assert!(inside(frame, header.options_bytes()));
            assert!(!matches!(transport, Transport::Icmpv6(_)));
            (header.protocol(), header.fragment_offset() > 0, transport)
        }
        Network::Ipv6(header, transport) => {
            assert!(inside(frame, header.extension_bytes()));
            assert!(!matches!(transport, Transport::Icmp(_)));
            (header.protocol(), header.fragment_offset() > 0, transport)
        }
        _ => return,
    };
    match transport {
        Transport::Tcp(segment) => {
            assert!(inside(frame, segment.options_bytes()) && inside(frame, segment.payload()));
            assert_eq!(protocol, tcp::PROTOCOL);
        }
        Transport::Udp(datagram) => assert!(inside(frame, datagram.payload())),
        Transport::Icmp(message) => assert!(inside(frame, message.body())),
        Transport::Icmpv6(message) => assert!(inside(frame, message.body())),
        Transport::Fragment => assert!(is_fragment),
        Transport::Other(other) => assert_eq!(protocol, other),
    }
}

/// Bytes behind an EtherType of VLAN, which may hold two tags.
pub fn fuzz_ethernet(data: &[u8]) {
    if let Ok((header, rest)) = ethernet::Header::parse(data) {
        let theirs =
            etherparse::Ethernet2Slice::from_slice_without_fcs(data).expect("14 octets are enough");
        assert_eq!(header.source().0, theirs.source());
        assert_eq!(header.destination().0, theirs.destination());
        assert_eq!(header.ether_type(), theirs.ether_type().0);
        assert_eq!(rest, theirs.payload_slice());
    }
    let Ok((_, vlan, rest)) = ethernet::tags(ethernet::VLAN, data) else {
        return;
    };
    let mut theirs = SingleVlanSlice::from_slice(data).expect("we read a tag");
    if matches!(theirs.ether_type().0, ethernet::VLAN | ethernet::SERVICE_VLAN) {
        theirs = SingleVlanSlice::from_slice(theirs.payload_slice()).expect("we read a second tag");
    }
    assert_eq!(vlan, Some(theirs.vlan_identifier().value()));
    assert_eq!(rest, theirs.payload_slice());
}

/// An ARP packet.
pub fn fuzz_arp(data: &[u8]) {
    let ours = arp::Packet::parse(data);
    let theirs = etherparse::ArpPacketSlice::from_slice(data);
    if let Ok(packet) = ours {
        let theirs = theirs.expect("its lengths are those of Ethernet and IPv4");
        assert_eq!(packet.operation(), theirs.operation().0);
        assert_eq!(packet.sender_mac().0, theirs.sender_hw_addr());
        assert_eq!(packet.sender().octets(), theirs.sender_protocol_addr());
        assert_eq!(packet.target_mac().0, theirs.target_hw_addr());
        assert_eq!(packet.target().octets(), theirs.target_protocol_addr());
    }
}

/// An IPv4 header.
pub fn fuzz_ipv4(data: &[u8]) {
    let theirs = Ipv4HeaderSlice::from_slice(data);
    let Ok((header, payload)) = ipv4::Header::parse(data) else {
        // They leave the total length alone; we do not.
        if let Ok(theirs) = theirs {
            assert!(usize::from(theirs.total_len()) < theirs.slice().len());
        }
        return;
    };
    let theirs = theirs.expect("we read it");
    assert_eq!(header.source(), theirs.source_addr());
    assert_eq!(header.destination(), theirs.destination_addr());
    assert_eq!(header.total_len(), theirs.total_len());
    assert_eq!(header.id(), theirs.identification());
    assert_eq!(header.ttl(), theirs.ttl());
    assert_eq!(header.protocol(), theirs.protocol().0);
    assert_eq!(header.fragment_offset(), theirs.fragments_offset().value());
    assert_eq!(header.has_more_fragments(), theirs.more_fragments());
    assert_eq!(header.is_unfragmentable(), theirs.dont_fragment());
    assert_eq!(header.options_bytes(), theirs.options());
    let behind = data.len() - theirs.slice().len();
    let named = usize::from(theirs.total_len()) - theirs.slice().len();
    assert_eq!(payload.len(), named.min(behind));
    assert!(inside(data, payload));
}

/// An IPv6 header and its extension headers.
pub fn fuzz_ipv6(data: &[u8]) {
    let theirs = Ipv6HeaderSlice::from_slice(data);
    let Ok((header, payload)) = ipv6::Header::parse(data) else {
        // They walk any number of extension headers; we do not. Apart from that, they refuse what we refuse.
        if let Ok(theirs) = theirs {
            let behind = &data[ipv6::LEN..];
            let named = usize::from(theirs.payload_length()).min(behind.len());
            let walked = Ipv6ExtensionsSlice::from_slice(theirs.next_header(), &behind[..named]);
            if let Ok((extensions, ..)) = walked {
                assert!(extensions.slice().len() > 8 * ipv6::MAX_EXTENSIONS);
            }
        }
        return;
    };
    let theirs = theirs.expect("we read it");
    assert_eq!(header.source(), theirs.source_addr());
    assert_eq!(header.destination(), theirs.destination_addr());
    assert_eq!(header.payload_len(), theirs.payload_length());
    assert_eq!(header.hop_limit(), theirs.hop_limit());
    assert_eq!(header.next_header(), theirs.next_header().0);
    assert_eq!(header.traffic_class(), theirs.traffic_class());
    assert_eq!(header.flow_label(), theirs.flow_label().value());
    assert!(inside(data, payload) && inside(data, header.extension_bytes()));
    let ours = header.extension_bytes().len() + payload.len();
    let behind = &data[ipv6::LEN..];
    match usize::from(theirs.payload_length()) {
        0 => assert!(ours <= behind.len()), // perhaps a jumbogram
        named => assert_eq!(ours, named.min(behind.len())),
    }
    // They go on into later fragments and authentication headers.
    const AUTHENTICATION: u8 = 51;
    if header.fragment_offset() == 0 && header.protocol() != AUTHENTICATION {
        let (extensions, protocol, rest) =
            Ipv6ExtensionsSlice::from_slice(theirs.next_header(), &behind[..ours])
                .expect("we walked them");
        assert_eq!(header.protocol(), protocol.0);
        assert_eq!(header.extension_bytes(), extensions.slice());
        assert_eq!(payload, rest);
    }
}

/// An ICMPv6 message and what it quotes.
pub fn fuzz_icmpv6(data: &[u8]) {
    let Ok(message) = icmpv6::Message::parse(data) else {
        return assert!(data.len() < icmpv6::LEN);
    };
    let theirs = Icmpv6Slice::from_slice(data).expect("8 octets are enough");
    assert_eq!((message.kind(), message.code()), (theirs.type_u8(), theirs.code_u8()));
    assert_eq!(message.of_type(), theirs.bytes5to8());
    let [source, destination] = [[0x20; 16], [0xfe; 16]];
    assert_eq!(
        message.has_right_checksum(source.into(), destination.into()),
        theirs.is_checksum_valid(source, destination)
    );
    assert_eq!(message.body().len(), data.len() - icmpv6::LEN);
    if let Some(quoted) = message.quoted() {
        assert!((1..=4).contains(&message.kind()));
        let theirs = Ipv6HeaderSlice::from_slice(message.body()).expect("we read it");
        assert_eq!(quoted.source, theirs.source_addr());
        assert_eq!(quoted.destination, theirs.destination_addr());
        assert!(quoted.tcp_seq.is_none() || quoted.protocol == tcp::PROTOCOL);
        if quoted.tcp_seq.is_some() {
            assert!(message.body().len() >= ipv6::LEN + 8);
        }
        assert!(quoted.udp_checksum.is_none() || quoted.protocol == udp::PROTOCOL);
        assert!(quoted.udp_payload.is_empty() || quoted.udp_checksum.is_some());
        assert!(inside(data, quoted.udp_payload));
    }
}

/// A packet with a neighbour solicitation or advertisement.
pub fn fuzz_ndp(data: &[u8]) {
    let Ok(packet) = parse(data, LinkLayer::Ip) else {
        return;
    };
    let Network::Ipv6(header, Transport::Icmpv6(message)) = packet.network else {
        return;
    };
    let solicitation = ndp::Solicitation::parse(&header, &message);
    let advertisement = ndp::Advertisement::parse(&header, &message);
    let (target, mac, option) = match (solicitation, advertisement) {
        (Ok(read), Err(_)) => (read.target, read.source_mac, ndp::SOURCE_LINK_LAYER),
        (Err(_), Ok(read)) => {
            assert!(!(read.is_solicited && header.destination().is_multicast()));
            (read.target, read.target_mac, ndp::TARGET_LINK_LAYER)
        }
        (Err(_), Err(_)) => return,
        (Ok(_), Ok(_)) => panic!("a message of two types"),
    };
    assert_eq!((header.hop_limit(), message.code()), (ndp::HOP_LIMIT, 0));
    assert!(!target.is_multicast());
    let options = &message.body()[target.octets().len()..];
    assert!(options.len().is_multiple_of(8));
    if let Some(mac) = mac {
        let wanted = [&[option, 1], &mac.0[..]].concat();
        assert!(options.as_chunks::<8>().0.iter().any(|unit| *unit == wanted[..]));
    }
}

/// An ICMP message and what it quotes.
pub fn fuzz_icmp(data: &[u8]) {
    let Ok(message) = icmp::Message::parse(data) else {
        return assert!(data.len() < icmp::LEN);
    };
    if let Ok(theirs) = Icmpv4Slice::from_slice(data) {
        assert_eq!((message.kind(), message.code()), (theirs.type_u8(), theirs.code_u8()));
    }
    assert_eq!(message.body().len(), data.len() - icmp::LEN);
    if let Some(quoted) = message.quoted() {
        let theirs = Ipv4HeaderSlice::from_slice(message.body()).expect("we read it");
        assert_eq!(quoted.source, theirs.source_addr());
        assert_eq!(quoted.destination, theirs.destination_addr());
        assert_eq!(quoted.protocol, theirs.protocol().0);
        assert!(quoted.tcp_seq.is_none() || quoted.protocol == tcp::PROTOCOL);
        if quoted.tcp_seq.is_some() {
            assert!(message.body().len() >= theirs.slice().len() + 8);
        }
        assert!(quoted.udp_checksum.is_none() || quoted.protocol == udp::PROTOCOL);
        assert!(quoted.udp_payload.is_empty() || quoted.udp_checksum.is_some());
        assert!(inside(data, quoted.udp_payload));
    }
}

/// A UDP datagram.
pub fn fuzz_udp(data: &[u8]) {
    let theirs = UdpHeaderSlice::from_slice(data);
    let Ok(datagram) = udp::Datagram::parse(data) else {
        if let Ok(theirs) = theirs {
            assert!(usize::from(theirs.length()) < udp::LEN);
        }
        return;
    };
    let theirs = theirs.expect("we read it");
    assert_eq!(datagram.source_port(), theirs.source_port());
    assert_eq!(datagram.destination_port(), theirs.destination_port());
    assert!(inside(data, datagram.payload()));
    assert!(datagram.payload().len() <= usize::from(theirs.length()) - udp::LEN);
    let (from, to) = ([198, 18, 0, 1], [198, 18, 0, 2]);
    let is_intact = datagram.is_intact(from.into(), to.into());
    if usize::from(theirs.length()) > udp::LEN + datagram.payload().len() {
        assert!(!is_intact, "its end is missing");
    } else if theirs.to_header().calc_checksum_ipv4_raw(from, to, datagram.payload())
        == Ok(datagram.checksum())
    {
        assert!(is_intact);
    }
}

/// A TCP segment.
pub fn fuzz_tcp(data: &[u8]) {
    let ours = tcp::Segment::parse(data);
    let theirs = TcpSlice::from_slice(data);
    assert_eq!(ours.is_ok(), theirs.is_ok(), "{ours:?} and {theirs:?}");
    let (Ok(segment), Ok(theirs)) = (ours, theirs) else {
        return;
    };
    assert_eq!(segment.source_port(), theirs.source_port());
    assert_eq!(segment.destination_port(), theirs.destination_port());
    assert_eq!(segment.seq(), theirs.sequence_number());
    assert_eq!(segment.ack(), theirs.acknowledgment_number());
    assert_eq!(segment.window(), theirs.window_size());
    assert_eq!(segment.options_bytes(), theirs.options());
    assert_eq!(segment.payload(), theirs.payload());
    let flag = |bit| segment.flags().contains(bit);
    assert_eq!(flag(tcp::Flags::SYN), theirs.syn());
    assert_eq!(flag(tcp::Flags::ACK), theirs.ack());
    assert_eq!(flag(tcp::Flags::RST), theirs.rst());
    assert_eq!(flag(tcp::Flags::FIN), theirs.fin());
    fuzz_tcp_options(segment.options_bytes());
}

/// The options of a TCP header.
pub fn fuzz_tcp_options(data: &[u8]) {
    let data = &data[..data.len().min(tcp_options::MAX_LEN)];
    let mut used = 0;
    let mut has_ended = false;
    let mut theirs = TcpOptionsIterator::from_slice(data);
    for option in tcp_options::iter(data) {
        assert!(!has_ended, "nothing follows the end");
        let (len, same) = match option {
            TcpOption::End => (0, None),
            TcpOption::Malformed => (0, None),
            TcpOption::Nop => (1, Some(TcpOptionElement::Noop)),
            TcpOption::MaximumSegmentSize(mss) => {
                (4, Some(TcpOptionElement::MaximumSegmentSize(mss)))
            }
            TcpOption::WindowScale(shift) => (3, Some(TcpOptionElement::WindowScale(shift))),
            TcpOption::SackPermitted => {
                (2, Some(TcpOptionElement::SelectiveAcknowledgementPermitted))
            }
            TcpOption::Timestamps { value, echo } => {
                (10, Some(TcpOptionElement::Timestamp(value, echo)))
            }
            TcpOption::Other { data: held, .. } => {
                assert!(inside(data, held));
                // They stop at what they do not know, so from here on they say nothing.
                theirs = TcpOptionsIterator::from_slice(&[]);
                (2 + held.len(), None)
            }
        };
        if let Some(same) = same
            && let Some(theirs) = theirs.next()
        {
            assert_eq!(theirs, Ok(same));
        }
        has_ended = matches!(option, TcpOption::End | TcpOption::Malformed);
        used += len;
    }
    assert!(used <= data.len());
    assert!(has_ended || used == data.len(), "{used} of {} octets", data.len());
}

/// Whether `part` lies in `whole`, an empty one anywhere.
fn inside(whole: &[u8], part: &[u8]) -> bool {
    let (whole, part) = (whole.as_ptr_range(), part.as_ptr_range());
    part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
}
