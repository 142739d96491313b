//! What a frame asks of the hosts, read by etherparse.

use std::net::Ipv4Addr;

use etherparse::{ArpOperation, ArpPacketSlice, IpNumber, Ipv4HeaderSlice, TcpSlice};

use super::reply::{fold, sum};
use crate::link::LinkLayer;

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
/// 802.1Q, 802.1ad and the number that older switches used for stacked tags.
const VLAN_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
const ETHERNET_LEN: usize = 14;

/// What one frame is to the hosts.
pub(super) enum Asked<'a> {
    Arp(ArpQuestion<'a>),
    BadChecksum,
    Nothing,
    Tcp(Question<'a>),
}

/// Who has an address?
pub(super) struct ArpQuestion<'a> {
    pub(super) link: &'a [u8],
    pub(super) sender_mac: [u8; 6],
    pub(super) sender: Ipv4Addr,
    pub(super) wanted: Ipv4Addr,
}

/// A TCP segment over IPv4, with checksums that hold.
pub(super) struct Question<'a> {
    /// The link header with its VLAN tags; empty when the link has none.
    pub(super) link: &'a [u8],
    /// The IP packet, without the link's padding.
    pub(super) packet: &'a [u8],
    pub(super) ip_header_len: usize,
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) source_port: u16,
    pub(super) destination_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) is_syn: bool,
    pub(super) is_ack: bool,
    pub(super) is_rst: bool,
}

pub(super) fn read(frame: &[u8], layer: LinkLayer) -> Asked<'_> {
    let Some((link, ethertype)) = link_header(frame, layer) else {
        return Asked::Nothing;
    };
    let rest = &frame[link.len()..];
    match ethertype {
        ARP => arp(link, rest).map_or(Asked::Nothing, Asked::Arp),
        IPV4 => ipv4(link, rest),
        _ => Asked::Nothing,
    }
}

/// The link header, tags included, and what follows it.
fn link_header(frame: &[u8], layer: LinkLayer) -> Option<(&[u8], u16)> {
    if layer == LinkLayer::Ip {
        return Some((&[], IPV4));
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
    if ip.is_fragmenting_payload() || ip.protocol() != IpNumber::TCP || packet.len() < ip_header_len
    {
        return Asked::Nothing;
    }
    let Ok(tcp) = TcpSlice::from_slice(&packet[ip_header_len..]) else {
        return Asked::Nothing;
    };
    if ip.to_header().calc_header_checksum() != ip.header_checksum()
        || !tcp_checksum_holds(&ip, &tcp)
    {
        return Asked::BadChecksum;
    }
    Asked::Tcp(Question {
        link,
        packet,
        ip_header_len,
        source: ip.source_addr(),
        destination: ip.destination_addr(),
        source_port: tcp.source_port(),
        destination_port: tcp.destination_port(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        is_syn: tcp.syn(),
        is_ack: tcp.ack(),
        is_rst: tcp.rst(),
    })
}

/// Whether the checksum is right, or left to the hardware: then the field holds the sum of the pseudo-header alone, and on
/// a veth pair it stays so.
fn tcp_checksum_holds(ip: &Ipv4HeaderSlice<'_>, tcp: &TcpSlice<'_>) -> bool {
    let found = tcp.checksum();
    if tcp.calc_checksum_ipv4(ip.source(), ip.destination()) == Ok(found) {
        return true;
    }
    let pseudo = sum(&ip.source())
        + sum(&ip.destination())
        + u32::from(IpNumber::TCP.0)
        + tcp.slice().len() as u32;
    fold(pseudo) == found
}
