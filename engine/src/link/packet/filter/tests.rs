use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const PORTS: (u16, u16) = (61_000, 61_255);

const OURS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
const BOTH: Sources = Sources { v4: Some(OURS), v6: Some(OURS_V6) };

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
            LDX_IMM => {
                x = k;
                Some(a)
            }
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
fn packet(to: Ipv4Addr, protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
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
    assert_eq!(passes(&Filter::new(LinkLayer::Ip, OURS, PORTS), packet), expected, "{packet:02x?}");
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
    for (protocol, payload) in [(6, to_port(61_000)), (17, to_port(61_000)), (1, [3, 3, 0, 0])] {
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
            ($name, &include_bytes!(concat!("../../../../testdata/", $name, ".bin"))[..])
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
    for sources in [BOTH, OURS_V6.into(), Sources::default()] {
        for layer in [LinkLayer::Ethernet, LinkLayer::Ip] {
            Filter::new(layer, sources, PORTS).attach(&socket).unwrap();
        }
    }
    Filter::drop_all().attach(&socket).unwrap();
}

proptest! {
    /// The program always ends, and nothing but ARP passes that is not addressed to us.
    #[test]
    fn what_passes_is_addressed_to_us(mut frame in prop::collection::vec(any::<u8>(), 0..80), aim in 0..3_u8) {
        if aim == 1 && frame.len() >= 38 {
            frame[12..15].copy_from_slice(&[8, 0, 0x45]);
            frame[30..34].copy_from_slice(&OURS.octets());
        }
        if aim == 2 && frame.len() >= 58 {
            frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
            frame[38..54].copy_from_slice(&OURS_V6.octets());
        }
        for sources in [BOTH, OURS.into(), OURS_V6.into()] {
            if passes(&Filter::new(LinkLayer::Ethernet, sources, PORTS), &frame) {
                let is_arp = frame[12..14] == [8, 6];
                let is_v4 = sources.v4.is_some() && frame[12..14] == [8, 0] && frame[30..34] == OURS.octets();
                let is_v6 = sources.v6.is_some() && frame[12..14] == [0x86, 0xdd] && frame[38..54] == OURS_V6.octets();
                prop_assert!(is_arp || is_v4 || is_v6);
            }
        }
    }
}

/// An IPv6 packet to `to` whose header is followed by `next_header` and these octets.
fn packet_v6(to: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 40];
    packet[0] = 0x60;
    packet[6] = next_header;
    packet[24..40].copy_from_slice(&to.octets());
    packet.extend_from_slice(payload);
    packet
}

/// As [`check`], where there are addresses of both families and where there is only one of IPv6.
#[track_caller]
fn check_v6(packet: &[u8], expected: bool) {
    let frame = ethernet(ETHERTYPE_IPV6, packet);
    for sources in [BOTH, OURS_V6.into()] {
        let on_ethernet = Filter::new(LinkLayer::Ethernet, sources, PORTS);
        assert_eq!(passes(&on_ethernet, &frame), expected, "{sources:?} {frame:02x?}");
        let alone = Filter::new(LinkLayer::Ip, sources, PORTS);
        assert_eq!(passes(&alone, packet), expected, "{sources:?} {packet:02x?}");
    }
    let without = Filter::new(LinkLayer::Ethernet, OURS, PORTS);
    assert!(!passes(&without, &frame), "no address of IPv6: {frame:02x?}");
}

#[test]
fn answers_over_ipv6_to_our_ports_pass() {
    for protocol in [6, 17] {
        for (port, expected) in
            [(61_000, true), (61_255, true), (60_999, false), (61_256, false), (80, false)]
        {
            check_v6(&packet_v6(OURS_V6, protocol, &to_port(port)), expected);
        }
    }
}

#[test]
fn over_ipv6_another_destination_does_not_pass() {
    for bit in 0..128 {
        let other = Ipv6Addr::from_bits(OURS_V6.to_bits() ^ 1 << bit);
        check_v6(&packet_v6(other, 6, &to_port(61_000)), false);
    }
}

#[test]
fn of_icmp_v6_errors_and_neighbour_discovery_pass() {
    for kind in 0..=255 {
        let expected = matches!(kind, 1..=4 | 133..=137);
        check_v6(&packet_v6(OURS_V6, 58, &[kind, 0, 0, 0]), expected);
    }
}

#[test]
fn extension_headers_pass_unread_and_other_protocols_do_not() {
    for next_header in (0..=255).filter(|header| ![6, 17, 58].contains(header)) {
        let expected = matches!(next_header, 0 | 43 | 44 | 51 | 60);
        check_v6(&packet_v6(OURS_V6, next_header, &[6, 0, 0, 0]), expected);
    }
}

#[test]
fn short_packets_of_ipv6_do_not_pass() {
    for (protocol, payload) in [(6, &to_port(61_000)[..]), (17, &to_port(61_000)), (58, &[136])] {
        let whole = packet_v6(OURS_V6, protocol, payload);
        check_v6(&whole, true);
        for len in 0..whole.len() {
            check_v6(&whole[..len], false);
        }
    }
}

#[test]
fn with_both_families_ipv4_passes_as_it_does_alone() {
    for (port, expected) in [(61_000, true), (60_999, false)] {
        let packet = packet(OURS, 6, 8, 0, &to_port(port));
        assert_eq!(passes(&Filter::new(LinkLayer::Ip, BOTH, PORTS), &packet), expected);
        let frame = ethernet(ETHERTYPE_IPV4, &packet);
        assert_eq!(passes(&Filter::new(LinkLayer::Ethernet, BOTH, PORTS), &frame), expected);
        let alone = Filter::new(LinkLayer::Ethernet, OURS_V6, PORTS);
        assert!(!passes(&alone, &frame), "no address of IPv4");
    }
    let arp = ethernet(ETHERTYPE_ARP, &[0; 28]);
    assert!(passes(&Filter::new(LinkLayer::Ethernet, OURS_V6, PORTS), &arp));
}

#[test]
fn who_plays_hosts_gets_tcp_to_their_prefixes_and_nothing_else() {
    let net = (Ipv4Addr::new(198, 19, 128, 0), 17);
    let net_v6 = (Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0, 0, 0, 0), 72);
    let filter = Filter::tcp_to(net, net_v6);
    let v4 = |addr: [u8; 4], protocol| {
        let mut frame = vec![0; 54];
        frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
        frame[23] = protocol;
        frame[30..34].copy_from_slice(&addr);
        frame
    };
    let v6 = |addr: Ipv6Addr, protocol| {
        let mut frame = vec![0; 74];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        frame[20] = protocol;
        frame[38..54].copy_from_slice(&addr.octets());
        frame
    };
    let inside_v6 = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0xff, 4, 5, 6);
    assert!(passes(&filter, &v4([198, 19, 128, 0], 6)));
    assert!(passes(&filter, &v4([198, 19, 255, 255], 6)));
    assert!(!passes(&filter, &v4([198, 19, 127, 255], 6)));
    assert!(!passes(&filter, &v4([198, 19, 128, 0], 17)));
    assert!(passes(&filter, &v6(inside_v6, 6)));
    assert!(!passes(&filter, &v6(inside_v6, 58)));
    assert!(!passes(&filter, &v6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 0x1ff, 4, 5, 6), 6)));
    assert!(!passes(&filter, &v6(Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0, 4, 5, 6), 6)));
    // ARP, and a frame that ends before its address.
    assert!(!passes(&filter, &[&[0; 12][..], &[8, 6], &[0; 46]].concat()));
    assert!(!passes(&filter, &v4([198, 19, 128, 0], 6)[..33]));
    // Any address.
    let all = Filter::tcp_to((Ipv4Addr::UNSPECIFIED, 0), (Ipv6Addr::UNSPECIFIED, 0));
    assert!(passes(&all, &v4([1, 2, 3, 4], 6)) && passes(&all, &v6(inside_v6, 6)));
}
