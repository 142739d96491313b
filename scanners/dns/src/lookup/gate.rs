//! What a packet must be like before anyone looks at what it says.
//!
//! ```text
//!  UDP   to our address, a port of ours -> a header, QR, opcode 0 -> port and id of a query under way -> from whom it was for
//!          -> the same question, in the case that it was sent in -> checksum right                                 -> taken
//!  TCP   to our address, a port of ours -> a connection, or the number of a SYN under way, as above
//!  ICMP  quotes a query, or a SYN, as above
//! ```
//!
//! Each that fails is counted by what it failed at. What fails behind the port and the id is a near miss: chance makes none of them.

use std::net::{IpAddr, SocketAddr};

use mrpf_engine::{
    sources::Sources,
    tcp::Incoming,
    wire::{
        Network, Packet, Quoted, Transport,
        icmp::{self, TIME_EXCEEDED},
        icmpv6, tcp,
        udp::{self, Datagram},
    },
};

use super::places::Ports;

/// A packet for us.
#[derive(Debug)]
pub(super) enum ForUs<'a> {
    Datagram(Heard<'a>),
    Segment(Incoming<'a>),
    /// Somebody says that a packet of ours does not arrive.
    Unreachable(Sent),
}

/// A datagram to a port of ours.
#[derive(Debug)]
pub(super) struct Heard<'a> {
    pub(super) from: SocketAddr,
    to: IpAddr,
    pub(super) port: u16,
    datagram: Datagram<'a>,
}

impl<'a> Heard<'a> {
    pub(super) fn payload(&self) -> &'a [u8] {
        self.datagram.payload()
    }

    /// Whether it came whole, as far as its checksum tells.
    pub(super) fn is_intact(&self) -> bool {
        self.datagram.is_intact(self.from.ip(), self.to)
    }
}

/// A packet of ours that is quoted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) to: SocketAddr,
    pub(super) port: u16,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// A query, by its id.
    Query(u16),
    /// A segment, by its sequence number, if the quote has it.
    Segment(Option<u32>),
}

/// Why a packet is not for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stranger {
    /// Another address or port.
    Elsewhere,
    /// Nothing that answers what we send.
    Kind,
}

/// Whether `packet` is for us, by its headers alone.
#[inline]
pub(super) fn read<'a>(
    packet: &Packet<'a>,
    ours: &Sources,
    ports: Ports,
) -> Result<ForUs<'a>, Stranger> {
    let (from, to, transport) = match &packet.network {
        Network::Ipv4(header, transport) => {
            (header.source().into(), header.destination().into(), transport)
        }
        Network::Ipv6(header, transport) => {
            (header.source().into(), header.destination().into(), transport)
        }
        _ => return Err(Stranger::Kind),
    };
    if !ours.contains(to) {
        return Err(Stranger::Elsewhere);
    }
    match transport {
        Transport::Udp(datagram) => {
            let port = datagram.destination_port();
            if !ports.contains(port) {
                return Err(Stranger::Elsewhere);
            }
            let from = SocketAddr::new(from, datagram.source_port());
            Ok(ForUs::Datagram(Heard { from, to, port, datagram: *datagram }))
        }
        Transport::Tcp(_) => match Incoming::of(packet) {
            Some(incoming) if ports.contains(incoming.local_port) => Ok(ForUs::Segment(incoming)),
            _ => Err(Stranger::Elsewhere),
        },
        Transport::Icmp(message) if matches!(message.kind(), icmp::UNREACHABLE | TIME_EXCEEDED) => {
            // Whoever must fragment what has the flag against it says that too, and what is asked for fits everywhere.
            sent(message.quoted(), ours, ports)
        }
        Transport::Icmpv6(message)
            if matches!(message.kind(), icmpv6::UNREACHABLE | icmpv6::TIME_EXCEEDED) =>
        {
            sent(message.quoted(), ours, ports)
        }
        _ => Err(Stranger::Kind),
    }
}

fn sent<'a, A: Into<IpAddr>>(
    quoted: Option<Quoted<'_, A>>,
    ours: &Sources,
    ports: Ports,
) -> Result<ForUs<'a>, Stranger> {
    let quoted = quoted.ok_or(Stranger::Kind)?;
    if !ours.contains(quoted.source.into()) || !ports.contains(quoted.source_port) {
        return Err(Stranger::Elsewhere);
    }
    let what = match quoted.protocol {
        udp::PROTOCOL => {
            let id = quoted.udp_payload.first_chunk().ok_or(Stranger::Kind)?;
            What::Query(u16::from_be_bytes(*id))
        }
        tcp::PROTOCOL => What::Segment(quoted.tcp_seq),
        _ => return Err(Stranger::Kind),
    };
    let to = SocketAddr::new(quoted.destination.into(), quoted.destination_port);
    Ok(ForUs::Unreachable(Sent { to, port: quoted.source_port, what }))
}
