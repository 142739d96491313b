//! Every host found once, and our counters agree with the kernel's.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    thread,
    time::Duration,
};

use mrpf_engine::link::interface::Interface;
use mrpf_lab::{
    Lab, Loss,
    gate::{self, Need},
};
use mrpf_records::State;
use mrpf_syn::{Builder, Show, Summary};

use crate::world::{check_arrivals, found, run, scan, words_of_the_world};

pub(crate) const HOSTS: usize = 65_536;

/// All of 198.19.0.0/16.
pub(crate) fn hosts_v4() -> impl Iterator<Item = IpAddr> {
    let first = Ipv4Addr::new(198, 19, 0, 0).to_bits();
    (first..).take(HOSTS).map(|bits| Ipv4Addr::from_bits(bits).into())
}

/// All of 2001:db8:1::/112.
fn hosts_v6() -> impl Iterator<Item = IpAddr> {
    let first = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0).to_bits();
    (first..).take(HOSTS).map(|bits| Ipv6Addr::from_bits(bits).into())
}

/// Scans port 80 of an nginx as fast as it goes: exactly `hosts` are found, each once, and nothing else is.
#[track_caller]
fn check_every_host(lab: &Lab, builder: Builder, hosts: &BTreeSet<IpAddr>) -> Summary {
    let (records, summary) = run(builder.rate("max".parse().unwrap()));
    let open: BTreeSet<_> = found(&records, State::Open).into_iter().map(|(ip, _)| ip).collect();
    let missing: Vec<_> = hosts.difference(&open).collect();
    let others: Vec<_> = open.difference(hosts).collect();
    let states = summary.states;
    assert!(
        missing.is_empty() && others.is_empty() && records.len() == hosts.len(),
        "{} of {} hosts are missing, from {:?} on, and {} were found that are none of them, from {:?} on, in {} records; \
         by state {states:?}\n{:?}\n{:?}\nthe world: {}",
        missing.len(),
        hosts.len(),
        missing.first(),
        others.len(),
        others.first(),
        records.len(),
        summary.counts,
        summary.interface,
        words_of_the_world(lab),
    );
    assert!(summary.is_complete(), "{:?}", summary.counts);
    check_counters(lab, &summary);
    summary
}

/// Our counters add up, and agree with those of the interface.
#[track_caller]
fn check_counters(lab: &Lab, summary: &Summary) {
    let counts = summary.counts;
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.sent, counts.probes + counts.resets + counts.arp_requests);
    // A SYN-ACK that comes again, to a busy machine, is given a reset only while no other is owed.
    let closed = counts.resets + counts.resets_skipped;
    assert!(
        (counts.first + counts.refused..=counts.valid).contains(&closed),
        "one reset a SYN-ACK: {counts:?}"
    );
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
    let (name, growth) = summary.interface.as_ref().unwrap();
    assert_eq!(name, "s0");
    assert_eq!(growth.tx_packets, counts.sent, "what we count left, left");
    check_arrivals(lab, growth.rx_packets, counts.received + counts.ring_drops);
}

#[test]
fn every_host_of_nginx_is_found_once_at_any_rate() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let lab = Lab::builder().nginx(80).start().unwrap();
    check_every_host(&lab, scan("198.19.0.0/16", "80"), &hosts_v4().collect());
}

#[test]
fn every_ipv6_host_of_nginx_is_found_once_at_any_rate() {
    if !gate::permits(&[Need::Netns, Need::Nginx, Need::Ipv6]) {
        return;
    }
    let lab = Lab::builder().ipv6().nginx(80).start().unwrap();
    check_every_host(&lab, scan("2001:db8:1::/112", "80"), &hosts_v6().collect());
}

#[test]
fn every_host_of_both_families_is_found_once_by_two_threads() {
    if !gate::permits(&[Need::Netns, Need::Nginx, Need::Ipv6]) {
        return;
    }
    let lab = Lab::builder().ipv6().nginx(80).start().unwrap();
    let both = scan("198.19.0.0/16", "80").target("2001:db8:1::/112").threads(2);
    let hosts: BTreeSet<_> = hosts_v4().chain(hosts_v6()).collect();
    assert_eq!(hosts.len(), 2 * HOSTS);
    let summary = check_every_host(&lab, both, &hosts);
    assert_eq!(summary.threads, 2);
}

/// What the tests above allow for: hosts that were given no reset say their SYN-ACK again, also to a scan that is over, and their
/// kernel counts that.
#[test]
fn what_arrives_after_the_end_was_sent_again() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let s0 = Interface::by_name("s0").unwrap();
    let before = s0.counters().unwrap();
    let (records, summary) =
        run(scan("198.19.0.0/24", "80").rate("20k".parse().unwrap()).reset(false));
    assert_eq!(found(&records, State::Open).len(), 256);
    let seen = summary.counts.received + summary.counts.ring_drops;
    let arrived = || s0.counters().unwrap().since(&before).rx_packets;
    // A second after the first time, and two after that.
    for _ in 0..1_000 {
        if arrived() >= seen + 256 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let late = arrived();
    assert!(late >= seen + 256, "no SYN-ACK was sent again: {late} arrived, {seen} were seen");
    check_arrivals(&lab, late, seen);
}

#[test]
fn loss_of_five_percent_each_way_hides_next_to_nobody() {
    if !gate::permits(&[Need::Netns, Need::Nft]) {
        return;
    }
    let loss = Loss { probes_percent: 5, answers_percent: 5, duplicated_percent: 1 };
    let lab = Lab::builder().open(80).loss(loss).start().unwrap();
    let (records, summary) =
        run(scan("198.19.0.0/16", "80").rate("20k".parse().unwrap()).retries(3));
    // Four attempts at 0.0975 each: 6 of 65,536 are missed on average; 99.9 % is 65,471.
    let open = found(&records, State::Open).len();
    assert!(open >= 65_471, "{open}");
    let counts = lab.loss().unwrap();
    let made = summary.counts.sent;
    assert!(
        counts.probes_lost > made / 25 && counts.probes_lost < made / 16,
        "{counts:?} of {made}"
    );
    assert!(counts.answers_lost > 2_500 && counts.duplicated > 400, "{counts:?}");
    assert!(summary.counts.duplicate > 0);
}

#[test]
fn shards_find_all_hosts_between_them() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    let mut all = std::collections::BTreeSet::new();
    let mut count = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let part = scan("198.19.0.0/20", "80,81")
            .seed(5)
            .shard(shard.parse().unwrap())
            .rate("100k".parse().unwrap());
        let (records, _) = run(part);
        count += records.len();
        all.extend(records.iter().map(|record| (record.ip, record.port, record.state as u8)));
    }
    assert_eq!((count, all.len()), (8_192, 8_192));
    assert_eq!(all.iter().filter(|(.., state)| *state == State::Open as u8).count(), 4_096);
}

/// A consumer that sleeps makes the scan wait; nothing that was valid is lost for want of room.
#[test]
fn a_slow_consumer_loses_nothing() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    // The queue holds a second's worth at this rate: 20,000 of 32,768.
    let builder = scan("198.19.0.0/17", "80").rate("20k".parse().unwrap()).show(Show::OPEN);
    let mut scan = builder.build().unwrap();
    let mut started = 0;
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = scan.progress().started;
        if now > 0 && now == started {
            break;
        }
        started = now;
    }
    assert!(started < 32_768, "the scan waits for us at {started}");
    let count = scan.by_ref().count();
    let summary = scan.finish().unwrap();
    assert_eq!((count, summary.counts.refused), (HOSTS / 2, 0), "{:?}", summary.counts);
    assert!(summary.counts.pauses > 0);
}
