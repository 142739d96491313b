//! Resolvers on the simulated network, and lookups of names whose answers are known.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use mrpf_dns::{
    lookup::{self, Counted, Keys, Lookups, Marks, Outcome, Parts, Ports, Protocol, Settings},
    message::{Kind, Message, Name, Qclass, Qtype, Rcode},
    names::{Pull, Question, Source},
    resolver::{Pool, PoolSettings},
    wildcard::Wildcards,
};
use mrpf_engine::{
    governor::Rate,
    link::{
        LinkLayer,
        sim::{
            Faults, Network, WireCounts,
            hosts::{Behaviour, Heard, Hosts, Said, Say, Service, Speaker, Then},
        },
    },
    neighbour::NextHops,
    scan::{Session, Stepped, Stop},
    sources::Sources,
    stats::Counts,
    template::Ends,
    time::Instant,
    wire::MacAddr,
};

/// Our address in these tests.
pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// Resolver `number`, below 65,536.
pub(crate) fn resolver(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    ([198, 19, high, low], 53).into()
}

pub(crate) fn resolvers(count: u16) -> Vec<SocketAddr> {
    (0..count).map(resolver).collect()
}

/// A small generator, so that a test has no need of the network's.
#[derive(Clone, Debug)]
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64 <= share
    }
}

/// What is true of a name of these tests: `n<number>.example` has an address, or no address, or is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Truth {
    Address([u8; 4]),
    NoData,
    NoName,
}

pub(crate) fn truth(number: u64) -> Truth {
    match number % 4 {
        0 => Truth::NoData,
        1 | 3 => Truth::NoName,
        _ => Truth::Address((number as u32 ^ 0x0a00_0000).to_be_bytes()),
    }
}

/// The number in the name that a query asks for, whatever the case of its letters.
pub(crate) fn asked(query: &[u8]) -> Option<u64> {
    let len = usize::from(*query.get(12)?);
    let label = query.get(13..13 + len)?;
    let digits = label.strip_prefix(b"n").or(label.strip_prefix(b"N"))?;
    digits.iter().try_fold(0, |number: u64, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// Where the question of a query ends.
fn question_end(query: &[u8]) -> usize {
    let mut at = 12;
    while query[at] != 0 {
        at += 1 + usize::from(query[at]);
    }
    at + 5
}

/// A response to `query` with its question, `rcode`, further bits of the header, and answers of type A.
pub(crate) fn response(query: &[u8], bits: u16, rcode: u8, addresses: &[[u8; 4]]) -> Vec<u8> {
    let mut out = query[..question_end(query)].to_vec();
    let flags = 0x8080 | bits | u16::from(query[2] & 1) << 8 | u16::from(rcode);
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[6..8].copy_from_slice(&(addresses.len() as u16).to_be_bytes());
    out[8..12].fill(0);
    for address in addresses {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        out.extend(address);
    }
    out
}

/// The true response.
pub(crate) fn truthful(query: &[u8]) -> Vec<u8> {
    match asked(query).map(truth) {
        Some(Truth::Address(address)) => response(query, 0, 0, &[address]),
        Some(Truth::NoData) => response(query, 0, 0, &[]),
        Some(Truth::NoName) | None => response(query, 0, 3, &[]),
    }
}

/// Hosts that answer datagrams to all of 198.19.0.0/16, port 53, and the truth over TCP.
pub(crate) fn hosts(answer: impl FnMut(&Heard<'_>) -> Vec<Said> + Send + 'static) -> Hosts {
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    Hosts::new(7).rule(all, 53..=53, Behaviour::Serves(Service::new(answer))).rule(
        all,
        53..=53,
        Behaviour::Speaks(over_tcp(truthful)),
    )
}

/// A host that answers each query over TCP once it is whole.
pub(crate) fn over_tcp(answer: impl Fn(&[u8]) -> Vec<u8> + Send + Sync + 'static) -> Speaker {
    Speaker::answering(move |_, asked| {
        let Some((prefix, rest)) = asked.split_first_chunk::<2>() else { return Say::nothing() };
        let Some(query) = rest.get(..usize::from(u16::from_be_bytes(*prefix))) else {
            return Say::nothing();
        };
        let message = answer(query);
        let len = (message.len() as u16).to_be_bytes();
        Say::bytes([&len[..], &message].concat()).then(Then::Wait)
    })
}

/// `n0.example`, `n1.example` ... for A.
#[derive(Debug)]
pub(crate) struct Numbered {
    next: u64,
    end: u64,
    text: String,
}

impl Numbered {
    pub(crate) fn new(count: u64) -> Self {
        Self { next: 0, end: count, text: String::new() }
    }
}

impl Source for Numbered {
    fn next(&mut self, question: &mut Question) -> Pull {
        if self.next == self.end {
            return Pull::End;
        }
        self.text.clear();
        write!(self.text, "n{}.example", self.next).unwrap();
        question.number = self.next;
        question.name = Ok(Name::parse(self.text.as_bytes()).unwrap());
        question.qtype = Qtype::A;
        question.qclass = Qclass::IN;
        (question.server, question.root) = (None, None);
        self.next += 1;
        Pull::Question
    }
}

/// One end, kept.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) resolver: Option<SocketAddr>,
    pub(crate) protocol: Protocol,
    pub(crate) attempts: u8,
    pub(crate) rtt: Option<Duration>,
    pub(crate) at: Instant,
    pub(crate) wildcard: Option<bool>,
    pub(crate) message: Vec<u8>,
}

impl Ended {
    /// What its message says; `None` without one, or for a failure.
    pub(crate) fn says(&self) -> Option<Truth> {
        let message = Message::parse(&self.message)?;
        match message.outcome() {
            Kind::Answer => {
                let record = message.records().next()?;
                Some(Truth::Address(record.rdata.try_into().ok()?))
            }
            Kind::NoData => Some(Truth::NoData),
            Kind::NxDomain => Some(Truth::NoName),
            _ => None,
        }
    }

    pub(crate) fn rcode(&self) -> Option<Rcode> {
        Message::parse(&self.message).map(|message| message.rcode())
    }
}

/// A run that can be looked at while it goes on.
pub(crate) struct World<S: Source + std::fmt::Debug + 'static = Numbered> {
    pub(crate) stepped: Stepped<Lookups<S>>,
    pub(crate) network: Network,
    pub(crate) session: Arc<Session>,
    pub(crate) marks: Marks,
    pub(crate) stop: Stop,
    pub(crate) tally: Arc<lookup::Tally>,
    inbox: lookup::Inbox,
    pub(crate) ends: Vec<Ended>,
}

/// What a run is made from besides its network and its source.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) rate: &'static str,
    pub(crate) resolvers: Vec<SocketAddr>,
    pub(crate) pool: PoolSettings,
    pub(crate) ports: Ports,
    pub(crate) wildcards: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            settings: Settings {
                slots: 4_096,
                connections: 256,
                buffers: 4 << 20,
                ..Settings::default()
            },
            rate: "50k",
            resolvers: resolvers(20),
            pool: PoolSettings::default(),
            ports: Ports::new(40_000, 4_096).unwrap(),
            wildcards: false,
        }
    }
}

impl<S: Source + std::fmt::Debug + 'static> World<S> {
    pub(crate) fn new(network: Network, source: S, plan: Plan) -> Self {
        let stop = Stop::default();
        let rate: Rate = plan.rate.parse().unwrap();
        let hops = NextHops::single(MacAddr([4; 6]));
        let session = Arc::new(Session::new(stop.clone(), rate, hops, LinkLayer::Ethernet));
        let (mut outboxes, inbox) = lookup::queue(1);
        let marks = Marks::new(1, 0);
        let parts = Parts {
            session: Arc::clone(&session),
            thread: 0,
            ends: Ends {
                layer: LinkLayer::Ethernet,
                source_mac: MacAddr([2; 6]),
                vlan: None,
                sources: Sources::from(OURS),
            },
            ports: plan.ports,
            keys: Keys::from_seed(11),
            pool: Pool::new(&plan.resolvers, plan.pool, 5),
            wildcards: plan.wildcards.then(|| Wildcards::new(1_000, [7; 16])),
            source,
            outbox: outboxes.pop().unwrap(),
            marks: marks.clone(),
        };
        let lookups = Lookups::new(parts, plan.settings).unwrap();
        let tally = lookups.tally();
        let stepped = Stepped::new(lookups, network.clone());
        Self { stepped, network, session, marks, stop, tally, inbox, ends: Vec::new() }
    }

    /// One step; false at the end.
    pub(crate) fn step(&mut self) -> bool {
        let goes_on = self.stepped.step().unwrap();
        while let Ok(batch) = self.inbox.try_recv() {
            self.ends.extend(batch.iter().map(|end| Ended {
                number: end.number,
                name: match end.outcome {
                    Outcome::Invalid => String::from_utf8_lossy(end.name).into_owned(),
                    _ => Name::from_wire(end.name).unwrap().to_string(),
                },
                outcome: end.outcome,
                resolver: end.resolver,
                protocol: end.protocol,
                attempts: end.attempts,
                rtt: end.rtt,
                at: end.at,
                wildcard: end.wildcard,
                message: end.message.to_vec(),
            }));
            self.inbox.give_back(batch);
        }
        goes_on
    }

    pub(crate) fn finish(mut self) -> Finished {
        while self.step() {}
        let counted = self.tally.counted();
        let counts = self.session.counts();
        check_counts(&counts, &counted);
        Finished {
            ends: self.ends,
            counted,
            counts,
            wire: self.network.counts(),
            mark: self.marks.mark(),
            now: self.network.now(),
        }
    }
}

/// What there is at the end.
pub(crate) struct Finished {
    pub(crate) ends: Vec<Ended>,
    pub(crate) counted: Counted,
    pub(crate) counts: Counts,
    pub(crate) wire: WireCounts,
    pub(crate) mark: u64,
    pub(crate) now: Instant,
}

/// Runs lookups of `count` numbered names to their end.
pub(crate) fn run(
    count: u64,
    faults: Faults,
    answer: impl FnMut(&Heard<'_>) -> Vec<Said> + Send + 'static,
    plan: Plan,
) -> Finished {
    let network = Network::new(3, hosts(answer), faults);
    let finished = World::new(network, Numbered::new(count), plan).finish();
    check_once(&finished, count);
    finished
}

/// Each number has one end, under its own name, and what says something says the truth.
#[track_caller]
pub(crate) fn check_once(finished: &Finished, count: u64) {
    let mut numbers: Vec<u64> = finished.ends.iter().map(|end| end.number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..count), "{} ends for {count}", numbers.len());
    assert_eq!((finished.mark, finished.counted.ends()), (count, count));
    for end in &finished.ends {
        assert_eq!(end.name, format!("n{}.example", end.number));
        if let Some(says) = end.says() {
            assert_eq!(says, truth(end.number), "{end:?}");
        }
    }
}

/// The sums of the engine's counters, and of ours with them.
#[track_caller]
pub(crate) fn check_counts(counts: &Counts, counted: &Counted) {
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.probes, counted.queries + counted.syns, "{counted:?}");
    assert_eq!(counts.sent, counts.probes + counts.segments_sent);
    let told = counts.first + counts.duplicate + counts.late + counts.refused + counts.abandoned;
    assert_eq!(counts.valid, told, "{counts:?}");
    let read = counts.valid + counts.segments + counts.invalid() + counts.arp_received;
    assert_eq!(counts.received, read, "{counts:?}");
    assert_eq!(counted.questions + counted.invalid, counted.ends() + counted.cut_off);
}
