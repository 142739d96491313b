//! The screen: cookies, digests and resets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetHeaders, PacketHeaders, TcpHeader, TransportHeader};
use proptest::prelude::*;

use super::*;
use crate::{
    link::{Digest, LinkLayer},
    wire::{self, Network, Transport, tcp::Flags},
};

#[test]
fn a_digest_says_what_the_frame_does() {
    let Some(mut program) = load(&take(screen(true, false))) else { return };
    for vlan in [None, Some(5)] {
        let mut segment = Segment { vlan, ..Segment::v4(SYN_ACK, 0) };
        segment.ack = (segment.cookie() as u32).wrapping_add(1);
        assert_eq!(program.run(&segment.frame()).0, DROP);
        let [record] = program.records(0).try_into().unwrap();
        let digest = Digest {
            remote: THEIRS,
            remote_port: 443,
            local_port: PORT,
            seq: segment.seq,
            ack: segment.ack,
            window: segment.window,
            ttl: 57,
            flags: SYN_ACK,
        };
        assert_eq!(Digest::read(&record), Some(digest));
    }
    assert_eq!(program.counters.read().unwrap().digests, 2);
}

#[test]
fn v6_and_errors_are_whole_behind_a_screen_too() {
    let Some(mut program) = load(&take(screen(true, false))) else { return };
    let mut segment = Segment::v6(RST_ACK, 0);
    segment.ack = segment.cookie() as u32;
    for frame in [segment.frame(), icmp(3, OURS, PORT), udp(PORT)] {
        assert_eq!(program.run(&frame).0, DROP);
        assert_eq!(program.frames(), [&frame[..]]);
    }
}

/// What our RST must be, octet by octet, and as another parser sees it.
#[track_caller]
fn check_reset(segment: &Segment, out: &[u8]) {
    let at = segment.ip_at();
    assert_eq!(out[..12], [MACS[0], MACS[1]].concat(), "sent back to who sent it");
    let packet = PacketHeaders::from_ethernet_slice(out).unwrap();
    let Some(TransportHeader::Tcp(tcp)) = packet.transport else { panic!("{packet:?}") };
    let mut expected = TcpHeader::new(PORT, 443, segment.ack, 0);
    expected.rst = true;
    let random = (segment.cookie() >> 32) as u32;
    match packet.net.unwrap() {
        NetHeaders::Ipv4(ip, _) => {
            assert_eq!(out.len(), at + 40);
            assert_eq!((ip.source, ip.destination), (OURS.octets(), THEIRS.octets()));
            assert_eq!((ip.total_len, ip.time_to_live, ip.dont_fragment), (40, 64, true));
            assert_eq!((ip.identification, ip.more_fragments), (random as u16, false));
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            expected.checksum = expected.calc_checksum_ipv4(&ip, &[]).unwrap();
        }
        NetHeaders::Ipv6(ip, _) => {
            assert_eq!(out.len(), at + 60);
            assert_eq!((ip.source, ip.destination), (OURS_V6.octets(), THEIRS_V6.octets()));
            assert_eq!((ip.payload_length, ip.hop_limit, ip.traffic_class), (20, 64, 0));
            assert_eq!(ip.flow_label.value(), random & 0xf_ffff);
            expected.checksum = expected.calc_checksum_ipv6(&ip, &[]).unwrap();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(tcp, expected);
}

#[test]
fn a_reset_has_no_options_of_ip_either() {
    let Some(mut program) = load(&take(screen(true, true))) else { return };
    let mut segment = Segment::v4(SYN_ACK, 0);
    segment.ack = (segment.cookie() as u32).wrapping_add(1);
    let mut frame = segment.frame();
    frame.splice(34..34, [1; 8]);
    frame[14] = 0x47;
    frame[17] += 8;
    let (verdict, out) = program.run(&frame);
    assert_eq!(verdict, TX);
    check_reset(&segment, &out);
}

/// What is to become of a frame, judged by the parser and the cookie of this crate.
#[derive(Debug, Eq, PartialEq)]
enum Fate {
    Passes,
    Cookie,
    Challenge,
    Kind,
    Proved { opens: bool },
}

/// The rules of the SYN scanner.
fn fate(frame: &[u8]) -> Option<Fate> {
    let packet = wire::parse(frame, LinkLayer::Ethernet).ok()?;
    let (segment, ours, cookie) = match packet.network {
        Network::Ipv4(ip, Transport::Tcp(segment)) => {
            let ours = (ip.destination(), segment.destination_port());
            let cookie = cookie().v4(ours, (ip.source(), segment.source_port()));
            (segment, ip.destination() == OURS, cookie)
        }
        Network::Ipv6(ip, Transport::Tcp(segment)) => {
            let ours = (ip.destination(), segment.destination_port());
            let cookie = cookie().v6(ours, (ip.source(), segment.source_port()));
            (segment, ip.destination() == OURS_V6, cookie)
        }
        _ => return None,
    };
    if !ours || !(PORTS.0..=PORTS.1).contains(&segment.destination_port()) {
        return Some(Fate::Passes);
    }
    let (flags, seq) = (segment.flags(), cookie as u32);
    let is_reset = flags.contains(Flags::RST);
    let next = seq.wrapping_add(1);
    Some(match flags.contains(Flags::ACK) {
        false if is_reset => Fate::Cookie,
        false => Fate::Kind,
        true if is_reset && (segment.ack() == seq || segment.ack() == next) => {
            Fate::Proved { opens: false }
        }
        true if is_reset => Fate::Cookie,
        true if !flags.contains(Flags::SYN) => Fate::Challenge,
        true if segment.ack() == next => Fate::Proved { opens: true },
        true => Fate::Cookie,
    })
}

fn segments() -> impl Strategy<Value = Segment> {
    let v4 = || prop_oneof![4 => Just(IpAddr::from(OURS)), 1 => any::<Ipv4Addr>().prop_map(IpAddr::from)];
    let v6 = || prop_oneof![4 => Just(IpAddr::from(OURS_V6)), 1 => any::<Ipv6Addr>().prop_map(IpAddr::from)];
    let any_v4 = any::<Ipv4Addr>().prop_map(IpAddr::from);
    let any_v6 = any::<Ipv6Addr>().prop_map(IpAddr::from);
    let ends = prop_oneof![2 => (any_v4, v4()), 1 => (any_v6, v6())];
    let port = prop_oneof![4 => PORTS.0..=PORTS.1, 1 => any::<u16>()];
    let flags = prop_oneof![2 => Just(0x12_u8), 2 => Just(0x14), 3 => any::<u8>()];
    let ack = prop_oneof![3 => Just(Some(1)), 2 => Just(Some(0)), 1 => Just(Some(u32::MAX)), 1 => Just(None)];
    let vlan = prop_oneof![3 => Just(None), 1 => (0_u16..4096).prop_map(Some)];
    let numbers = (any::<u16>(), any::<u32>(), any::<u32>(), any::<u16>());
    (ends, port, flags, ack, vlan, 0_u8..=10, numbers).prop_map(
        |((from, to), local, flags, past, vlan, options, (remote, seq, random, window))| {
            let mut segment = Segment {
                from: (from, remote),
                to: (to, local),
                flags,
                seq,
                ack: random,
                window,
                vlan,
                options,
            };
            if let Some(past) = past {
                segment.ack = (segment.cookie() as u32).wrapping_add(past);
            }
            segment
        },
    )
}

/// Runs a frame, and holds what the program does against what it must.
fn check_fate(program: &mut Program, frame: &[u8]) {
    let before = program.counters.read().unwrap();
    let (verdict, out) = program.run(frame);
    let after = program.counters.read().unwrap();
    let records = program.records(0);
    let grown = |count: fn(&Counts) -> u64| count(&after) - count(&before);
    let screened = [
        grown(|counts| counts.screened.cookie),
        grown(|counts| counts.screened.challenge),
        grown(|counts| counts.screened.kind),
    ];
    let Some(fate) = fate(frame) else {
        // What cannot be read is the kernel's or the parser's to judge.
        let handed_up = match verdict {
            PASS => grown(|counts| counts.copied), // behind an extension header of IPv6
            _ => grown(|counts| counts.whole),
        };
        assert!(verdict == PASS || records.len() == 1, "{verdict}");
        assert_eq!(records.len() as u64, handed_up);
        assert_eq!((screened, &out[..]), ([0; 3], frame));
        assert!(records.iter().all(|record| record.len() != Digest::LEN));
        return;
    };
    let is_v4 = frame[12..].starts_with(&[8, 0]) || frame[16..].starts_with(&[8, 0]);
    let lens = records.iter().map(|record| record.len() == Digest::LEN).collect::<Vec<_>>();
    let expected = match fate {
        Fate::Passes => (PASS, [0; 3], vec![]),
        Fate::Cookie => (DROP, [1, 0, 0], vec![]),
        Fate::Challenge => (DROP, [0, 1, 0], vec![]),
        Fate::Kind => (DROP, [0, 0, 1], vec![]),
        Fate::Proved { opens } => (if opens { TX } else { DROP }, [0; 3], vec![is_v4]),
    };
    assert_eq!((verdict, screened, lens), expected, "{fate:?}");
    assert_eq!(grown(|counts| counts.screened.resets), u64::from(verdict == TX));
    if verdict != TX {
        assert_eq!(out, frame, "untouched");
    }
}

/// Over many random segments the program judges as the Rust of this crate does: cookie, kind, and what becomes of them.
#[test]
fn the_screen_is_that_of_the_scanner() {
    let Some(mut program) = load(&take(screen(true, true))) else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4_000));
    let program = std::cell::RefCell::new(&mut program);
    runner
        .run(&segments(), |segment| {
            let frame = segment.frame();
            check_fate(&mut program.borrow_mut(), &frame);
            Ok(())
        })
        .unwrap();
    let counts = program.borrow().counters.read().unwrap();
    let Screened { cookie, challenge, kind, resets, resets_lost: _ } = counts.screened;
    let seen = [counts.passed, counts.digests, counts.whole, cookie, challenge, kind, resets];
    assert!(seen.iter().all(|count| *count > 50), "every fate is met: {seen:?}");
}

/// Whatever an octet of a frame becomes, or wherever it ends.
#[test]
fn no_octet_misleads_the_screen() {
    let Some(mut program) = load(&take(screen(true, true))) else { return };
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(4_000));
    let program = std::cell::RefCell::new(&mut program);
    let strategy = (segments(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>());
    runner
        .run(&strategy, |(segment, at, octet, cut)| {
            let mut frame = segment.frame();
            let at = at.index(frame.len());
            if cut {
                frame.truncate(at.max(14));
            } else {
                frame[at] = octet;
            }
            check_fate(&mut program.borrow_mut(), &frame);
            Ok(())
        })
        .unwrap();
}

#[test]
fn every_reset_closes_what_the_syn_ack_opened() {
    let Some(mut program) = load(&take(screen(false, true))) else { return };
    for base in [Segment::v4(SYN_ACK, 0), Segment::v6(SYN_ACK, 0)] {
        for (options, vlan) in [(0, None), (3, None), (10, None), (5, Some(9))] {
            let mut segment = Segment { options, vlan, ..base.clone() };
            segment.ack = (segment.cookie() as u32).wrapping_add(1);
            let (verdict, out) = program.run(&segment.frame());
            assert_eq!(verdict, TX);
            check_reset(&segment, &out);
            assert_eq!(program.frames(), [segment.frame()], "handed up all the same");
        }
    }
    assert_eq!(program.counters.read().unwrap().screened.resets, 8);
}
