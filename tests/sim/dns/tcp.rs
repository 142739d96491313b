//! Answers that are longer than a datagram.

use std::{net::Ipv4Addr, time::Duration};

use mrpf_dns::{
    lookup::{Outcome, Protocol, Settings},
    message::Message,
};
use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Heard, Hosts, Order, Said, Say, Service, Speaker, Then},
};

use super::world::{Finished, Numbered, Plan, World, check_once, over_tcp, response, truth};

const MS: Duration = Duration::from_millis(1);

fn faults(loss: f64) -> Faults {
    Faults { loss_out: loss, loss_back: loss, latency: (5 * MS, 30 * MS), ..Faults::default() }
}

/// Every answer over UDP is cut.
fn cut(heard: &Heard<'_>) -> Vec<Said> {
    vec![Said::datagram(response(heard.payload, 0x0200, 0, &[]))]
}

/// A message of `len` octets: as many addresses as fit, and an OPT record for the rest.
fn long(query: &[u8], len: usize) -> Vec<u8> {
    let empty = response(query, 0, 0, &[]).len();
    let addresses = (len - empty - 11) / 16;
    let list: Vec<[u8; 4]> = (0..addresses as u32).map(u32::to_be_bytes).collect();
    let mut message = response(query, 0, 0, &list);
    let rest = len - message.len() - 11;
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    message.extend((rest as u16).to_be_bytes());
    message.resize(len, 0xaa);
    message
}

fn network(faults: Faults, speaker: Speaker) -> Network {
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    let hosts = Hosts::new(7).rule(all, 53..=53, Behaviour::Serves(Service::new(cut))).rule(
        all,
        53..=53,
        Behaviour::Speaks(speaker),
    );
    Network::new(3, hosts, faults)
}

fn run(count: u64, faults: Faults, speaker: Speaker, plan: Plan) -> Finished {
    World::new(network(faults, speaker), Numbered::new(count), plan).finish()
}

/// 64 KiB under loss, in segments that overlap and leave the last first.
#[test]
fn answers_of_64_kib_come_whole_over_a_wire_that_loses() {
    const NAMES: u64 = 300;
    let speaker = over_tcp(|query| long(query, 65_534)).overlap(7).order(Order::Backward);
    let settings = Settings { connections: 128, buffers: 16 << 20, ..Plan::default().settings };
    let plan = Plan { settings, ..Plan::default() };
    let finished = run(NAMES, faults(0.03), speaker, plan);
    assert_eq!(finished.ends.len() as u64, NAMES);
    let whole = finished.ends.iter().filter(|end| end.outcome == Outcome::Message);
    let mut count = 0;
    for end in whole {
        assert_eq!((end.protocol, end.message.len()), (Protocol::Tcp, 65_534));
        let message = Message::parse(&end.message).unwrap();
        let mut records = message.records();
        let answers = records.by_ref().filter(|record| record.rdata.len() == 4).enumerate();
        for (number, record) in answers {
            assert_eq!(record.rdata, (number as u32).to_be_bytes());
        }
        assert!(!records.is_cut());
        count += 1;
    }
    assert!(count * 100 >= NAMES * 98, "{count} whole: {:?}", finished.counted);
}

#[test]
fn short_and_middling_answers_over_tcp_are_the_truth() {
    let speaker = over_tcp(super::world::truthful).mss(Some(100)).segment(9);
    let finished = run(3_000, faults(0.02), speaker, Plan::default());
    check_once(&finished, 3_000);
    let counted = finished.counted;
    assert_eq!(counted.resolved(), 3_000, "{counted:?}");
    assert!(
        finished
            .ends
            .iter()
            .all(|end| end.protocol == Protocol::Tcp && end.says() == Some(truth(end.number)))
    );
    // The first try needs no attempt of its own.
    let first = finished.ends.iter().filter(|end| end.attempts == 1).count();
    assert!(first > 2_500, "{first}");
}

/// What a host can do on a connection in place of an answer: each is a failed attempt, and each name ends as cut.
#[test]
fn connections_that_bring_nothing_are_failed_attempts() {
    let settings = Settings { retries: 1, ..Plan::default().settings };
    let plan = || Plan { settings, ..Plan::default() };
    let other_id = over_tcp(|query| {
        let mut message = super::world::truthful(query);
        message[1] ^= 1;
        message
    });
    let half = Speaker::answering(|_, asked| match asked.len() {
        0 => Say::nothing(),
        _ => Say::bytes([0, 60, 1, 2, 3]).then(Then::Finish),
    });
    let speakers = [
        ("silent", Speaker::silent()),
        (
            "reset",
            Speaker::answering(
                |_, asked| if asked.is_empty() { Say::nothing() } else { Say::reset() },
            ),
        ),
        ("half", half),
        ("finish", Speaker::answering(|_, _| Say::bytes([]).then(Then::Finish))),
        ("another id", other_id),
    ];
    for (name, speaker) in speakers {
        let finished = run(40, faults(0.0), speaker, plan());
        let counted = finished.counted;
        assert_eq!(finished.ends.len(), 40, "{name}");
        assert_eq!(counted.truncated, 40, "{name}: {counted:?}");
        assert!(
            finished.ends.iter().all(|end| end.outcome == Outcome::Truncated && end.attempts == 2),
            "{name}"
        );
        assert_eq!(counted.tcp_failed, 80, "{name}: {counted:?}");
    }
}

#[test]
fn a_port_that_is_closed_or_silent_is_a_failed_attempt() {
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    for behaviour in [Behaviour::closed(), Behaviour::Silent] {
        let is_silent = matches!(behaviour, Behaviour::Silent);
        let hosts = Hosts::new(7).rule(all, 53..=53, Behaviour::Serves(Service::new(cut))).rule(
            all,
            53..=53,
            behaviour,
        );
        let settings = Settings { retries: 1, ..Plan::default().settings };
        let plan = Plan { settings, ..Plan::default() };
        let finished =
            World::new(Network::new(3, hosts, faults(0.0)), Numbered::new(30), plan).finish();
        let counted = finished.counted;
        assert_eq!((counted.truncated, finished.ends.len()), (30, 30), "{counted:?}");
        assert_eq!(counted.syns, if is_silent { 180 } else { 60 }, "{counted:?}");
    }
}

/// More answers are cut than there may be connections: each gets its turn.
#[test]
fn few_connections_serve_many_answers() {
    let settings = Settings { connections: 8, buffers: 1 << 20, ..Plan::default().settings };
    let plan = Plan { settings, ..Plan::default() };
    let finished = run(1_000, faults(0.0), over_tcp(super::world::truthful), plan);
    check_once(&finished, 1_000);
    assert_eq!(finished.counted.resolved(), 1_000, "{:?}", finished.counted);
}
