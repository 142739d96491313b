//! What it costs to go from a number to a target and back. One element is one lookup, so the rate criterion prints is
//! lookups per second on one core.
//!
//! The numbers asked for are spread over the whole domain by a multiplicative hash, so that the tables are read as a scan
//! reads them: at random, and not in the order that the caches like.

use std::{hint::black_box, io::Write, net::Ipv4Addr, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mrpf_engine::target::{Permutation, Shard, Target, Targets, Walk};

/// One network of 2^17 addresses.
fn one_range() -> Targets {
    Targets::builder()
        .spec("198.18.0.0/15")
        .ports("80,443")
        .allow_reserved(true)
        .build()
        .expect("one network")
}

/// 10,000 ranges of uneven length all over IPv4, of which 5,000 exclusions cut a piece.
fn ten_thousand_ranges() -> Targets {
    let mut builder = Targets::builder().ports("80,443").allow_reserved(true);
    for at in 0..10_000_u32 {
        let first = at * 429_496 + at.wrapping_mul(0x9e37_79b1) % 1_000;
        let last = first + 255 + at.wrapping_mul(0x85eb_ca6b) % 400_000;
        builder = builder.spec(format!("{}-{}", Ipv4Addr::from(first), Ipv4Addr::from(last)));
        if at % 2 == 0 {
            builder = builder.exclude(format!(
                "{}-{}",
                Ipv4Addr::from(first + 100),
                Ipv4Addr::from(first + 120)
            ));
        }
    }
    builder.build().expect("many ranges")
}

/// Numbers of `0..n`, spread over it, without end.
fn spread(n: u128) -> impl FnMut() -> u128 {
    let mut at = 0_u64;
    let (high, low) = (n >> 64, n as u64);
    move || {
        at = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let within = (u128::from(at) * u128::from(low)) >> 64;
        if high == 0 { within } else { high * u128::from(at) + within }
    }
}

fn nth(c: &mut Criterion) {
    let mut group = c.benchmark_group("targets/nth");
    group.throughput(Throughput::Elements(1));
    for (name, targets) in
        [("1_range", one_range()), ("10k_ranges_5k_exclusions", ten_thousand_ranges())]
    {
        let mut index = spread(targets.len());
        group.bench_function(name, |b| b.iter(|| targets.nth(black_box(index()))));
    }
}

fn index_of(c: &mut Criterion) {
    let mut group = c.benchmark_group("targets/index_of");
    group.throughput(Throughput::Elements(1));
    for (name, targets) in
        [("1_range", one_range()), ("10k_ranges_5k_exclusions", ten_thousand_ranges())]
    {
        // Made beforehand: 64 Ki targets are more than the first cache holds and cost little to step through.
        let mut index = spread(targets.len());
        let asked: Vec<Target> = (0..1 << 16).map(|_| targets.nth(index())).collect();
        let mut at = 0;
        group.bench_function(name, |b| {
            b.iter(|| {
                at = (at + 1) & 0xffff;
                targets.index_of(black_box(asked[at]))
            });
        });
    }
}

const DOMAINS: [(&str, u128); 4] =
    [("2^16", 1 << 16), ("2^32", 1 << 32), ("2^48+59", (1 << 48) + 59), ("2^100", 1 << 100)];

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("permutation/forward");
    group.throughput(Throughput::Elements(1));
    for (name, n) in DOMAINS {
        let (permutation, mut position) = (Permutation::new(n, 0x5eed), spread(n));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| permutation.forward(black_box(position())));
        });
    }
}

fn inverse(c: &mut Criterion) {
    let mut group = c.benchmark_group("permutation/inverse");
    group.throughput(Throughput::Elements(1));
    for (name, n) in DOMAINS {
        let (permutation, mut number) = (Permutation::new(n, 0x5eed), spread(n));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| permutation.inverse(black_box(number())));
        });
    }
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(1));
    let walk =
        Walk::new(Arc::new(ten_thousand_ranges()), 0x5eed, Shard::new(2, 5).expect("in 1..=5"));
    let len = walk.len();
    let mut sequence = 0;
    group.bench_function("target", |b| {
        b.iter(|| {
            sequence = if sequence + 1 == len { 0 } else { sequence + 1 };
            walk.target(black_box(sequence))
        });
    });
    let asked: Vec<Target> = (0..1 << 16).map(|at| walk.target(at)).collect();
    let mut at = 0;
    group.bench_function("sequence", |b| {
        b.iter(|| {
            at = (at + 1) & 0xffff;
            walk.sequence(black_box(asked[at]))
        });
    });
}

/// A file of a million addresses of which no two touch, in no order. One element is one line.
fn compile(c: &mut Criterion) {
    const LINES: u32 = 1_000_000;
    let path = std::env::temp_dir().join(format!("mrpf-bench-targets-{}.txt", std::process::id()));
    let mut file = std::io::BufWriter::new(
        std::fs::File::create(&path).expect("a file in the temporary folder"),
    );
    for at in 0..LINES {
        // An odd factor makes a bijection on 32 bits; the last bit is cleared so that no two are neighbours.
        let addr = Ipv4Addr::from(at.wrapping_mul(0x9e37_79b1) & !1);
        writeln!(file, "{addr}").expect("room for 15 MB");
    }
    drop(file);
    let mut group = c.benchmark_group("targets/compile");
    group.throughput(Throughput::Elements(LINES.into())).sample_size(10);
    group.bench_function("1M_lines", |b| {
        b.iter(|| Targets::builder().file(&path).ports("80").build().expect("a list"));
    });
    std::fs::remove_file(&path).expect("the file made above");
}

criterion_group!(benches, nth, index_of, forward, inverse, walk, compile);
criterion_main!(benches);
