//! Segments of one flow that the receiving kernel has merged before anyone sees them (GRO): one frame of up to 65,535 octets,
//! or more where both ends have BIG TCP, with the checksum of its pseudo-header alone.
//!
//! They carry the addresses and ports of an answer, some its number too, and are none: no segment with SYN or RST is merged.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use mrpf_engine::{
    link::sim::{
        Faults, Network,
        hosts::{Behaviour, Hosts},
    },
    wire::checksum::Sum,
};
use mrpf_records::State;

use super::{IP, put};
use crate::world::{ALL_PORTS, BASE, run, scan, states};

const ACK: u8 = 0x10;
const PSH_ACK: u8 = 0x18;
/// What the length field of either family can say at most.
const LONGEST: usize = 65_535;
/// What a kernel with BIG TCP merges: more than a length field can say.
const BIG: usize = 100_000;
/// What a ring keeps of a frame that is longer than one of its blocks, here with the headers and hardly more.
const KEPT: usize = 128;

/// From the host that `probe` asked to us: data behind an IP header, `len` octets from the TCP header on.
fn merged(probe: &[u8], flags: u8, ack: u32, len: usize) -> Vec<u8> {
    let is_v4 = probe[IP] >> 4 == 4;
    let (addresses, addr_len, tcp) =
        if is_v4 { (IP + 12, 4, IP + 20) } else { (IP + 8, 16, IP + 40) };
    let mut frame = probe[..tcp + 20].to_vec();
    for i in 0..6 {
        frame.swap(i, 6 + i);
    }
    for i in 0..addr_len {
        frame.swap(addresses + i, addresses + addr_len + i);
    }
    frame.swap(tcp, tcp + 2);
    frame.swap(tcp + 1, tcp + 3);
    // What does not fit is 0, as a kernel has it.
    let (field, said) = if is_v4 { (IP + 2, 20 + len) } else { (IP + 4, len) };
    put(&mut frame, field, &u16::try_from(said).unwrap_or(0).to_be_bytes());
    put(&mut frame, tcp + 8, &ack.to_be_bytes());
    put(&mut frame, tcp + 12, &[5 << 4, flags]);
    let pseudo = Sum::of(&frame[addresses..][..2 * addr_len]).word(6).words(len as u32);
    put(&mut frame, tcp + 16, &(!pseudo.checksum()).to_be_bytes());
    frame.resize(tcp + len, 0xa5);
    frame
}

/// An IPv6 frame with its length in a jumbo payload option (RFC 2675), as a kernel shows what it merged.
fn jumbogram(probe: &[u8], ack: u32) -> Vec<u8> {
    const TCP: u8 = 6;
    let mut frame = merged(probe, ACK, ack, BIG);
    frame[IP + 6] = 0; // hop-by-hop options
    let [a, b, c, d] = (8 + BIG as u32).to_be_bytes();
    frame.splice(IP + 40..IP + 40, [TCP, 0, 0xc2, 4, a, b, c, d]);
    frame
}

/// Those that are acknowledgements of another connection, and those whose lengths contradict each other.
fn frames(probe: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let is_v4 = probe[IP] >> 4 == 4;
    let (longest, seq) = if is_v4 { (LONGEST - 20, IP + 24) } else { (LONGEST, IP + 44) };
    let number = u32::from_be_bytes(probe[seq..seq + 4].try_into().unwrap()).wrapping_add(1);
    let mut cut = merged(probe, ACK, number, longest);
    cut.truncate(KEPT);
    let mut challenges = vec![
        merged(probe, PSH_ACK, number ^ 0x5a5a_5a5a, longest),
        merged(probe, ACK, number, longest),
        cut,
    ];
    if !is_v4 {
        challenges.push(jumbogram(probe, number));
    }
    (challenges, vec![merged(probe, ACK, number, BIG)])
}

#[test]
fn merged_segments_are_no_answers_and_hide_none() {
    let silent = Behaviour::Silent;
    let v4 = |last| (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 0, last));
    let v6 = |last| (Ipv6Addr::from_bits(BASE), Ipv6Addr::from_bits(BASE | last));
    // The first rule that fits counts: in each family eight hosts are silent and eight answer.
    let hosts = Hosts::new(7)
        .rule(v4(7), ALL_PORTS, silent.clone())
        .rule(v6(7), ALL_PORTS, silent)
        .rule(v4(15), ALL_PORTS, Behaviour::open())
        .rule(v6(15), ALL_PORTS, Behaviour::open());
    let network = Network::new(7, hosts, Faults::default()).with_forger(Box::new(|probe, emit| {
        let tcp = if probe[IP] >> 4 == 4 { IP + 20 } else { IP + 40 };
        if probe[tcp + 13] == 0x02 {
            let (challenges, malformed) = frames(probe);
            // Before the true answer, which takes 100 us, and after it.
            for (frame, micros) in
                challenges.iter().chain(&malformed).flat_map(|f| [(f, 50), (f, 500)])
            {
                emit(Duration::from_micros(micros), frame);
            }
        }
    }));
    let scan = scan(network.clone(), "198.19.0.0/28", "80").target("2001:db8:1::/124").retries(2);
    let (records, summary) = run(scan.build().unwrap());
    let states = states(&records);
    for (state, count) in [(State::Open, 16), (State::Silent, 16)] {
        assert_eq!(states.values().filter(|found| **found == state).count(), count, "{state}");
    }
    assert_eq!(records.len(), 32, "and nothing else is said");
    let counts = summary.counts;
    // In each family eight probes that were answered and eight times three that were not.
    let probes = 8 + 8 * 3;
    assert_eq!((counts.probes, counts.valid, counts.first), (2 * probes, 16, 16));
    // Twice each: three of IPv4 and four of IPv6, and one of either that says too little.
    assert_eq!(counts.invalid_challenge, 2 * (3 + 4) * probes);
    assert_eq!(counts.invalid_malformed, 2 * (1 + 1) * probes);
    assert_eq!(counts.invalid(), counts.invalid_challenge + counts.invalid_malformed);
    assert_eq!(counts.received, counts.valid + counts.invalid());
    assert_eq!((counts.resets, counts.sent), (16, counts.probes + 16), "one reset an answer");
    network.with_hosts(|hosts| {
        assert_eq!((hosts.half_open(), hosts.counters().resets), (0, 16));
    });
}
