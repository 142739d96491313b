//! What the kernel passes up: a classic BPF program.

use std::{io, net::Ipv4Addr};

use socket2::{SockFilter, Socket};

use crate::link::LinkLayer;

const ETHERNET_LEN: u32 = 14;
const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_ARP: u32 = 0x0806;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const UDP: u32 = 17;
const ICMP_UNREACHABLE: u32 = 3;
const ICMP_TIME_EXCEEDED: u32 = 11;
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
///   Of a fragmented packet only the first fragment, which has the ports.
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
    Ports,
    Pass,
    Drop,
}

impl Filter {
    /// The answers to `source` at the ports `ports.0..=ports.1`, on an interface whose frames begin with `layer`.
    pub fn new(layer: LinkLayer, source: Ipv4Addr, ports: (u16, u16)) -> Self {
        use To::{Drop, Next, Pass, Ports};
        let mut steps = Vec::new();
        let ip = match layer {
            LinkLayer::Ethernet => {
                steps.push((LD_H_ABS, 12, Next, Next));
                steps.push((JEQ, ETHERTYPE_ARP, Pass, Next));
                steps.push((JEQ, ETHERTYPE_IPV4, Next, Drop));
                ETHERNET_LEN
            }
            LinkLayer::Ip => {
                steps.push((LD_B_ABS, 0, Next, Next));
                steps.push((ALU_AND, 0xf0, Next, Next));
                steps.push((JEQ, 0x40, Next, Drop)); // version 4
                0
            }
        };
        steps.extend([
            (LD_W_ABS, ip + 16, Next, Next),
            (JEQ, source.into(), Next, Drop),
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
        ]);
        let ports_at = steps.len();
        steps.extend([
            (LD_H_IND, ip + 2, Next, Next), // the destination port, of TCP and UDP alike
            (JGE, ports.0.into(), Next, Drop),
            (JGT, ports.1.into(), Drop, Pass),
        ]);
        let pass_at = steps.len();
        steps.extend([(RET, WHOLE, Next, Next), (RET, 0, Next, Next)]);
        let resolve = |(at, (code, k, on_true, on_false)): (usize, (u16, u32, To, To))| {
            let jump = |to| match to {
                Next => 0,
                Ports => ports_at - at - 1,
                Pass => pass_at - at - 1,
                Drop => pass_at - at,
            };
            // The program has 20 instructions: every jump fits.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const PORTS: (u16, u16) = (61_000, 61_255);

    /// Runs a program as the kernel does: a load that leads out of the frame drops it.
    fn run(filter: &Filter, frame: &[u8]) -> u32 {
        let octet = |at: u32| frame.get(at as usize).copied().map(u32::from);
        let half = |at: u32| Some(octet(at)? << 8 | octet(at + 1)?);
        let (mut a, mut x, mut at) = (0_u32, 0_u32, 0);
        loop {
            let Instruction { code, on_true, on_false, k } = filter.program[at];
            at += 1;
            let loaded = match code {
                LD_W_ABS => half(k).and_then(|high| Some(high << 16 | half(k + 2)?)),
                LD_H_ABS => half(k),
                LD_B_ABS => octet(k),
                LD_H_IND => half(k + x),
                LD_B_IND => octet(k + x),
                ALU_AND => Some(a & k),
                LDX_B_MSH => {
                    let Some(first) = octet(k) else { return 0 };
                    x = (first & 0xf) * 4;
                    Some(a)
                }
                JEQ | JGT | JGE | JSET => {
                    let holds = match code {
                        JEQ => a == k,
                        JGT => a > k,
                        JGE => a >= k,
                        _ => a & k != 0,
                    };
                    at += usize::from(if holds { on_true } else { on_false });
                    Some(a)
                }
                RET => return k,
                code => panic!("{code:#x} at {at}"),
            };
            match loaded {
                Some(loaded) => a = loaded,
                None => return 0,
            }
        }
    }

    fn passes(filter: &Filter, frame: &[u8]) -> bool {
        match run(filter, frame) {
            0 => false,
            WHOLE => true,
            len => panic!("cut to {len}"),
        }
    }

    /// An IPv4 packet to `to` of `protocol`, with `options` octets of options and these first octets behind the header.
    fn packet(
        to: Ipv4Addr,
        protocol: u8,
        options: usize,
        fragment: u16,
        payload: &[u8],
    ) -> Vec<u8> {
        let mut packet = vec![0; 20 + options];
        packet[0] = 0x45 + (options / 4) as u8;
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        packet[16..20].copy_from_slice(&to.octets());
        packet.extend_from_slice(payload);
        packet
    }

    fn ethernet(ethertype: u32, packet: &[u8]) -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend_from_slice(&(ethertype as u16).to_be_bytes());
        frame.extend_from_slice(packet);
        frame
    }

    /// What follows from a packet alone must follow on both kinds of interface.
    #[track_caller]
    fn check(packet: &[u8], expected: bool) {
        let frame = ethernet(ETHERTYPE_IPV4, packet);
        assert_eq!(
            passes(&Filter::new(LinkLayer::Ethernet, OURS, PORTS), &frame),
            expected,
            "{frame:02x?}"
        );
        assert_eq!(
            passes(&Filter::new(LinkLayer::Ip, OURS, PORTS), packet),
            expected,
            "{packet:02x?}"
        );
    }

    fn to_port(port: u16) -> [u8; 4] {
        let [high, low] = port.to_be_bytes();
        [0, 80, high, low]
    }

    #[test]
    fn answers_to_our_ports_pass() {
        for protocol in [6, 17] {
            for (port, expected) in [
                (61_000, true),
                (61_100, true),
                (61_255, true),
                (60_999, false),
                (61_256, false),
                (80, false),
            ] {
                check(&packet(OURS, protocol, 0, 0, &to_port(port)), expected);
                check(&packet(OURS, protocol, 40, 0, &to_port(port)), expected);
            }
        }
    }

    #[test]
    fn another_destination_or_protocol_does_not_pass() {
        check(&packet(Ipv4Addr::new(198, 18, 0, 2), 6, 0, 0, &to_port(61_000)), false);
        check(&packet(Ipv4Addr::BROADCAST, 17, 0, 0, &to_port(61_000)), false);
        for protocol in (0..=255).filter(|protocol| ![1, 6, 17].contains(protocol)) {
            check(&packet(OURS, protocol, 0, 0, &to_port(61_000)), false);
        }
    }

    #[test]
    fn of_icmp_the_errors_pass() {
        for kind in 0..=255 {
            check(&packet(OURS, 1, 0, 0, &[kind, 0, 0, 0]), kind == 3 || kind == 11);
            check(&packet(OURS, 1, 8, 0, &[kind, 13, 0, 0]), kind == 3 || kind == 11);
        }
    }

    #[test]
    fn of_fragments_the_first_passes() {
        for (protocol, payload) in [(6, to_port(61_000)), (17, to_port(61_000)), (1, [3, 3, 0, 0])]
        {
            check(&packet(OURS, protocol, 0, 0x4000, &payload), true); // do not fragment
            check(&packet(OURS, protocol, 0, 0x2000, &payload), true); // the first of more
            check(&packet(OURS, protocol, 0, 0x2001, &payload), false);
            check(&packet(OURS, protocol, 0, 0x1fff, &payload), false);
        }
    }

    #[test]
    fn short_packets_do_not_pass() {
        for (protocol, payload) in [(6, &to_port(61_000)[..]), (17, &to_port(61_000)), (1, &[3])] {
            let whole = packet(OURS, protocol, 0, 0, payload);
            check(&whole, true);
            for len in 0..whole.len() {
                check(&whole[..len], false);
            }
        }
    }

    #[test]
    fn arp_passes_on_ethernet_and_other_types_do_not() {
        let filter = Filter::new(LinkLayer::Ethernet, OURS, PORTS);
        let answer = packet(OURS, 6, 0, 0, &to_port(61_000));
        for (ethertype, expected) in [
            (0x0806, true),
            (0x0800, true),
            (0x86dd, false),
            (0x8100, false),
            (0x88a8, false),
            (0x8847, false),
        ] {
            assert_eq!(passes(&filter, &ethernet(ethertype, &answer)), expected, "{ethertype:#x}");
        }
        let mut v6 = answer;
        v6[0] = 0x65;
        assert!(!passes(&Filter::new(LinkLayer::Ip, OURS, PORTS), &v6));
    }

    #[test]
    fn drop_all_drops_all() {
        assert!(!passes(&Filter::drop_all(), &packet(OURS, 6, 0, 0, &to_port(61_000))));
        assert!(!passes(&Filter::drop_all(), &[]));
    }

    /// The captured frames, with the address and port that each was sent to.
    #[test]
    fn captured_frames_are_told_apart() {
        macro_rules! frame {
            ($name:literal) => {
                ($name, &include_bytes!(concat!("../../../testdata/", $name, ".bin"))[..])
            };
        }
        for (name, frame) in
            [frame!("syn_ack"), frame!("rst_ack"), frame!("rst_ack_padded"), frame!("udp")]
        {
            let to = Ipv4Addr::from(*frame[30..].first_chunk().unwrap());
            let port = u16::from_be_bytes(*frame[36..].first_chunk().unwrap());
            let with = |to, ports| passes(&Filter::new(LinkLayer::Ethernet, to, ports), frame);
            assert!(with(to, (port, port)), "{name}");
            assert!(with(to, (0, u16::MAX)), "{name}");
            assert!(!with(Ipv4Addr::from(u32::from(to) ^ 1), (port, port)), "{name}");
            assert!(port == u16::MAX || !with(to, (port + 1, u16::MAX)), "{name}");
            assert!(port == 0 || !with(to, (0, port - 1)), "{name}");
        }
        for (name, frame) in [
            frame!("icmp_port_unreachable"),
            frame!("icmp_host_unreachable"),
            frame!("icmp_admin_prohibited"),
            frame!("icmp_time_exceeded"),
            frame!("icmp_time_exceeded_mpls"),
            frame!("arp_reply"),
            frame!("arp_request"),
        ] {
            let to = Ipv4Addr::from(*frame[30..].first_chunk().unwrap());
            assert!(passes(&Filter::new(LinkLayer::Ethernet, to, (0, 0)), frame), "{name}");
        }
        for (name, frame) in [
            frame!("icmp_echo_reply"),
            frame!("icmp_echo_request"),
            frame!("fragment_last"),
            frame!("ipv6_router_solicitation"),
        ] {
            let to = Ipv4Addr::from(*frame[30..].first_chunk().unwrap());
            let filter = Filter::new(LinkLayer::Ethernet, to, (0, u16::MAX));
            assert!(!passes(&filter, frame), "{name}");
        }
    }

    /// The kernel checks a program when it is attached: any socket will do.
    #[test]
    fn the_kernel_takes_the_program() {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        Filter::new(LinkLayer::Ethernet, OURS, PORTS).attach(&socket).unwrap();
        Filter::new(LinkLayer::Ip, OURS, (0, u16::MAX)).attach(&socket).unwrap();
        Filter::drop_all().attach(&socket).unwrap();
    }

    proptest! {
        /// The program always ends, and nothing but ARP passes that is not addressed to us.
        #[test]
        fn what_passes_is_addressed_to_us(mut frame in prop::collection::vec(any::<u8>(), 0..80), aim: bool) {
            if aim && frame.len() >= 38 {
                frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                frame[30..34].copy_from_slice(&OURS.octets());
            }
            if passes(&Filter::new(LinkLayer::Ethernet, OURS, PORTS), &frame) {
                let is_arp = frame[12..14] == [8, 6];
                prop_assert!(is_arp || frame[30..34] == OURS.octets());
            }
        }
    }
}
