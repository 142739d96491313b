//! What a frame asks of the hosts, read by etherparse.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    ArpOperation, ArpPacketSlice, Icmpv6Slice, IpNumber, Ipv4HeaderSlice, Ipv6HeaderSlice,
    TcpOptionElement, TcpOptionsIterator, TcpSlice, UdpSlice,
};

use super::reply::{fold, sum};
use crate::link::LinkLayer;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad and the number that older switches used for stacked tags.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const ETHERNET_LEN: usize = 14;
/// A neighbour solicitation: RFC 4861, section 4.3.
const SOLICITATION: u8 = 135;
const SOURCE_LINK_LAYER: u8 = 1;

/// What one frame is to the hosts.
pub(super) enum Asked<'a> {
    Arp(ArpQuestion<'a>),
    BadChecksum,
    Neighbour(NeighbourQuestion<'a>),
    Nothing,
    Tcp(Question<'a>),
    Udp(Asking<'a>),
}

/// Who has an address?
pub(super) struct ArpQuestion<'a> {
    pub(super) link: &'a [u8],
    pub(super) sender_mac: [u8; 6],
    pub(super) sender: Ipv4Addr,
    pub(super) wanted: Ipv4Addr,
}

/// Who has an IPv6 address?
pub(super) struct NeighbourQuestion<'a> {
    pub(super) link: &'a [u8],
    /// From the option, or else from the frame.
    pub(super) sender_mac: [u8; 6],
    pub(super) sender: Ipv6Addr,
    pub(super) wanted: Ipv6Addr,
}

/// An IP packet that came.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    /// The link header with its VLAN tags; empty when the link has none.
    pub(super) link: &'a [u8],
    /// The IP packet, without the link's padding.
    pub(super) bytes: &'a [u8],
    pub(super) ip_header_len: usize,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

/// A UDP datagram, with checksums that hold.
pub(super) struct Asking<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) payload: &'a [u8],
}

/// A TCP segment, with checksums that hold.
pub(super) struct Question<'a> {
    /// The link header with its VLAN tags; empty when the link has none.
    pub(super) link: &'a [u8],
    /// The IP packet, without the link's padding.
    pub(super) packet: &'a [u8],
    pub(super) ip_header_len: usize,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) is_syn: bool,
    pub(super) is_ack: bool,
    pub(super) is_rst: bool,
    pub(super) is_fin: bool,
    pub(super) window: u16,
    pub(super) tcp_header_len: usize,
    pub(super) payload: &'a [u8],
}

/// What a SYN says that its sender takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Offer {
    pub(super) mss: Option<u16>,
    /// By how many bits its windows are shifted: RFC 7323, section 2.2.
    pub(super) scale: Option<u8>,
    pub(super) permits_sack: bool,
}

pub(super) fn read(frame: &[u8], layer: LinkLayer) -> Asked<'_> {
    let Some((link, ethertype)) = link_header(frame, layer) else {
        return Asked::Nothing;
    };
    let rest = &frame[link.len()..];
    match ethertype {
        ARP => arp(link, rest).map_or(Asked::Nothing, Asked::Arp),
        IPV4 => ipv4(link, rest),
        IPV6 => ipv6(link, rest),
        _ => Asked::Nothing,
    }
}

/// The link header, tags included, and what follows it.
fn link_header(frame: &[u8], layer: LinkLayer) -> Option<(&[u8], u16)> {
    if layer == LinkLayer::Ip {
        return Some((&[], if frame.first()? >> 4 == 6 { IPV6 } else { IPV4 }));
    }
    let mut len = ETHERNET_LEN;
    loop {
        let ethertype = u16::from_be_bytes(frame.get(len - 2..len)?.try_into().ok()?);
        if !VLAN_TAGS.contains(&ethertype) {
            return Some((&frame[..len], ethertype));
        }
        len += 4;
    }
}

fn arp<'a>(link: &'a [u8], rest: &[u8]) -> Option<ArpQuestion<'a>> {
    let packet = ArpPacketSlice::from_slice(rest).ok()?.to_packet().try_eth_ipv4().ok()?;
    (packet.operation == ArpOperation::REQUEST).then(|| ArpQuestion {
        link,
        sender_mac: packet.sender_mac,
        sender: packet.sender_ipv4.into(),
        wanted: packet.target_ipv4.into(),
    })
}

fn ipv4<'a>(link: &'a [u8], rest: &'a [u8]) -> Asked<'a> {
    let Ok(ip) = Ipv4HeaderSlice::from_slice(rest) else {
        return Asked::Nothing;
    };
    let Some(packet) = rest.get(..usize::from(ip.total_len())) else {
        return Asked::Nothing;
    };
    let ip_header_len = ip.slice().len();
    let Some(payload) = packet.get(ip_header_len..).filter(|_| !ip.is_fragmenting_payload()) else {
        return Asked::Nothing;
    };
    let holds = ip.to_header().calc_header_checksum() == ip.header_checksum();
    let pseudo = sum(&ip.source()) + sum(&ip.destination());
    let ends = (ip.source_addr().into(), ip.destination_addr().into());
    match ip.protocol() {
        IpNumber::TCP => {
            let Ok(tcp) = TcpSlice::from_slice(payload) else {
                return Asked::Nothing;
            };
            let whole = tcp.calc_checksum_ipv4(ip.source(), ip.destination()).ok();
            if !holds || !checksum_holds(&tcp, whole, pseudo) {
                return Asked::BadChecksum;
            }
            Asked::Tcp(Question::new(link, packet, ip_header_len, ends, &tcp))
        }
        IpNumber::UDP if !holds => Asked::BadChecksum,
        IpNumber::UDP => datagram(Packet::new(link, packet, ip_header_len, ends), payload),
        _ => Asked::Nothing,
    }
}

/// Extension headers are not walked: nothing that asks a host has one.
fn ipv6<'a>(link: &'a [u8], rest: &'a [u8]) -> Asked<'a> {
    let Ok(ip) = Ipv6HeaderSlice::from_slice(rest) else {
        return Asked::Nothing;
    };
    let ip_header_len = ip.slice().len();
    let Some(packet) = rest.get(..ip_header_len + usize::from(ip.payload_length())) else {
        return Asked::Nothing;
    };
    let payload = &packet[ip_header_len..];
    match ip.next_header() {
        IpNumber::TCP => {
            let Ok(tcp) = TcpSlice::from_slice(payload) else {
                return Asked::Nothing;
            };
            let whole = tcp.calc_checksum_ipv6(ip.source(), ip.destination()).ok();
            let pseudo = sum(&ip.source()) + sum(&ip.destination());
            if !checksum_holds(&tcp, whole, pseudo) {
                return Asked::BadChecksum;
            }
            let ends = (ip.source_addr().into(), ip.destination_addr().into());
            Asked::Tcp(Question::new(link, packet, ip_header_len, ends, &tcp))
        }
        IpNumber::UDP => {
            let ends = (ip.source_addr().into(), ip.destination_addr().into());
            datagram(Packet::new(link, packet, ip_header_len, ends), payload)
        }
        IpNumber::IPV6_ICMP if ip.hop_limit() == 255 => solicitation(link, &ip, payload),
        _ => Asked::Nothing,
    }
}

fn datagram<'a>(packet: Packet<'a>, payload: &'a [u8]) -> Asked<'a> {
    let Ok(udp) = UdpSlice::from_slice(payload) else {
        return Asked::Nothing;
    };
    let pseudo = match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => sum(&from.octets()) + sum(&to.octets()),
        (IpAddr::V6(from), IpAddr::V6(to)) => sum(&from.octets()) + sum(&to.octets()),
        _ => return Asked::Nothing,
    } + u32::from(IpNumber::UDP.0)
        + udp.slice().len() as u32;
    let holds = match udp.checksum() {
        0 => packet.source.is_ipv4(), // there is none
        checksum => fold(pseudo + sum(udp.slice())) == u16::MAX || fold(pseudo) == checksum,
    };
    if !holds {
        return Asked::BadChecksum;
    }
    Asked::Udp(Asking {
        packet,
        source_port: udp.source_port(),
        destination_port: udp.destination_port(),
        payload: udp.payload(),
    })
}

fn solicitation<'a>(link: &'a [u8], ip: &Ipv6HeaderSlice<'_>, payload: &[u8]) -> Asked<'a> {
    let Ok(icmp) = Icmpv6Slice::from_slice(payload) else {
        return Asked::Nothing;
    };
    if (icmp.type_u8(), icmp.code_u8()) != (SOLICITATION, 0) {
        return Asked::Nothing;
    }
    if !icmp.is_checksum_valid(ip.source(), ip.destination()) {
        return Asked::BadChecksum;
    }
    let Some((wanted, options)) = icmp.payload().split_first_chunk::<16>() else {
        return Asked::Nothing;
    };
    let option = options.first_chunk::<8>().filter(|option| option[..2] == [SOURCE_LINK_LAYER, 1]);
    let in_frame = link.get(6..12).and_then(|mac| mac.first_chunk());
    let sender_mac = option.and_then(|option| option.last_chunk()).or(in_frame);
    Asked::Neighbour(NeighbourQuestion {
        link,
        sender_mac: sender_mac.copied().unwrap_or_default(),
        sender: ip.source_addr(),
        wanted: Ipv6Addr::from(*wanted),
    })
}

impl<'a> Packet<'a> {
    fn new(
        link: &'a [u8],
        bytes: &'a [u8],
        ip_header_len: usize,
        (source, destination): (IpAddr, IpAddr),
    ) -> Self {
        Self { link, bytes, ip_header_len, source, destination }
    }
}

impl<'a> Question<'a> {
    fn new(
        link: &'a [u8],
        packet: &'a [u8],
        ip_header_len: usize,
        (source, destination): (IpAddr, IpAddr),
        tcp: &TcpSlice<'a>,
    ) -> Self {
        Self {
            link,
            packet,
            ip_header_len,
            source,
            destination,
            source_port: tcp.source_port(),
            destination_port: tcp.destination_port(),
            seq: tcp.sequence_number(),
            ack: tcp.acknowledgment_number(),
            is_syn: tcp.syn(),
            is_ack: tcp.ack(),
            is_rst: tcp.rst(),
            is_fin: tcp.fin(),
            window: tcp.window_size(),
            tcp_header_len: tcp.header_slice().len(),
            payload: tcp.payload(),
        }
    }

    /// The packet that holds it.
    pub(super) fn whole(&self) -> Packet<'a> {
        let Self { link, packet, ip_header_len, source, destination, .. } = *self;
        Packet::new(link, packet, ip_header_len, (source, destination))
    }

    /// What the options offer, up to the first that makes no sense.
    pub(super) fn offer(&self) -> Offer {
        const FIXED: usize = 20;
        let at = self.ip_header_len + FIXED..self.ip_header_len + self.tcp_header_len;
        let options = self.packet.get(at).unwrap_or_default();
        let mut offer = Offer::default();
        for option in TcpOptionsIterator::from_slice(options).map_while(Result::ok) {
            match option {
                TcpOptionElement::MaximumSegmentSize(mss) => offer.mss = Some(mss),
                TcpOptionElement::WindowScale(shift) => offer.scale = Some(shift),
                TcpOptionElement::SelectiveAcknowledgementPermitted => offer.permits_sack = true,
                _ => {}
            }
        }
        offer
    }
}

/// Whether the checksum is `whole`, or left to the hardware: then the field holds the sum of the pseudo-header alone, and on
/// a veth pair it stays so. `addrs` is the part of it that is addresses.
fn checksum_holds(tcp: &TcpSlice<'_>, whole: Option<u16>, addrs: u32) -> bool {
    let pseudo = addrs + u32::from(IpNumber::TCP.0) + tcp.slice().len() as u32;
    whole == Some(tcp.checksum()) || fold(pseudo) == tcp.checksum()
}
