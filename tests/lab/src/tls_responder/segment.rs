//! TCP segments in frames, as one who plays many hosts reads and writes them.

use std::net::IpAddr;

use mrpf_engine::{
    link::LinkLayer,
    wire::{
        self, MacAddr, Network, Transport,
        checksum::Sum,
        tcp::{Flags, Segment},
    },
};

const ETHERNET: usize = 14;
const TCP: usize = 20;
const PROTOCOL: u8 = 6;
/// The longest frame that is written.
pub(super) const MOST: usize = 1_514;

/// A segment for a host, and between whom.
pub(super) struct Heard<'a> {
    pub(super) to: (IpAddr, u16),
    pub(super) from: (IpAddr, u16),
    macs: (MacAddr, MacAddr),
    pub(super) segment: Segment<'a>,
}

impl<'a> Heard<'a> {
    /// Checksums are not looked at: over a veth pair a kernel leaves them undone.
    pub(super) fn of(frame: &'a [u8]) -> Option<Self> {
        let packet = wire::parse(frame, LinkLayer::Ethernet).ok()?;
        let ethernet = packet.ethernet?;
        let (from, to, segment): (IpAddr, IpAddr, _) = match packet.network {
            Network::Ipv4(header, Transport::Tcp(segment)) => {
                (header.source().into(), header.destination().into(), segment)
            }
            Network::Ipv6(header, Transport::Tcp(segment)) => {
                (header.source().into(), header.destination().into(), segment)
            }
            _ => return None,
        };
        Some(Self {
            to: (to, segment.destination_port()),
            from: (from, segment.source_port()),
            macs: (ethernet.destination(), ethernet.source()),
            segment,
        })
    }

    /// Octets of a segment back that fit into a frame.
    pub(super) fn most_payload(&self) -> usize {
        MOST - ETHERNET - self.ip_len() - TCP
    }

    fn ip_len(&self) -> usize {
        if self.to.0.is_ipv4() { 20 } else { 40 }
    }

    /// Writes the frame that goes back; returns its length.
    pub(super) fn reply(&self, slot: &mut [u8], reply: &Reply<'_>) -> u16 {
        let ip_len = self.ip_len();
        let header_len = TCP + reply.options.len();
        let tcp_len = header_len + reply.payload.len();
        let frame = &mut slot[..ETHERNET + ip_len + tcp_len];
        frame[..6].copy_from_slice(&self.macs.1.0);
        frame[6..12].copy_from_slice(&self.macs.0.0);
        let (head, tcp) = frame.split_at_mut(ETHERNET + ip_len);
        let ip = &mut head[ETHERNET - 2..];
        let pseudo = self.write_ip(ip, tcp_len as u16);
        tcp[..2].copy_from_slice(&self.to.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&self.from.1.to_be_bytes());
        tcp[4..8].copy_from_slice(&reply.seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&reply.ack.to_be_bytes());
        tcp[12] = (header_len as u8 / 4) << 4;
        tcp[13] = reply.flags.0;
        tcp[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        tcp[16..TCP].fill(0);
        tcp[TCP..header_len].copy_from_slice(reply.options);
        tcp[header_len..].copy_from_slice(reply.payload);
        let sum = pseudo.word(u16::from(PROTOCOL)).word(tcp_len as u16).and(Sum::of(tcp));
        tcp[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
        frame.len() as u16
    }

    /// Writes the EtherType and the IP header; returns the sum of the addresses.
    fn write_ip(&self, out: &mut [u8], tcp_len: u16) -> Sum {
        const TTL: u8 = 64;
        let (ether_type, ip) = out.split_at_mut(2);
        match (self.to.0, self.from.0) {
            (IpAddr::V4(host), IpAddr::V4(client)) => {
                ether_type.copy_from_slice(&[8, 0]);
                ip[..2].copy_from_slice(&[0x45, 0]);
                ip[2..4].copy_from_slice(&(20 + tcp_len).to_be_bytes());
                ip[4..12].copy_from_slice(&[0, 0, 0x40, 0, TTL, PROTOCOL, 0, 0]);
                ip[12..16].copy_from_slice(&host.octets());
                ip[16..20].copy_from_slice(&client.octets());
                let checksum = Sum::of(&ip[..20]).checksum();
                ip[10..12].copy_from_slice(&checksum.to_be_bytes());
                Sum::of(&ip[12..20])
            }
            (IpAddr::V6(host), IpAddr::V6(client)) => {
                ether_type.copy_from_slice(&[0x86, 0xdd]);
                ip[..4].copy_from_slice(&[0x60, 0, 0, 0]);
                ip[4..6].copy_from_slice(&tcp_len.to_be_bytes());
                ip[6..8].copy_from_slice(&[PROTOCOL, TTL]);
                ip[8..24].copy_from_slice(&host.octets());
                ip[24..40].copy_from_slice(&client.octets());
                Sum::of(&ip[8..40])
            }
            _ => unreachable!("both are of one header"),
        }
    }
}

/// What goes back.
pub(super) struct Reply<'a> {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: Flags,
    /// A multiple of four octets.
    pub(super) options: &'a [u8],
    pub(super) payload: &'a [u8],
}
