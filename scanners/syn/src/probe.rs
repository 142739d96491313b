//! The SYN probe: what is sent, and which packets answer it.

use std::net::{IpAddr, Ipv4Addr};

use mrpf_engine::{
    cookie::Cookie,
    probe::{Claim, Invalid, Probe, Shot},
    sources::Family,
    target::Target,
    template::{Ends, RstFields, RstTemplate, SynFields, SynTemplate, TcpProfile},
    wire::{MacAddr, Network, Packet, Transport, icmp, tcp},
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
    fn pick(&self, addr: Ipv4Addr, port: u16, attempt: u8) -> u16 {
        // Which port it is proves nothing (the cookie does), so a plain multiplicative hash is enough.
        let mixed = (u32::from(addr) ^ u32::from(port).rotate_left(16)).wrapping_mul(0x9e37_79b1);
        let within = ((u64::from(mixed) * u64::from(self.part)) >> 32) as u16;
        self.first + self.part * u16::from(attempt) + within
    }

    /// The attempt that asks `target` from `source`, if one does.
    #[inline]
    fn attempt(&self, addr: Ipv4Addr, port: u16, source: u16) -> Option<u8> {
        let attempt = source.checked_sub(self.first)? / self.part;
        let attempt = u8::try_from(attempt).ok().filter(|attempt| *attempt < self.attempts)?;
        (self.pick(addr, port, attempt) == source).then_some(attempt)
    }
}

/// One SYN a target and attempt.
#[derive(Debug)]
pub struct SynProbe {
    source: Ipv4Addr,
    ports: SourcePorts,
    cookie: Cookie,
    syn: SynTemplate,
    rst: RstTemplate,
}

/// What our RST is made from.
#[derive(Clone, Copy, Debug)]
pub struct Reset {
    next_hop: MacAddr,
    target: Ipv4Addr,
    port: u16,
    source_port: u16,
    seq: u32,
}

impl SynProbe {
    /// Probes from `ends`, with the options of `profile`.
    pub fn new(ends: &Ends, profile: TcpProfile, ports: SourcePorts, cookie: Cookie) -> Self {
        Self {
            source: ends.sources.v4.unwrap_or(Ipv4Addr::UNSPECIFIED),
            ports,
            cookie,
            syn: SynTemplate::new(ends, profile),
            rst: RstTemplate::new(ends),
        }
    }

    /// The attempt that asked `addr:port` from `source_port`, and its cookie.
    #[inline]
    fn asked(&self, addr: Ipv4Addr, port: u16, source_port: u16) -> Result<(Claim, u32), Invalid> {
        let attempt = self.ports.attempt(addr, port, source_port).ok_or(Invalid::NotForUs)?;
        let seq = self.cookie.v4((self.source, source_port), (addr, port)) as u32;
        Ok((Claim { target: Target { addr: addr.into(), port }, attempt }, seq))
    }

    fn validate_segment(
        &self,
        from: Ipv4Addr,
        segment: &tcp::Segment<'_>,
    ) -> Result<Claim, Invalid> {
        let (claim, seq) = self.asked(from, segment.source_port(), segment.destination_port())?;
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

    fn validate_icmp(&self, message: &icmp::Message<'_>) -> Result<Claim, Invalid> {
        let is_error = match (message.kind(), message.code()) {
            (3, 4) => false, // fragmentation needed: a SYN never is too long
            (3 | 11, _) => true,
            _ => false,
        };
        let quoted = message.quoted().filter(|_| is_error).ok_or(Invalid::Kind)?;
        if quoted.source != self.source || quoted.protocol != TCP {
            return Err(Invalid::NotForUs);
        }
        let (claim, seq) =
            self.asked(quoted.destination, quoted.destination_port, quoted.source_port)?;
        // Eight quoted octets hold the sequence number, so an ICMP error proves itself as a SYN-ACK does.
        if quoted.tcp_seq == Some(seq) { Ok(claim) } else { Err(Invalid::Cookie) }
    }
}

const TCP: u8 = 6;

impl Probe for SynProbe {
    type Reply = Reply;
    type Closing = Reset;

    fn frame_len(&self) -> usize {
        self.syn.frame_len()
    }

    fn prepare(&self, slot: &mut [u8], _family: Family) {
        self.syn.prepare(slot);
    }

    #[inline]
    fn make(&self, slot: &mut [u8], shot: &Shot) -> u16 {
        let IpAddr::V4(destination) = shot.target.addr else {
            return 0; // the builder refuses IPv6 targets
        };
        let destination_port = shot.target.port;
        let source_port = self.ports.pick(destination, destination_port, shot.attempt);
        let cookie = self.cookie.v4((self.source, source_port), (destination, destination_port));
        let fields = SynFields {
            next_hop: shot.next_hop,
            destination,
            destination_port,
            source_port,
            seq: cookie as u32,
            ip_id: (cookie >> 32) as u16,
            ts_val: (cookie >> 32) as u32,
        };
        self.syn.patch(slot, &fields);
        self.syn.frame_len() as u16
    }

    #[inline]
    fn validate(&self, packet: &Packet<'_>) -> Result<Claim, Invalid> {
        let Network::Ipv4(header, transport) = &packet.network else {
            return Err(Invalid::Kind);
        };
        if header.destination() != self.source {
            return Err(Invalid::NotForUs);
        }
        match transport {
            Transport::Tcp(segment) => self.validate_segment(header.source(), segment),
            Transport::Icmp(message) => self.validate_icmp(message),
            _ => Err(Invalid::Kind),
        }
    }

    fn classify(&self, packet: &Packet<'_>) -> Reply {
        let Network::Ipv4(header, transport) = &packet.network else {
            unreachable!("validate accepts IPv4 alone");
        };
        let kind = match transport {
            Transport::Tcp(segment) if segment.flags().contains(tcp::Flags::RST) => {
                ReplyKind::Rst { window: segment.window() }
            }
            Transport::Tcp(segment) => ReplyKind::SynAck {
                window: segment.window(),
                options: Options::new(segment.options_bytes()),
            },
            Transport::Icmp(message) => ReplyKind::Icmp {
                kind: message.kind(),
                code: message.code(),
                responder: header.source(),
            },
            _ => unreachable!("validate accepts TCP and ICMP alone"),
        };
        Reply { kind, ttl: header.ttl() }
    }

    fn closing(&self, packet: &Packet<'_>) -> Option<Reset> {
        let Network::Ipv4(header, Transport::Tcp(segment)) = &packet.network else {
            return None;
        };
        if segment.flags().contains(tcp::Flags::RST) {
            return None;
        }
        Some(Reset {
            next_hop: packet.ethernet.map_or(MacAddr::ZERO, |ethernet| ethernet.source()),
            target: header.source(),
            port: segment.source_port(),
            source_port: segment.destination_port(),
            seq: segment.ack(),
        })
    }

    fn make_closing(&self, slot: &mut [u8], reset: &Reset) -> u16 {
        let fields = RstFields {
            next_hop: reset.next_hop,
            destination: reset.target,
            destination_port: reset.port,
            source_port: reset.source_port,
            seq: reset.seq,
            ip_id: reset.seq as u16,
        };
        self.rst.prepare(slot);
        self.rst.patch(slot, &fields);
        self.rst.frame_len() as u16
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_source_port_tells_the_attempt(addr: u32, port: u16, first in 1_024..60_000_u16, count in 16..512_u16, attempts in 1..=16_u8) {
            let ports = SourcePorts::new(first, count, attempts).unwrap();
            for attempt in 0..attempts {
                let source = ports.pick(addr.into(), port, attempt);
                prop_assert!(source >= first && source < first + count);
                prop_assert_eq!(ports.attempt(addr.into(), port, source), Some(attempt));
            }
            prop_assert_eq!(ports.attempt(addr.into(), port, first - 1), None);
            prop_assert_eq!(ports.attempt(addr.into(), port, first + count), None);
        }
    }

    #[test]
    fn all_ports_of_a_part_are_used() {
        let ports = SourcePorts::new(61_000, 256, 4).unwrap();
        let mut used = [0_u32; 64];
        for host in 0..65_536_u32 {
            used[usize::from(ports.pick((0xc613_0000 + host).into(), 80, 1) - 61_064)] += 1;
        }
        assert!(used.iter().all(|n| (700..1_400).contains(n)), "{used:?}");
    }

    #[test]
    fn too_few_ports_are_refused() {
        assert_eq!(SourcePorts::new(61_000, 2, 3), None);
        assert_eq!(SourcePorts::new(65_500, 256, 1), None);
        assert_eq!(SourcePorts::new(61_000, 256, 0), None);
    }
}
