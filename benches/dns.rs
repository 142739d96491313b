//! What one name costs without a network: the query, the answer read and judged, and whom to ask next.
//! One element is one name.

use std::{hint::black_box, net::SocketAddr, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mrpf_dns::{
    message::{Edns, Kind, Matched, Message, Name, Qclass, Qtype, Query},
    resolver::{Pick, Pool, PoolSettings},
};
use mrpf_engine::time::Instant;

/// An answer to `www.example.com A`, behind its question: an alias and its two addresses.
const BEHIND: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x07\x04host\xc0\x10\
    \xc0\x2d\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc6\x13\x00\x07\
    \xc0\x2d\x00\x01\x00\x01\x00\x00\x01\x2c\x00\x04\xc6\x13\x00\x08";

fn ask_and_read(c: &mut Criterion) {
    let mut group = c.benchmark_group("dns/ask_and_read");
    group.throughput(Throughput::Elements(1));
    let name = Name::parse(b"www.example.com").expect("is a name");
    let question_end = 12 + name.as_wire().len() + 4;
    let mut octets = [0; Query::MAX_LEN];
    let mut answer = [vec![0; question_end], BEHIND.to_vec()].concat();
    let mut id = 0_u16;
    group.bench_function("alias_and_two_addresses", |b| {
        b.iter(|| {
            id = id.wrapping_add(1);
            let query = Query {
                id,
                name: black_box(name.as_wire()),
                case: u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15),
                qtype: Qtype::A,
                qclass: Qclass::IN,
                recursion: true,
                edns: Some(Edns::USUAL),
            };
            query.write(&mut octets);
            answer[..question_end].copy_from_slice(&octets[..question_end]);
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 3, 0, 0, 0, 0]);
            let message = Message::parse(&answer).expect("a header");
            assert_eq!(query.answers(&message), Matched::Same);
            assert_eq!(message.outcome(), Kind::Answer);
            message.digest()
        });
    });
    group.finish();
}

fn whom(c: &mut Criterion) {
    let mut group = c.benchmark_group("dns/resolver");
    group.throughput(Throughput::Elements(1));
    for count in [1_u32, 100, 65_536] {
        let addr = |number: u32| SocketAddr::from(((0xc613_0000 | number).to_be_bytes(), 53));
        let addrs: Vec<_> = (0..count).map(addr).collect();
        let mut pool = Pool::new(&addrs, PoolSettings::default(), 1);
        let mut now = 10_000_000_u64;
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                loop {
                    let at = Instant::from_nanos(now);
                    match pool.pick(at, &[]) {
                        Pick::Server(id) => {
                            pool.sent(id, at);
                            break pool.answered(id, at, Some(Duration::from_micros(300)));
                        }
                        Pick::Wait(until) => now = until.as_nanos(),
                        Pick::Dead => panic!("all of them answer"),
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ask_and_read, whom);
criterion_main!(benches);
