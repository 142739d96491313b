//! The frames that hosts send, written octet by octet.
//!
//! By hand and not by etherparse, since half of them are wrong on purpose; the tests read the right ones back with it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{
    behaviour::{Odd, OpenHost, Quote, RstAck},
    question::{ArpQuestion, NeighbourQuestion, Packet, Question},
};

const IPV4_LEN: usize = 20;
const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;
const ICMP_LEN: usize = 8;
/// An ICMP error is no longer than this: RFC 1812, section 4.3.2.3.
const ICMP_MOST: usize = 576;
/// An ICMPv6 error is no longer than this: RFC 4443, section 3.1.
const ICMPV6_MOST: usize = 1_280;
const IPV6_LEN: usize = 40;
const MAX_OPTIONS: usize = 40;

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const RST: u8 = 0x04;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;
const ICMPV6: u8 = 58;
const DONT_FRAGMENT: u16 = 0x4000;
/// The part of the fragment field that is the offset.
const OFFSET: u16 = 0x1fff;

/// A neighbour advertisement, its flags "solicited" and "override", and its option: RFC 4861, section 4.4.
const ADVERTISEMENT: u8 = 136;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
const TARGET_LINK_LAYER: u8 = 2;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Answers an ARP request with `hardware_address`.
pub(super) fn arp(out: &mut Vec<u8>, asked: &ArpQuestion<'_>, hardware_address: [u8; 6]) {
    out.clear();
    out.extend(asked.sender_mac);
    out.extend(hardware_address);
    out.extend(asked.link.get(12..).unwrap_or_default());
    // Ethernet (1), IPv4 (0x0800), 6 and 4 octets of address, reply (2): RFC 826.
    out.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    out.extend(hardware_address);
    out.extend(asked.wanted.octets());
    out.extend(asked.sender_mac);
    out.extend(asked.sender.octets());
}

/// Answers a neighbour solicitation with `hardware_address`; who has no address yet is answered where all hear it.
pub(super) fn advertisement(
    out: &mut Vec<u8>,
    asked: &NeighbourQuestion<'_>,
    hardware_address: [u8; 6],
) {
    let (flags, to, mac) = if asked.sender.is_unspecified() {
        (OVERRIDE, ALL_NODES, ALL_NODES_MAC)
    } else {
        (SOLICITED | OVERRIDE, asked.sender, asked.sender_mac)
    };
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    message.extend(asked.wanted.octets());
    message.extend([TARGET_LINK_LAYER, 1]);
    message.extend(hardware_address);
    let ends = (asked.wanted, to);
    sum_icmpv6(&mut message, ends);
    out.clear();
    if let Some(tags) = asked.link.get(12..) {
        out.extend(mac);
        out.extend(hardware_address);
        out.extend(tags);
    }
    ipv6(out, ICMPV6, 255, ends, 0, &message);
}

pub(super) fn syn_ack(out: &mut Vec<u8>, question: &Question<'_>, open: &OpenHost, isn: u32) {
    frame(out, question, &Segment::syn_ack(question, open, isn));
}

pub(super) fn closed(out: &mut Vec<u8>, question: &Question<'_>, ttl: u8, ack: RstAck) {
    let ack = match ack {
        RstAck::Seq => question.seq,
        RstAck::SeqPlusOne => question.seq.wrapping_add(1),
    };
    frame(out, question, &Segment { ttl, flags: RST | ACK, ack, ..Segment::empty(question) });
}

/// A bare ACK of a connection that has nothing to do with the question.
pub(super) fn challenge(
    out: &mut Vec<u8>,
    question: &Question<'_>,
    open: &OpenHost,
    seq: u32,
    ack: u32,
) {
    let OpenHost { ttl, window, .. } = *open;
    frame(
        out,
        question,
        &Segment { ttl, window, flags: ACK, seq, ack, ..Segment::empty(question) },
    );
}

/// ICMP destination unreachable from `responder`, which is of the packet's family.
pub(super) fn unreachable(
    out: &mut Vec<u8>,
    packet: &Packet<'_>,
    code: u8,
    responder: IpAddr,
    quote: Quote,
) {
    let most = match quote {
        Quote::Full if responder.is_ipv4() => ICMP_MOST - IPV4_LEN - ICMP_LEN,
        Quote::Full => ICMPV6_MOST - IPV6_LEN - ICMP_LEN,
        Quote::Minimum => packet.ip_header_len + 8,
    };
    let quoted = &packet.bytes[..packet.bytes.len().min(most)];
    icmp(out, packet, code, responder, quoted);
}

pub(super) fn odd(out: &mut Vec<u8>, question: &Question<'_>, odd: Odd, isn: u32) {
    let linux = OpenHost::linux();
    let segment = Segment::syn_ack(question, &linux, isn);
    match odd {
        Odd::BadDataOffset(words) => {
            frame(out, question, &Segment { data_offset: Some(words), ..segment });
        }
        Odd::ForeignQuote => {
            let mut foreign = question.packet.to_vec();
            let seq_at = question.ip_header_len + 4;
            for octet in &mut foreign[seq_at..seq_at + 4] {
                *octet ^= 0x5a;
            }
            icmp(out, &question.whole(), 1, question.destination, &foreign);
        }
        Odd::Fragment => {
            link(out, question.link);
            let tcp = segment.bytes();
            ip(out, TCP, 64, (question.destination, question.source), 1, &tcp[8..]);
        }
        Odd::LoopingOptions => {
            let options = &[2, 4, 5, 180, 3, 0, 3, 0];
            frame(out, question, &Segment { options, ..segment });
        }
        Odd::OtherPort => {
            let source_port = segment.source_port ^ 1;
            frame(out, question, &Segment { source_port, ..segment });
        }
        Odd::Padded(octets) => {
            frame(out, question, &segment);
            out.resize(out.len() + usize::from(octets), 0);
        }
        Odd::RstWithoutAck => {
            frame(out, question, &Segment { flags: RST, seq: isn, ..Segment::empty(question) });
        }
        Odd::TruncatedTcp => {
            link(out, question.link);
            let ends = (question.destination, question.source);
            ip(out, TCP, 64, ends, DONT_FRAGMENT, &segment.bytes()[..12]);
        }
        Odd::VlanTagged(vid) => {
            frame(out, question, &segment);
            if !question.link.is_empty() {
                let [high, low] = (vid & 0x0fff).to_be_bytes();
                out.splice(12..12, [0x81, 0x00, high, low]);
            }
        }
        Odd::WrongAck => {
            // Neither the number of the SYN nor the next one, either of which some answer may acknowledge.
            let ack = segment.ack.wrapping_add(1 + (isn >> 1));
            frame(out, question, &Segment { ack, ..segment });
        }
    }
}

/// A TCP segment to be written; its ends are those of the question, turned round.
pub(super) struct Segment<'a> {
    pub(super) ends: (IpAddr, IpAddr),
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) ttl: u8,
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) options: &'a [u8],
    /// What the header claims, when that is not true.
    pub(super) data_offset: Option<u8>,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(super) fn empty(question: &Question<'_>) -> Self {
        Self {
            ends: (question.destination, question.source),
            source_port: question.destination_port,
            destination_port: question.source_port,
            ttl: 64,
            flags: 0,
            seq: 0,
            ack: 0,
            window: 0,
            options: &[],
            data_offset: None,
            payload: &[],
        }
    }

    fn syn_ack(question: &Question<'_>, open: &'a OpenHost, isn: u32) -> Self {
        Self {
            ttl: open.ttl,
            flags: SYN | ACK,
            seq: isn,
            ack: question.seq.wrapping_add(1),
            window: open.window,
            options: &open.options,
            ..Self::empty(question)
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let options = &self.options[..self.options.len().min(MAX_OPTIONS)];
        let len = TCP_LEN + options.len().next_multiple_of(4);
        let mut bytes = Vec::with_capacity(len + self.payload.len());
        bytes.extend(self.source_port.to_be_bytes());
        bytes.extend(self.destination_port.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.push(self.data_offset.unwrap_or((len / 4) as u8) << 4);
        bytes.push(self.flags);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.resize(len, 0);
        bytes.extend(self.payload);
        let pseudo =
            sum_addr(self.ends.0) + sum_addr(self.ends.1) + u32::from(TCP) + bytes.len() as u32;
        let checksum = !fold(pseudo + sum(&bytes));
        bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

/// A whole frame with `segment` in it.
fn frame(out: &mut Vec<u8>, question: &Question<'_>, segment: &Segment<'_>) {
    segment_after(out, question.link, segment);
}

/// The same, to where a frame with the link header `to` came from.
pub(super) fn segment_after(out: &mut Vec<u8>, to: &[u8], segment: &Segment<'_>) {
    link(out, to);
    ip(out, TCP, segment.ttl, segment.ends, DONT_FRAGMENT, &segment.bytes());
}

/// A UDP datagram to be written.
pub(super) struct Datagram<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) payload: &'a [u8],
}

/// A whole frame with `datagram` in it, to where a frame with the link header `to` came from.
pub(super) fn datagram(out: &mut Vec<u8>, to: &[u8], datagram: &Datagram<'_>) {
    let Datagram { from, to: peer, payload } = datagram;
    let len = UDP_LEN + payload.len();
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(from.port().to_be_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend((len as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(*payload);
    let pseudo = sum_addr(from.ip()) + sum_addr(peer.ip()) + u32::from(UDP) + len as u32;
    // Zero would say that there is none: RFC 768.
    let checksum = match !fold(pseudo + sum(&bytes)) {
        0 => u16::MAX,
        checksum => checksum,
    };
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    link(out, to);
    ip(out, UDP, 64, (from.ip(), peer.ip()), 0, &bytes);
}

fn icmp(out: &mut Vec<u8>, packet: &Packet<'_>, code: u8, from: IpAddr, quoted: &[u8]) {
    let kind = if from.is_ipv4() { 3 } else { 1 };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    link(out, packet.link);
    match (from, packet.source) {
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            sum_icmpv6(&mut message, (from, to));
            ipv6(out, ICMPV6, 64, (from, to), 0, &message);
        }
        ends => {
            let checksum = !fold(sum(&message));
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
            ip(out, ICMP, 64, ends, 0, &message);
        }
    }
}

/// Writes the checksum of an ICMPv6 message, which covers its ends: RFC 4443, section 2.3.
fn sum_icmpv6(message: &mut [u8], (from, to): (Ipv6Addr, Ipv6Addr)) {
    let pseudo = sum(&from.octets()) + sum(&to.octets()) + u32::from(ICMPV6) + message.len() as u32;
    let checksum = !fold(pseudo + sum(message));
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}

/// Begins a frame with the question's link header `to`, its addresses turned round and its tags kept.
fn link(out: &mut Vec<u8>, to: &[u8]) {
    out.clear();
    if let Some((addresses, tags)) = to.split_at_checked(12) {
        out.extend(&addresses[6..]);
        out.extend(&addresses[..6]);
        out.extend(tags);
    }
}

/// Appends an IP packet of the family of its ends. `fragment` is the flags and the offset in units of 8 octets, as IPv4 has
/// them.
fn ip(
    out: &mut Vec<u8>,
    protocol: u8,
    ttl: u8,
    ends: (IpAddr, IpAddr),
    fragment: u16,
    payload: &[u8],
) {
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            ipv4(out, protocol, ttl, (from, to), fragment, payload);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ipv6(out, protocol, ttl, (from, to), fragment & OFFSET, payload);
        }
        _ => unreachable!("a reply's ends are those of its question"),
    }
}

/// Appends an IPv6 packet, with a fragment header when there is an offset.
fn ipv6(
    out: &mut Vec<u8>,
    protocol: u8,
    hop_limit: u8,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    offset: u16,
    payload: &[u8],
) {
    let fragment = (offset > 0).then(|| {
        let [high, low] = (offset << 3).to_be_bytes();
        [protocol, 0, high, low, 0, 0, 0, 1]
    });
    let len = payload.len() + fragment.map_or(0, |fragment| fragment.len());
    out.extend([0x60, 0, 0, 0]);
    out.extend((len as u16).to_be_bytes());
    out.extend([if fragment.is_some() { FRAGMENT } else { protocol }, hop_limit]);
    out.extend(source.octets());
    out.extend(destination.octets());
    out.extend(fragment.iter().flatten());
    out.extend(payload);
}

fn ipv4(
    out: &mut Vec<u8>,
    protocol: u8,
    ttl: u8,
    (source, destination): (Ipv4Addr, Ipv4Addr),
    fragment: u16,
    payload: &[u8],
) {
    let at = out.len();
    out.extend([0x45, 0]);
    out.extend(((IPV4_LEN + payload.len()) as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(fragment.to_be_bytes());
    out.extend([ttl, protocol, 0, 0]);
    out.extend(source.octets());
    out.extend(destination.octets());
    let checksum = !fold(sum(&out[at..]));
    out[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
    out.extend(payload);
}

fn sum_addr(addr: IpAddr) -> u32 {
    match addr {
        IpAddr::V4(addr) => sum(&addr.octets()),
        IpAddr::V6(addr) => sum(&addr.octets()),
    }
}

/// The 16-bit words of `bytes` added up, an odd octet as the high half of one: RFC 1071. Overflows after 65,536 words,
/// which is more than a packet holds.
pub(super) fn sum(bytes: &[u8]) -> u32 {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let last = odd.first().map_or(0, |octet| u32::from(*octet) << 8);
    pairs.iter().map(|pair| u32::from(u16::from_be_bytes(*pair))).sum::<u32>() + last
}

/// The carries of a sum added back in.
pub(super) fn fold(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    ((once & 0xffff) + (once >> 16)) as u16
}
