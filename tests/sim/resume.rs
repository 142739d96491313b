//! A scan that is cut off anywhere and goes on at its mark leaves nothing out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use mrpf_engine::{
    link::sim::{Faults, hosts::Behaviour},
    target::Shard,
};
use mrpf_records::{Record, State};
use mrpf_syn::{Builder, Next, Rate};
use proptest::prelude::*;

use crate::world::{all, counted, run, scan, states};

const TARGETS: usize = 600;

/// 600 targets of which every third host is open, every third closed and every third silent.
fn hosts(seed: u64) -> mrpf_engine::link::sim::hosts::Hosts {
    let mut hosts = all(seed, Behaviour::Silent);
    for last in 0..200_u8 {
        let addr = std::net::Ipv4Addr::new(198, 19, 0, last);
        let behaviour = match last % 3 {
            0 => Behaviour::open(),
            1 => Behaviour::closed(),
            _ => Behaviour::Silent,
        };
        hosts = hosts.rule((addr, addr), 0..=65_535, behaviour);
    }
    hosts
}

fn known(records: &[Record]) -> BTreeMap<(IpAddr, u16), State> {
    states(records)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_found_before_and_after_a_cut_is_everything(
        // The number of the last record that is taken before the process dies.
        taken in 0..TARGETS,
        rate in prop_oneof![Just("150"), Just("1k"), Just("20k"), Just("max")],
        threads in 1..=3_u8,
        shards in 1..=3_u32,
        retries in 0..3_u8,
        loss in prop_oneof![Just(0.0), Just(0.2)],
        seed: u64,
    ) {
        let faults = Faults { loss_out: loss, loss_back: loss, ..Faults::default() };
        let mut union = BTreeSet::new();
        for k in 1..=shards {
            let describe = |seed_of_network| -> (Builder, _) {
                let (network, probes) = counted(seed_of_network, hosts(seed), faults);
                let builder = scan(network, "198.19.0.0-198.19.0.199", "80-82")
                    .shard(format!("{k}/{shards}").parse::<Shard>().unwrap())
                    .rate(rate.parse::<Rate>().unwrap())
                    .threads(threads)
                    .retries(retries)
                    .seed(seed);
                (builder, probes)
            };
            let mut cut = describe(1).0.build().unwrap();
            let mut before = Vec::new();
            let mut marks = vec![cut.mark()];
            while before.len() < taken / shards as usize {
                match cut.next_within(Duration::ZERO) {
                    Next::Record(record) => before.push(record),
                    Next::Later => {}
                    Next::End => break,
                }
                marks.push(cut.mark());
            }
            let (mark, fingerprint, reached) = (cut.mark(), cut.fingerprint(), cut.progress().reached);
            let total = cut.progress().total;
            drop(cut);
            prop_assert!(marks.is_sorted(), "a mark went back");
            prop_assert!(mark <= reached && reached <= total);

            let (builder, probes) = describe(2);
            let resumed = builder.start_at(mark).build().unwrap();
            prop_assert_eq!(resumed.fingerprint(), fingerprint);
            let (after, summary) = run(resumed);
            prop_assert_eq!(summary.progress.settled, summary.progress.total);
            prop_assert_eq!(summary.progress.total, total);
            let (before, after) = (known(&before), known(&after));
            // Those that come twice lie between the mark and the end of what had been asked.
            let repeats = before.keys().filter(|target| after.contains_key(target)).count() as u64;
            prop_assert!(repeats <= reached - mark, "{repeats} of {reached} - {mark}");
            prop_assert_eq!(probes.lock().unwrap().len() as u64, total - mark);
            prop_assert_eq!(after.len() as u64, total - mark);
            union.extend(before.keys().copied());
            union.extend(after.keys().copied());
        }
        prop_assert_eq!(union.len(), TARGETS, "left out");
    }
}

#[test]
fn a_scan_that_starts_at_its_end_has_nothing_left() {
    let (network, probes) = counted(1, hosts(1), Faults::default());
    let mut whole = scan(network, "198.19.0.0/28", "80").build().unwrap();
    while !matches!(whole.next_within(Duration::ZERO), Next::End) {}
    assert_eq!(whole.mark(), 16);
    assert_eq!(probes.lock().unwrap().len(), 16);
    let (network, probes) = counted(1, hosts(1), Faults::default());
    let (records, summary) =
        run(scan(network, "198.19.0.0/28", "80").start_at(16).build().unwrap());
    assert!(records.is_empty() && summary.is_complete());
    assert!(probes.lock().unwrap().is_empty());
}
