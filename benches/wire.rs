//! What a received frame costs before anyone looks at it, and what a frame to send costs once its target is known. One
//! element is one frame, so the rate criterion prints is packets per second on one core.

use std::{
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr},
};

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use mrpf_engine::{
    link::LinkLayer,
    sources::Sources,
    template::{Address, Ends, RstFields, RstTemplate, SynFields, SynTemplate, TcpProfile},
    wire::{self, MacAddr, tcp_options},
};

const FRAMES: [(&str, &[u8]); 10] = [
    ("syn_ack", include_bytes!("../engine/testdata/syn_ack.bin")),
    ("syn_ack_vlan", include_bytes!("../engine/testdata/syn_ack_vlan.bin")),
    ("rst_ack", include_bytes!("../engine/testdata/rst_ack.bin")),
    ("icmp_unreachable", include_bytes!("../engine/testdata/icmp_host_unreachable.bin")),
    ("arp_reply", include_bytes!("../engine/testdata/arp_reply.bin")),
    ("truncated", include_bytes!("../engine/testdata/syn_ack_cut.bin")),
    ("ipv6_syn_ack", include_bytes!("../engine/testdata/ipv6_syn_ack.bin")),
    ("ipv6_rst_ack", include_bytes!("../engine/testdata/ipv6_rst_ack.bin")),
    ("ipv6_unreachable", include_bytes!("../engine/testdata/ipv6_no_route.bin")),
    ("ipv6_options", include_bytes!("../engine/testdata/ipv6_destination_options.bin")),
];

const NEXT_HOP: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/parse");
    group.throughput(Throughput::Elements(1));
    for (name, frame) in FRAMES {
        group.bench_with_input(BenchmarkId::from_parameter(name), frame, |b, frame| {
            b.iter(|| wire::parse(black_box(frame), LinkLayer::Ethernet).is_ok());
        });
    }
}

fn options(c: &mut Criterion) {
    let mut group = c.benchmark_group("wire/tcp_options");
    group.throughput(Throughput::Elements(1));
    let linux: &[u8] = &[2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];
    group.bench_function("linux", |b| b.iter(|| tcp_options::iter(black_box(linux)).count()));
}

fn patch(c: &mut Criterion) {
    let mut group = c.benchmark_group("template/patch");
    group.throughput(Throughput::Elements(1));
    let ends = Ends {
        layer: LinkLayer::Ethernet,
        source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        vlan: None,
        sources: Sources {
            v4: Some(Ipv4Addr::new(198, 18, 0, 1)),
            v6: Some(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        },
    };
    for profile in TcpProfile::ALL {
        patch_syn(&mut group, &format!("syn_{profile}"), &ends, profile, Ipv4Addr::from);
    }
    let v6 = |number| Ipv6Addr::from(u128::from(number));
    patch_syn(&mut group, "syn_ipv6_windows", &ends, TcpProfile::Windows, v6);
    let template = RstTemplate::new(&ends).expect("an IPv4 source");
    let mut slot = [0; 128];
    template.prepare(&mut slot);
    group.bench_function("rst", |b| {
        b.iter(|| {
            let fields = RstFields {
                next_hop: NEXT_HOP,
                destination: Ipv4Addr::new(198, 19, 0, 7),
                destination_port: 443,
                source_port: 61_000,
                seq: 7,
                ip_id: 7,
            };
            template.patch(&mut slot, black_box(&fields));
            black_box(&slot);
        });
    });
}

/// To the address that `destination` makes of a number, another one each time.
fn patch_syn<A: Address>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    ends: &Ends,
    profile: TcpProfile,
    destination: impl Fn(u32) -> A,
) {
    let template = SynTemplate::new(ends, profile).expect("a source of that family");
    let mut slot = [0; 128];
    template.prepare(&mut slot);
    let mut number = 0_u32;
    group.bench_function(name, |b| {
        b.iter(|| {
            number = number.wrapping_add(0x9e37_79b1);
            let fields = SynFields {
                next_hop: NEXT_HOP,
                destination: destination(number),
                destination_port: 443,
                source_port: 61_000,
                seq: !number,
                ip_id: number,
                ts_val: number,
            };
            template.patch(&mut slot, black_box(&fields));
            black_box(&slot);
        });
    });
}

criterion_group!(benches, parse, options, patch);
criterion_main!(benches);
