//! IPv6 alone and beside IPv4: every pair asked as often as it must be, and what is said of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Odd, Quote},
};
use mrpf_records::{Reason, State};
use mrpf_syn::Summary;
use proptest::prelude::*;

use crate::world::{ALL_PORTS, all, counted, run, scan, states, syn};

const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

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
