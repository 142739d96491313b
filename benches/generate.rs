//! What a probe costs before the kernel sees it, and the parts of that which are not the frame's own.
//!
//! One element is one probe, so the rate that criterion prints is probes per second on one core. Nothing is sent: the frames
//! are made into slots like those of a link and made over.

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mrpf_engine::{
    answered::{Answered, Grouping, MAX_BLOCK, Plan},
    cookie::Cookie,
    governor::{Class, Governor, Rate},
    link::{LinkLayer, MAX_BATCH},
    probe::{Probe, Shot},
    sources::{Family, Sources},
    target::{Shard, Targets, Walk},
    template::{Ends, TcpProfile},
    time::Instant,
    wire::MacAddr,
};
use mrpf_syn::{Marks, SourcePorts, SynProbe};

const SEED: u64 = 0x5eed;
const SLOT_LEN: usize = 128;
const NEXT_HOP: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const SOURCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SOURCE_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// The whole way from a number to a frame, and its two halves: which target it is, and the bytes that ask it.
fn generate(c: &mut Criterion) {
    let mut group = c.benchmark_group("generate");
    group.throughput(Throughput::Elements(1));
    for (name, family, walk) in [
        ("1_range", Family::V4, one_range()),
        ("10k_ranges_less_5k", Family::V4, many_ranges()),
        ("1_ipv6_range", Family::V6, one_ipv6_range()),
    ] {
        let mut sequence = 0;
        group.bench_with_input(BenchmarkId::new("target", name), &walk, |b, walk| {
            b.iter(|| {
                sequence = following(sequence, walk);
                walk.target(black_box(sequence))
            });
        });
        for profile in [TcpProfile::Windows, TcpProfile::Bare] {
            let probe = probe(profile);
            let mut slots = prepared(&probe, family);
            group.bench_function(BenchmarkId::new(format!("probe_{profile}"), name), |b| {
                b.iter(|| {
                    sequence = following(sequence, &walk);
                    let target = walk.target(black_box(sequence));
                    let slot = &mut slots[sequence as usize % MAX_BATCH];
                    probe.make(slot, &Shot { target, attempt: 0, next_hop: NEXT_HOP });
                    black_box(slot);
                });
            });
        }
    }
    group.finish();
}

/// The keyed hash alone: the dearest single step of `make` and of `validate`.
fn cookie(c: &mut Criterion) {
    let mut group = c.benchmark_group("cookie");
    group.throughput(Throughput::Elements(1));
    let cookie = Cookie::from_key(&[7; 16]);
    let mut host = 0_u32;
    group.bench_function("v4", |b| {
        b.iter(|| {
            host = host.wrapping_add(1);
            cookie.v4(black_box((SOURCE, 61_000)), (Ipv4Addr::from(host), 443))
        });
    });
    group.bench_function("v6", |b| {
        b.iter(|| {
            host = host.wrapping_add(1);
            cookie.v6(black_box((SOURCE_6, 61_000)), (Ipv6Addr::from(u128::from(host)), 443))
        });
    });
    group.finish();
}

/// What the ring costs for a probe that is answered: the sender's stamp, the receiver's mark one batch later.
fn answered(c: &mut Criterion) {
    /// Two seconds at 1 M/s: 4 MB of send times, so that the bench sees the caches that a scan sees.
    const WINDOW: u64 = 1 << 21;
    const BATCH: u64 = MAX_BATCH as u64;
    let mut group = c.benchmark_group("answered");
    group.throughput(Throughput::Elements(1));
    for (name, grouping) in [("single", Grouping::Single), ("block", Grouping::Block)] {
        let plan = Plan { total: u64::MAX, window: WINDOW, grouping, lanes: 1, block: MAX_BLOCK };
        let ring = Answered::new(plan).expect("4 MB");
        let mut sequence = 0_u64;
        group.bench_function(BenchmarkId::new("stamp_and_mark", name), |b| {
            b.iter(|| {
                if sequence.is_multiple_of(MAX_BLOCK) {
                    ring.claim(0).expect("the tail follows");
                }
                ring.stamp(sequence, Instant::from_nanos(sequence * 1_000));
                sequence += 1;
                if sequence.is_multiple_of(BATCH) {
                    ring.set_pass(0, 0, sequence);
                    ring.set_tail(0, Some(sequence.saturating_sub(WINDOW)));
                }
                ring.mark(black_box(sequence.saturating_sub(2 * BATCH)))
            });
        });
    }
    group.finish();
}

/// A sender's question for a batch; one element is one frame of it.
fn governor(c: &mut Criterion) {
    let mut group = c.benchmark_group("governor/take");
    let rate = NonZeroU64::new(1_000_000).expect("not zero");
    for (name, rate) in [("1M", Rate::PerSecond(rate)), ("max", Rate::Max)] {
        for batch in [1, MAX_BATCH as u32] {
            group.throughput(Throughput::Elements(u64::from(batch)));
            let governor = Governor::new(rate);
            let mut now = Instant::START;
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                b.iter_batched(
                    || {
                        // As long as the batch is worth, so that it is always there to be taken.
                        now += Duration::from_micros(u64::from(batch));
                        now
                    },
                    |now| governor.take(Class::New, black_box(batch), now),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn following(sequence: u64, walk: &Walk) -> u64 {
    if sequence + 1 == walk.len() { 0 } else { sequence + 1 }
}

fn one_range() -> Walk {
    walk(Targets::builder().spec("198.18.0.0/15"))
}

/// As many hosts as [`one_range`] has.
fn one_ipv6_range() -> Walk {
    walk(Targets::builder().spec("2001:db8:1::/111"))
}

/// 10,000 ranges of 65,536 addresses all over IPv4, 256 taken out of every second one.
fn many_ranges() -> Walk {
    const STRIDE: u32 = u32::MAX / 10_000;
    let mut builder = Targets::builder();
    for n in 0..10_000 {
        let first = n * STRIDE;
        let range = |first: u32, len: u32| {
            format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(first + len - 1))
        };
        builder = builder.spec(range(first, 65_536));
        if n % 2 == 0 {
            builder = builder.exclude(range(first + 30_000, 256));
        }
    }
    walk(builder)
}

fn walk(builder: mrpf_engine::target::TargetsBuilder) -> Walk {
    let targets =
        builder.ports("80,443").allow_reserved(true).build().expect("the targets are well formed");
    Walk::new(Arc::new(targets), SEED, Shard::default())
}

fn probe(profile: TcpProfile) -> SynProbe {
    let ends = Ends {
        layer: LinkLayer::Ethernet,
        source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        vlan: None,
        sources: Sources { v4: Some(SOURCE), v6: Some(SOURCE_6) },
    };
    let ports = SourcePorts::new(61_000, 256, 3).expect("enough ports");
    SynProbe::new(&ends, profile, Marks::new(ports, Cookie::from_key(&[7; 16])))
}

fn prepared(probe: &SynProbe, family: Family) -> Vec<[u8; SLOT_LEN]> {
    let mut slots = vec![[0; SLOT_LEN]; MAX_BATCH];
    for slot in &mut slots {
        probe.prepare(slot, family);
    }
    slots
}

criterion_group!(benches, generate, cookie, answered, governor);
criterion_main!(benches);
