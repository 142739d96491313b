//! IPv6 alone and beside IPv4: every pair asked as often as it must be, and what is said of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use mrpf_engine::{
    link::sim::{
        Faults, Network,
        hosts::{Behaviour, Hosts, Odd, Quote},
    },
    target::{Shard, Target},
};
use mrpf_records::{Reason, State};
use mrpf_syn::{Rate, Summary};
use proptest::prelude::*;

use crate::world::{counted, run, scan, states, syn};

const BASE: u128 = 0x2001_0db8_0001 << 80;
const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);
const ALL_PORTS: std::ops::RangeInclusive<u16> = 0..=65_535;

/// All of 2001:db8:1::/48 and of 198.19.0.0/16 behave so.
fn all(seed: u64, behaviour: Behaviour) -> Hosts {
    let v6 = (Ipv6Addr::from_bits(BASE), Ipv6Addr::from_bits(BASE | u128::MAX >> 48));
    let v4 = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    Hosts::new(seed).rule(v6, ALL_PORTS, behaviour.clone()).rule(v4, ALL_PORTS, behaviour)
}

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

    /// Ranges of both families, some excluded, in shards: each pair of the rest 1 + R times, and nothing else ever.
    #[test]
    fn silent_targets_of_both_families_are_probed_exactly_one_plus_r_times(
        included in proptest::collection::vec(range(), 1..5),
        excluded in proptest::collection::vec(range(), 0..4),
        ports in proptest::collection::btree_set(1..2_000_u16, 1..4),
        shards in 1..4_u32,
        retries in 0..3_u8,
        rate in prop_oneof![Just("max"), Just("10k"), Just("300k")],
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
            prop_assert_eq!(summary.counts.probes, probes.len() as u64 * (u64::from(retries) + 1));
            prop_assert!(summary.is_complete());
        }
        prop_assert_eq!(union, expected);
    }

    /// With loss, duplicates and frames that overtake each other: each IPv6 pair has one state, and a silent one was asked to
    /// the end.
    #[test]
    fn ipv6_targets_that_answer_are_probed_until_they_do(seed: u64, retries in 0..3_u8, loss in 0..40_u32) {
        let faults = Faults {
            loss_out: f64::from(loss) / 100.0,
            loss_back: f64::from(loss) / 100.0,
            duplicate: 0.1,
            reorder: 0.3,
            ..Faults::default()
        };
        let (network, probes) = counted(seed, all(1, Behaviour::closed()), faults);
        let scan = scan(network, "2001:db8:1::/121", "80,81").retries(retries).seed(seed);
        let (records, summary) = run(scan.build().unwrap());
        let states = states(&records);
        let probes = probes.lock().unwrap();
        prop_assert_eq!((states.len(), probes.len()), (256, 256));
        for (target, times) in probes.iter() {
            let most = usize::from(retries) + 1;
            match states[&(target.addr, target.port)] {
                State::Closed => prop_assert!(times.len() <= most),
                State::Silent => prop_assert_eq!(times.len(), most),
                other => prop_assert!(false, "{:?} is {}", target, other),
            }
        }
        let counts = &summary.counts;
        prop_assert_eq!(counts.first + counts.silent, 256);
        prop_assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
        prop_assert_eq!(counts.invalid(), 0);
    }
}

/// Hosts of one kind each, in both families, and one scan of them all.
#[test]
fn a_mixed_scan_says_of_each_host_what_it_is() {
    let unreachable = |code, responder: IpAddr| Behaviour::Unreachable {
        code,
        responder: Some(responder),
        quote: Quote::Minimum,
    };
    let router: IpAddr = ROUTER.into();
    let router_4 = IpAddr::from([198, 18, 0, 2]);
    let kinds = [
        ("2001:db8:1::1", Behaviour::open(), State::Open, Reason::SynAck),
        ("2001:db8:1::2", Behaviour::closed(), State::Closed, Reason::Rst),
        ("2001:db8:1::3", Behaviour::Silent, State::Silent, Reason::NoAnswer),
        ("2001:db8:1::4", unreachable(0, router), State::Unreachable, Reason::NetUnreachable),
        ("2001:db8:1::5", unreachable(1, router), State::Unreachable, Reason::AdminProhibited),
        ("2001:db8:1::6", unreachable(3, router), State::Unreachable, Reason::HostUnreachable),
        ("2001:db8:1::7", unreachable(4, router), State::Unreachable, Reason::PortUnreachable),
        ("198.19.0.1", Behaviour::open(), State::Open, Reason::SynAck),
        ("198.19.0.2", Behaviour::closed(), State::Closed, Reason::Rst),
        ("198.19.0.3", Behaviour::Silent, State::Silent, Reason::NoAnswer),
        ("198.19.0.4", unreachable(1, router_4), State::Unreachable, Reason::HostUnreachable),
    ];
    for without_ethernet in [false, true] {
        let mut hosts = Hosts::new(2);
        for (addr, behaviour, ..) in &kinds {
            let addr: IpAddr = addr.parse().unwrap();
            hosts = hosts.rule((addr, addr), ALL_PORTS, behaviour.clone());
        }
        let mut network = Network::new(2, hosts, Faults::default());
        if without_ethernet {
            network = network.without_ethernet();
        }
        let mut builder = scan(network.clone(), kinds[0].0, "80,443");
        for (addr, ..) in &kinds[1..] {
            builder = builder.target(*addr);
        }
        let (records, summary) = run(builder.build().unwrap());
        let found: BTreeMap<(IpAddr, u16), (State, Reason)> = syn(&records)
            .iter()
            .map(|record| ((record.ip, record.port), (record.state, record.reason)))
            .collect();
        let expected = kinds.iter().flat_map(|(addr, _, state, reason)| {
            [80, 443].map(|port| ((addr.parse().unwrap(), port), (*state, *reason)))
        });
        assert_eq!(found, expected.collect());
        assert_eq!(states(&records).len(), 2 * kinds.len());
        for record in syn(&records) {
            let responder = if record.ip.is_ipv6() { router } else { router_4 };
            let is_unreachable = record.state == State::Unreachable;
            assert_eq!(record.responder, is_unreachable.then_some(responder));
        }
        // What was opened is closed again, in both families.
        assert_eq!(summary.counts.resets, 4);
        network.with_hosts(|hosts| {
            assert_eq!((hosts.half_open(), hosts.counters().resets), (0, 4));
            assert_eq!(hosts.counters().bad_checksums, 0);
        });
    }
}

/// Of the strange answers, those that are a SYN-ACK open the port and all others are invalid, as over IPv4.
#[test]
fn strange_ipv6_answers_are_judged_alike() {
    for odd in Odd::ALL {
        let (network, _) = counted(3, all(3, Behaviour::Odd(odd)), Faults::default());
        let scan = scan(network, "2001:db8:1::/124", "80").retries(0);
        let (records, Summary { counts, .. }) = run(scan.build().unwrap());
        let expected = if odd.is_open() { State::Open } else { State::Silent };
        assert_eq!(states(&records).len(), 16);
        assert!(states(&records).values().all(|state| *state == expected), "{odd:?}");
        assert_eq!(counts.invalid(), if odd.is_open() { 0 } else { 16 }, "{odd:?}: {counts:?}");
    }
}
