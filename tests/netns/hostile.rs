//! A world that sends what it should not, on a real link, while a scan runs: what is true is found, once, and every frame
//! that arrived is accounted for.

use std::{
    net::UdpSocket,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use mrpf_lab::{
    Injector, Lab, Prefix,
    gate::{self, Need},
    veth,
};
use mrpf_records::State;
use nix::sys::socket::{setsockopt, sockopt};

use crate::world::{found, is_over_xdp, run, scan};

mod merged;

/// What the scan sends from, one port an attempt: whatever comes to the first is for an attempt that was made.
const PORTS: (u16, u16) = (61_007, 61_009);
const IP: usize = 14;
const TCP: usize = IP + 20;
/// Hosts that the scan asks, all of them open.
const OPEN: usize = 16_384;

/// A SYN-ACK for us from a host that is scanned: right in all but the number that only an answer can have.
fn syn_ack() -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(veth::SCANNER.mac);
    frame.extend(veth::WORLD.mac);
    frame.extend([8, 0]);
    frame.extend([0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([198, 19, 0, 1]);
    frame.extend(veth::SCANNER.addr.octets());
    frame.extend(80_u16.to_be_bytes());
    frame.extend((PORTS.0).to_be_bytes());
    frame.extend([1, 2, 3, 4, 5, 6, 7, 8, 0xa0, 0x12, 0xff, 0xff, 0, 0, 0, 0]);
    // MSS, SACK permitted, timestamps, nothing, window scale: as Linux has them.
    frame.extend([2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
    frame
}

/// A frame of ours, changed at one place.
fn with(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut frame = syn_ack();
    frame[at..at + octets.len()].copy_from_slice(octets);
    frame
}

/// The frame behind 802.1Q or 802.1ad tags.
fn tagged(tags: &[[u8; 4]]) -> Vec<u8> {
    let mut frame = syn_ack();
    let tail = frame.split_off(12);
    frame.extend(tags.iter().flatten());
    frame.extend(tail);
    frame
}

/// ICMP to us, of `kind` and with `quote` behind its header.
fn icmp(kind: [u8; 2], quote: &[u8]) -> Vec<u8> {
    let mut frame = syn_ack();
    frame.truncate(TCP);
    frame[IP + 2..IP + 4].copy_from_slice(&(28 + quote.len() as u16).to_be_bytes());
    frame[IP + 9] = 1;
    frame.extend(kind);
    frame.extend([0; 6]);
    frame.extend(quote);
    frame
}

/// Our own SYN to the host, as it left.
fn own_probe() -> Vec<u8> {
    let mut frame = syn_ack();
    frame.copy_within(6..12, 0);
    frame[6..12].copy_from_slice(&veth::SCANNER.mac);
    let (source, destination) = (veth::SCANNER.addr.octets(), [198, 19, 0, 1]);
    frame[IP + 12..IP + 16].copy_from_slice(&source);
    frame[IP + 16..IP + 20].copy_from_slice(&destination);
    let ports = [frame[TCP + 2], frame[TCP + 3], frame[TCP], frame[TCP + 1]];
    frame[TCP..TCP + 4].copy_from_slice(&ports);
    frame[TCP + 13] = 2;
    frame
}

/// Every oddity once.
fn oddities() -> Vec<Vec<u8>> {
    let whole = syn_ack();
    let mut odd: Vec<Vec<u8>> = Vec::new();
    // Cut at every length at which a link still sends it.
    odd.extend((IP..whole.len()).map(|len| whole[..len].to_vec()));
    // Longer than it says, by a little and by all that the link carries.
    for padding in [1, 7, 1_400] {
        let mut frame = whole.clone();
        frame.resize(frame.len() + padding, 0xa5);
        odd.push(frame);
    }
    // IP: version, header length, total length too short and too long, fragments, other protocols.
    for first in [0x05, 0x40, 0x41, 0x44, 0x46, 0x4f, 0x55, 0x65, 0xff] {
        odd.push(with(IP, &[first]));
    }
    for len in [0_u16, 1, 19, 20, 21, 39, 41, 61, 1_500, u16::MAX] {
        odd.push(with(IP + 2, &len.to_be_bytes()));
    }
    for fragment in [0x2000_u16, 0x0001, 0x1fff, 0x3fff, 0xffff] {
        odd.push(with(IP + 6, &fragment.to_be_bytes()));
    }
    odd.extend([0, 2, 17, 41, 132, 255].map(|protocol| with(IP + 9, &[protocol])));
    // TCP: data offsets before and behind, flags that exclude each other, options that do not end.
    odd.extend((0..16).map(|offset| with(TCP + 12, &[offset << 4])));
    odd.extend(
        [0x00, 0x01, 0x03, 0x06, 0x07, 0x10, 0x16, 0x29, 0xff].map(|f| with(TCP + 13, &[f])),
    );
    for options in [[2, 0, 0, 0], [8, 0, 8, 0], [2, 255, 1, 1], [0xfe, 1, 0xfe, 1], [0, 0, 0, 0]] {
        odd.push(with(TCP + 20, &options));
        odd.push(with(TCP + 36, &options));
    }
    // ICMP: quotes of any length and of anything; kinds that are none.
    let probe = own_probe();
    odd.extend((0..60).map(|len| icmp([3, 1], &probe[IP..IP + len.min(probe.len() - IP)])));
    odd.extend(
        [[3, 255], [11, 0], [5, 1], [0, 0], [8, 0], [255, 255]]
            .map(|kind| icmp(kind, &probe[IP..])),
    );
    odd.push(icmp([3, 1], &whole[IP..]));
    // Tags: one, two, tags alone, a tag of priority.
    odd.push(tagged(&[[0x81, 0, 0, 5]]));
    odd.push(tagged(&[[0x88, 0xa8, 0, 5], [0x81, 0, 0, 6]]));
    odd.push(tagged(&[[0x81, 0, 0xe0, 0]]));
    odd.push(tagged(&[[0x81, 0, 0, 5]; 8]));
    odd.push(tagged(&[[0x81, 0, 0, 5]])[..16].to_vec());
    // Our own frames, as a mirror or a hub shows them, and as if we had sent them to ourselves.
    odd.push(own_probe());
    odd.push(with(IP + 12, &veth::SCANNER.addr.octets()));
    // Not IPv4 at all: LLC, LLDP, IPv6 with nothing in it, ARP that is cut or lies, an unknown type.
    odd.extend(
        [[0, 38], [5, 0xdc], [0x88, 0xcc], [0x86, 0xdd], [8, 6], [0xff, 0xff]]
            .map(|ty| with(12, &ty)),
    );
    let mut arp = with(12, &[8, 6]);
    arp.truncate(IP);
    arp.extend([0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 9, 198, 18, 0, 2]);
    odd.push(arp.clone());
    arp.extend(veth::SCANNER.mac);
    arp.extend(veth::SCANNER.addr.octets());
    odd.push(arp);
    odd
}

/// Sends everything odd until `is_over`, as it is and with three octets changed by turns; how many rounds it was.
fn pester(injector: &Injector, is_over: &AtomicBool) -> u64 {
    let oddities = oddities();
    let mut number = 1_u64;
    let send = |frame: &[u8]| {
        injector.inject(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
    };
    let mut round = 0;
    while !is_over.load(Ordering::Relaxed) {
        for frame in &oddities {
            // ARP is left as it is: a reply that became a request would be answered, and rightly so. What else the kernel
            // sees has no right checksum.
            let is_arp = frame[12..14] == [8, 6];
            let mut frame = frame.clone();
            for _ in 0..if is_arp { 0 } else { 3 * (round % 2) } {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99_991);
                let at = 12 + (number >> 33) as usize % (frame.len() - 12);
                frame[at] = (number >> 56) as u8;
            }
            send(&frame);
        }
        // With rests, so that it is not the machine that loses.
        thread::sleep(Duration::from_millis(50));
        round += 1;
    }
    round
}

#[test]
fn odd_frames_in_mid_scan_change_nothing() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let injector = Injector::open(lab.world()).unwrap();
    let is_over = AtomicBool::new(false);
    let (rounds, (records, summary)) = thread::scope(|scope| {
        let pesterer = scope.spawn(|| pester(&injector, &is_over));
        let builder = scan("198.19.0.0/18", "80").source_ports(PORTS.0, PORTS.1);
        let result = run(builder.rate("20k".parse().unwrap()).cooldown(Duration::from_secs(1)));
        is_over.store(true, Ordering::Relaxed);
        (pesterer.join().unwrap(), result)
    });
    assert_eq!(found(&records, State::Open).len(), OPEN);
    assert_eq!(records.len(), OPEN, "no other state was believed");
    assert!(summary.is_complete(), "{:?}", summary.counts);
    let counts = summary.counts;
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
    assert_eq!(counts.resets + counts.resets_skipped, counts.valid);
    assert!(rounds > 2, "some came in mid-scan");
    // Those that look like answers pass the filter and fail by what they say.
    for (count, what) in [
        (counts.invalid_malformed, "malformed"),
        (counts.invalid_cookie, "cookie"),
        (counts.invalid_challenge, "challenge"),
        (counts.invalid_kind, "kind"),
    ] {
        assert!(count > 0, "{what}: {counts:?}");
    }
    // Which the XDP link leaves to the kernel.
    assert_eq!(counts.arp_received > 0, !is_over_xdp(), "ARP: {counts:?}");
    // The others never reached us; the device counted them all.
    let (_, growth) = summary.interface.unwrap();
    assert!(growth.rx_packets >= counts.received + counts.ring_drops, "{growth:?} {counts:?}");
    assert_eq!(growth.tx_packets, counts.sent, "nothing was said to any of it");
}

/// Datagrams that the sending kernel leaves in one piece for the device to cut: over veth they arrive whole, longer than any
/// frame of the link and with a checksum that nobody completed.
#[test]
fn frames_longer_than_the_link_carries_are_one_frame_each() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    const SEGMENT: i32 = 1_000;
    const SEGMENTS: usize = 20;
    const SENT: u64 = 50;
    // A silent host keeps the scan waiting for as long as the datagrams take.
    let silent = Prefix::new([198, 19, 64, 0], 32);
    let lab = Lab::builder().open(80).silent(silent).start().unwrap();
    let super_frames = lab
        .world()
        .run(|| {
            let socket = UdpSocket::bind((veth::WORLD.addr, 0)).unwrap();
            setsockopt(&socket, sockopt::UdpGsoSegment, &SEGMENT).map(|()| socket)
        })
        .unwrap();
    let socket = match super_frames {
        Ok(socket) => socket,
        Err(errno) => {
            println!("\nSKIPPED: this kernel has no UDP_SEGMENT (Linux 4.18): {errno}");
            return;
        }
    };
    let builder = scan("198.19.0.0/18", "80").target("198.19.64.0");
    let builder =
        builder.source_ports(PORTS.0, PORTS.1).retries(0).cooldown(Duration::from_secs(3));
    let mut scan = builder.rate("20k".parse().unwrap()).build().unwrap();
    let start = Instant::now();
    while scan.progress().started == 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "it never began");
        thread::sleep(Duration::from_millis(1));
    }
    let datagrams = vec![0x5a; SEGMENT as usize * SEGMENTS];
    for _ in 0..SENT {
        socket.send_to(&datagrams, (veth::SCANNER.addr, PORTS.0)).unwrap();
    }
    let records = scan.by_ref().count();
    let summary = scan.finish().unwrap();
    assert_eq!((records, summary.count(State::Open)), (OPEN + 1, OPEN as u64));
    let counts = summary.counts;
    assert_eq!(counts.received, counts.valid + counts.invalid() + counts.arp_received);
    println!("{SENT} datagrams of {SEGMENTS} segments arrived as {} frames", counts.invalid());
    // Whole, or cut by a kernel that does so on the way: each piece is counted, and nothing else of its kind came.
    assert!(counts.invalid() >= SENT && counts.invalid() <= SENT * SEGMENTS as u64, "{counts:?}");
    let (_, growth) = summary.interface.unwrap();
    assert_eq!(growth.rx_packets, counts.received + counts.ring_drops);
}
