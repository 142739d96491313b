//! SYNs and RSTs of both versions of IP, judged by etherparse.

use std::net::{Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;

use super::{
    super::{RstFields, RstTemplate},
    *,
};
use crate::{link::LinkLayer, sources::Sources};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0x1234, 0, 0, 0, 1);

fn ends(layer: LinkLayer, vlan: Option<u16>) -> Ends {
    let sources = Sources { v4: Some(OURS), v6: Some(OURS_6) };
    Ends { layer, source_mac: MacAddr([2, 0, 0, 0, 0, 1]), vlan, sources }
}

fn syn<A: Address>(layer: LinkLayer, vlan: Option<u16>, profile: TcpProfile) -> SynTemplate<A> {
    SynTemplate::new(&ends(layer, vlan), profile).unwrap()
}

fn sliced(frame: &[u8], layer: LinkLayer) -> SlicedPacket<'_> {
    match layer {
        LinkLayer::Ethernet => SlicedPacket::from_ethernet(frame),
        LinkLayer::Ip => SlicedPacket::from_ip(frame),
    }
    .unwrap()
}

/// The segment of a packet whose checksums are right.
#[track_caller]
fn checked<'a>(packet: &SlicedPacket<'a>) -> TcpSlice<'a> {
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        panic!("{packet:?}");
    };
    let expected = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            tcp.calc_checksum_ipv4(header.source(), header.destination())
        }
        Some(NetSlice::Ipv6(ip)) => {
            tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(Ok(tcp.checksum()), expected);
    tcp.clone()
}

fn fields<A: Address + From<N>, N: Arbitrary>() -> impl Strategy<Value = SynFields<A>> {
    let numbers = (any::<u16>(), any::<u16>(), any::<u32>(), any::<u32>(), any::<u32>());
    (any::<[u8; 6]>(), any::<N>(), numbers).prop_map(
        |(mac, addr, (to, from, seq, ip_id, ts_val))| SynFields {
            next_hop: MacAddr(mac),
            destination: addr.into(),
            destination_port: to,
            source_port: from,
            seq,
            ip_id,
            ts_val,
        },
    )
}

fn rst_fields<A>(syn: SynFields<A>) -> RstFields<A> {
    let SynFields { next_hop, destination, destination_port, source_port, seq, ip_id, .. } = syn;
    RstFields { next_hop, destination, destination_port, source_port, seq, ip_id }
}

fn links() -> impl Strategy<Value = (LinkLayer, Option<u16>)> {
    prop::sample::select(vec![
        (LinkLayer::Ethernet, None),
        (LinkLayer::Ethernet, Some(42)),
        (LinkLayer::Ip, None),
    ])
}

/// One slot patched over and over: each frame says what it was told, and every checksum is right. `check` sees the IP header.
fn patched<A: Address>(
    probes: &[SynFields<A>],
    profile: TcpProfile,
    (layer, vlan): (LinkLayer, Option<u16>),
    check: impl Fn(&NetSlice<'_>, &SynFields<A>),
) {
    let template = syn::<A>(layer, vlan, profile);
    let mut slot = [0xaa; 128];
    template.prepare(&mut slot);
    for probe in probes {
        template.patch(&mut slot, probe);
        let frame = &slot[..template.frame_len()];
        let packet = sliced(frame, layer);
        let tcp = checked(&packet);
        if layer == LinkLayer::Ethernet {
            assert_eq!(frame[..6], probe.next_hop.0);
        }
        assert_eq!(packet.vlan_ids().first().map(|id| id.value()), vlan);
        check(packet.net.as_ref().unwrap(), probe);
        assert_eq!(
            (tcp.source_port(), tcp.destination_port()),
            (probe.source_port, probe.destination_port)
        );
        assert_eq!((tcp.sequence_number(), tcp.window_size()), (probe.seq, profile.window()));
        assert!(tcp.syn() && !tcp.ack() && !tcp.rst());
        let mut stamped = None;
        let mut segment_size = None;
        for option in tcp.options_iterator() {
            match option.unwrap() {
                etherparse::TcpOptionElement::Timestamp(value, 0) => stamped = Some(value),
                etherparse::TcpOptionElement::MaximumSegmentSize(size) => segment_size = Some(size),
                _ => {}
            }
        }
        assert_eq!(stamped, profile.timestamp_at().map(|_| probe.ts_val));
        assert_eq!(segment_size, Some(A::MAX_SEGMENT));
    }
    assert!(slot[template.frame_len()..].iter().all(|octet| *octet == 0xaa));
}

fn reset<A: Address>(fields: SynFields<A>, vlan: Option<u16>) {
    let template = RstTemplate::<A>::new(&ends(LinkLayer::Ethernet, vlan)).unwrap();
    let mut slot = [0xaa; 128];
    template.prepare(&mut slot);
    let seq = fields.seq;
    template.patch(&mut slot, &rst_fields(fields));
    let tcp = checked(&sliced(&slot[..template.frame_len()], LinkLayer::Ethernet));
    assert!(tcp.rst() && !tcp.ack() && !tcp.syn());
    assert_eq!(
        (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.window_size()),
        (seq, 0, 0)
    );
}

proptest! {
    #[test]
    fn each_patch_makes_a_whole_syn(
        probes in prop::collection::vec(fields::<Ipv4Addr, u32>(), 1..6),
        profile in prop::sample::select(TcpProfile::ALL.to_vec()),
        link in links(),
    ) {
        patched(&probes, profile, link, |net, probe| {
            let NetSlice::Ipv4(ip) = net else { panic!("{net:?}") };
            let ip = ip.header();
            assert_eq!((ip.source_addr(), ip.destination_addr()), (OURS, probe.destination));
            assert_eq!((ip.identification(), ip.ttl(), ip.dont_fragment()), (probe.ip_id as u16, profile.ttl(), true));
        });
    }

    #[test]
    fn each_patch_makes_a_whole_ipv6_syn(
        probes in prop::collection::vec(fields::<Ipv6Addr, u128>(), 1..6),
        profile in prop::sample::select(TcpProfile::ALL.to_vec()),
        link in links(),
    ) {
        patched(&probes, profile, link, |net, probe| {
            let NetSlice::Ipv6(ip) = net else { panic!("{net:?}") };
            let ip = ip.header();
            assert_eq!((ip.source_addr(), ip.destination_addr()), (OURS_6, probe.destination));
            assert_eq!((ip.flow_label().value(), ip.traffic_class()), (probe.ip_id & 0xf_ffff, 0));
            assert_eq!((ip.hop_limit(), ip.next_header()), (profile.ttl(), etherparse::IpNumber::TCP));
        });
    }

    #[test]
    fn each_patch_makes_a_whole_rst(
        probe in fields::<Ipv4Addr, u32>(),
        probe_6 in fields::<Ipv6Addr, u128>(),
        vlan in prop::option::of(0..4_096_u16),
    ) {
        reset(probe, vlan);
        reset(probe_6, vlan);
    }
}

#[test]
fn profiles_have_the_lengths_of_their_systems() {
    let len = |profile| syn::<Ipv4Addr>(LinkLayer::Ethernet, None, profile).frame_len();
    assert_eq!(TcpProfile::ALL.map(len), [66, 74, 74, 58]);
    let len = |profile| syn::<Ipv6Addr>(LinkLayer::Ethernet, None, profile).frame_len();
    assert_eq!(TcpProfile::ALL.map(len), [86, 94, 94, 78]);
}

#[test]
fn a_version_without_an_address_has_no_template() {
    let v4 = Ends { sources: OURS.into(), ..ends(LinkLayer::Ethernet, None) };
    assert!(SynTemplate::<Ipv4Addr>::new(&v4, TcpProfile::Linux).is_some());
    assert!(SynTemplate::<Ipv6Addr>::new(&v4, TcpProfile::Linux).is_none());
    let v6 = Ends { sources: OURS_6.into(), ..v4 };
    assert!(RstTemplate::<Ipv6Addr>::new(&v6).is_some());
    assert!(RstTemplate::<Ipv4Addr>::new(&v6).is_none());
}

#[test]
fn a_linux_syn_is_the_kernels_byte_for_byte() {
    let kernels: &[u8] = include_bytes!("../../../testdata/syn.bin");
    let number = |at: usize| u32::from_be_bytes(kernels[at..at + 4].try_into().unwrap());
    let template = syn(LinkLayer::Ethernet, None, TcpProfile::Linux);
    let mut slot = [0; 74];
    template.prepare(&mut slot);
    let probe = SynFields {
        next_hop: MacAddr([2, 0, 0, 0, 0, 2]),
        destination: Ipv4Addr::from(number(30)),
        destination_port: 80,
        source_port: (number(34) >> 16) as u16,
        seq: number(38),
        ip_id: number(18) >> 16,
        ts_val: number(62),
    };
    template.patch(&mut slot, &probe);
    // The kernel left its checksum to the device, which never came: ours is whole, so compare around it.
    assert_eq!(slot[..50], kernels[..50]);
    // The last octet is the window's shift, which a kernel takes from the memory it may use.
    assert_eq!(slot[52..73], kernels[52..73]);
}

#[test]
fn a_linux_ipv6_syn_is_the_kernels_byte_for_byte() {
    let kernels: &[u8] = include_bytes!("../../../testdata/ipv6_syn.bin");
    let number = |at: usize| u32::from_be_bytes(kernels[at..at + 4].try_into().unwrap());
    let addr = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&kernels[at..at + 16]).unwrap());
    let ends = Ends { sources: addr(22).into(), ..ends(LinkLayer::Ethernet, None) };
    let template = SynTemplate::new(&ends, TcpProfile::Linux).unwrap();
    let mut slot = [0; 94];
    template.prepare(&mut slot);
    let probe = SynFields {
        next_hop: MacAddr([2, 0, 0, 0, 0, 2]),
        destination: addr(38),
        destination_port: 80,
        source_port: (number(54) >> 16) as u16,
        seq: number(58),
        ip_id: number(14), // of which the flow label is the low part
        ts_val: number(82),
    };
    template.patch(&mut slot, &probe);
    // Around the window, which a kernel takes from its memory, the checksum and the window's shift: as for IPv4.
    assert_eq!(slot[..68], kernels[..68]);
    assert_eq!(slot[72..93], kernels[72..93]);
}

#[test]
fn names_are_read_back() {
    for profile in TcpProfile::ALL {
        assert_eq!(profile.to_string().parse(), Ok(profile));
    }
    assert!("win".parse::<TcpProfile>().is_err());
}
