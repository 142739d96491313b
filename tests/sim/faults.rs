//! Loss, reorder, duplication, odd replies, a link that goes away: scans end as they must.

use std::{net::IpAddr, time::Duration};

use mrpf_engine::{
    link::sim::{
        Faults, Network,
        hosts::{Behaviour, Hosts, Quote},
    },
    scan::Failure,
    time::Instant,
};
use mrpf_records::{Reason, Record, State};
use mrpf_syn::{Next, Scan, Show};

use crate::world::{all, counted, run, scan, states, syn};

#[test]
fn five_percent_loss_each_way_with_three_retries_finds_nearly_all() {
    let faults = Faults {
        loss_out: 0.05,
        loss_back: 0.05,
        duplicate: 0.01,
        reorder: 0.05,
        ..Faults::default()
    };
    let (network, _) = counted(9, all(9, Behaviour::open()), faults);
    let scan = scan(network, "198.19.0.0/16", "80").retries(3).rate("20k".parse().unwrap());
    let (records, summary) = run(scan.build().unwrap());
    assert_eq!(states(&records).len(), 65_536);
    // All four attempts are lost with 0.0975^4, that is 6 of 65,536.
    assert!(summary.count(State::Open) >= 65_500, "{}", summary.count(State::Open));
    assert!(summary.counts.slowdowns == 0);
}

/// What overruns the link is not what the network loses: only the first slows new probes.
#[test]
fn steady_loss_does_not_slow_rate_max() {
    let faults = Faults {
        loss_out: 0.05,
        loss_back: 0.05,
        frame_time: Duration::from_micros(5),
        ..Faults::default()
    };
    let (network, _) = counted(9, all(9, Behaviour::closed()), faults);
    let scan = scan(network, "198.19.0.0/16", "80-90").retries(3).rate("max".parse().unwrap());
    let (_, summary) = run(scan.build().unwrap());
    assert_eq!(summary.counts.slowdowns, 0);
}

#[test]
fn round_trips_and_attempts_are_told() {
    let latency = Duration::from_millis(40);
    let faults = Faults { latency: (latency, latency), ..Faults::default() };
    let (network, _) = counted(2, all(2, Behaviour::closed()), faults);
    let (records, _) = run(scan(network, "198.19.0.0/24", "80").build().unwrap());
    for record in syn(&records) {
        assert_eq!(record.attempts, Some(1));
        let rtt = record.rtt_us.unwrap();
        assert!((40_000..40_100).contains(&rtt), "{rtt}");
    }
}

/// Answers that come after the next attempt has left are taken, with the attempt they answer and no round-trip time.
#[test]
fn answers_slower_than_the_spacing_are_not_lost() {
    let latency = Duration::from_millis(1_500);
    let faults = Faults { latency: (latency, latency), ..Faults::default() };
    let (network, probes) = counted(2, all(2, Behaviour::closed()), faults);
    let (records, summary) = run(scan(network, "198.19.0.0/24", "80").retries(2).build().unwrap());
    assert_eq!(states(&records).len(), 256);
    assert!(
        syn(&records).iter().all(|record| record.attempts == Some(1) && record.rtt_us.is_none())
    );
    assert!(probes.lock().unwrap().values().all(|times| times.len() == 2));
    assert_eq!(summary.count(State::Closed), 256);
}

#[test]
fn an_answer_after_the_cooldown_is_late_and_not_written() {
    let latency = Duration::from_secs(3);
    let faults = Faults { latency: (latency, latency), ..Faults::default() };
    let (network, _) = counted(2, all(2, Behaviour::closed()), faults);
    // The scan must still run when they come: at 100/s, 512 targets take five seconds.
    let scan = scan(network, "198.19.0.0/23", "80").retries(0).rate("100".parse().unwrap());
    let (records, summary) = run(scan.build().unwrap());
    assert!(summary.counts.late > 100, "{}", summary.counts.late);
    assert!(states(&records).values().all(|state| *state == State::Silent));
}

#[test]
fn unreachable_hosts_say_why_and_who() {
    let responder = IpAddr::from([198, 18, 0, 2]);
    for (code, reason) in
        [(1, Reason::HostUnreachable), (13, Reason::AdminProhibited), (3, Reason::PortUnreachable)]
    {
        let behaviour =
            Behaviour::Unreachable { code, responder: Some(responder), quote: Quote::Minimum };
        let (network, _) = counted(2, all(2, behaviour), Faults::default());
        let (records, _) = run(scan(network, "198.19.0.0/28", "80").build().unwrap());
        assert_eq!(states(&records).len(), 16);
        for record in syn(&records) {
            assert_eq!((record.state, record.reason), (State::Unreachable, reason));
            assert_eq!(record.responder, Some(responder));
        }
    }
}

/// The answers come tagged when the probes are, and both are understood.
#[test]
fn vlan_tags_are_built_and_read() {
    let network = Network::new(4, all(4, Behaviour::open()), Faults::default());
    let (records, summary) =
        run(scan(network.clone(), "198.19.0.0/24", "80").vlan(77).build().unwrap());
    assert_eq!(states(&records).values().filter(|state| **state == State::Open).count(), 256);
    assert_eq!(summary.counts.invalid(), 0);
    assert_eq!(network.with_hosts(Hosts::half_open), 0);
}

#[test]
fn links_without_ethernet_work() {
    let network =
        Network::new(4, all(4, Behaviour::closed()), Faults::default()).without_ethernet();
    let (records, _) = run(scan(network, "198.19.0.0/24", "80").build().unwrap());
    assert!(states(&records).values().all(|state| *state == State::Closed));
}

#[test]
fn what_was_found_is_kept_when_the_link_goes_away() {
    let network = Network::new(4, all(4, Behaviour::open()), Faults::default())
        .gone_at(Instant::START + Duration::from_millis(200));
    let mut scan = scan(network, "198.19.0.0/16", "80").build().unwrap();
    let records: Vec<Record> = scan.by_ref().collect();
    // 10 k/s for 0.2 s, half of it resets.
    assert!((900..1_100).contains(&records.len()), "{}", records.len());
    assert!(!scan.summary().is_complete());
    assert!(matches!(scan.finish(), Err(Failure::Link(_))));
}

#[test]
fn a_stopped_scan_says_that_it_is_not_complete() {
    let network = Network::new(4, all(4, Behaviour::open()), Faults::default());
    let mut scan: Scan = scan(network, "198.19.0.0/16", "80").build().unwrap();
    let stop = scan.stop();
    let mut records = 0;
    while let Next::Record(_) = scan.next_within(Duration::ZERO) {
        records += 1;
        if records == 100 {
            stop.stop();
        }
    }
    let summary = scan.finish().unwrap();
    assert!(summary.was_stopped && !summary.is_complete());
    assert!((100..400).contains(&records), "{records}");
}

/// A consumer that shows nothing still gets its turn to look at signals and clocks.
#[test]
fn answers_without_a_record_do_not_hold_the_consumer() {
    let network = Network::new(4, all(4, Behaviour::closed()), Faults::default());
    let mut scan = scan(network, "198.19.0.0/22", "80").show(Show::NONE).build().unwrap();
    let mut turns = 0;
    while !matches!(scan.next_within(Duration::ZERO), Next::End) {
        turns += 1;
    }
    assert!(turns >= 1_024, "{turns}");
    assert_eq!(scan.finish().unwrap().count(State::Closed), 1_024);
}
