//! Source ports, and which packets of either family are ours.

use etherparse::PacketBuilder;
use mrpf_engine::{
    cookie::Cookie,
    link::LinkLayer,
    sources::Sources,
    wire::{self, tcp::Flags},
};
use mrpf_records::{Reason, State};
use proptest::prelude::*;

use super::*;
use crate::marks::SourcePorts;

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const THEIRS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
const ROUTER_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xfe);

fn probe(sources: Sources) -> SynProbe {
    let ends = Ends { layer: LinkLayer::Ip, source_mac: MacAddr::ZERO, vlan: None, sources };
    let ports = SourcePorts::new(61_000, 256, 3).unwrap();
    SynProbe::new(&ends, TcpProfile::Linux, Marks::new(ports, Cookie::from_key(&[3; 16])))
}

fn both() -> SynProbe {
    probe(Sources { v4: Some(OURS), v6: Some(OURS_6) })
}

fn shot(addr: impl Into<IpAddr>, attempt: u8) -> Shot {
    Shot { target: Target { addr: addr.into(), port: 443 }, attempt, next_hop: MacAddr::ZERO }
}

/// The packet that asks `shot`.
#[track_caller]
fn made(probe: &SynProbe, shot: &Shot) -> Vec<u8> {
    let mut slot = [0xaa; 128];
    probe.prepare(&mut slot, Family::of(&shot.target.addr));
    let len = usize::from(probe.make(&mut slot, shot));
    assert!(len > 0 && len <= probe.frame_len());
    slot[..len].to_vec()
}

#[track_caller]
fn read(bytes: &[u8]) -> Packet<'_> {
    wire::parse(bytes, LinkLayer::Ip).unwrap()
}

#[track_caller]
fn segment<'a>(packet: &Packet<'a>) -> tcp::Segment<'a> {
    let (Network::Ipv4(_, Transport::Tcp(segment)) | Network::Ipv6(_, Transport::Tcp(segment))) =
        packet.network
    else {
        panic!("{packet:?}");
    };
    segment
}

/// An answer to the SYN in `asked`, with `flags` and what it acknowledges relative to the SYN.
fn answer(asked: &[u8], flags: Flags, relative: u32) -> Vec<u8> {
    let packet = read(asked);
    let syn = segment(&packet);
    let from = |builder: etherparse::PacketBuilderStep<etherparse::IpHeaders>| {
        let ack = syn.seq().wrapping_add(relative);
        let mut tcp = builder.tcp(syn.destination_port(), syn.source_port(), 77, 512);
        if flags.contains(Flags::SYN) {
            tcp = tcp.syn();
        }
        if flags.contains(Flags::RST) {
            tcp = tcp.rst();
        }
        if flags.contains(Flags::ACK) {
            tcp = tcp.ack(ack);
        }
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, &[]).unwrap();
        bytes
    };
    match packet.network {
        Network::Ipv4(ip, _) => {
            from(PacketBuilder::ipv4(ip.destination().octets(), ip.source().octets(), 61))
        }
        Network::Ipv6(ip, _) => {
            from(PacketBuilder::ipv6(ip.destination().octets(), ip.source().octets(), 61))
        }
        other => panic!("{other:?}"),
    }
}

/// An ICMPv6 error of a router that quotes `quoted`.
fn error(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    PacketBuilder::ipv6(ROUTER_6.octets(), OURS_6.octets(), 250)
        .icmpv6_raw(kind, code, [0; 4])
        .write(&mut bytes, quoted)
        .unwrap();
    bytes
}

proptest! {
    /// Whoever is asked, in whichever attempt: the answer says so, and no other number does.
    #[test]
    fn an_answer_of_either_family_names_its_probe(addr: u32, addr_6: u128, attempt in 0..3_u8, other in 2..u32::MAX) {
        let probe = both();
        let hosts: [IpAddr; 2] = [Ipv4Addr::from(addr).into(), Ipv6Addr::from(addr_6).into()];
        for host in hosts {
            let shot = shot(host, attempt);
            let asked = made(&probe, &shot);
            let validate = |flags, relative| probe.validate(&read(&answer(&asked, flags, relative)));
            let claim = Ok(Claim { target: shot.target, attempt });
            prop_assert_eq!(validate(Flags::SYN | Flags::ACK, 1), claim);
            prop_assert_eq!(validate(Flags::RST | Flags::ACK, 1), claim);
            prop_assert_eq!(validate(Flags::RST | Flags::ACK, 0), claim);
            prop_assert_eq!(validate(Flags::SYN | Flags::ACK, 0), Err(Invalid::Cookie));
            prop_assert_eq!(validate(Flags::SYN | Flags::ACK, other), Err(Invalid::Cookie));
            prop_assert_eq!(validate(Flags::RST, 1), Err(Invalid::Cookie));
            prop_assert_eq!(validate(Flags::ACK, 1), Err(Invalid::Challenge));
            prop_assert_eq!(validate(Flags::SYN, 1), Err(Invalid::Kind));
        }
    }
}

#[test]
fn icmpv6_errors_prove_themselves_by_what_they_quote() {
    let probe = both();
    let shot = shot(THEIRS_6, 2);
    let asked = made(&probe, &shot);
    let validate = |kind, code, quoted: &[u8]| probe.validate(&read(&error(kind, code, quoted)));
    let claim = Ok(Claim { target: shot.target, attempt: 2 });
    for quoted in [&asked[..], &asked[..48]] {
        for (kind, code) in [(1, 0), (1, 1), (1, 3), (1, 4), (1, 6), (3, 0), (3, 1), (4, 1)] {
            assert_eq!(validate(kind, code, quoted), claim, "{kind}/{code}");
        }
        // Too big, a header that is wrong, an echo, and errors that do not exist.
        for (kind, code) in [(2, 0), (4, 0), (4, 2), (128, 0), (0, 0), (5, 0), (11, 0)] {
            assert_eq!(validate(kind, code, quoted), Err(Invalid::Kind), "{kind}/{code}");
        }
    }
    assert_eq!(validate(1, 0, &asked[..47]), Err(Invalid::Cookie));
    assert_eq!(validate(1, 0, &asked[..43]), Err(Invalid::Kind));
    let changed = |at: usize| {
        let mut quoted = asked.clone();
        quoted[at] ^= 1;
        validate(1, 0, &quoted)
    };
    assert_eq!(changed(47), Err(Invalid::Cookie));
    assert_eq!(changed(6), Err(Invalid::NotForUs)); // another protocol
    assert_eq!(changed(23), Err(Invalid::NotForUs)); // from another address
    assert!(changed(39).is_err()); // to another host
}

#[test]
fn the_source_of_an_error_is_who_sent_it_and_not_who_was_asked() {
    let probe = both();
    let asked = made(&probe, &shot(THEIRS_6, 0));
    let error = error(1, 1, &asked);
    let reply = probe.classify(&read(&error));
    assert_eq!((reply.ttl, reply.state()), (250, (State::Unreachable, Reason::AdminProhibited)));
    assert!(
        matches!(reply.kind, ReplyKind::Icmp { kind: 1, code: 1, responder } if responder == ROUTER_6)
    );
    assert!(probe.closing(&read(&error)).is_none());
}

#[test]
fn a_syn_ack_is_closed_with_the_label_of_its_syn() {
    let probe = both();
    let asked = made(&probe, &shot(THEIRS_6, 0));
    let syn_ack = answer(&asked, Flags::SYN | Flags::ACK, 1);
    let packet = read(&syn_ack);
    assert_eq!(probe.classify(&packet).state(), (State::Open, Reason::SynAck));
    assert_eq!(probe.classify(&packet).ttl, 61);
    let closing = probe.closing(&packet).unwrap();
    let mut slot = [0x55; 128];
    let len = usize::from(probe.make_closing(&mut slot, &closing));
    let (rst, syn) = (read(&slot[..len]), read(&asked));
    let (Network::Ipv6(rst_ip, _), Network::Ipv6(syn_ip, _)) = (rst.network, syn.network) else {
        panic!("{rst:?}");
    };
    assert_eq!((rst_ip.source(), rst_ip.destination()), (OURS_6, THEIRS_6));
    assert_eq!(rst_ip.flow_label(), syn_ip.flow_label());
    assert_ne!(rst_ip.flow_label(), 0);
    let (rst, syn) = (segment(&rst), segment(&syn));
    assert_eq!(rst.flags(), Flags::RST);
    assert_eq!(rst.seq(), syn.seq().wrapping_add(1));
    assert_eq!(rst.source_port(), syn.source_port());
    assert_eq!(rst.destination_port(), 443);
    assert!(probe.closing(&read(&answer(&asked, Flags::RST | Flags::ACK, 1))).is_none());
}

#[test]
fn a_family_without_a_source_is_neither_asked_nor_heard() {
    let asked = made(&both(), &shot(THEIRS_6, 0));
    let answer = answer(&asked, Flags::SYN | Flags::ACK, 1);
    let v4 = probe(OURS.into());
    assert_eq!(v4.validate(&read(&answer)), Err(Invalid::NotForUs));
    let mut slot = [0xaa; 128];
    v4.prepare(&mut slot, Family::V6);
    assert_eq!(v4.make(&mut slot, &shot(THEIRS_6, 0)), 0);
    let closing = both().closing(&read(&answer)).unwrap();
    assert_eq!(v4.make_closing(&mut slot, &closing), 0);
    assert_eq!(slot, [0xaa; 128]);
    assert_eq!((v4.frame_len(), probe(OURS_6.into()).frame_len()), (60, 80));
}
