//! Frames for the tests of the receiving half: answers to us, and what is told of them to the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, TcpHeader};

use super::take::{Deal, Screen, Take};
use crate::{cookie::Cookie, sources::Sources, wire::tcp::Flags};

pub(super) const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
pub(super) const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 7);
pub(super) const OURS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(super) const THEIRS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, 7);
pub(super) const PORTS: (u16, u16) = (61_000, 61_015);
pub(super) const PORT: u16 = 61_003;
pub(super) const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 1]];

pub(super) const ACK: Flags = Flags::ACK;
pub(super) const SYN_ACK: Flags = Flags(0x12);
pub(super) const RST_ACK: Flags = Flags(0x14);

pub(super) fn cookie() -> Cookie {
    Cookie::from_key(&std::array::from_fn(|i| i as u8))
}

pub(super) fn screen(digests: bool, resets: bool) -> Option<Screen> {
    Some(Screen { cookie: cookie(), digests, resets, label_mask: 0xf_ffff })
}

pub(super) fn take(screen: Option<Screen>) -> Take {
    let sources = Sources { v4: Some(OURS), v6: Some(OURS_V6) };
    Take { sources, ports: PORTS, deal: Deal::Hash(1), screen }
}

/// A TCP segment between an address of theirs and one of ours.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) from: (IpAddr, u16),
    pub(super) to: (IpAddr, u16),
    pub(super) flags: u8,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) window: u16,
    pub(super) vlan: Option<u16>,
    /// Words of options: NOPs.
    pub(super) options: u8,
}

impl Segment {
    pub(super) fn v4(flags: Flags, ack: u32) -> Self {
        Self {
            from: (THEIRS.into(), 443),
            to: (OURS.into(), PORT),
            flags: flags.0,
            seq: 0x0102_0304,
            ack,
            window: 0x7210,
            vlan: None,
            options: 3,
        }
    }

    pub(super) fn v6(flags: Flags, ack: u32) -> Self {
        Self { from: (THEIRS_V6.into(), 443), to: (OURS_V6.into(), PORT), ..Self::v4(flags, ack) }
    }

    pub(super) fn cookie(&self) -> u64 {
        match (self.to.0, self.from.0) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                cookie().v4((ours, self.to.1), (theirs, self.from.1))
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                cookie().v6((ours, self.to.1), (theirs, self.from.1))
            }
            _ => unreachable!("both are of one family"),
        }
    }

    pub(super) fn frame(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(MACS[0], MACS[1]);
        let id = |vlan: u16| vlan.try_into().unwrap();
        let ip = match (self.from.0, self.to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => IpHeaders::Ipv4(
                Ipv4Header::new(0, 57, IpNumber::TCP, from.octets(), to.octets()).unwrap(),
                Default::default(),
            ),
            (IpAddr::V6(from), IpAddr::V6(to)) => IpHeaders::Ipv6(
                Ipv6Header {
                    source: from.octets(),
                    destination: to.octets(),
                    hop_limit: 57,
                    ..Default::default()
                },
                Default::default(),
            ),
            _ => unreachable!("both are of one family"),
        };
        let mut tcp = TcpHeader::new(self.from.1, self.to.1, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.set_options_raw(&vec![1; usize::from(self.options) * 4]).unwrap();
        let mut frame = Vec::new();
        match self.vlan {
            Some(vlan) => {
                builder.single_vlan(id(vlan)).ip(ip).tcp_header(tcp).write(&mut frame, &[])
            }
            None => builder.ip(ip).tcp_header(tcp).write(&mut frame, &[]),
        }
        .unwrap();
        let at = self.ip_at() + if self.from.0.is_ipv4() { 20 } else { 40 };
        frame[at + 13] = self.flags;
        frame
    }

    pub(super) fn ip_at(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }
}

pub(super) fn udp(to: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv4(THEIRS.octets(), OURS.octets(), 64);
    builder.udp(53, to).write(&mut frame, b"answer").unwrap();
    frame
}

/// An ICMP error that quotes what was sent from `source` and `port`.
pub(super) fn icmp(kind: u8, source: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut quoted = Vec::new();
    let builder = PacketBuilder::ipv4(source.octets(), THEIRS.octets(), 3);
    builder.tcp(port, 443, 7, 1024).write(&mut quoted, &[]).unwrap();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv4([198, 19, 0, 254], OURS.octets(), 64);
    let mut frame = Vec::new();
    builder.icmpv4_raw(kind, 1, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}

pub(super) fn icmp_v6(kind: u8, source: Ipv6Addr, port: u16) -> Vec<u8> {
    let mut quoted = Vec::new();
    let builder = PacketBuilder::ipv6(source.octets(), THEIRS_V6.octets(), 3);
    builder.udp(port, 53).write(&mut quoted, b"question").unwrap();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv6(THEIRS_V6.octets(), OURS_V6.octets(), 64);
    let mut frame = Vec::new();
    builder.icmpv6_raw(kind, 0, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}
