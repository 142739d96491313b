//! What a TLS host costs beyond its packets: one element is one host.
//!
//! Flights are made before the clock starts. They are read in segments of 1,460 octets, as they come.

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mrpf_tls::{
    Capture,
    handshake::{
        Cut, Handshake, Next,
        fuzzing::{Host, SENT, certificate, clear, message, server_hello},
    },
    hello::{Hello, KeyShares, Profile, Salt},
};

/// The leaf and its issuer, as long as those of most hosts are.
const LENGTHS: [usize; 2] = [1_200, 1_300];
const SIGNATURE: [u8; 264] = [7; 264];
const HANDSHAKE: u8 = 22;

fn chain() -> [Vec<u8>; 2] {
    LENGTHS.map(|len| vec![0x30; len])
}

fn sealed(cipher: u16) -> Vec<u8> {
    let [leaf, issuer] = chain();
    let messages = [
        message(8, &[0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2']),
        certificate(&[&leaf, &issuer], Some(&[])),
        message(15, &SIGNATURE),
        message(20, &[7; 32]),
    ];
    let mut host = Host::new(&SENT, cipher);
    clear(&mut host.octets, 20, &[1]);
    host.say(HANDSHAKE, &messages.concat(), 0);
    host.octets
}

fn in_clear() -> Vec<u8> {
    let [leaf, issuer] = chain();
    let mut octets = Vec::new();
    for message in [
        server_hello(0x0303, 0xc02f, &[(0xff01, &[0])]),
        certificate(&[&leaf, &issuer], None),
        message(12, &[&[3, 0, 29, 32][..], &[7; 32], &[8, 4, 1, 0], &[7; 256]].concat()),
        message(14, &[]),
    ] {
        clear(&mut octets, HANDSHAKE, &message);
    }
    octets
}

fn read(shares: &KeyShares, flight: &[u8], unread: &mut Vec<u8>) -> Capture {
    let mut handshake = Handshake::new();
    unread.clear();
    for segment in flight.chunks(1_460) {
        unread.extend_from_slice(segment);
        let (used, next) = handshake.read(&SENT, shares, unread);
        if next == Next::Enough {
            break;
        }
        unread.drain(..used);
    }
    handshake.finish(Cut::Enough)
}

fn capture(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls/capture");
    group.throughput(Throughput::Elements(1));
    let shares = KeyShares::identity();
    for (name, flight) in [
        ("clear", in_clear()),
        ("aes-128", sealed(0x1301)),
        ("aes-256", sealed(0x1302)),
        ("chacha20", sealed(0x1303)),
    ] {
        let mut unread = Vec::new();
        let captured = read(&shares, &flight, &mut unread);
        assert!(captured.certificates().map(<[u8]>::len).eq(LENGTHS));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| read(&shares, black_box(&flight), &mut unread));
        });
    }
    group.finish();
}

fn hello(c: &mut Criterion) {
    let mut group = c.benchmark_group("tls/hello");
    group.throughput(Throughput::Elements(1));
    let hello = Hello::new(Profile::Modern, Arc::new(KeyShares::identity()));
    let salt = Salt { random: [3; 32], session_id: [4; 32] };
    let mut out = Vec::new();
    for (kind, name) in [("named", Some("www.host.example")), ("unnamed", None)] {
        group.bench_function(BenchmarkId::from_parameter(kind), |b| {
            b.iter(|| {
                hello.write(&mut out, black_box(&salt), black_box(name));
                black_box(&out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, capture, hello);
criterion_main!(benches);
