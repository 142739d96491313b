//! What a sweep sends, and which packets of either family answer it.

use etherparse::PacketBuilder;
use mrpf_engine::{cookie::Cookie, link::LinkLayer, sources::Sources, target::Target, wire};
use mrpf_syn::SourcePorts;
use proptest::prelude::*;

use super::*;
use crate::message::{Edns, Name, Qclass, Qtype};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(198, 19, 7, 9);
const HOST_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 2, 3, 4, 5, 6);
const HOSTS: [IpAddr; 2] = [IpAddr::V4(HOST), IpAddr::V6(HOST_6)];

fn asked() -> Asked {
    Asked {
        name: Name::parse(b"Version.bind").unwrap(),
        qtype: Qtype::TXT,
        qclass: Qclass::CH,
        recursion: false,
        edns: Some(Edns::USUAL),
        keeps_case: true,
    }
}

fn probe(asked: Asked) -> SweepProbe {
    let sources = Sources { v4: Some(OURS), v6: Some(OURS_6) };
    let ends = Ends { layer: LinkLayer::Ip, source_mac: MacAddr::ZERO, vlan: None, sources };
    let ports = SourcePorts::new(61_000, 256, 3).unwrap();
    SweepProbe::new(&ends, asked, Marks::new(ports, Cookie::from_key(&[3; 16])))
}

/// One datagram of ours, as another reads it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Sent {
    packet: Vec<u8>,
    source_port: u16,
    message: Vec<u8>,
}

#[track_caller]
fn sent(probe: &SweepProbe, addr: IpAddr, attempt: u8) -> Sent {
    let target = Target { addr, port: 53 };
    let mut slot = vec![0xaa; probe.frame_len()];
    probe.prepare(&mut slot, Family::of(&addr));
    let len = probe.make(&mut slot, &Shot { target, attempt, next_hop: MacAddr::ZERO });
    slot.truncate(len.into());
    let (Network::Ipv4(_, Transport::Udp(datagram)) | Network::Ipv6(_, Transport::Udp(datagram))) =
        read(&slot).network
    else {
        panic!("{slot:?}")
    };
    assert_eq!(datagram.destination_port(), 53);
    let (source_port, message) = (datagram.source_port(), datagram.payload().to_vec());
    Sent { packet: slot, source_port, message }
}

#[track_caller]
fn read(packet: &[u8]) -> Packet<'_> {
    wire::parse(packet, LinkLayer::Ip).unwrap()
}

fn ours(addr: IpAddr) -> IpAddr {
    if addr.is_ipv4() { OURS.into() } else { OURS_6.into() }
}

/// A datagram from somewhere to a port of ours.
fn datagram(from: (IpAddr, u16), port: u16, message: &[u8]) -> Vec<u8> {
    let builder = match (from.0, ours(from.0)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 60),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 60),
        _ => unreachable!("one family each"),
    };
    let mut packet = Vec::new();
    builder.udp(from.1, port).write(&mut packet, message).unwrap();
    packet
}

/// What answers a question: QR and, of the lower bits, a code.
fn answering(question: &[u8], rcode: u8) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] |= 0x80;
    message[3] |= rcode;
    message
}

/// A header alone.
fn bare(question: &[u8], rcode: u8) -> Vec<u8> {
    let mut message = answering(question, rcode)[..12].to_vec();
    message[4..12].fill(0);
    message
}

fn validate(probe: &SweepProbe, packet: &[u8]) -> Result<Claim, Invalid> {
    probe.validate(&read(packet))
}

fn claim(addr: IpAddr, attempt: u8) -> Result<Claim, Invalid> {
    Ok(Claim { target: Target { addr, port: 53 }, attempt })
}

#[test]
fn attempts_and_hosts_have_ports_ids_and_letters_of_their_own() {
    let probe = probe(asked());
    for addr in HOSTS {
        let all: Vec<_> = (0..3).map(|attempt| sent(&probe, addr, attempt)).collect();
        for (attempt, question) in all.iter().enumerate() {
            assert_eq!(*question, sent(&probe, addr, attempt as u8), "the same each time");
            let message = Message::parse(&question.message).unwrap();
            let name = message.question().unwrap().name().unwrap();
            assert_eq!(name.to_string().to_ascii_lowercase(), "version.bind");
            assert_eq!(message.question().unwrap().qtype, Qtype::TXT);
            assert_eq!(message.question().unwrap().qclass, Qclass::CH);
            assert!(!message.is_response());
            assert_eq!(message.opt().unwrap().udp_size(), 1_232);
        }
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            let (one, other): (&Sent, &Sent) = (&all[one], &all[other]);
            assert_ne!(one.source_port, other.source_port);
            assert_ne!(one.message[..2], other.message[..2]);
            assert_ne!(one.message[12..25], other.message[12..25]);
        }
    }
    // Plain letters where no case is to come back.
    let plain = super::SweepProbe::new(
        &Ends { layer: LinkLayer::Ip, source_mac: MacAddr::ZERO, vlan: None, sources: OURS.into() },
        Asked { keeps_case: false, edns: None, recursion: true, ..asked() },
        Marks::new(SourcePorts::new(61_000, 256, 3).unwrap(), Cookie::from_key(&[3; 16])),
    );
    let question = sent(&plain, HOST.into(), 0).message;
    assert_eq!(question[2..], *b"\x01\0\0\x01\0\0\0\0\0\0\x07Version\x04bind\0\0\x10\0\x03");
    let slot = &mut [0; 400];
    let target = Target { addr: HOST_6.into(), port: 53 };
    assert_eq!(plain.make(slot, &Shot { target, attempt: 0, next_hop: MacAddr::ZERO }), 0);
}

#[test]
fn an_answer_names_its_probe_and_any_other_octet_is_refused() {
    let probe = probe(asked());
    for addr in HOSTS {
        for attempt in 0..3 {
            let question = sent(&probe, addr, attempt);
            let port = question.source_port;
            let right = answering(&question.message, 0);
            let check = |message: &[u8]| validate(&probe, &datagram((addr, 53), port, message));
            assert_eq!(check(&right), claim(addr, attempt));
            assert_eq!(check(&answering(&question.message, 3)), claim(addr, attempt));
            // Of the id, QR, the opcode, the count of questions and the question every bit matters.
            for at in (0..3).chain(4..6).chain(12..12 + 14 + 4) {
                for bit in 0..8 {
                    let is_flag = at == 2 && bit < 3; // AA, TC, RD
                    let mut wrong = right.clone();
                    wrong[at] ^= 1 << bit;
                    let expected =
                        if is_flag { claim(addr, attempt) } else { Err(Invalid::Cookie) };
                    assert_eq!(check(&wrong), expected, "octet {at}, bit {bit}");
                }
            }
            assert_eq!(check(&question.message), Err(Invalid::Cookie), "an echo");
            for len in 0..12 {
                assert_eq!(check(&right[..len]), Err(Invalid::Kind));
            }
            assert_eq!(check(&right[..29]), Err(Invalid::Cookie));
            // From elsewhere, or to elsewhere.
            let other = sent(&probe, addr, (attempt + 1) % 3);
            let to = |from, port| validate(&probe, &datagram(from, port, &right));
            assert_eq!(to((addr, 53), other.source_port), Err(Invalid::Cookie));
            assert_eq!(to((addr, 53), 60_999), Err(Invalid::NotForUs));
            assert_eq!(to((addr, 53), 61_256), Err(Invalid::NotForUs));
            assert!(to((addr, 54), port).is_err());
            let neighbour = match addr {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(198, 19, 7, 10)),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            assert!(to((neighbour, 53), port).is_err());
        }
    }
}

#[test]
fn a_damaged_answer_is_refused_and_one_without_checksum_taken() {
    let probe = probe(asked());
    let question = sent(&probe, HOST.into(), 1);
    let mut message = answering(&question.message, 0);
    message.extend(b"more");
    let packet = datagram((HOST.into(), 53), question.source_port, &message);
    assert_eq!(validate(&probe, &packet), claim(HOST.into(), 1));
    let mut damaged = packet.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(validate(&probe, &damaged), Err(Invalid::Damaged));
    let mut without = packet;
    without[26..28].fill(0);
    assert_eq!(validate(&probe, &without), claim(HOST.into(), 1));
}

#[test]
fn a_refusal_without_a_question_is_taken_with_the_right_id_alone() {
    let probe = probe(asked());
    for addr in HOSTS {
        let question = sent(&probe, addr, 0);
        let check = |message: &[u8]| {
            let packet = datagram((addr, 53), question.source_port, message);
            validate(&probe, &packet).map(|_| probe.classify(&read(&packet)))
        };
        for rcode in [1, 4, 5] {
            let message = bare(&question.message, rcode);
            assert_eq!(check(&message), Ok(Reply::Bare(message.clone().into())), "{rcode}");
            let mut wrong = message;
            wrong[0] ^= 1;
            assert_eq!(check(&wrong), Err(Invalid::Cookie));
        }
        for rcode in [0, 2, 3, 6, 15] {
            assert_eq!(check(&bare(&question.message, rcode)), Err(Invalid::Cookie), "{rcode}");
        }
        let answer = answering(&question.message, 5);
        assert_eq!(check(&answer), Ok(Reply::Answer(answer.into())));
    }
}

/// An error that quotes so much of a packet of ours.
fn error(about: IpAddr, kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match ours(about) {
        IpAddr::V4(to) => PacketBuilder::ipv4([198, 18, 0, 254], to.octets(), 60)
            .icmpv4_raw(kind, code, [0; 4])
            .write(&mut packet, quoted),
        IpAddr::V6(to) => PacketBuilder::ipv6(OURS_6.octets(), to.octets(), 60)
            .icmpv6_raw(kind, code, [0; 4])
            .write(&mut packet, quoted),
    }
    .unwrap();
    packet
}

#[test]
fn icmp_errors_prove_themselves_by_what_they_quote() {
    let probe = probe(asked());
    for addr in HOSTS {
        let (kind, code, header) = if addr.is_ipv4() { (3, 3, 20) } else { (1, 4, 40) };
        let packet = sent(&probe, addr, 2).packet;
        let check = |quoted: &[u8]| validate(&probe, &error(addr, kind, code, quoted));
        // All of it, some of the question, its id alone, and the eight octets that are promised.
        for len in [packet.len(), header + 30, header + 10, header + 9, header + 8] {
            assert_eq!(check(&packet[..len]), claim(addr, 2), "{len}");
        }
        assert_eq!(check(&packet[..header + 7]), Err(Invalid::Cookie), "without a checksum");
        assert_eq!(check(&packet[..header + 3]), Err(Invalid::Kind));
        let classified = probe.classify(&read(&error(addr, kind, code, &packet)));
        assert_eq!(classified, Reply::Unreachable);
        let changed = |at: usize, len: usize| {
            let mut wrong = packet[..len].to_vec();
            wrong[at] ^= 1;
            check(&wrong)
        };
        assert_eq!(changed(header + 8, packet.len()), Err(Invalid::Cookie), "the id");
        assert_eq!(changed(header + 21, packet.len()), Err(Invalid::Cookie), "a letter");
        assert_eq!(changed(header + 7, header + 8), Err(Invalid::Cookie), "the checksum");
        assert!(changed(header, packet.len()).is_err(), "our port");
        assert!(changed(header + 3, packet.len()).is_err(), "their port");
        let address = if addr.is_ipv4() { 17 } else { 30 };
        assert!(changed(address, packet.len()).is_err(), "an address");
        // Nothing that says less than that it does not arrive.
        let other = if addr.is_ipv4() { (3, 4) } else { (2, 0) };
        assert_eq!(validate(&probe, &error(addr, other.0, other.1, &packet)), Err(Invalid::Kind));
    }
}

proptest! {
    /// Whatever comes, nothing panics, and only what carries the marks of a question is taken.
    #[test]
    fn what_others_say_is_refused(
        octets in prop::collection::vec(any::<u8>(), 0..80),
        port in 61_000..61_256_u16,
        host: u32,
        is_response: bool,
    ) {
        let probe = probe(asked());
        let addr = IpAddr::V4(Ipv4Addr::from(host));
        let mut message = octets;
        if is_response && message.len() > 2 {
            message[2] |= 0x80;
        }
        prop_assert!(validate(&probe, &datagram((addr, 53), port, &message)).is_err());
        let answered = Message::parse(&message).is_some();
        let classified = probe.classify(&read(&datagram((addr, 53), port, &message)));
        prop_assert!(answered || matches!(classified, Reply::Bare(_)));
    }
}

#[test]
fn questions_and_refused_answers_allocate_nothing() {
    let probe = probe(asked());
    let mut slot = vec![0; probe.frame_len()];
    let forged =
        datagram((HOST.into(), 53), 61_009, &answering(&sent(&probe, HOST.into(), 0).message, 0));
    let forged = read(&forged);
    let counted = allocation_counter::measure(|| {
        for addr in HOSTS {
            for attempt in 0..3 {
                let target = Target { addr, port: 53 };
                probe.make(&mut slot, &Shot { target, attempt, next_hop: MacAddr::ZERO });
            }
        }
        assert!(probe.validate(&forged).is_err());
    });
    assert_eq!(counted.count_total, 0);
}
