//! Frames as large as the segments that a kernel merges (GRO), on a real link: 65,535 octets behind the Ethernet header, and
//! more than a block of a ring holds.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddrV4, TcpListener},
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::{
    link::{
        LinkLayer, Rx,
        interface::Interface,
        packet::{Filter, PacketRx, RingSize},
    },
    time::Clock,
    wire::{self, Network, Transport},
};
use mrpf_lab::{
    Injector, Lab, Prefix,
    gate::{self, Need},
    ipv6, veth,
};
use mrpf_records::State;
use mrpf_syn::Scan;

use super::{IP, OPEN, PORTS, TCP, syn_ack};
use crate::world::scan;

/// The most that the length field of IPv4 can say.
const LONGEST: usize = 65_535;
const PSH_ACK: u8 = 0x18;

/// Data to us from a host that is scanned, from its port 80: `seq` is the number of its first octet.
fn merged(seq: u32) -> Vec<u8> {
    let mut frame = syn_ack();
    frame[IP + 2..IP + 4].copy_from_slice(&(LONGEST as u16).to_be_bytes());
    frame[TCP + 4..TCP + 8].copy_from_slice(&seq.to_be_bytes());
    frame[TCP + 13] = PSH_ACK;
    frame.resize(IP + LONGEST, 0xa5);
    frame
}

/// The same by IPv6, whose field does not count the header.
fn merged_v6(seq: u32) -> Vec<u8> {
    let v4 = merged(seq);
    let mut frame = v4[..12].to_vec();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((LONGEST as u16 - 40).to_be_bytes());
    frame.extend([6, 64]);
    frame.extend("2001:db8:1::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    frame.extend(ipv6::SCANNER.octets());
    frame.extend(&v4[TCP..]);
    frame.truncate(IP + LONGEST);
    frame
}

/// Lets both ends of the link carry such frames.
fn widen(lab: &Lab) {
    lab.world().run(|| veth::set_mtu(veth::WORLD, LONGEST as u32)).unwrap().unwrap();
    veth::set_mtu(veth::SCANNER, LONGEST as u32).unwrap();
}

/// Until its first probe was made.
fn wait_for(scan: &Scan) {
    let start = Instant::now();
    while scan.progress().started == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "it never began");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn merged_segments_in_mid_scan_change_nothing() {
    const SENT: u64 = 40; // of each family: 5 MB, and the ring has 16 MiB for them and all answers
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    // A silent host keeps the scan waiting for as long as the frames take.
    let silent = Prefix::new([198, 19, 64, 0], 32);
    let lab = Lab::builder().open(80).silent(silent).ipv6().start().unwrap();
    widen(&lab);
    let injector = Injector::open(lab.world()).unwrap();
    let builder = scan("198.19.0.0/18", "80").target("198.19.64.0").target("2001:db8:1::/120");
    // One port: a frame to it is for a probe that was made.
    let builder =
        builder.source_ports(PORTS.0, PORTS.0).retries(0).cooldown(Duration::from_secs(3));
    let mut scan = builder.rate("20k".parse().unwrap()).build().unwrap();
    wait_for(&scan);
    for seq in 0..SENT as u32 {
        injector.inject(&merged(seq)).unwrap();
        injector.inject(&merged_v6(seq)).unwrap();
        thread::sleep(Duration::from_millis(5)); // so that they come among the answers
    }
    let records = scan.by_ref().count();
    let summary = scan.finish().unwrap();
    let open = OPEN + 256;
    assert_eq!((records, summary.count(State::Open)), (open + 1, open as u64));
    assert!(summary.is_complete(), "{:?}", summary.counts);
    let counts = summary.counts;
    // Each is an acknowledgement of a connection that is not ours, and nothing else of that kind came.
    assert_eq!(counts.invalid_challenge, 2 * SENT, "{counts:?}");
    assert_eq!(counts.invalid(), counts.invalid_challenge, "{counts:?}");
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!((counts.ring_drops, counts.resets), (0, counts.valid));
    let (_, growth) = summary.interface.unwrap();
    assert_eq!(growth.rx_packets, counts.received, "every frame of the device is accounted for");
    assert!(growth.rx_bytes > 2 * SENT * LONGEST as u64, "they came whole: {growth:?}");
}

/// A connection that nobody scans but that ends at a port of the scan: its segments come as the world's kernel sends them to a
/// device that cuts them (TSO), which over veth nobody does.
#[test]
fn segments_that_a_kernel_left_merged_change_nothing() {
    const OCTETS: usize = 4 << 20;
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let silent = Prefix::new([198, 19, 64, 0], 32);
    let lab = Lab::builder().open(80).silent(silent).start().unwrap();
    let server = SocketAddrV4::new(Ipv4Addr::new(198, 19, 200, 1), 8_080);
    let listener = lab.world().run(|| TcpListener::bind(server)).unwrap().unwrap();
    let builder = scan("198.19.0.0/18", "80").target("198.19.64.0");
    let builder =
        builder.source_ports(PORTS.0, PORTS.0).retries(0).cooldown(Duration::from_secs(3));
    let mut scan = builder.rate("20k".parse().unwrap()).build().unwrap();
    wait_for(&scan);
    let serve = move || listener.accept()?.0.write_all(&vec![0x5a; OCTETS]);
    let served = thread::spawn(serve);
    let pulled = mrpf_lab::pull(lab.scanner(), PORTS.0, server).unwrap();
    served.join().unwrap().unwrap();
    println!("{pulled:?}");
    assert_eq!(pulled.octets, OCTETS as u64);
    assert!(pulled.longest > 1_514, "they came merged: {pulled:?}");
    let records = scan.by_ref().count();
    let summary = scan.finish().unwrap();
    assert_eq!((records, summary.count(State::Open)), (OPEN + 1, OPEN as u64));
    assert!(summary.is_complete(), "{:?}", summary.counts);
    let counts = summary.counts;
    // The SYN-ACK has a number that is none of ours; everything else acknowledges a connection that is not ours.
    assert_eq!((counts.invalid_cookie, counts.invalid_challenge), (1, pulled.frames - 1));
    assert_eq!(counts.invalid(), pulled.frames, "{counts:?}");
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!((counts.ring_drops, counts.resets), (0, counts.valid));
    let (_, growth) = summary.interface.unwrap();
    assert_eq!(growth.rx_packets, counts.received, "every frame of the device is accounted for");
    assert_eq!(growth.tx_packets, counts.sent + pulled.sent, "the kernel said nothing to them");
}

/// A frame that is longer than a block is cut to the block, said to be, and costs none of its neighbours.
#[test]
fn frames_longer_than_a_block_are_cut_and_shown() {
    const PAIRS: u32 = 20; // five times round the ring
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    widen(&lab);
    let injector = Injector::open(lab.world()).unwrap();
    let interface = Interface::by_name(veth::SCANNER.device).unwrap();
    let filter = Filter::new(LinkLayer::Ethernet, veth::SCANNER.addr, PORTS);
    let ring = RingSize { blocks: 4, block_len: 64 << 10 };
    let mut receiver = PacketRx::open(&interface, &filter, ring, Clock::start()).unwrap();
    let short = syn_ack();
    let mut shown = Vec::new();
    for seq in 0..PAIRS {
        injector.inject(&merged(seq)).unwrap();
        injector.inject(&short).unwrap();
        let start = Instant::now();
        while shown.len() < 2 * (seq as usize + 1) {
            assert!(start.elapsed() < Duration::from_secs(30), "only {}", shown.len());
            let take = |frame: mrpf_engine::link::Frame<'_>| {
                let packet = wire::parse(frame.bytes, LinkLayer::Ethernet).unwrap();
                let Network::Ipv4(_, Transport::Tcp(segment)) = packet.network else {
                    panic!("{packet:?}");
                };
                shown.push((segment.seq(), frame.bytes.len(), frame.wire_len as usize));
            };
            receiver.receive(Duration::from_millis(100), take).unwrap();
        }
    }
    for (seq, pair) in shown.chunks(2).enumerate() {
        let (long_seq, kept, len) = pair[0];
        assert_eq!((long_seq, len), (seq as u32, IP + LONGEST));
        assert!(kept > 60_000 && kept < len, "{kept} of {len}");
        assert_eq!(pair[1], (0x0102_0304, short.len(), short.len()));
    }
    assert_eq!(shown.len(), 2 * PAIRS as usize, "each once");
    assert_eq!(receiver.ring_drops(), 0);
}
