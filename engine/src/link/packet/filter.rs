//! What the kernel passes up: a classic BPF program.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use socket2::{SockFilter, Socket};

use crate::{link::LinkLayer, sources::Sources};

const ETHERNET_LEN: u32 = 14;
const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_ARP: u32 = 0x0806;
const ETHERTYPE_IPV6: u32 = 0x86dd;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP_V6: u32 = 58;
/// Hop-by-hop options, routing, fragment, authentication and destination options (IANA, IPv6 Extension Header Types).
const EXTENSIONS: [u32; 5] = [0, 43, 44, 51, 60];
const ICMP_UNREACHABLE: u32 = 3;
const ICMP_TIME_EXCEEDED: u32 = 11;
/// The last of the errors of ICMPv6 that are in use, from 1 up (RFC 4443, section 2.1).
const ICMP_V6_LAST_ERROR: u32 = 4;
/// Neighbour discovery: from router solicitation to redirect (RFC 4861, section 4).
const NDP: (u32, u32) = (133, 137);
const IPV6_HEADER_LEN: u32 = 40;
/// The part of the IPv4 flags word that is the fragment's offset.
const FRAGMENT_OFFSET: u32 = 0x1fff;
/// How many octets of a frame are kept: all of the longest that Linux receives.
const WHOLE: u32 = 0x0004_0000;

// linux/bpf_common.h; the names are those of bpf(4) in the BSDs, less their prefix.
const LD_W_ABS: u16 = 0x20;
const LD_H_ABS: u16 = 0x28;
const LD_B_ABS: u16 = 0x30;
const LD_H_IND: u16 = 0x48;
const LD_B_IND: u16 = 0x50;
const LDX_IMM: u16 = 0x01;
const LDX_B_MSH: u16 = 0xb1;
const ALU_AND: u16 = 0x54;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;

/// Passes what can be an answer to us and drops the rest in the kernel, before it costs room in the ring:
///
/// - ARP, where there is Ethernet;
/// - IPv4 to our address that is TCP or UDP to one of our ports, or ICMP of type 3 (unreachable) or 11 (time exceeded).
///   Of a fragmented packet only the first fragment, which has the ports;
/// - IPv6 to our address that is TCP or UDP to one of our ports, an error of ICMPv6 or neighbour discovery. A packet with
///   extension headers passes whatever is behind them: a classic program cannot follow their chain, and they are few.
///
/// A family without an address of ours does not pass.
///
/// It looks at addresses, types and ports alone: lengths and checksums are the parser's, validity is the probe's. A frame
/// too short for the fields it looks at is dropped. It sees frames without their VLAN tag (see [`packet`](super)), so an
/// answer passes whatever VLAN it came in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Filter {
    program: Vec<Instruction>,
}

/// One instruction: jumps are forward, counted from the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Instruction {
    code: u16,
    on_true: u8,
    on_false: u8,
    k: u32,
}

/// Where a comparison goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum To {
    Next,
    V6,
    Ports,
    Pass,
    Drop,
}

type Step = (u16, u32, To, To);

impl Filter {
    /// The answers to `sources` at the ports `ports.0..=ports.1`, on an interface whose frames begin with `layer`.
    pub fn new(layer: LinkLayer, sources: impl Into<Sources>, ports: (u16, u16)) -> Self {
        use To::{Drop, Next, Pass, V6};
        let sources = sources.into();
        let mut steps = Vec::<Step>::new();
        let ip = match layer {
            LinkLayer::Ethernet => {
                steps.push((LD_H_ABS, 12, Next, Next));
                steps.push((JEQ, ETHERTYPE_ARP, Pass, Next));
                ETHERNET_LEN
            }
            LinkLayer::Ip => {
                steps.push((LD_B_ABS, 0, Next, Next));
                steps.push((ALU_AND, 0xf0, Next, Next)); // the version
                0
            }
        };
        let (is_v4, is_v6) = match layer {
            LinkLayer::Ethernet => (ETHERTYPE_IPV4, ETHERTYPE_IPV6),
            LinkLayer::Ip => (0x40, 0x60),
        };
        if let Some(source) = sources.v4 {
            steps.push((JEQ, is_v4, Next, V6));
            steps.extend(v4_steps(ip, source.into()));
        }
        let v6_at = steps.len();
        if let Some(source) = sources.v6 {
            steps.push((JEQ, is_v6, Next, Drop));
            steps.extend(v6_steps(ip, source));
        } else {
            steps.push((RET, 0, Next, Next));
        }
        let ports_at = steps.len();
        steps.extend([
            (LD_H_IND, ip + 2, Next, Next), // the destination port, of TCP and UDP alike
            (JGE, ports.0.into(), Next, Drop),
            (JGT, ports.1.into(), Drop, Pass),
        ]);
        Self::of(steps, v6_at, ports_at)
    }

    /// TCP to any port of the addresses of two prefixes, on Ethernet: for who plays many hosts. Other than of [`new`](Self::new)
    /// only what is to be answered passes, no ICMP and no question for an address.
    pub fn tcp_to(v4: (Ipv4Addr, u8), v6: (Ipv6Addr, u8)) -> Self {
        use To::{Drop, Next, Pass, V6};
        let mask = |len: u8| u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
        let of_net = |at, net: u32, mask: u32| {
            [(LD_W_ABS, at, Next, Next), (ALU_AND, mask, Next, Next), (JEQ, net & mask, Next, Drop)]
        };
        let ip = ETHERNET_LEN;
        let mut steps = vec![(LD_H_ABS, 12, Next, Next), (JEQ, ETHERTYPE_IPV4, Next, V6)];
        steps.extend(of_net(ip + 16, v4.0.to_bits(), mask(v4.1)));
        steps.extend([(LD_B_ABS, ip + 9, Next, Next), (JEQ, TCP, Pass, Drop)]);
        let v6_at = steps.len();
        steps.push((JEQ, ETHERTYPE_IPV6, Next, Drop));
        for word in 0..4_u8 {
            let net = (v6.0.to_bits() >> (96 - 32 * u32::from(word))) as u32;
            let mask = mask(v6.1.saturating_sub(32 * word));
            steps.extend(of_net(ip + 24 + 4 * u32::from(word), net, mask));
        }
        steps.extend([(LD_B_ABS, ip + 6, Next, Next), (JEQ, TCP, Pass, Drop)]);
        let nothing_at = steps.len();
        Self::of(steps, v6_at, nothing_at)
    }

    /// The program of `steps`, where those of IPv6 and those that look at ports begin at these places.
    fn of(mut steps: Vec<Step>, v6_at: usize, ports_at: usize) -> Self {
        use To::{Drop, Next, Pass, Ports, V6};
        let pass_at = steps.len();
        steps.extend([(RET, WHOLE, Next, Next), (RET, 0, Next, Next)]);
        let resolve = |(at, (code, k, on_true, on_false)): (usize, Step)| {
            let jump = |to| match to {
                Next => 0,
                V6 => v6_at - at - 1,
                Ports => ports_at - at - 1,
                Pass => pass_at - at - 1,
                Drop => pass_at - at,
            };
            // The program has at most 48 instructions: every jump fits.
            Instruction { code, on_true: jump(on_true) as u8, on_false: jump(on_false) as u8, k }
        };
        Self { program: steps.into_iter().enumerate().map(resolve).collect() }
    }

    /// Nothing passes. The socket that has it takes a port and stays silent.
    pub(crate) fn drop_all() -> Self {
        Self { program: vec![Instruction { code: RET, on_true: 0, on_false: 0, k: 0 }] }
    }

    /// From now on `socket` receives what passes.
    pub(crate) fn attach(&self, socket: &Socket) -> io::Result<()> {
        let instruction = |i: &Instruction| SockFilter::new(i.code, i.on_true, i.on_false, i.k);
        socket.attach_filter(&self.program.iter().map(instruction).collect::<Vec<_>>())
    }
}

/// Judges an IPv4 packet that begins at `ip`, but for its ports.
fn v4_steps(ip: u32, source: u32) -> [Step; 12] {
    use To::{Drop, Next, Pass, Ports};
    [
        (LD_W_ABS, ip + 16, Next, Next),
        (JEQ, source, Next, Drop),
        (LD_H_ABS, ip + 6, Next, Next),
        (JSET, FRAGMENT_OFFSET, Drop, Next),
        (LDX_B_MSH, ip, Next, Next), // X = length of the IP header
        (LD_B_ABS, ip + 9, Next, Next),
        (JEQ, TCP, Ports, Next),
        (JEQ, UDP, Ports, Next),
        (JEQ, ICMP, Next, Drop),
        (LD_B_IND, ip, Next, Next),
        (JEQ, ICMP_UNREACHABLE, Pass, Next),
        (JEQ, ICMP_TIME_EXCEEDED, Pass, Drop),
    ]
}

/// Judges an IPv6 packet that begins at `ip`, but for its ports.
fn v6_steps(ip: u32, source: Ipv6Addr) -> Vec<Step> {
    use To::{Drop, Next, Pass, Ports};
    let bits = source.to_bits();
    let mut steps = Vec::new();
    for word in 0..4 {
        steps.push((LD_W_ABS, ip + 24 + 4 * word, Next, Next));
        steps.push((JEQ, (bits >> (96 - 32 * word)) as u32, Next, Drop));
    }
    steps.push((LDX_IMM, IPV6_HEADER_LEN, Next, Next));
    steps.push((LD_B_ABS, ip + 6, Next, Next));
    steps.push((JEQ, TCP, Ports, Next));
    steps.push((JEQ, UDP, Ports, Next));
    steps.extend(EXTENSIONS.map(|header| (JEQ, header, Pass, Next)));
    steps.extend([
        (JEQ, ICMP_V6, Next, Drop),
        (LD_B_ABS, ip + IPV6_HEADER_LEN, Next, Next),
        (JEQ, 0, Drop, Next),
        (JGT, ICMP_V6_LAST_ERROR, Next, Pass),
        (JGE, NDP.0, Next, Drop),
        (JGT, NDP.1, Drop, Pass),
    ]);
    steps
}

#[cfg(test)]
mod tests;
