//! The SYN probe: what is sent, and which packets answer it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mrpf_engine::{
    link::Digest,
    probe::{Claim, Connects, Invalid, Probe, Shot, Syn},
    sources::Family,
    target::Target,
    template::{Ends, RstFields, RstTemplate, SynFields, SynTemplate, TcpProfile},
    wire::{MacAddr, Network, Packet, Quoted, Transport, tcp},
};

use mrpf_records::State;

use crate::{
    marks::{Asked, Marks},
    reply::{Options, Reply, ReplyKind},
};

/// One SYN a target and attempt.
#[derive(Debug)]
pub struct SynProbe {
    marks: Marks,
    v4: Option<Side<Ipv4Addr>>,
    v6: Option<Side<Ipv6Addr>>,
}

/// What is sent to one family, from our address of it.
#[derive(Debug)]
struct Side<A> {
    source: A,
    syn: SynTemplate<A>,
    rst: RstTemplate<A>,
    /// What of the cookie's upper half goes into the IP header, so that no packet of a flow has another label than the first
    /// (RFC 6437, section 3).
    ip_id_mask: u32,
}

/// What our RST is made from.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    next_hop: MacAddr,
    target: IpAddr,
    port: u16,
    source_port: u16,
    seq: u32,
}

impl SynProbe {
    /// Probes from `ends`, with the options of `profile`.
    pub fn new(ends: &Ends, profile: TcpProfile, marks: Marks) -> Self {
        let (v4, v6) = (ends.sources.v4, ends.sources.v6);
        Self {
            marks,
            v4: v4.and_then(|source| Side::new(source, ends, profile, u32::MAX)),
            v6: v6.and_then(|source| Side::new(source, ends, profile, profile.flow_label_mask())),
        }
    }

    fn validate_segment<A: Asked>(
        &self,
        side: &Side<A>,
        from: A,
        segment: &tcp::Segment<'_>,
    ) -> Result<Claim, Invalid> {
        let from = (from, segment.source_port());
        let (claim, cookie) = self.marks.read(side.source, from, segment.destination_port())?;
        let seq = cookie as u32;
        let (flags, ack) = (segment.flags(), segment.ack());
        let next = seq.wrapping_add(1);
        let is_ours = if !flags.contains(tcp::Flags::ACK) {
            // A RST to a SYN acknowledges it (RFC 9293, section 3.10.7.1), so one that does not could be anyone's.
            return Err(if flags.contains(tcp::Flags::RST) {
                Invalid::Cookie
            } else {
                Invalid::Kind
            });
        } else if flags.contains(tcp::Flags::RST) {
            ack == next || ack == seq // some systems acknowledge the SYN without counting it
        } else if flags.contains(tcp::Flags::SYN) {
            ack == next
        } else {
            return Err(Invalid::Challenge);
        };
        if is_ours { Ok(claim) } else { Err(Invalid::Cookie) }
    }

    fn validate_quoted<A: Asked>(
        &self,
        side: &Side<A>,
        quoted: Option<Quoted<'_, A>>,
    ) -> Result<Claim, Invalid> {
        let quoted = quoted.ok_or(Invalid::Kind)?;
        if quoted.source != side.source || quoted.protocol != tcp::PROTOCOL {
            return Err(Invalid::NotForUs);
        }
        let of = (quoted.destination, quoted.destination_port);
        let (claim, cookie) = self.marks.read(side.source, of, quoted.source_port)?;
        // Eight quoted octets hold the sequence number, so an ICMP error proves itself as a SYN-ACK does.
        if quoted.tcp_seq == Some(cookie as u32) { Ok(claim) } else { Err(Invalid::Cookie) }
    }
}

impl<A: Asked> Side<A> {
    fn new(source: A, ends: &Ends, profile: TcpProfile, ip_id_mask: u32) -> Option<Self> {
        let (syn, rst) = (SynTemplate::new(ends, profile)?, RstTemplate::new(ends)?);
        Some(Self { source, syn, rst, ip_id_mask })
    }

    #[inline]
    fn make(&self, probe: &SynProbe, slot: &mut [u8], destination: A, shot: &Shot) -> u16 {
        let destination_port = shot.target.port;
        let theirs = (destination, destination_port);
        let (source_port, cookie) = probe.marks.of(self.source, theirs, shot.attempt);
        let random = (cookie >> 32) as u32;
        let fields = SynFields {
            next_hop: shot.next_hop,
            destination,
            destination_port,
            source_port,
            seq: cookie as u32,
            ip_id: random & self.ip_id_mask,
            ts_val: random,
        };
        self.syn.patch(slot, &fields);
        self.syn.frame_len() as u16
    }

    /// The connection of ours that a quoted packet belongs to.
    fn connection(&self, quoted: &Quoted<'_, A>) -> Option<(Target, u16, Option<u32>)> {
        let is_ours = quoted.source == self.source && quoted.protocol == tcp::PROTOCOL;
        let remote = Target { addr: quoted.destination.into(), port: quoted.destination_port };
        is_ours.then_some((remote, quoted.source_port, quoted.tcp_seq))
    }

    fn make_closing(
        &self,
        probe: &SynProbe,
        slot: &mut [u8],
        destination: A,
        reset: &Reset,
    ) -> u16 {
        let ours = (self.source, reset.source_port);
        let cookie = probe.marks.cookie(ours, (destination, reset.port));
        let fields = RstFields {
            next_hop: reset.next_hop,
            destination,
            destination_port: reset.port,
            source_port: reset.source_port,
            seq: reset.seq,
            ip_id: (cookie >> 32) as u32 & self.ip_id_mask,
        };
        self.rst.prepare(slot);
        self.rst.patch(slot, &fields);
        self.rst.frame_len() as u16
    }
}

impl Probe for SynProbe {
    type Reply = Reply;
    type Closing = Reset;

    fn frame_len(&self) -> usize {
        let v4 = self.v4.as_ref().map_or(0, |side| side.syn.frame_len());
        self.v6.as_ref().map_or(0, |side| side.syn.frame_len()).max(v4)
    }

    fn prepare(&self, slot: &mut [u8], family: Family) {
        match (family, &self.v4, &self.v6) {
            (Family::V4, Some(side), _) => side.syn.prepare(slot),
            (Family::V6, _, Some(side)) => side.syn.prepare(slot),
            _ => {} // nothing is asked of a family without a source
        }
    }

    #[inline]
    fn make(&self, slot: &mut [u8], shot: &Shot) -> u16 {
        match (shot.target.addr, &self.v4, &self.v6) {
            (IpAddr::V4(addr), Some(side), _) => side.make(self, slot, addr, shot),
            (IpAddr::V6(addr), _, Some(side)) => side.make(self, slot, addr, shot),
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
                    Transport::Tcp(segment) => {
                        self.validate_segment(side, header.source(), segment)
                    }
                    Transport::Icmp(message) => self.validate_quoted(side, message.undelivered()),
                    _ => Err(Invalid::Kind),
                }
            }
            Network::Ipv6(header, transport) => {
                let side = self.v6.as_ref().filter(|side| side.source == header.destination());
                let side = side.ok_or(Invalid::NotForUs)?;
                match transport {
                    Transport::Tcp(segment) => {
                        self.validate_segment(side, header.source(), segment)
                    }
                    Transport::Icmpv6(message) => self.validate_quoted(side, message.undelivered()),
                    _ => Err(Invalid::Kind),
                }
            }
            _ => Err(Invalid::Kind),
        }
    }

    fn classify(&self, packet: &Packet<'_>) -> Reply {
        let (from, ttl, transport): (IpAddr, _, _) = match &packet.network {
            Network::Ipv4(header, transport) => (header.source().into(), header.ttl(), transport),
            Network::Ipv6(header, transport) => {
                (header.source().into(), header.hop_limit(), transport)
            }
            _ => unreachable!("validate accepts IP alone"),
        };
        let kind = match transport {
            Transport::Tcp(segment) if segment.flags().contains(tcp::Flags::RST) => {
                ReplyKind::Rst { window: segment.window() }
            }
            Transport::Tcp(segment) => ReplyKind::SynAck {
                window: segment.window(),
                options: Options::new(segment.options_bytes()),
            },
            Transport::Icmp(message) => {
                ReplyKind::Icmp { kind: message.kind(), code: message.code(), responder: from }
            }
            Transport::Icmpv6(message) => {
                ReplyKind::Icmp { kind: message.kind(), code: message.code(), responder: from }
            }
            _ => unreachable!("validate accepts TCP and ICMP alone"),
        };
        Reply { kind, ttl }
    }

    #[inline]
    fn read_digest(&self, digest: &Digest) -> Result<(Claim, usize), Invalid> {
        let claim = self.marks.claim((digest.remote, digest.remote_port), digest.local_port)?;
        let is_closed = digest.flags.contains(tcp::Flags::RST);
        Ok((claim, if is_closed { State::Closed } else { State::Open } as usize))
    }

    fn kind(&self, reply: &Reply) -> usize {
        reply.state().0 as usize
    }

    fn closing(&self, packet: &Packet<'_>) -> Option<Reset> {
        let (target, segment): (IpAddr, _) = match &packet.network {
            Network::Ipv4(header, Transport::Tcp(segment)) => (header.source().into(), segment),
            Network::Ipv6(header, Transport::Tcp(segment)) => (header.source().into(), segment),
            _ => return None,
        };
        if segment.flags().contains(tcp::Flags::RST) {
            return None;
        }
        Some(Reset {
            next_hop: packet.ethernet.map_or(MacAddr::ZERO, |ethernet| ethernet.source()),
            target,
            port: segment.source_port(),
            source_port: segment.destination_port(),
            seq: segment.ack(),
        })
    }

    fn make_closing(&self, slot: &mut [u8], reset: &Reset) -> u16 {
        match (reset.target, &self.v4, &self.v6) {
            (IpAddr::V4(addr), Some(side), _) => side.make_closing(self, slot, addr, reset),
            (IpAddr::V6(addr), _, Some(side)) => side.make_closing(self, slot, addr, reset),
            _ => 0, // it answers a probe, and none was made
        }
    }
}

impl Connects for SynProbe {
    fn syn(&self, remote: Target, local_port: u16) -> Syn {
        let cookie = match (remote.addr, &self.v4, &self.v6) {
            (IpAddr::V4(addr), Some(side), _) => {
                self.marks.cookie((side.source, local_port), (addr, remote.port))
            }
            (IpAddr::V6(addr), _, Some(side)) => {
                self.marks.cookie((side.source, local_port), (addr, remote.port))
            }
            _ => 0, // nothing was asked of a family without a source
        };
        Syn { seq: cookie as u32, label: (cookie >> 32) as u32 }
    }

    fn quoted(&self, packet: &Packet<'_>) -> Option<(Target, u16, Option<u32>)> {
        match &packet.network {
            Network::Ipv4(_, Transport::Icmp(message)) => {
                self.v4.as_ref()?.connection(&message.undelivered()?)
            }
            Network::Ipv6(_, Transport::Icmpv6(message)) => {
                self.v6.as_ref()?.connection(&message.undelivered()?)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
