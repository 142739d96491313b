//! Each kind of host is what it is.

use std::{net::Ipv4Addr, time::Duration};

use mrpf_engine::link::sim::hosts::{Behaviour, Hosts};
use mrpf_lab::{
    Lab, Prefix,
    gate::{self, Need},
};
use mrpf_records::{Reason, State};

use crate::world::{found, run, scan};

const fn block(third: u8) -> Prefix {
    Prefix::new([198, 19, third, 0], 24)
}

#[test]
fn open_closed_silent_and_unreachable_are_told_apart() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder()
        .open(80)
        .hosts(block(0))
        .silent(block(1))
        .unreachable(block(2))
        .start()
        .unwrap();
    let (records, summary) = run(scan("198.19.0.0-198.19.2.255", "80,81")
        .rate("20k".parse().unwrap())
        .cooldown(Duration::from_secs(2)));
    assert_eq!(records.len(), 3 * 512);
    assert_eq!(summary.states, [256, 256, 512, 512]);
    for record in &records {
        let IpAddr::V4(addr) = record.ip else { panic!("{record:?}") };
        let expected = match (addr.octets()[2], record.port) {
            (0, 80) => State::Open,
            (0, _) => State::Closed,
            (1, _) => State::Silent,
            _ => State::Unreachable,
        };
        assert_eq!(record.state, expected, "{record:?}");
        match expected {
            State::Open => {
                // Linux answers a SYN with Windows' options in kind.
                assert_eq!((record.ttl, record.mss), (Some(64), Some(1_460)), "{record:?}");
                let options = record.options.as_deref().unwrap();
                assert!(options.starts_with("mss=1460,") && options.contains("sack"), "{options}");
                assert!(
                    record.window.is_some()
                        && record.rtt_us.is_some()
                        && record.attempts <= Some(3)
                );
            }
            State::Unreachable => {
                assert_eq!(record.reason, Reason::HostUnreachable);
                assert_eq!(record.responder, Some(Ipv4Addr::new(198, 18, 0, 2).into()));
            }
            State::Closed => assert_eq!((record.reason, record.ttl), (Reason::Rst, Some(64))),
            State::Silent => assert_eq!(record.attempts, Some(3)),
        }
    }
    // The resets came before the world's kernel thought of a connection.
    assert_eq!(lab.served(), 0);
    assert!(summary.counts.resets >= 256);
}

use std::net::IpAddr;

/// On our own link each host is found by its hardware address: the kernel's table, else our own ARP. Who does not answer
/// ARP is unreachable, and nothing is sent to it.
#[test]
fn hosts_on_our_link_are_found_by_arp() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let on_link = Prefix::new([198, 18, 7, 0], 24);
    let (first, last) = (Ipv4Addr::new(198, 18, 7, 0), Ipv4Addr::new(198, 18, 7, 127));
    let hosts =
        Hosts::new(3).owning((first, last)).rule((first, last), 0..=65_535, Behaviour::open());
    let _lab = Lab::builder().respond(on_link, hosts).start().unwrap();
    let (records, summary) = run(scan("198.18.7.0/24", "80")
        .cooldown(Duration::from_secs(1))
        .rate("10k".parse().unwrap()));
    assert_eq!(found(&records, State::Open).len(), 128, "{:?}", summary.counts);
    let unreachable: Vec<_> =
        records.iter().filter(|record| record.state == State::Unreachable).collect();
    assert_eq!(unreachable.len(), 128);
    assert!(summary.counts.arp_received >= 128);
    // 256 first, then two tries more for the half that is silent.
    assert!((512..=768).contains(&summary.counts.arp_requests), "{:?}", summary.counts);
    assert_eq!(summary.counts.probes, 128);
    let (_, growth) = summary.interface.unwrap();
    assert_eq!(growth.tx_packets, summary.counts.sent);
}

#[test]
fn answers_that_are_slow_doubled_or_out_of_order_are_one_record_each() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let all = (block(9).first(), block(9).last());
    let behaviour = Behaviour::Duplicate(
        3,
        Box::new(Behaviour::Reorder(
            Duration::from_millis(30),
            Box::new(Behaviour::open().slow(Duration::from_millis(40))),
        )),
    );
    let _lab = Lab::builder()
        .respond(block(9), Hosts::new(4).rule(all, 0..=65_535, behaviour))
        .start()
        .unwrap();
    let (records, summary) = run(scan("198.19.9.0/24", "80-82").retries(1));
    assert_eq!(found(&records, State::Open).len(), 768);
    assert!(summary.counts.duplicate > 0, "{:?}", summary.counts);
    for record in &records {
        let rtt = record.rtt_us.unwrap();
        // The responder reads its clock once for all frames that it takes at a time.
        assert!(rtt >= 35_000, "{record:?}");
    }
}
