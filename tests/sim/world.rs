//! What the tests of this folder share: a network whose probes are counted, and a scan of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use crossbeam_channel::Receiver;
use mrpf_engine::{
    cookie::Cookie,
    link::{
        LinkLayer,
        sim::{
            Faults, Network,
            hosts::{Behaviour, Hosts},
        },
    },
    neighbour::NextHops,
    scan::{Found, Settings, Shared},
    target::{Shard, Target, Targets, Walk},
    template::{Ends, TcpProfile},
    time::Instant,
    wire::{self, MacAddr, Transport, tcp::Flags},
};
use mrpf_records::{Record, State, SynRecord};
use mrpf_syn::{Marks, Reply, Scan, Show, SourcePorts, Summary, SynProbe};

/// When each target was probed.
pub(crate) type Probes = Arc<Mutex<BTreeMap<Target, Vec<Instant>>>>;

/// A network that notes each SYN as it leaves.
pub(crate) fn counted(seed: u64, hosts: Hosts, faults: Faults) -> (Network, Probes) {
    let probes = Probes::default();
    let noted = Arc::clone(&probes);
    let network = Network::new(seed, hosts, faults).with_tap(Box::new(move |at, frame| {
        if let Some((target, flags)) = segment(frame)
            && flags == Flags::SYN
        {
            noted.lock().unwrap().entry(target).or_default().push(at);
        }
    }));
    (network, probes)
}

/// Where a TCP frame goes, and its flags.
pub(crate) fn segment(frame: &[u8]) -> Option<(Target, Flags)> {
    let packet = wire::parse(frame, LinkLayer::Ethernet).expect("our frames are well formed");
    match packet.network {
        wire::Network::Ipv4(header, Transport::Tcp(segment)) => {
            Some((header.destination().into(), segment))
        }
        wire::Network::Ipv6(header, Transport::Tcp(segment)) => {
            Some((header.destination().into(), segment))
        }
        _ => None,
    }
    .map(|(addr, segment)| (Target { addr, port: segment.destination_port() }, segment.flags()))
}

/// Where the IPv6 hosts of these tests begin.
pub(crate) const BASE: u128 = 0x2001_0db8_0001 << 80;
/// Every port.
pub(crate) const ALL_PORTS: std::ops::RangeInclusive<u16> = 0..=65_535;

/// All of 2001:db8:1::/48 and of 198.19.0.0/16 behave so.
pub(crate) fn all(seed: u64, behaviour: Behaviour) -> Hosts {
    let v6 = (Ipv6Addr::from_bits(BASE), Ipv6Addr::from_bits(BASE | u128::MAX >> 48));
    let v4 = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    Hosts::new(seed).rule(v6, ALL_PORTS, behaviour.clone()).rule(v4, ALL_PORTS, behaviour)
}

/// Runs a scan to its end.
pub(crate) fn run(mut scan: Scan) -> (Vec<Record>, Summary) {
    let records: Vec<Record> = scan.by_ref().collect();
    (records, scan.finish().expect("a simulated link stays"))
}

/// The SYN records among `records`.
pub(crate) fn syn(records: &[Record]) -> Vec<&SynRecord> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Syn(record) => Some(record),
            _ => None,
        })
        .collect()
}

/// States by target; a target with two records is a failure.
#[track_caller]
pub(crate) fn states(records: &[Record]) -> BTreeMap<(IpAddr, u16), State> {
    let mut states = BTreeMap::new();
    for record in syn(records) {
        let before = states.insert((record.ip, record.port), record.state);
        assert_eq!(before, None, "a second record: {record:?}");
    }
    states
}

/// A scan of `targets` that allows the lab's addresses and shows every state.
pub(crate) fn scan(network: Network, targets: &str, ports: &str) -> mrpf_syn::Builder {
    Scan::builder()
        .target(targets)
        .ports(ports)
        .allow_reserved(true)
        .seed(11)
        .show(Show::ALL)
        .cooldown(Duration::from_secs(2))
        .simulated(network)
}

/// A scan of `targets` without a link yet, for tests that bring their own; its source ports are from 61000 up.
pub(crate) fn shared(
    targets: &str,
    ports: &str,
    settings: Settings,
) -> (Arc<Shared<SynProbe>>, Receiver<Found<Reply>>) {
    let targets =
        Targets::builder().spec(targets).ports(ports).allow_reserved(true).build().unwrap();
    let walk = Walk::new(targets.into(), 1, Shard::default());
    let ends = Ends {
        layer: LinkLayer::Ethernet,
        source_mac: MacAddr([2; 6]),
        vlan: None,
        sources: Ipv4Addr::new(198, 18, 0, 1).into(),
    };
    let ports = SourcePorts::new(61_000, 256, 1 + settings.retries).unwrap();
    let marks = Marks::new(ports, Cookie::from_key(&[1; 16]));
    let probe = SynProbe::new(&ends, TcpProfile::default(), marks);
    let next_hops = NextHops::single(MacAddr([4; 6]));
    Shared::new(probe, walk, next_hops, LinkLayer::Ethernet, settings).unwrap()
}

/// Turns a SYN into its SYN-ACK in place.
pub(crate) fn answer(frame: &mut [u8]) {
    let (ip, tcp) = (14, 34);
    for i in 0..6 {
        frame.swap(i, 6 + i);
    }
    for i in 0..4 {
        frame.swap(ip + 12 + i, ip + 16 + i);
    }
    frame.swap(tcp, tcp + 2);
    frame.swap(tcp + 1, tcp + 3);
    let seq = u32::from_be_bytes(frame[tcp + 4..tcp + 8].try_into().unwrap());
    frame[tcp + 8..tcp + 12].copy_from_slice(&seq.wrapping_add(1).to_be_bytes());
    frame[tcp + 13] = 0x12;
}
