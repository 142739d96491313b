//! The sums hold, and what the engine counts is what the wire counted.

use std::{sync::Arc, time::Duration};

use mrpf_engine::{
    link::sim::{
        Faults, Network,
        hosts::{Behaviour, Hosts},
    },
    scan::{Next, Sender, Settings},
    time::Instant,
};
use mrpf_records::State;
use mrpf_syn::{Rate, Show};

use crate::world::{all, counted, run, scan, shared, states};

#[test]
fn the_engine_and_the_wire_count_alike() {
    let faults = Faults {
        loss_out: 0.05,
        loss_back: 0.05,
        duplicate: 0.02,
        reorder: 0.1,
        ..Faults::default()
    };
    let (network, _) = counted(3, all(3, Behaviour::open()), faults);
    let (_, summary) =
        run(scan(network.clone(), "198.19.0.0/20", "80").retries(3).build().unwrap());
    let (counts, wire) = (summary.counts, network.counts());
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.sent, wire.sent);
    assert_eq!(counts.sent, counts.probes + counts.resets + counts.arp_requests);
    assert_eq!(counts.received, wire.delivered);
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
    assert_eq!(counts.first, summary.count(State::Open));
    assert_eq!(counts.probes, counts.made_by_attempt.iter().sum::<u64>());
    assert_eq!(counts.first, counts.answered_by_attempt.iter().sum::<u64>());
}

#[test]
fn each_open_connection_is_closed_once() {
    let (network, _) = counted(3, all(3, Behaviour::open()), Faults::default());
    let (_, summary) = run(scan(network.clone(), "198.19.0.0/22", "80").build().unwrap());
    assert_eq!(summary.counts.resets, 1_024);
    assert_eq!(network.with_hosts(Hosts::half_open), 0);

    let (network, _) = counted(3, all(3, Behaviour::open()), Faults::default());
    let (_, summary) =
        run(scan(network.clone(), "198.19.0.0/22", "80").reset(false).build().unwrap());
    assert_eq!(summary.counts.resets, 0);
    assert_eq!(network.with_hosts(Hosts::half_open), 1_024);
}

/// Resets go through the same bucket: 512 hosts that answer take 1,024 frames at 1,000 a second.
/// Lost resets and attempts that were answered twice: what a host says again is closed again.
#[test]
fn loss_leaves_next_to_nothing_half_open() {
    let silent = ([198, 19, 3, 255], [198, 19, 3, 255]);
    let others = ([198, 19, 0, 0], [198, 19, 3, 255]);
    let hosts = Hosts::new(3)
        .rule(silent, 0..=65_535, Behaviour::Silent) // so that the scan lasts until its cooldown
        .rule(others, 0..=65_535, Behaviour::open());
    let faults = Faults { loss_out: 0.1, loss_back: 0.1, ..Faults::default() };
    let (network, _) = counted(3, hosts, faults);
    let scan = scan(network.clone(), "198.19.0.0/22", "80").cooldown(Duration::from_secs(8));
    let (_, summary) = run(scan.build().unwrap());
    // A SYN-ACK comes three times, and each time it or its reset is lost with 0.19: 7 of 1,000.
    let left = network.with_hosts(Hosts::half_open);
    assert!(left <= 25, "{left}");
    assert!(summary.counts.resets > summary.counts.first);
}

#[test]
fn resets_count_against_the_rate() {
    let (network, _) = counted(3, all(3, Behaviour::open()), Faults::default());
    let (_, summary) =
        run(scan(network, "198.19.0.0/23", "80").rate("1k".parse().unwrap()).build().unwrap());
    assert_eq!(summary.counts.sent, 1_024);
    assert!(summary.elapsed >= Duration::from_millis(1_010), "{:?}", summary.elapsed);
    assert!(summary.elapsed <= Duration::from_millis(1_100), "{:?}", summary.elapsed);
}

#[test]
fn states_that_are_not_shown_are_counted() {
    let hosts = || all(3, Behaviour::closed());
    let (network, _) = counted(3, hosts(), Faults::default());
    let (records, summary) =
        run(scan(network, "198.19.0.0/24", "80").show(Show::OPEN).build().unwrap());
    assert!(records.is_empty());
    assert_eq!(summary.count(State::Closed), 256);

    let (network, _) = counted(3, all(3, Behaviour::Silent), Faults::default());
    let (records, summary) =
        run(scan(network, "198.19.0.0/24", "80").show(Show::NONE).build().unwrap());
    assert!(records.is_empty());
    assert_eq!(summary.count(State::Silent), 256);
}

#[test]
fn a_host_that_answers_everywhere_is_called_noise() {
    let (network, _) = counted(3, all(3, Behaviour::open()), Faults::default());
    let (records, summary) = run(scan(network, "198.19.0.1", "1-50").build().unwrap());
    let hosts =
        records.iter().filter(|record| matches!(record, mrpf_records::Record::Host(_))).count();
    assert_eq!((hosts, summary.noisy_hosts), (1, Some(1)));
    let noisy =
        crate::world::syn(&records).iter().filter(|record| record.noise == Some(true)).count();
    assert!((35..=41).contains(&noisy), "{noisy} of 50 records are marked");
    assert_eq!(states(&records).len(), 50);
}

/// A sender that is called late has forfeited something only where it had a probe to send: not while it waits for the time
/// of a retry, and not in the cooldown.
#[test]
fn late_calls_count_where_a_probe_was_due() {
    const LATE: Duration = Duration::from_millis(40);
    let settings = Settings {
        rate: "1k".parse().unwrap(),
        retries: 1,
        spacing: Duration::from_secs(1),
        cooldown: Duration::from_secs(10),
        ..Settings::default()
    };
    let (shared, _found) = shared("198.19.0.0/27", "80", settings);
    let mut sender = Sender::new(Arc::clone(&shared), 0);
    let mut link = Network::new(1, all(1, Behaviour::Silent), Faults::default()).tx();
    let mut now = Instant::START + Duration::from_secs(1);
    // How many probes have left, and how many late calls have counted then: after all first attempts, and after all
    // retries, none is due.
    for (probes, stalls) in [(8, 1), (32, 1), (40, 2), (64, 2)] {
        loop {
            match sender.poll(now, &mut link).unwrap() {
                Next::Now => {}
                Next::At(_) if shared.counts().probes >= probes => break,
                Next::At(at) => now = at,
                Next::Done => panic!("it ends at {now:?}"),
            }
        }
        sender.note_delay(now, now);
        sender.note_delay(now, now + LATE);
        let counts = shared.counts();
        assert_eq!(counts.stalls, stalls, "after {} probes", counts.probes);
    }
    let stalled = Duration::from_micros(shared.counts().stalled_us);
    assert!(stalled > 2 * LATE - Duration::from_millis(5) && stalled <= 2 * LATE, "{stalled:?}");
}

/// Retries of `--rate max` are spread over a spacing, and take no longer.
#[test]
fn at_the_highest_rate_a_silent_network_is_scanned_in_two_spacings_and_a_cooldown() {
    for threads in [1, 3] {
        let (network, probes) = counted(3, all(3, Behaviour::Silent), Faults::default());
        let scan = scan(network, "198.19.0.0/17", "80")
            .rate(Rate::Max)
            .retries(2)
            .threads(threads)
            .cooldown(Duration::from_secs(1));
        let (records, summary) = run(scan.build().unwrap());
        assert_eq!(records.len(), 32_768);
        assert!(probes.lock().unwrap().values().all(|times| times.len() == 3));
        assert!(summary.elapsed < Duration::from_secs(5), "{:?}", summary.elapsed);
    }
}
