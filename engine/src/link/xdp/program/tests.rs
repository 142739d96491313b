//! The program run by the kernel on frames of ours (BPF_PROG_TEST_RUN), on no interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::programs::{TestRun, TestRunOptions};
use etherparse::{PacketBuilder, PacketHeaders, TcpHeader};
use proptest::prelude::*;

use super::*;
use crate::{
    cookie::Cookie,
    link::{
        Digest, LinkLayer,
        xdp::take::{Deal, Screen},
    },
    sources::Sources,
    wire::{self, Network, Transport, tcp::Flags},
};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 7);
const OURS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THEIRS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 7, 7);
const PORTS: (u16, u16) = (61_000, 61_015);
const PORT: u16 = 61_003;
const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 7], [2, 0, 0, 0, 0, 1]];

/// What XDP programs return (linux/bpf.h).
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

fn cookie() -> Cookie {
    Cookie::from_key(&std::array::from_fn(|i| i as u8))
}

fn screen(digests: bool, resets: bool) -> Option<Screen> {
    Some(Screen { cookie: cookie(), digests, resets, label_mask: 0xf_ffff })
}

fn take(screen: Option<Screen>) -> Take {
    let sources = Sources { v4: Some(OURS), v6: Some(OURS_V6) };
    Take { sources, ports: PORTS, deal: Deal::Hash(1), screen }
}

/// The program, where the system lets us load one.
fn load(take: &Take) -> Option<Program> {
    match Program::load(take) {
        Err(LinkError::NoBpf) => {
            println!("\nSKIPPED: this test needs CAP_BPF: run it as root");
            None
        }
        program => Some(program.unwrap()),
    }
}

impl Program {
    /// Its verdict on a frame, and the frame as it is then.
    fn run(&mut self, frame: &[u8]) -> (u32, Vec<u8>) {
        let mut out = vec![0; 4096];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..Default::default() };
        let result = self.xdp().unwrap().test_run(options).unwrap();
        out.truncate(result.data_size_out as usize);
        (result.return_value, out)
    }

    /// What is in the ring of one receiver.
    fn records(&mut self, receiver: usize) -> Vec<Vec<u8>> {
        let ring = &mut self.rings[receiver];
        std::iter::from_fn(|| ring.next().map(|record| record.to_vec())).collect()
    }

    /// The frames that were handed up whole since the last look.
    fn frames(&mut self) -> Vec<Vec<u8>> {
        let frame = |record: Vec<u8>| {
            let len = u32::from_ne_bytes(record[8..12].try_into().unwrap()) as usize;
            record[16..][..len.min(record.len() - 16)].to_vec()
        };
        self.records(0).into_iter().map(frame).collect()
    }
}

/// A TCP segment between an address of theirs and one of ours.
#[derive(Clone, Debug)]
struct Segment {
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    flags: u8,
    seq: u32,
    ack: u32,
    window: u16,
    vlan: Option<u16>,
    /// Words of options: NOPs.
    options: u8,
}

impl Segment {
    fn v4(flags: Flags, ack: u32) -> Self {
        Self {
            from: (THEIRS.into(), 443),
            to: (OURS.into(), PORT),
            flags: flags.0,
            seq: 0x0102_0304,
            ack,
            window: 0x7210,
            vlan: None,
            options: 3,
        }
    }

    fn v6(flags: Flags, ack: u32) -> Self {
        Self { from: (THEIRS_V6.into(), 443), to: (OURS_V6.into(), PORT), ..Self::v4(flags, ack) }
    }

    fn cookie(&self) -> u64 {
        match (self.to.0, self.from.0) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                cookie().v4((ours, self.to.1), (theirs, self.from.1))
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                cookie().v6((ours, self.to.1), (theirs, self.from.1))
            }
            _ => unreachable!("both are of one family"),
        }
    }

    fn frame(&self) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(MACS[0], MACS[1]);
        let id = |vlan: u16| vlan.try_into().unwrap();
        let ip = match (self.from.0, self.to.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => etherparse::IpHeaders::Ipv4(
                etherparse::Ipv4Header::new(
                    0,
                    57,
                    etherparse::IpNumber::TCP,
                    from.octets(),
                    to.octets(),
                )
                .unwrap(),
                Default::default(),
            ),
            (IpAddr::V6(from), IpAddr::V6(to)) => etherparse::IpHeaders::Ipv6(
                etherparse::Ipv6Header {
                    source: from.octets(),
                    destination: to.octets(),
                    hop_limit: 57,
                    ..Default::default()
                },
                Default::default(),
            ),
            _ => unreachable!("both are of one family"),
        };
        let mut tcp = TcpHeader::new(self.from.1, self.to.1, self.seq, self.window);
        tcp.acknowledgment_number = self.ack;
        tcp.set_options_raw(&vec![1; usize::from(self.options) * 4]).unwrap();
        let mut frame = Vec::new();
        match self.vlan {
            Some(vlan) => {
                builder.single_vlan(id(vlan)).ip(ip).tcp_header(tcp).write(&mut frame, &[])
            }
            None => builder.ip(ip).tcp_header(tcp).write(&mut frame, &[]),
        }
        .unwrap();
        let at = self.ip_at() + if self.from.0.is_ipv4() { 20 } else { 40 };
        frame[at + 13] = self.flags;
        frame
    }

    fn ip_at(&self) -> usize {
        if self.vlan.is_some() { 18 } else { 14 }
    }
}

fn udp(to: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv4(THEIRS.octets(), OURS.octets(), 64);
    builder.udp(53, to).write(&mut frame, b"answer").unwrap();
    frame
}

/// An ICMP error that quotes what was sent from `source` and `port`.
fn icmp(kind: u8, source: Ipv4Addr, port: u16) -> Vec<u8> {
    let mut quoted = Vec::new();
    let builder = PacketBuilder::ipv4(source.octets(), THEIRS.octets(), 3);
    builder.tcp(port, 443, 7, 1024).write(&mut quoted, &[]).unwrap();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv4([198, 19, 0, 254], OURS.octets(), 64);
    let mut frame = Vec::new();
    builder.icmpv4_raw(kind, 1, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}

fn icmp_v6(kind: u8, source: Ipv6Addr, port: u16) -> Vec<u8> {
    let mut quoted = Vec::new();
    let builder = PacketBuilder::ipv6(source.octets(), THEIRS_V6.octets(), 3);
    builder.udp(port, 53).write(&mut quoted, b"question").unwrap();
    let builder =
        PacketBuilder::ethernet2(MACS[0], MACS[1]).ipv6(THEIRS_V6.octets(), OURS_V6.octets(), 64);
    let mut frame = Vec::new();
    builder.icmpv6_raw(kind, 0, [0; 4]).write(&mut frame, &quoted).unwrap();
    frame
}

/// `frame` with another octet at `at`.
fn with(mut frame: Vec<u8>, at: usize, octet: u8) -> Vec<u8> {
    frame[at] = octet;
    frame
}

const ACK: Flags = Flags::ACK;
const SYN_ACK: Flags = Flags(0x12);
const RST_ACK: Flags = Flags(0x14);

#[test]
fn what_is_ours_is_taken_whole_and_all_else_passes() {
    let Some(mut program) = load(&take(None)) else { return };
    let v4 = || Segment::v4(ACK, 1).frame();
    let v6 = || Segment::v6(ACK, 1).frame();
    let to = |to: (IpAddr, u16)| Segment { to, ..Segment::v4(ACK, 1) }.frame();
    let to_v6 = |to: (IpAddr, u16)| Segment { to, ..Segment::v6(ACK, 1) }.frame();
    let tagged = || Segment { vlan: Some(7), ..Segment::v4(ACK, 1) }.frame();
    let twice = [&tagged()[..12], &[0x88, 0xa8, 0, 3], &tagged()[12..]].concat();
    let taken = [
        ("v4", v4()),
        ("v6", v6()),
        ("the first port", to((OURS.into(), PORTS.0))),
        ("the last port", to((OURS.into(), PORTS.1))),
        ("a datagram", udp(PORT)),
        ("a tag", tagged()),
        ("a service tag", with(with(tagged(), 12, 0x88), 13, 0xa8)),
        ("a tag over v6", Segment { vlan: Some(7), ..Segment::v6(ACK, 1) }.frame()),
        ("the first of many fragments", with(v4(), 20, 0x20)),
        ("a segment that is cut", v4()[..40].to_vec()),
        ("unreachable", icmp(3, OURS, PORT)),
        ("time exceeded", icmp(11, OURS, PORT)),
        ("v6: unreachable", icmp_v6(1, OURS_V6, PORT)),
        ("v6: parameter problem", icmp_v6(4, OURS_V6, PORT)),
    ];
    for (what, frame) in &taken {
        let (verdict, out) = program.run(frame);
        assert_eq!((verdict, &out), (DROP, frame), "{what}");
        assert_eq!(program.frames(), [&frame[..]], "{what}");
    }
    let copied = [0, 43, 44, 51, 60].map(|header| with(v6(), 20, header));
    for frame in &copied {
        assert_eq!(program.run(frame), (PASS, frame.clone()), "an extension");
        assert_eq!(program.frames(), [&frame[..]], "an extension");
    }
    let arp = [&[0xff; 6][..], &MACS[0], &[8, 6], &[0; 46]].concat();
    let passed = [
        ("another address", to(([198, 18, 0, 2].into(), PORT))),
        ("a port below", to((OURS.into(), PORTS.0 - 1))),
        ("a port above", to((OURS.into(), PORTS.1 + 1))),
        ("another v6 address", to_v6((THEIRS_V6.into(), PORT))),
        ("another port over v6", to_v6((OURS_V6.into(), 22))),
        ("a datagram to another port", udp(53)),
        ("ARP", arp),
        ("an echo request", icmp(8, OURS, PORT)),
        ("an error about another's", icmp(3, THEIRS, PORT)),
        ("an error about another port", icmp(3, OURS, 22)),
        ("an error about a later fragment", with(icmp(3, OURS, PORT), 49, 1)),
        ("v6: an error about another port", icmp_v6(1, OURS_V6, 22)),
        ("v6: an error about another's", icmp_v6(1, THEIRS_V6, PORT)),
        ("v6: no error", icmp_v6(128, OURS_V6, PORT)),
        ("v6: neighbour discovery", icmp_v6(136, OURS_V6, PORT)),
        ("v6: another protocol", with(v6(), 20, 132)),
        ("a later fragment", with(v4(), 21, 1)),
        ("another protocol", with(v4(), 23, 47)),
        ("two tags", twice),
        ("no header", with(v4(), 14, 0x44)),
        ("another version", with(v4(), 14, 0x65)),
        ("v6: another version", with(v6(), 14, 0x50)),
        ("nothing behind Ethernet", v4()[..14].to_vec()),
        ("half a header", v4()[..30].to_vec()),
        ("half a header of v6", v6()[..50].to_vec()),
        ("no ports", v4()[..37].to_vec()),
    ];
    for (what, frame) in &passed {
        assert_eq!(program.run(frame), (PASS, frame.clone()), "{what}");
        assert!(program.frames().is_empty(), "{what}");
    }
    let counts = program.counters.read().unwrap();
    let expected = Counts {
        passed: (passed.len() + copied.len()) as u64,
        copied: copied.len() as u64,
        whole: taken.len() as u64,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_family_that_is_not_scanned_passes() {
    for (sources, segment) in
        [(OURS.into(), Segment::v6(ACK, 1)), (OURS_V6.into(), Segment::v4(ACK, 1))]
    {
        let Some(mut program) = load(&Take { sources, ..take(None) }) else { return };
        assert_eq!(program.run(&segment.frame()).0, PASS);
        // Not the address that stands for none either.
        let zero = match segment.to.0 {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        assert_eq!(program.run(&Segment { to: (zero, PORT), ..segment }.frame()).0, PASS);
    }
}

#[test]
fn frames_of_every_length_are_whole() {
    let Some(mut program) = load(&take(None)) else { return };
    for len in (66..300).chain([1_000, 1_513, 1_514, 1_528, 1_529, 3_000, 3_400]) {
        let mut frame = Segment::v4(ACK, 1).frame();
        frame.extend((frame.len()..len).map(|at| at as u8));
        frame[16..18].copy_from_slice(&(len as u16 - 14).to_be_bytes());
        assert_eq!(program.run(&frame).0, DROP);
        assert!(program.frames() == [&frame[..]], "{len} octets");
    }
}

#[test]
fn a_digest_says_what_the_frame_does() {
    let Some(mut program) = load(&take(screen(true, false))) else { return };
    for vlan in [None, Some(5)] {
        let mut segment = Segment { vlan, ..Segment::v4(SYN_ACK, 0) };
        segment.ack = (segment.cookie() as u32).wrapping_add(1);
        let before = crate::link::sys::monotonic::nanos().unwrap() / 1_000;
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
        let micros = u32::from_ne_bytes(record[20..].try_into().unwrap());
        assert!(micros.wrapping_sub(before as u32) < 5_000_000, "{micros} after {before}");
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
    let Some(etherparse::TransportHeader::Tcp(tcp)) = packet.transport else {
        panic!("{packet:?}")
    };
    let mut expected = TcpHeader::new(PORT, 443, segment.ack, 0);
    expected.rst = true;
    let random = (segment.cookie() >> 32) as u32;
    match packet.net.unwrap() {
        etherparse::NetHeaders::Ipv4(ip, _) => {
            assert_eq!(out.len(), at + 40);
            assert_eq!((ip.source, ip.destination), (OURS.octets(), THEIRS.octets()));
            assert_eq!((ip.total_len, ip.time_to_live, ip.dont_fragment), (40, 64, true));
            assert_eq!((ip.identification, ip.more_fragments), (random as u16, false));
            assert_eq!(ip.header_checksum, ip.calc_header_checksum());
            expected.checksum = expected.calc_checksum_ipv4(&ip, &[]).unwrap();
        }
        etherparse::NetHeaders::Ipv6(ip, _) => {
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
    Whole,
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
        assert!((verdict == PASS && records.is_empty()) || (verdict == DROP && records.len() == 1));
        assert_eq!((screened, &out[..]), ([0; 3], frame));
        assert!(records.iter().all(|record| record.len() != Digest::LEN));
        return;
    };
    let is_v4 = frame[12..].starts_with(&[8, 0]) || frame[16..].starts_with(&[8, 0]);
    let lens = records.iter().map(|record| record.len() == Digest::LEN).collect::<Vec<_>>();
    let expected = match fate {
        Fate::Passes => (PASS, [0; 3], vec![]),
        Fate::Whole => (DROP, [0; 3], vec![false]),
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
    let Screened { cookie, challenge, kind, resets } = counts.screened;
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

#[test]
fn a_full_ring_is_counted_and_resets_go_on() {
    let deal = Deal::Hash(16);
    let Some(mut program) = load(&Take { deal, ..take(screen(true, true)) }) else { return };
    let mut segment = Segment::v4(SYN_ACK, 0);
    segment.ack = (segment.cookie() as u32).wrapping_add(1);
    let frame = segment.frame();
    // A flow is for one receiver, whose ring is a sixteenth: a mebibyte. Each digest takes 32 octets of it.
    let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..Default::default() };
    let result = program.xdp().unwrap().test_run(options).unwrap();
    assert_eq!(result.return_value, TX);
    for _ in 1..40_000 {
        program.run(&frame);
    }
    let counts = program.counters.read().unwrap();
    let (full, held) = (counts.full.iter().sum::<u64>(), counts.digests);
    assert_eq!((full + held, counts.screened.resets), (40_000, 40_000));
    assert!((32_700..=32_768).contains(&held), "{held} fit");
    let receiver = counts.full.iter().position(|full| *full > 0).unwrap();
    assert_eq!(program.records(receiver).len() as u64, held);
}

#[test]
fn a_flow_has_one_receiver_and_all_receivers_have_flows() {
    for count in [2, 3, 16] {
        let Some(mut program) = load(&Take { deal: Deal::Hash(count), ..take(None) }) else {
            return;
        };
        let mut held = vec![0; usize::from(count)];
        let mut last = None;
        for flow in 0..1_600_u16 {
            let from = Ipv4Addr::from_bits(THEIRS.to_bits() + u32::from(flow / 4));
            let (port, remote) = (PORTS.0 + flow % 16, 80 + flow % 3);
            let segment = Segment {
                from: (from.into(), remote),
                to: (OURS.into(), port),
                ..Segment::v4(ACK, 1)
            };
            program.run(&segment.frame());
            program.run(&Segment { seq: 9, flags: 0x11, ..segment }.frame());
            for (receiver, held) in held.iter_mut().enumerate() {
                let records = program.records(receiver).len();
                assert!(records == 0 || records == 2, "both of a flow");
                *held += records / 2;
                last = (records > 0).then_some(receiver).or(last);
            }
        }
        let fair = 1_600 / usize::from(count);
        assert!(held.iter().all(|held| (fair * 2 / 3..fair * 3 / 2).contains(held)), "{held:?}");
        assert!(last.is_some());
    }
}

#[test]
fn an_error_goes_to_the_receiver_of_its_flow() {
    let Some(mut program) = load(&Take { deal: Deal::Hash(16), ..take(None) }) else { return };
    for port in PORTS.0..=PORTS.1 {
        program.run(&Segment { to: (OURS.into(), port), ..Segment::v4(ACK, 1) }.frame());
        program.run(&icmp(3, OURS, port));
        let counts = (0..16).map(|receiver| program.records(receiver).len());
        assert!(counts.into_iter().all(|count| count == 0 || count == 2));
    }
}

#[test]
fn ports_are_dealt_by_range() {
    let deal = Deal::Ports(vec![(61_000, 61_003), (61_008, 61_015), (61_004, 61_006)]);
    let Some(mut program) = load(&Take { deal, ..take(None) }) else { return };
    for (port, receiver) in [
        (61_000, 0),
        (61_003, 0),
        (61_004, 2),
        (61_006, 2),
        (61_007, 0), // in no range
        (61_008, 1),
        (61_015, 1),
    ] {
        for frame in [udp(port), icmp(3, OURS, port), icmp_v6(1, OURS_V6, port)] {
            program.run(&frame);
            assert_eq!(program.records(receiver).len(), 1, "port {port}");
        }
    }
}

#[test]
fn too_many_receivers_are_refused() {
    for deal in [Deal::Hash(0), Deal::Hash(17), Deal::Ports(vec![])] {
        let error = Program::load(&Take { deal, ..take(None) }).err().unwrap();
        assert!(matches!(error, LinkError::Io { .. }), "{error}");
    }
}

#[test]
fn rings_are_powers_of_two() {
    let lens = [1, 2, 3, 4, 5, 16].map(|receivers| ring_len(receivers) >> 10);
    assert_eq!(lens, [16_384, 8_192, 4_096, 4_096, 2_048, 1_024]);
}
