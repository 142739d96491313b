//! Forged answers: who knows the resolver and the name and guesses the rest is never believed.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use mrpf_dns::lookup::{Outcome, Ports, Settings};
use mrpf_engine::{
    link::{
        LinkLayer,
        sim::{Faults, Network, hosts::Said},
    },
    template::{DatagramFields, DatagramTemplate, Ends},
    wire::{self, MacAddr, Transport},
};

use super::world::{
    Draws, Numbered, OURS, Plan, World, asked, check_once, hosts, resolver, response, truthful,
};

/// Forgeries a run: the figure of the goal takes a minute.
fn forgeries() -> u64 {
    if std::env::var_os("MRPF_FULL").is_some() { 10_000_000 } else { 1_000_000 }
}

/// An address that no true answer has.
const LIE: [u8; 4] = [6, 6, 6, 6];

/// A frame with a datagram from `from` to a port of ours.
fn frame(from: SocketAddr, port: u16, payload: &[u8]) -> Vec<u8> {
    let SocketAddr::V4(from) = from else { unreachable!("the world is one of IPv4") };
    let ends = Ends {
        layer: LinkLayer::Ethernet,
        source_mac: MacAddr([4; 6]),
        vlan: None,
        sources: (*from.ip()).into(),
    };
    let template = DatagramTemplate::<Ipv4Addr>::new(&ends).unwrap();
    let mut out = vec![0; template.headers_len() + payload.len()];
    template.payload(&mut out).copy_from_slice(payload);
    let fields = DatagramFields {
        next_hop: MacAddr([2; 6]),
        destination: OURS,
        destination_port: port,
        source_port: from.port(),
        ip_id: 0,
    };
    template.finish(&mut out, &fields, payload.len() as u16);
    out
}

/// The query in a frame of ours, and whom it is for.
fn query(frame: &[u8]) -> Option<(SocketAddr, u16, Vec<u8>)> {
    let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
    match packet.network {
        wire::Network::Ipv4(header, Transport::Udp(datagram)) => {
            let to = (header.destination(), datagram.destination_port()).into();
            Some((to, datagram.source_port(), datagram.payload().to_vec()))
        }
        _ => None,
    }
}

/// The forger sees no query, but knows which names are asked of whom and when: for each it sends as many answers as it can before
/// the true one arrives, in the case of the input or in a random one.
#[test]
fn guesses_of_port_and_id_are_never_believed() {
    const NAMES: u64 = 1_000;
    let each = forgeries() / NAMES;
    let ports = Ports::new(40_000, 4_096).unwrap();
    let mut draws = Draws(9);
    let network = Network::new(
        3,
        hosts(|heard| {
            vec![Said::datagram(truthful(heard.payload)).after(Duration::from_millis(40))]
        }),
        Faults::default(),
    )
    .with_forger(Box::new(move |sent, put| {
        let Some((server, _, seen)) = query(sent) else { return };
        // Of what left it uses the name in small letters and the type; the rest it draws.
        let mut lie = response(&seen, 0, 0, &[LIE]);
        let name_end = lie.len() - 16 - 4;
        lie[12..name_end].make_ascii_lowercase();
        let port_at = 14 + 20 + 2;
        let mut forged = frame(server, 0, &lie);
        forged[40..42].fill(0); // no checksum, so that nothing else is to be got right
        for _ in 0..each {
            let drawn = draws.next();
            let port = ports.first() + (drawn >> 16) as u16 % ports.count();
            forged[port_at..port_at + 2].copy_from_slice(&port.to_be_bytes());
            forged[42..44].copy_from_slice(&(drawn as u16).to_be_bytes());
            if drawn >> 63 == 1 {
                for (bit, letter) in forged[54..62].iter_mut().enumerate() {
                    if letter.is_ascii_alphabetic() {
                        *letter = *letter & !0x20 | ((drawn >> (40 + bit)) as u8 & 1) << 5;
                    }
                }
            }
            put(Duration::from_micros(1_000 + drawn % 38_000), &forged);
        }
    }));
    // Few at once, so that the simulated wire need not hold all of them.
    let settings = Settings { slots: 64, ..Plan::default().settings };
    let plan = Plan { settings, rate: "5k", ports, ..Plan::default() };
    let finished = World::new(network, Numbered::new(NAMES), plan).finish();
    check_once(&finished, NAMES);
    let counted = finished.counted;
    assert_eq!(counted.resolved(), NAMES);
    assert!(!finished.ends.iter().any(|end| end.message.windows(4).any(|octets| octets == LIE)));
    assert!(finished.counts.received >= NAMES * each, "{:?}", finished.counts);
    // All of them are counted, and nearly all fail at what they had to guess.
    assert!(counted.near_misses() + counted.late >= NAMES * each, "{counted:?}");
    assert!(counted.unasked * 100 >= NAMES * each * 99, "{counted:?}");
}

/// Who saw the query, and misses it by one thing: each is counted by that thing, and the true answer is taken after all.
#[test]
fn each_near_miss_is_counted_by_what_is_wrong() {
    const NAMES: u64 = 200;
    let network = Network::new(
        3,
        hosts(|heard| {
            vec![Said::datagram(truthful(heard.payload)).after(Duration::from_millis(40))]
        }),
        Faults::default(),
    )
    .with_forger(Box::new(|sent, put| {
        let Some((server, port, seen)) = query(sent) else { return };
        let lie = response(&seen, 0, 0, &[LIE]);
        let mut send = |from, port, payload: &[u8]| {
            put(Duration::from_millis(5), &frame(from, port, payload));
        };
        // Another resolver of the list, and another port of the right one.
        send(resolver(999), port, &lie);
        send((server.ip(), 5_353).into(), port, &lie);
        // Another id, another port.
        let mut other = lie.clone();
        other[0] ^= 0x40;
        send(server, port, &other);
        send(server, port ^ 1, &lie);
        // Another name, type or class.
        for at in [14, lie.len() - 16 - 3, lie.len() - 16 - 1] {
            let mut other = lie.clone();
            other[at] ^= 1;
            send(server, port, &other);
        }
        // A query, an update.
        for (at, bit) in [(2, 0x80), (2, 0x28)] {
            let mut other = lie.clone();
            other[at] ^= bit;
            send(server, port, &other);
        }
        // Cut, empty.
        send(server, port, &lie[..11]);
        send(server, port, &[]);
        // Two questions, none.
        for count in [0, 2] {
            let mut other = lie.clone();
            other[5] = count;
            send(server, port, &other);
        }
        // Damaged on the way.
        let mut damaged = frame(server, port, &lie);
        *damaged.last_mut().unwrap() ^= 1;
        put(Duration::from_millis(5), &damaged);
    }));
    let finished = World::new(network, Numbered::new(NAMES), Plan::default()).finish();
    check_once(&finished, NAMES);
    let counted = finished.counted;
    assert!(!finished.ends.iter().any(|end| end.message.windows(4).any(|octets| octets == LIE)));
    assert_eq!((counted.resolved(), counted.queries), (NAMES, NAMES), "{counted:?}");
    assert_eq!(counted.other_source, 2 * NAMES);
    assert_eq!(counted.unasked + counted.late, 2 * NAMES, "{counted:?}");
    assert_eq!(counted.other_question, 5 * NAMES);
    assert_eq!(counted.no_response, 2 * NAMES);
    assert_eq!(finished.counts.invalid_malformed, 3 * NAMES);
}

/// Letters in another case than they were sent: the query is asked once more, and what it says then counts.
#[test]
fn an_answer_in_another_case_is_asked_for_once_more() {
    const NAMES: u64 = 300;
    let mut attacked = HashSet::new();
    let network = Network::new(
        3,
        hosts(|heard| {
            vec![Said::datagram(truthful(heard.payload)).after(Duration::from_millis(40))]
        }),
        Faults::default(),
    )
    .with_forger(Box::new(move |sent, put| {
        let Some((server, port, seen)) = query(sent) else { return };
        // The first query of one lookup in ten is attacked by somebody who knows all but the case.
        let Some(number) = asked(&seen).filter(|number| number % 10 == 0) else { return };
        if !attacked.insert(number) {
            return;
        }
        let mut lie = response(&seen, 0, 0, &[LIE]);
        lie[13] ^= 0x20;
        put(Duration::from_millis(5), &frame(server, port, &lie));
    }));
    // So many resolvers that none is attacked twice in a row.
    let plan = Plan { resolvers: super::world::resolvers(300), ..Plan::default() };
    let finished = World::new(network, Numbered::new(NAMES), plan).finish();
    check_once(&finished, NAMES);
    let counted = finished.counted;
    assert!(finished.ends.iter().all(|end| end.outcome == Outcome::Message));
    assert!(!finished.ends.iter().any(|end| end.message.windows(4).any(|octets| octets == LIE)));
    assert_eq!(counted.resolved(), NAMES);
    assert!(counted.other_case == NAMES / 10 && counted.again == NAMES / 10, "{counted:?}");
}
