//! What a fuzzer does with received bytes; compiled for fuzzing and tests alone.
//!
//! Each function asserts more than that nothing panics: views stay inside the bytes they borrow, and etherparse, which
//! reads the same headers in its own way, agrees wherever both read a packet.
//!
//! # Panics
//!
//! All of them, when an invariant does not hold.

use etherparse::{
    Icmpv4Slice, Ipv4HeaderSlice, SingleVlanSlice, TcpOptionElement, TcpOptionsIterator, TcpSlice,
    UdpHeaderSlice,
};

use super::{
    Network, Transport, arp, ethernet, icmp, ipv4, parse, tcp,
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
    if let Network::Ipv4(header, transport) = packet.network {
        assert!(inside(frame, header.options_bytes()));
        match transport {
            Transport::Tcp(segment) => {
                assert!(inside(frame, segment.options_bytes()) && inside(frame, segment.payload()));
                assert_eq!(header.protocol(), tcp::PROTOCOL);
            }
            Transport::Udp(datagram) => assert!(inside(frame, datagram.payload())),
            Transport::Icmp(message) => assert!(inside(frame, message.body())),
            Transport::Icmpv6(_) => panic!("ICMPv6 in IPv4"),
            Transport::Fragment => assert!(header.fragment_offset() > 0),
            Transport::Other(protocol) => assert_eq!(header.protocol(), protocol),
        }
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
