//! What connections cost beyond the SYN: one element is one received segment.
//!
//! Frames are made before the clock starts; parsing them is in the figure, sending and the kernel are not.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mrpf_engine::{
    cookie::Cookie,
    link::LinkLayer,
    sources::Sources,
    target::Target,
    tcp::{About, Flows, Frames, Handled, Incoming, Opening, Outgoing, Requests, Settings},
    template::{Ends, TcpProfile},
    time::Instant,
    wire::{self, MacAddr, tcp::Flags},
};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 7);
const REQUEST: [u8; 517] = [0x16; 517];
/// So many flows are open beside the one that hears something: their table is far larger than the caches.
const OTHERS: u32 = 100_000;

struct Hello;

impl Requests for Hello {
    fn bytes(&mut self, _about: &About) -> &[u8] {
        &REQUEST
    }
}

fn ends(source: Ipv4Addr) -> Ends {
    let source_mac = MacAddr([2, 0, 0, 0, 0, 1]);
    Ends { layer: LinkLayer::Ethernet, source_mac, vlan: None, sources: Sources::from(source) }
}

/// A frame from the host to us.
fn frame(seq: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let said = Outgoing {
        remote: Target { addr: OURS.into(), port: 61_000 },
        local_port: 443,
        next_hop: MacAddr::ZERO,
        seq,
        ack: if flags.contains(Flags::SYN) { 5_000 } else { 5_000 + REQUEST.len() as u32 },
        flags,
        window: 64_240,
        sack: None,
        payload,
        label: 1,
    };
    let mut slot = [0; Frames::MAX_LEN];
    let len = Frames::new(&ends(HOST), TcpProfile::Windows).write(&mut slot, &said);
    slot[..len.into()].to_vec()
}

fn incoming(frame: &[u8], n: u32) -> Incoming<'_> {
    let packet = wire::parse(frame, LinkLayer::Ethernet).expect("it was made whole");
    let incoming = Incoming::of(&packet).expect("it is TCP");
    let addr = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n));
    Incoming { remote: Target { addr, port: 443 }, ..incoming }
}

fn open(flows: &mut Flows, syn_ack: &[u8], n: u32, now: Instant) -> mrpf_engine::tcp::FlowId {
    let opening = Opening {
        syn_ack: incoming(syn_ack, n),
        next_hop: MacAddr::ZERO,
        label: n,
        word: n.into(),
        request_len: REQUEST.len() as u32,
    };
    flows.open(&opening, now).expect("there is room")
}

/// Opened, asked, a flight of some length heard, acknowledged, read, closed: all that a flow costs, by segment heard.
fn flight(c: &mut Criterion) {
    let mut group = c.benchmark_group("flows/flight");
    let settings = Settings { flows: OTHERS + 1, ..Settings::default() };
    let syn_ack = frame(999, Flags::SYN | Flags::ACK, &[]);
    let frames_out = Frames::new(&ends(OURS), TcpProfile::Windows);
    for len in [1_460, 3_500, 14_600] {
        let flight = vec![0x17; len];
        let parts: Vec<_> = flight.chunks(1_460).collect();
        let heard: Vec<_> = parts
            .iter()
            .enumerate()
            .map(|(n, part)| {
                let push = if n + 1 == parts.len() { Flags::PSH } else { Flags(0) };
                frame(1_000 + n as u32 * 1_460, Flags::ACK | push, part)
            })
            .collect();
        let mut flows = Flows::new(settings, Cookie::from_key(&[7; 16])).expect("there is memory");
        let mut now = Instant::from_nanos(1);
        for n in 0..OTHERS {
            open(&mut flows, &syn_ack, n, now);
        }
        let mut slot = [0; Frames::MAX_LEN];
        let mut send = |flows: &mut Flows, now| {
            while let Some(outgoing) = flows.poll_transmit(now, &mut Hello) {
                black_box(frames_out.write(&mut slot, &outgoing));
            }
        };
        send(&mut flows, now);
        let mut n = OTHERS;
        group.throughput(Throughput::Elements(1 + heard.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |b| {
            b.iter(|| {
                n = n.wrapping_add(1).max(OTHERS);
                now = Instant::from_nanos(now.as_nanos() + 1_000);
                let id = open(&mut flows, &syn_ack, n, now);
                send(&mut flows, now);
                for frame in &heard {
                    assert_eq!(flows.handle(&incoming(frame, n), now), Handled::Data(id));
                }
                send(&mut flows, now);
                black_box(flows.data(id));
                flows.close(id);
                send(&mut flows, now);
            });
        });
    }
    group.finish();
}

/// One segment for one of many flows, whose state is in no cache: what it costs to find it and to take a little.
fn handle(c: &mut Criterion) {
    let mut group = c.benchmark_group("flows/handle");
    group.throughput(Throughput::Elements(1));
    let settings = Settings { flows: OTHERS, ..Settings::default() };
    let syn_ack = frame(999, Flags::SYN | Flags::ACK, &[]);
    let ack = frame(1_000, Flags::ACK, &[]);
    let mut flows = Flows::new(settings, Cookie::from_key(&[7; 16])).expect("there is memory");
    let now = Instant::from_nanos(1);
    for n in 0..OTHERS {
        open(&mut flows, &syn_ack, n, now);
    }
    while flows.poll_transmit(now, &mut Hello).is_some() {}
    let mut n = 0_u32;
    group.bench_function("known", |b| {
        b.iter(|| {
            n = (n + 7_919) % OTHERS; // a prime: neighbours are far apart
            flows.handle(&incoming(black_box(&ack), n), now)
        });
    });
    group.bench_function("stranger", |b| {
        b.iter(|| {
            n = (n + 7_919) % OTHERS;
            flows.handle(&incoming(black_box(&ack), OTHERS + n), now)
        });
    });
    group.finish();
}

criterion_group!(benches, flight, handle);
criterion_main!(benches);
