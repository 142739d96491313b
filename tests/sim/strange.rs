//! Hosts that answer in rare or wrong ways: each outcome is what the protocol makes of it, whatever else is in the frame.

use std::{net::IpAddr, time::Duration};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Odd, OpenHost, Quote, RstAck},
};
use mrpf_records::{Record, State};
use mrpf_syn::Summary;

use crate::world::{all, counted, run, scan, states, syn};

const HOSTS: usize = 16;

/// Scans 16 hosts that all behave so on port 80.
fn meet(behaviour: Behaviour) -> (Vec<Record>, Summary, Network) {
    let network = Network::new(6, all(6, behaviour), Faults::default());
    let (records, summary) = run(scan(network.clone(), "198.19.0.0/28", "80").build().unwrap());
    (records, summary, network)
}

#[track_caller]
fn check_all(records: &[Record], state: State) {
    let states = states(records);
    assert_eq!(states.len(), HOSTS);
    assert!(states.values().all(|found| *found == state), "{states:?}");
}

/// RFC 5961: a host that remembers an old connection challenges. The next attempt comes from another port and finds it
/// open; only then is anything closed.
#[test]
fn a_challenge_is_met_by_the_next_attempt() {
    let (records, summary, network) = meet(Behaviour::Challenge(OpenHost::linux()));
    check_all(&records, State::Open);
    assert!(syn(&records).iter().all(|record| record.attempts == Some(2)));
    assert_eq!(summary.counts.invalid_challenge, HOSTS as u64);
    assert_eq!(summary.counts.resets, HOSTS as u64);
    assert_eq!(network.with_hosts(Hosts::half_open), 0);
}

#[test]
fn a_reset_that_does_not_count_the_syn_is_a_reset() {
    let (records, ..) = meet(Behaviour::Closed { ttl: 250, ack: RstAck::Seq });
    check_all(&records, State::Closed);
    assert!(syn(&records).iter().all(|record| record.ttl == Some(250)));
}

#[test]
fn copies_make_one_record_and_are_counted() {
    let (records, summary, _) = meet(Behaviour::Duplicate(5, Box::new(Behaviour::open())));
    check_all(&records, State::Open);
    assert_eq!((summary.counts.first, summary.counts.duplicate), (16, 64));
    // The first has its reset, whatever else is owed; and so has a repeated one that finds us idle, as ours may have been lost.
    assert!((16..=80).contains(&summary.counts.resets), "{}", summary.counts.resets);
    assert_eq!(summary.counts.resets_skipped, 0);
}

/// Hosts that repeat themselves 250 times do not make us answer them instead of going on.
#[test]
fn hosts_that_repeat_themselves_do_not_keep_the_scan() {
    let hosts = all(1, Behaviour::Duplicate(250, Box::new(Behaviour::open())));
    let (network, _) = counted(1, hosts, Faults::default());
    let (records, summary) =
        run(scan(network, "198.19.0.0/22", "80").rate("1k".parse().unwrap()).build().unwrap());
    assert_eq!((records.len(), summary.counts.duplicate), (1_024, 249 * 1_024));
    // 1,024 probes and as many resets at 1,000 a second, and little else.
    assert!(summary.counts.resets < 2_100, "{}", summary.counts.resets);
    assert!(summary.elapsed < Duration::from_secs(7), "{:?}", summary.elapsed);
}

#[test]
fn an_answer_after_the_retry_is_one_answer_without_a_round_trip_time() {
    let slow = Behaviour::open().slow(Duration::from_millis(1_300));
    let (records, summary, _) = meet(slow);
    check_all(&records, State::Open);
    for record in syn(&records) {
        assert_eq!(record.attempts, Some(1), "the first attempt is what was answered");
        assert_eq!(record.rtt_us, None, "the ring has the time of the second");
    }
    assert_eq!((summary.counts.first, summary.counts.probes), (16, 32), "and there is no third");
}

#[test]
fn hosts_that_lose_most_probes_are_found_by_retries() {
    let lossy = Behaviour::Lossy { percent: 60, of: Box::new(Behaviour::open()) };
    let network = Network::new(6, all(6, lossy), Faults::default());
    let (records, _) = run(scan(network, "198.19.0.0/24", "80").retries(7).build().unwrap());
    let open = states(&records).values().filter(|state| **state == State::Open).count();
    assert!((245..=256).contains(&open), "{open}: 0.6^8 of 256 is 4");
}

#[test]
fn icmp_quotes_of_any_length_are_understood() {
    for quote in [Quote::Minimum, Quote::Full] {
        let (records, ..) = meet(Behaviour::Unreachable { code: 1, responder: None, quote });
        check_all(&records, State::Unreachable);
        assert!(syn(&records).iter().all(|record| record.responder == Some(record.ip)));
    }
}

/// What is a SYN-ACK to our SYN is an open port; the others prove nothing and leave the port silent.
#[test]
fn odd_answers_count_for_what_they_prove() {
    for odd in Odd::ALL {
        let (records, summary, _) = meet(Behaviour::Odd(odd));
        let state = if odd.is_open() { State::Open } else { State::Silent };
        check_all(&records, state);
        let counts = summary.counts;
        assert_eq!(
            counts.received,
            counts.valid + counts.invalid() + counts.arp_received,
            "{odd:?}"
        );
        // One odd answer an attempt.
        assert_eq!(counts.invalid(), if odd.is_open() { 0 } else { 48 }, "{odd:?}: {counts:?}");
    }
}

/// Answering on every port is what a middlebox does: records say so from the tenth open port on.
#[test]
fn a_host_that_answers_everywhere_is_noise() {
    let noisy = IpAddr::from([198, 19, 0, 7]);
    let hosts = Hosts::new(1)
        .rule((noisy, noisy), 0..=65_535, Behaviour::open())
        .rule(([198, 19, 0, 0], [198, 19, 0, 255]), 80..=80, Behaviour::open())
        .rule(([198, 19, 0, 0], [198, 19, 0, 255]), 0..=65_535, Behaviour::closed());
    let network = Network::new(6, hosts, Faults::default());
    let (records, summary) = run(scan(network, "198.19.0.0/28", "80-119").build().unwrap());
    assert_eq!(summary.noisy_hosts, Some(1));
    let noise: Vec<IpAddr> = records
        .iter()
        .filter_map(|record| match record {
            Record::Host(host) => Some(host.ip),
            _ => None,
        })
        .collect();
    assert_eq!(noise, [noisy]);
    let marked: Vec<_> =
        syn(&records).into_iter().filter(|record| record.noise == Some(true)).collect();
    assert!(marked.iter().all(|record| record.ip == noisy));
    assert!((1..=31).contains(&marked.len()), "{}", marked.len());
}

/// A shard sees a part of each host's ports, and judges by that part.
#[test]
fn noise_is_seen_by_a_shard() {
    let network = Network::new(6, all(6, Behaviour::open()), Faults::default());
    let part = scan(network, "198.19.0.0/28", "1-400").seed(4).shard("2/5".parse().unwrap());
    let (_, summary) = run(part.build().unwrap());
    assert_eq!(summary.noisy_hosts, Some(16));
}
