//! Every host found once, and our counters agree with the kernel's.

use std::{thread, time::Duration};

use mrpf_lab::{
    Lab, Loss,
    gate::{self, Need},
};
use mrpf_records::State;
use mrpf_syn::Show;

use crate::world::{found, run, scan};

const HOSTS: usize = 65_536;

#[test]
fn every_host_of_nginx_is_found_once_at_any_rate() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let _lab = Lab::builder().nginx(80).start().unwrap();
    let (records, summary) = run(scan("198.19.0.0/16", "80").rate("max".parse().unwrap()));
    assert_eq!(found(&records, State::Open).len(), HOSTS);
    assert!(summary.is_complete(), "{:?}", summary.counts);

    let counts = summary.counts;
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.sent, counts.probes + counts.resets + counts.arp_requests);
    assert_eq!(counts.resets + counts.resets_skipped, counts.valid, "one reset a SYN-ACK");
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
    let (name, growth) = summary.interface.unwrap();
    assert_eq!(name, "s0");
    assert_eq!(growth.tx_packets, counts.sent, "what we count left, left");
    assert_eq!(growth.rx_packets, counts.received + counts.ring_drops, "what arrived, we counted");
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
