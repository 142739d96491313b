//! The SYN probe: what is sent, and which packets answer it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mrpf_engine::{
    cookie::Cookie,
    probe::{Claim, Connects, Invalid, Probe, Shot, Syn},
    sources::Family,
    target::Target,
    template::{Address, Ends, RstFields, RstTemplate, SynFields, SynTemplate, TcpProfile},
    wire::{MacAddr, Network, Packet, Quoted, Transport, icmp, icmpv6, tcp},
};

use crate::reply::{Options, Reply, ReplyKind};

/// The source ports of a scan, cut into one part an attempt, so that an answer tells which attempt it answers.
///
/// ```text
/// first                                              first + count
///   |--- attempt 0 ---|--- attempt 1 ---|--- attempt 2 ---|
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SourcePorts {
    first: u16,
    part: u16,
    attempts: u8,
}

impl SourcePorts {
    /// Cuts the `count` ports from `first` into `attempts` parts; `None` when there are too few, or they pass 65535.
    pub fn new(first: u16, count: u16, attempts: u8) -> Option<Self> {
        let part = count.checked_div(u16::from(attempts)).filter(|part| *part > 0)?;
        first.checked_add(count - 1)?;
        Some(Self { first, part, attempts })
    }

    /// The port from which `attempt` asks `target`. The same each time, and spread evenly over the targets.
    #[inline]
    fn pick(&self, addr: impl Asked, port: u16, attempt: u8) -> u16 {
        // Which port it is proves nothing (the cookie does), so a plain multiplicative hash is enough.
        let mixed = (addr.folded() ^ u32::from(port).rotate_left(16)).wrapping_mul(0x9e37_79b1);
        let within = ((u64::from(mixed) * u64::from(self.part)) >> 32) as u16;
        self.first + self.part * u16::from(attempt) + within
    }

    /// The attempt that asks `target` from `source`, if one does.
    #[inline]
    fn attempt(&self, addr: impl Asked, port: u16, source: u16) -> Option<u8> {
        let attempt = source.checked_sub(self.first)? / self.part;
        let attempt = u8::try_from(attempt).ok().filter(|attempt| *attempt < self.attempts)?;
        (self.pick(addr, port, attempt) == source).then_some(attempt)
    }
}

/// An address of either family, as far as asking it goes.
trait Asked: Address + Into<IpAddr> {
    /// 32 bits that differ between neighbours.
    fn folded(self) -> u32;

    /// [`Cookie::v4`] or [`Cookie::v6`].
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64;
}

impl Asked for Ipv4Addr {
    #[inline]
    fn folded(self) -> u32 {
        self.to_bits()
    }

    #[inline]
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64 {
        cookie.v4(ours, theirs)
    }
}

impl Asked for Ipv6Addr {
    /// Hosts differ in the lower half and networks in the upper, so neither may cancel the other.
    #[inline]
    fn folded(self) -> u32 {
        let bits = self.to_bits();
        let mixed = (bits as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (bits >> 64) as u64;
        (mixed ^ mixed >> 32) as u32
    }

    #[inline]
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64 {
        cookie.v6(ours, theirs)
    }
}

/// One SYN a target and attempt.
#[derive(Debug)]
pub struct SynProbe {
    ports: SourcePorts,
    cookie: Cookie,
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
    pub fn new(ends: &Ends, profile: TcpProfile, ports: SourcePorts, cookie: Cookie) -> Self {
        let (v4, v6) = (ends.sources.v4, ends.sources.v6);
        Self {
            ports,
            cookie,
            v4: v4.and_then(|source| Side::new(source, ends, profile, u32::MAX)),
            v6: v6.and_then(|source| Side::new(source, ends, profile, profile.flow_label_mask())),
        }
    }

    /// The attempt of `side` that asked `addr:port` from `source_port`, and its sequence number.
    #[inline]
    fn asked<A: Asked>(
        &self,
        side: &Side<A>,
        (addr, port): (A, u16),
        source_port: u16,
    ) -> Result<(Claim, u32), Invalid> {
        let attempt = self.ports.attempt(addr, port, source_port).ok_or(Invalid::NotForUs)?;
        let seq = A::cookie(&self.cookie, (side.source, source_port), (addr, port)) as u32;
        Ok((Claim { target: Target { addr: addr.into(), port }, attempt }, seq))
    }

    fn validate_segment<A: Asked>(
        &self,
        side: &Side<A>,
        from: A,
        segment: &tcp::Segment<'_>,
    ) -> Result<Claim, Invalid> {
        let from = (from, segment.source_port());
        let (claim, seq) = self.asked(side, from, segment.destination_port())?;
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
        let (claim, seq) = self.asked(side, of, quoted.source_port)?;
        // Eight quoted octets hold the sequence number, so an ICMP error proves itself as a SYN-ACK does.
        if quoted.tcp_seq == Some(seq) { Ok(claim) } else { Err(Invalid::Cookie) }
    }
}

/// What `message` quotes, when it is an error that says that a probe does not arrive.
fn quoted_v4<'a>(message: &icmp::Message<'a>) -> Option<Quoted<'a, Ipv4Addr>> {
    match (message.kind(), message.code()) {
        (icmp::UNREACHABLE, 4) => return None, // fragmentation needed: a SYN never is too long
        (icmp::UNREACHABLE | icmp::TIME_EXCEEDED, _) => {}
        _ => return None,
    }
    message.quoted()
}

/// As [`quoted_v4`]. A host that knows no TCP says so with a parameter problem (RFC 4443, section 3.4).
fn quoted_v6<'a>(message: &icmpv6::Message<'a>) -> Option<Quoted<'a, Ipv6Addr>> {
    match (message.kind(), message.code()) {
        (icmpv6::UNREACHABLE | icmpv6::TIME_EXCEEDED, _) | (icmpv6::PARAMETER_PROBLEM, 1) => {}
        _ => return None,
    }
    message.quoted()
}

impl<A: Asked> Side<A> {
    fn new(source: A, ends: &Ends, profile: TcpProfile, ip_id_mask: u32) -> Option<Self> {
        let (syn, rst) = (SynTemplate::new(ends, profile)?, RstTemplate::new(ends)?);
        Some(Self { source, syn, rst, ip_id_mask })
    }

    #[inline]
    fn make(&self, probe: &SynProbe, slot: &mut [u8], destination: A, shot: &Shot) -> u16 {
        let destination_port = shot.target.port;
        let source_port = probe.ports.pick(destination, destination_port, shot.attempt);
        let theirs = (destination, destination_port);
        let cookie = A::cookie(&probe.cookie, (self.source, source_port), theirs);
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
        let cookie = A::cookie(&probe.cookie, ours, (destination, reset.port));
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
                    Transport::Icmp(message) => self.validate_quoted(side, quoted_v4(message)),
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
                    Transport::Icmpv6(message) => self.validate_quoted(side, quoted_v6(message)),
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
                self.cookie.v4((side.source, local_port), (addr, remote.port))
            }
            (IpAddr::V6(addr), _, Some(side)) => {
                self.cookie.v6((side.source, local_port), (addr, remote.port))
            }
            _ => 0, // nothing was asked of a family without a source
        };
        Syn { seq: cookie as u32, label: (cookie >> 32) as u32 }
    }

    fn quoted(&self, packet: &Packet<'_>) -> Option<(Target, u16, Option<u32>)> {
        match &packet.network {
            Network::Ipv4(_, Transport::Icmp(message)) => {
                self.v4.as_ref()?.connection(&quoted_v4(message)?)
            }
            Network::Ipv6(_, Transport::Icmpv6(message)) => {
                self.v6.as_ref()?.connection(&quoted_v6(message)?)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
