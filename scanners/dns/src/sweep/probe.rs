//! The question of a sweep: what is sent, and which packets answer it.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use mrpf_engine::{
    probe::{Claim, Invalid, Probe, Shot},
    sources::Family,
    template::{DatagramFields, DatagramTemplate, Ends},
    wire::{MacAddr, Network, Packet, Quoted, Transport, udp},
};
use mrpf_syn::{Asked as Host, Marks};

use super::Asked;
use crate::message::{Matched, Message, Query, Rcode};

/// Octets before a question at most: tagged Ethernet, IPv6, UDP.
const HEADERS: usize = 14 + 4 + 40 + udp::LEN;

/// One datagram a target and attempt, with a question whose id and letters show whether an answer is to us.
#[derive(Debug)]
pub struct SweepProbe {
    asked: Asked,
    marks: Marks,
    v4: Option<Side<Ipv4Addr>>,
    v6: Option<Side<Ipv6Addr>>,
}

/// What one address said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// A message that repeats our question.
    Answer(Box<[u8]>),
    /// A refusal without a question, of a server that does not repeat any: the id, the ports and the addresses alone prove it,
    /// which a forger guesses in some 2^16 tries. It never says that somebody resolves.
    Bare(Box<[u8]>),
    /// The network, or the host, says that nobody listens there.
    Unreachable,
}

/// What is sent to one family, from our address of it.
#[derive(Debug)]
struct Side<A> {
    source: A,
    datagram: DatagramTemplate<A>,
}

impl<A: Host> Side<A> {
    fn new(source: A, ends: &Ends) -> Option<Self> {
        Some(Self { source, datagram: DatagramTemplate::new(ends)? })
    }

    #[inline]
    fn make(
        &self,
        probe: &SweepProbe,
        slot: &mut [u8],
        next_hop: MacAddr,
        theirs: (A, u16),
        attempt: u8,
    ) -> u16 {
        let (source_port, cookie) = probe.marks.of(self.source, theirs, attempt);
        let len = probe.query(cookie).write(self.datagram.payload(slot));
        let fields = DatagramFields {
            next_hop,
            destination: theirs.0,
            destination_port: theirs.1,
            source_port,
            ip_id: (cookie >> 44) as u32,
        };
        self.datagram.finish(slot, &fields, len as u16)
    }

    fn validate(
        &self,
        probe: &SweepProbe,
        from: A,
        datagram: &udp::Datagram<'_>,
    ) -> Result<Claim, Invalid> {
        let theirs = (from, datagram.source_port());
        let (claim, cookie) = probe.marks.read(self.source, theirs, datagram.destination_port())?;
        let message = Message::parse(datagram.payload()).ok_or(Invalid::Kind)?;
        match probe.query(cookie).answers(&message) {
            Matched::Same => {}
            Matched::NoQuestion if is_bare(&message) => {}
            _ => return Err(Invalid::Cookie),
        }
        // Last, as it reads every octet: what is not to us is none of our business, whole or not.
        if datagram.is_intact(from.into(), self.source.into()) {
            Ok(claim)
        } else {
            Err(Invalid::Damaged)
        }
    }

    /// An error proves itself by what it quotes of our question or, where that ends early, by its checksum, which no two attempts
    /// share but by chance.
    fn validate_quoted(
        &self,
        probe: &SweepProbe,
        quoted: Option<Quoted<'_, A>>,
    ) -> Result<Claim, Invalid> {
        /// Less of a question than its id proves nothing.
        const LEAST: usize = 2;
        let quoted = quoted.ok_or(Invalid::Kind)?;
        if quoted.source != self.source || quoted.protocol != udp::PROTOCOL {
            return Err(Invalid::NotForUs);
        }
        let theirs = (quoted.destination, quoted.destination_port);
        let (claim, _) = probe.marks.read(self.source, theirs, quoted.source_port)?;
        let mut slot = [0; HEADERS + Query::MAX_LEN];
        let len = self.make(probe, &mut slot, MacAddr::ZERO, theirs, claim.attempt);
        let sent = slot.get(self.datagram.headers_len()..usize::from(len)).unwrap_or_default();
        let is_ours = if quoted.udp_payload.len() >= LEAST {
            sent.starts_with(quoted.udp_payload)
        } else {
            let checksum = slot
                .get(..self.datagram.headers_len())
                .and_then(|headers| headers.last_chunk().copied().map(u16::from_be_bytes));
            quoted.udp_checksum == checksum
        };
        if is_ours { Ok(claim) } else { Err(Invalid::Cookie) }
    }
}

/// A server that leaves the question out does so since it could not read it, does not know such ones, or does not want to
/// (RFC 1035, section 4.1.1).
fn is_bare(message: &Message<'_>) -> bool {
    matches!(message.rcode(), Rcode::FORMERR | Rcode::NOTIMP | Rcode::REFUSED)
}

impl SweepProbe {
    pub(super) fn new(ends: &Ends, asked: Asked, marks: Marks) -> Self {
        let (v4, v6) = (ends.sources.v4, ends.sources.v6);
        Self {
            asked,
            marks,
            v4: v4.and_then(|source| Side::new(source, ends)),
            v6: v6.and_then(|source| Side::new(source, ends)),
        }
    }

    /// The longest frame: what a slot of the link must hold.
    pub(super) const FRAME_LEN: usize = HEADERS + Query::MAX_LEN;

    /// The question with this cookie.
    #[inline]
    fn query(&self, cookie: u64) -> Query<'_> {
        let Asked { name, qtype, qclass, recursion, edns, keeps_case } = &self.asked;
        // The id has the lower bits, and the case of 48 letters the others.
        let case = if *keeps_case { cookie >> 16 } else { 0 };
        Query {
            id: cookie as u16,
            name: name.as_wire(),
            case,
            qtype: *qtype,
            qclass: *qclass,
            recursion: *recursion,
            edns: *edns,
        }
    }
}

impl Probe for SweepProbe {
    type Reply = Reply;
    type Closing = Infallible;

    fn frame_len(&self) -> usize {
        Self::FRAME_LEN
    }

    /// A question differs from the next in too much of it to be prepared.
    fn prepare(&self, _: &mut [u8], _: Family) {}

    #[inline]
    fn make(&self, slot: &mut [u8], shot: &Shot) -> u16 {
        let Shot { target, attempt, next_hop } = *shot;
        match (target.addr, &self.v4, &self.v6) {
            (IpAddr::V4(addr), Some(side), _) => {
                side.make(self, slot, next_hop, (addr, target.port), attempt)
            }
            (IpAddr::V6(addr), _, Some(side)) => {
                side.make(self, slot, next_hop, (addr, target.port), attempt)
            }
            _ => 0, // the builder refuses targets of a family without a source
        }
    }

    #[inline]
    fn validate(&self, packet: &Packet<'_>) -> Result<Claim, Invalid> {
        match &packet.network {
            Network::Ipv4(header, transport) => {
                let side = self.v4.as_ref().filter(|side| side.source == header.destination());
                let side = side.ok_or(Invalid::NotForUs)?;
                match transport {
                    Transport::Udp(datagram) => side.validate(self, header.source(), datagram),
                    Transport::Icmp(message) => side.validate_quoted(self, message.undelivered()),
                    _ => Err(Invalid::Kind),
                }
            }
            Network::Ipv6(header, transport) => {
                let side = self.v6.as_ref().filter(|side| side.source == header.destination());
                let side = side.ok_or(Invalid::NotForUs)?;
                match transport {
                    Transport::Udp(datagram) => side.validate(self, header.source(), datagram),
                    Transport::Icmpv6(message) => side.validate_quoted(self, message.undelivered()),
                    _ => Err(Invalid::Kind),
                }
            }
            _ => Err(Invalid::Kind),
        }
    }

    fn classify(&self, packet: &Packet<'_>) -> Reply {
        let (Network::Ipv4(_, Transport::Udp(datagram))
        | Network::Ipv6(_, Transport::Udp(datagram))) = &packet.network
        else {
            return Reply::Unreachable;
        };
        let octets = datagram.payload().into();
        match Message::parse(datagram.payload()).and_then(|message| message.question()) {
            Some(_) => Reply::Answer(octets),
            None => Reply::Bare(octets),
        }
    }

    fn closing(&self, _: &Packet<'_>) -> Option<Infallible> {
        None
    }

    fn make_closing(&self, _: &mut [u8], closing: &Infallible) -> u16 {
        match *closing {}
    }
}

#[cfg(test)]
mod tests;
