//! Whole frames, as a kernel sent them (`engine/testdata/`), and bytes that nobody would send.

use std::{fs, path::Path};

use proptest::prelude::*;

use super::*;

#[track_caller]
fn frame(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(format!("{name}.bin"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a frame is, in a word.
fn kind(frame: &[u8]) -> String {
    match parse(frame, LinkLayer::Ethernet) {
        Err(malformed) => malformed.to_string(),
        Ok(packet) => {
            let vlan = packet.vlan.map_or_else(String::new, |vid| format!("vlan {vid} "));
            let what = match packet.network {
                Network::Arp(arp) if arp.is_request() => "arp request".to_owned(),
                Network::Arp(_) => "arp reply".to_owned(),
                Network::Ipv4(_, transport) => carried(&transport),
                Network::Ipv6(_, transport) => format!("v6 {}", carried(&transport)),
                Network::Other(ether_type) => format!("ether type {ether_type:04x}"),
            };
            vlan + &what
        }
    }
}

fn carried(transport: &Transport<'_>) -> String {
    match transport {
        Transport::Tcp(segment) => segment.flags().to_string(),
        Transport::Udp(datagram) => format!("udp {}", datagram.payload().len()),
        Transport::Icmp(icmp) => format!("icmp {}/{}", icmp.kind(), icmp.code()),
        Transport::Icmpv6(icmp) => format!("icmp {}/{}", icmp.kind(), icmp.code()),
        Transport::Fragment => "fragment".to_owned(),
        Transport::Other(protocol) => format!("protocol {protocol}"),
    }
}

#[test]
fn frames_of_a_kernel_are_what_they_are() {
    let kinds = [
        ("ack", "ACK"),
        ("arp_reply", "arp reply"),
        ("arp_request", "arp request"),
        ("data", "PSH|ACK"),
        ("fin_ack", "FIN|ACK"),
        ("fragment_first", "udp 1472"),
        ("fragment_last", "fragment"),
        ("icmp_admin_prohibited", "icmp 3/13"),
        ("icmp_echo_reply", "icmp 0/0"),
        ("icmp_host_unreachable", "icmp 3/1"),
        ("icmp_port_unreachable", "icmp 3/3"),
        ("icmp_time_exceeded", "icmp 11/0"),
        ("ipv6_ack", "v6 ACK"),
        ("ipv6_admin_prohibited", "v6 icmp 1/1"),
        ("ipv6_destination_options", "v6 udp 7"),
        ("ipv6_fragment_first", "v6 udp 1440"),
        ("ipv6_fragment_last", "v6 fragment"),
        ("ipv6_neighbour_advertisement", "v6 icmp 136/0"),
        ("ipv6_neighbour_solicitation", "v6 icmp 135/0"),
        ("ipv6_no_route", "v6 icmp 1/0"),
        ("ipv6_port_unreachable", "v6 icmp 1/4"),
        ("ipv6_router_solicitation", "v6 icmp 133/0"),
        ("ipv6_rst_ack", "v6 RST|ACK"),
        ("ipv6_syn", "v6 SYN"),
        ("ipv6_syn_ack", "v6 SYN|ACK"),
        ("ipv6_time_exceeded", "v6 icmp 3/0"),
        ("oversized_cut", "PSH|ACK"),
        ("rst", "RST"),
        ("rst_ack", "RST|ACK"),
        ("rst_ack_padded", "RST|ACK"),
        ("syn", "SYN"),
        ("syn_ack", "SYN|ACK"),
        ("syn_ack_bad_offset", "TCP: 20 octets missing"),
        ("syn_ack_cut", "TCP: 4 octets missing"),
        ("syn_ack_mss_only", "SYN|ACK"),
        ("syn_ack_option_length_zero", "SYN|ACK"),
        ("syn_ack_partial_checksum", "SYN|ACK"),
        ("syn_ack_qinq", "vlan 42 SYN|ACK"),
        ("syn_ack_vlan", "vlan 42 SYN|ACK"),
        ("udp", "udp 5"),
        ("udp_ip_options", "udp 7"),
    ];
    for (name, expected) in kinds {
        assert_eq!(kind(&frame(name)), expected, "{name}");
    }
}

#[test]
fn a_link_without_ethernet_begins_with_the_ip_header() {
    let frame = frame("syn_ack");
    let packet = parse(&frame[ethernet::LEN..], LinkLayer::Ip).unwrap();
    assert!(packet.ethernet.is_none());
    assert!(matches!(packet.network, Network::Ipv4(_, Transport::Tcp(_))));
    assert_eq!(
        parse(&[0x60], LinkLayer::Ip).unwrap_err(),
        Malformed::Short(Layer::Ipv6, ipv6::LEN - 1)
    );
    assert!(matches!(parse(&[0x10], LinkLayer::Ip).unwrap().network, Network::Other(0)));
    assert_eq!(parse(&[], LinkLayer::Ip).unwrap_err(), Malformed::Short(Layer::Ipv4, 20));
}

/// Every frame of testdata at every length, and with every single octet changed to each of a few values.
#[test]
fn no_prefix_and_no_changed_octet_breaks_a_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut frames = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let mut frame = fs::read(entry.unwrap().path()).unwrap();
        frame.insert(0, 0);
        frame.truncate(160);
        for len in 0..frame.len() {
            fuzzing::fuzz_frame(&frame[..len]);
        }
        for at in 1..frame.len() {
            let was = frame[at];
            for value in [0, 1, 0x45, 0x4f, 0x7f, 0x80, 0xff] {
                frame[at] = value;
                fuzzing::fuzz_frame(&frame);
            }
            frame[at] = was;
        }
        frames += 1;
    }
    assert!(frames >= 41, "{frames} frames");
}

/// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
#[test]
fn the_corpora_hold() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 11] = [
        ("arp", fuzzing::fuzz_arp),
        ("ethernet", fuzzing::fuzz_ethernet),
        ("frame", fuzzing::fuzz_frame),
        ("icmp", fuzzing::fuzz_icmp),
        ("icmpv6", fuzzing::fuzz_icmpv6),
        ("ipv4", fuzzing::fuzz_ipv4),
        ("ipv6", fuzzing::fuzz_ipv6),
        ("ndp", fuzzing::fuzz_ndp),
        ("tcp", fuzzing::fuzz_tcp),
        ("tcp_options", fuzzing::fuzz_tcp_options),
        ("udp", fuzzing::fuzz_udp),
    ];
    for (name, fuzz) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let inputs: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .collect();
        assert!(inputs.len() >= 3, "{} inputs of {name}", inputs.len());
        for input in inputs {
            fuzz(&fs::read(input.unwrap().path()).unwrap());
        }
    }
}

proptest! {
    #[test]
    fn etherparse_agrees_on_any_bytes(data in prop::collection::vec(any::<u8>(), 0..120)) {
        fuzzing::fuzz_frame(&data);
        fuzzing::fuzz_ethernet(&data);
        fuzzing::fuzz_arp(&data);
        fuzzing::fuzz_ipv4(&data);
        fuzzing::fuzz_icmp(&data);
        fuzzing::fuzz_ipv6(&data);
        fuzzing::fuzz_icmpv6(&data);
        fuzzing::fuzz_ndp(&data);
        fuzzing::fuzz_udp(&data);
        fuzzing::fuzz_tcp(&data);
        fuzzing::fuzz_tcp_options(&data);
    }

    /// Random bytes seldom get past a version nibble, so most are given the form that leads further in.
    #[test]
    fn etherparse_agrees_on_likely_bytes(
        mut data in prop::collection::vec(any::<u8>(), 60..120),
        ihl in 5..8_u8,
        offset in 4..10_u8,
        protocol in prop::sample::select(vec![1_u8, 6, 17]),
        total in 20..120_u16,
    ) {
        data[0] = 0x40 | ihl;
        data[2..4].copy_from_slice(&total.to_be_bytes());
        data[6..8].copy_from_slice(&[0, 0]);
        data[9] = protocol;
        data[usize::from(ihl) * 4 + 12] = offset << 4;
        fuzzing::fuzz_ipv4(&data);
        fuzzing::fuzz_frame(&[&[1], &data[..]].concat());
        fuzzing::fuzz_icmp(&[&[3, 1, 0, 0, 0, 0, 0, 0], &data[..]].concat());
        fuzzing::fuzz_tcp(&data[usize::from(ihl) * 4..]);
    }

    /// The same for IPv6: a chain of extension headers that is sometimes right, and a packet behind it.
    #[test]
    fn etherparse_agrees_on_likely_ipv6_bytes(
        mut data in prop::collection::vec(any::<u8>(), 80..200),
        chain in prop::collection::vec((0..5_usize, 0..3_u8), 0..10),
        named in prop_oneof![Just(0_u16), 0..200_u16],
        hop_limit in prop_oneof![Just(255_u8), any::<u8>()],
        kind in prop::sample::select(vec![1_u8, 2, 3, 4, 135, 136]),
    ) {
        const HEADERS: [u8; 8] = [0, 43, 44, 60, 60, 6, 17, 58];
        data[0] = 0x60;
        data[4..6].copy_from_slice(&named.to_be_bytes());
        data[7] = hop_limit;
        let (mut next_at, mut at) = (6, ipv6::LEN);
        for (header, units) in chain {
            if at + 8 > data.len() {
                break;
            }
            data[next_at] = HEADERS[header];
            data[at + 1] = units;
            next_at = at;
            at += if HEADERS[header] == 44 { 8 } else { 8 + 8 * usize::from(units) };
        }
        data[next_at] = HEADERS[5 + usize::from(kind) % 3];
        if let Some(fixed) = data.get_mut(at..at + 2) {
            fixed.copy_from_slice(&[kind, 0]);
        }
        fuzzing::fuzz_ipv6(&data);
        fuzzing::fuzz_frame(&[&[1], &data[..]].concat());
        fuzzing::fuzz_ndp(&data);
        fuzzing::fuzz_icmpv6(&[&[kind, 0, 0, 0, 0, 0, 0, 0], &data[..]].concat());
    }
}
