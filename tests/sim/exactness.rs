//! Every allowed pair of either family is probed so often as it must be, nothing else ever, whatever is excluded, sharded,
//! retried and shared between threads.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use mrpf_engine::{
    link::sim::{Faults, hosts::Behaviour},
    target::{Shard, Target},
};
use mrpf_records::State;
use mrpf_syn::Rate;
use proptest::prelude::*;

use crate::world::{BASE, all, counted, run, scan, states};

/// A range within 2001:db8:1::/64 or, when `v4`, within 198.19.0.0/22: as text and as addresses.
fn range() -> impl Strategy<Value = (String, BTreeSet<IpAddr>)> {
    (0..1_024_u32, 0..40_u32, 0..=8_u32, any::<bool>(), any::<bool>()).prop_map(
        |(start, len, host_bits, is_cidr, is_v4)| {
            let addr = |n: u32| -> IpAddr {
                if is_v4 {
                    Ipv4Addr::from(0xc613_0000 + n).into()
                } else {
                    Ipv6Addr::from(BASE + u128::from(n)).into()
                }
            };
            if is_cidr {
                let first = start >> host_bits << host_bits;
                let prefix = if is_v4 { 32 } else { 128 } - host_bits;
                let last = first + (1 << host_bits) - 1;
                (format!("{}/{prefix}", addr(first)), (first..=last).map(addr).collect())
            } else {
                let last = start + len;
                (format!("{}-{}", addr(start), addr(last)), (start..=last).map(addr).collect())
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn silent_targets_are_probed_exactly_one_plus_r_times(
        included in proptest::collection::vec(range(), 1..5),
        excluded in proptest::collection::vec(range(), 0..4),
        ports in proptest::collection::btree_set(1..2_000_u16, 1..4),
        shards in 1..4_u32,
        retries in 0..4_u8,
        rate in prop_oneof![Just("max"), Just("1k"), Just("10k"), Just("300k")],
        threads in prop_oneof![Just(1), 2..=5_u8],
        seed: u64,
    ) {
        let mut allowed: BTreeSet<IpAddr> = included.iter().flat_map(|(_, set)| set.clone()).collect();
        for (_, set) in &excluded {
            allowed = allowed.difference(set).copied().collect();
        }
        let expected: BTreeSet<Target> = allowed
            .iter()
            .flat_map(|addr| ports.iter().map(|port| Target { addr: *addr, port: *port }))
            .collect();
        let text: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let mut union = BTreeSet::new();
        for k in 1..=shards {
            let (network, probes) = counted(seed, all(1, Behaviour::Silent), Faults::default());
            let mut builder = scan(network, &included[0].0, &text.join(","))
                .shard(format!("{k}/{shards}").parse::<Shard>().unwrap())
                .retries(retries)
                .threads(threads)
                .rate(rate.parse::<Rate>().unwrap())
                .seed(seed);
            for (spec, _) in &included[1..] {
                builder = builder.target(spec.as_str());
            }
            for (spec, _) in &excluded {
                builder = builder.exclude(spec.as_str());
            }
            let scan = match builder.build() {
                Ok(scan) => scan,
                Err(error) => {
                    prop_assert!(expected.is_empty(), "{error}");
                    return Ok(());
                }
            };
            let (records, summary) = run(scan);
            let states = states(&records);
            let probes = probes.lock().unwrap();
            for (target, times) in probes.iter() {
                prop_assert!(expected.contains(target), "{target:?} is not allowed");
                prop_assert!(union.insert(*target), "{target:?} is in two shards");
                prop_assert_eq!(times.len(), usize::from(retries) + 1, "{:?}", target);
                for pair in times.windows(2) {
                    prop_assert!(pair[1].since(pair[0]) >= Duration::from_secs(1), "{:?}: {:?}", target, times);
                }
                prop_assert_eq!(states.get(&(target.addr, target.port)), Some(&State::Silent));
            }
            prop_assert_eq!(states.len(), probes.len());
            prop_assert_eq!(summary.counts.silent, probes.len() as u64);
            prop_assert_eq!(summary.counts.probes, probes.len() as u64 * (u64::from(retries) + 1));
            prop_assert!(summary.is_complete());
        }
        prop_assert_eq!(union, expected);
    }

    #[test]
    fn targets_that_answer_are_probed_until_they_do(
        seed: u64,
        retries in 0..4_u8,
        loss in 0..40_u32,
        rate in prop_oneof![Just("max"), Just("2k"), Just("300k")],
    ) {
        let faults = Faults {
            loss_out: f64::from(loss) / 100.0,
            loss_back: f64::from(loss) / 100.0,
            duplicate: 0.1,
            reorder: 0.3,
            ..Faults::default()
        };
        let (network, probes) = counted(seed, all(1, Behaviour::closed()), faults);
        let scan = scan(network, "198.19.0.0/25", "80,81")
            .retries(retries)
            .rate(rate.parse::<Rate>().unwrap())
            .seed(seed);
        let (records, summary) = run(scan.build().unwrap());
        let states = states(&records);
        let probes = probes.lock().unwrap();
        prop_assert_eq!(states.len(), 256);
        prop_assert_eq!(probes.len(), 256);
        let counts = &summary.counts;
        prop_assert_eq!(counts.first + counts.silent, 256);
        for (target, times) in probes.iter() {
            let most = usize::from(retries) + 1;
            match states[&(target.addr, target.port)] {
                State::Closed => prop_assert!(times.len() <= most),
                State::Silent => prop_assert_eq!(times.len(), most),
                other => prop_assert!(false, "{:?} is {}", target, other),
            }
        }
        prop_assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
        prop_assert_eq!(counts.generated, counts.sent + counts.dropped());
    }
}

/// Without loss the first attempt of each is answered, so there is no second one.
#[test]
fn nothing_is_sent_after_an_answer() {
    for rate in ["max", "1k", "300k"] {
        let (network, probes) = counted(5, all(1, Behaviour::closed()), Faults::default());
        let scan = scan(network, "198.19.0.0/22", "1-4").retries(3).rate(rate.parse().unwrap());
        let (records, summary) = run(scan.build().unwrap());
        assert_eq!(states(&records).len(), 4_096);
        assert!(probes.lock().unwrap().values().all(|times| times.len() == 1), "{rate}");
        assert_eq!(summary.counts.probes, 4_096);
        assert_eq!(summary.count(State::Closed), 4_096);
    }
}
