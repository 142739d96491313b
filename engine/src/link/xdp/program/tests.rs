//! The program run by the kernel on frames of ours (BPF_PROG_TEST_RUN), on no interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::programs::{TestRun, TestRunOptions};

use super::*;
use crate::link::xdp::{frames::*, take::Deal};

mod screen;

/// What XDP programs return (linux/bpf.h).
const DROP: u32 = 1;
const PASS: u32 = 2;
const TX: u32 = 3;

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

    /// What was put down for one receiver.
    fn records(&mut self, receiver: usize) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let inbox = &mut self.inboxes[receiver];
        if let Some(digests) = &mut inbox.digests {
            digests.read(&inbox.words, usize::MAX, |digest| records.push(digest.to_vec()));
        }
        inbox.records.read(usize::MAX, |record| records.push(record.to_vec()));
        records
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

/// `frame` with another octet at `at`.
fn with(mut frame: Vec<u8>, at: usize, octet: u8) -> Vec<u8> {
    frame[at] = octet;
    frame
}

/// Each leaves other branches in the program, which the verifier then reads with other numbers.
#[test]
fn the_kernel_takes_every_choice() {
    let sources = [OURS.into(), OURS_V6.into(), take(None).sources];
    let screens = [(false, false), (false, true), (true, false), (true, true)]
        .map(|(digests, resets)| screen(digests, resets));
    let deals = [1, 2, 3, 16].into_iter().flat_map(|count| {
        let ranges = (0..count).map(|at| (PORTS.0 + u16::from(at), PORTS.0 + u16::from(at)));
        [Deal::Hash(count), Deal::Ports(ranges.collect())]
    });
    for deal in deals {
        for sources in sources {
            for screen in screens.iter().cloned().chain([None]) {
                let take = Take { sources, deal: deal.clone(), ..take(screen) };
                if load(&take).is_none() {
                    return;
                }
            }
        }
    }
}

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
fn a_full_ring_is_counted_and_resets_go_on() {
    let deal = Deal::Hash(16);
    let Some(mut program) = load(&Take { deal, ..take(screen(true, true)) }) else { return };
    let mut segment = Segment::v4(SYN_ACK, 0);
    segment.ack = (segment.cookie() as u32).wrapping_add(1);
    let frame = segment.frame();
    // A flow is for one receiver, which has a sixteenth of the digests.
    let places = 1 << take(screen(true, true)).digest_bits().unwrap() >> 4;
    let options = TestRunOptions { data_in: Some(&frame), repeat: 1, ..Default::default() };
    let result = program.xdp().unwrap().test_run(options).unwrap();
    assert_eq!(result.return_value, TX);
    for _ in 1..40_000 {
        program.run(&frame);
    }
    let counts = program.counters.read().unwrap();
    let (full, held) = (counts.full.iter().sum::<u64>(), counts.digests);
    assert_eq!((full + held, counts.screened.resets), (40_000, 40_000));
    // What other CPUs could claim at the same time is left free.
    assert_eq!(held, places - 8_192 + 1);
    let receiver = counts.full.iter().position(|full| *full > 0).unwrap();
    for lap in 0..5 {
        assert_eq!(program.records(receiver).len() as u64, held, "lap {lap}");
        for _ in 0..places {
            program.run(&frame);
        }
    }
    assert_eq!(program.counters.read().unwrap().digests, 6 * held);
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
