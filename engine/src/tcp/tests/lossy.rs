//! Many flows behind a network that loses, doubles and holds up: what is read is what was said, and if anything arrives at all,
//! all of it is read.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{End, FlowId, Flows, Frames, Handled, Incoming, Opening, Report, Settings, Stage},
    Asker, ROUTER, frames, octet,
    peer::{Exchange, Peer},
};
use crate::{
    cookie::Cookie,
    link::LinkLayer,
    target::Target,
    time::Instant,
    wire::{self, Network, tcp::Flags},
};

const PORT: u16 = 61_000;

#[derive(Clone, Copy, Debug)]
struct Faults {
    loss: f64,
    duplicate: f64,
    reorder: f64,
    held_up: Duration,
}

/// A frame: when it arrives, which of all it is, whether it is ours, and its octets.
type UnderWay = (Instant, u64, bool, Vec<u8>);

/// What a whole run came to.
struct Outcome {
    reports: HashMap<u64, Report>,
    /// Octets that were read of each.
    read: HashMap<u64, usize>,
    peers: Vec<Peer>,
    counts: super::super::Counts,
}

struct World {
    flows: Flows,
    frames: Frames,
    asker: Asker,
    exchanges: Vec<Exchange>,
    now: Instant,
    faults: Faults,
    dice: u64,
    peers: Vec<Peer>,
    by_addr: HashMap<Target, usize>,
    wire: BinaryHeap<Reverse<UnderWay>>,
    made: u64,
    outcome: Outcome,
}

impl World {
    fn new(seed: u64, count: usize, exchanges: &[Exchange], faults: Faults, mss: usize) -> Self {
        let settings = Settings { flows: count as u32, buffers: 4 << 20, ..Settings::default() };
        let lens: Vec<_> = exchanges.iter().map(|exchange| exchange.request).collect();
        let mut world = Self {
            flows: Flows::new(settings, Cookie::from_key(&[5; 16])).unwrap(),
            frames: frames(),
            asker: Asker::new(&lens),
            exchanges: exchanges.to_vec(),
            now: Instant::START,
            faults,
            dice: seed,
            peers: Vec::new(),
            by_addr: HashMap::new(),
            wire: BinaryHeap::new(),
            made: 0,
            outcome: Outcome {
                reports: HashMap::new(),
                read: HashMap::new(),
                peers: Vec::new(),
                counts: super::super::Counts::default(),
            },
        };
        for n in 0..count {
            let addr: IpAddr = if n % 2 == 0 {
                Ipv4Addr::from_bits(0xc613_0000 + n as u32).into()
            } else {
                Ipv6Addr::from_bits((0x2001_0db8 << 96) + 7 + n as u128).into()
            };
            let addr = Target { addr, port: 443 };
            let numbers = (world.roll() as u32, world.roll() as u32);
            let mut peer = Peer::new(addr, PORT, n as u64, exchanges, numbers, mss);
            let syn_ack = peer.syn_ack(world.now);
            world.peers.push(peer);
            world.by_addr.insert(addr, n);
            world.travel(false, &syn_ack.frame());
        }
        world
    }

    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.dice;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, share: f64) -> bool {
        ((self.roll() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    fn travel(&mut self, is_ours: bool, frame: &[u8]) {
        if self.chance(self.faults.loss) {
            return;
        }
        let times = if self.chance(self.faults.duplicate) { 2 } else { 1 };
        for _ in 0..times {
            let mut at = self.now + Duration::from_millis(20);
            if self.chance(self.faults.reorder) {
                at +=
                    self.faults.held_up.mul_f64((self.roll() >> 11) as f64 / (1_u64 << 53) as f64);
            }
            self.made += 1;
            self.wire.push(Reverse((at, self.made, is_ours, frame.to_vec())));
        }
    }

    /// Runs until nothing happens any more.
    fn run(mut self) -> Outcome {
        loop {
            self.transmit();
            let arrival = self.wire.peek().map(|Reverse((at, ..))| *at);
            let timeout = self.flows.poll_timeout();
            let peers = self.peers.iter().map(Peer::due).min();
            let next = [arrival, timeout, peers].into_iter().flatten().min().unwrap();
            // Peers whose SYN-ACKs were all lost would say them without end.
            if next == Instant::NEVER || next > Instant::START + Duration::from_secs(60) {
                break;
            }
            self.now = self.now.max(next);
            while let Some(Reverse((at, ..))) = self.wire.peek()
                && *at <= self.now
            {
                let Reverse((_, _, is_ours, frame)) = self.wire.pop().unwrap();
                if is_ours { self.at_peer(&frame) } else { self.at_us(&frame) }
            }
            while let Some(id) = self.flows.poll_ended(self.now) {
                self.close(id);
            }
            for n in 0..self.peers.len() {
                if self.peers[n].due() <= self.now {
                    let mut said = Vec::new();
                    self.peers[n].wake(self.now, &mut |segment| said.push(segment));
                    said.iter().for_each(|said| self.travel(false, &said.frame()));
                }
            }
        }
        assert!(self.flows.is_empty() && self.flows.buffered() == 0, "{:?}", self.flows.len());
        self.outcome.peers = self.peers;
        self.outcome.counts = self.flows.counts();
        self.outcome
    }

    fn transmit(&mut self) {
        let mut slot = [0; Frames::MAX_LEN];
        let mut made = Vec::new();
        while let Some(outgoing) = self.flows.poll_transmit(self.now, &mut self.asker) {
            let len = self.frames.write(&mut slot, &outgoing);
            made.push(slot[..len.into()].to_vec());
        }
        made.iter().for_each(|frame| self.travel(true, frame));
    }

    fn at_peer(&mut self, frame: &[u8]) {
        let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
        let addr: IpAddr = match packet.network {
            Network::Ipv4(header, _) => header.destination().into(),
            Network::Ipv6(header, _) => header.destination().into(),
            _ => unreachable!(),
        };
        let segment = Incoming::of(&packet).unwrap().segment;
        let n = self.by_addr[&Target { addr, port: segment.destination_port() }];
        let mut said = Vec::new();
        self.peers[n].hear(&segment, self.now, &mut |segment| said.push(segment));
        said.iter().for_each(|said| self.travel(false, &said.frame()));
    }

    /// Plays the receiver of a scan, and who asked.
    fn at_us(&mut self, frame: &[u8]) {
        let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
        let incoming = Incoming::of(&packet).unwrap();
        let word = self.by_addr[&incoming.remote] as u64;
        match self.flows.handle(&incoming, self.now) {
            Handled::Stranger => {
                let is_first = !self.outcome.read.contains_key(&word);
                if incoming.segment.flags().contains(Flags::SYN) && is_first {
                    let request_len = self.exchanges[0].request as u32;
                    let opening = Opening {
                        syn_ack: incoming,
                        next_hop: ROUTER,
                        label: 1,
                        word,
                        request_len,
                    };
                    self.flows.open(&opening, self.now).unwrap();
                    self.outcome.read.insert(word, 0);
                } else {
                    self.flows.refuse(&incoming, ROUTER, 1);
                }
            }
            Handled::Quiet => {}
            Handled::Data(id) => self.read(id),
            Handled::Ended(id) => {
                self.read(id);
                self.close(id);
            }
        }
    }

    /// Reads whole answers, and asks on or closes.
    fn read(&mut self, id: FlowId) {
        let Some(about) = self.flows.about(id) else { return };
        let request = usize::from(about.request);
        let before: usize = self.exchanges[..request].iter().map(|exchange| exchange.answer).sum();
        let data = self.flows.data(id);
        for (at, byte) in data.iter().enumerate() {
            assert_eq!(*byte, octet(about.word, before + at), "octet {} is another", before + at);
        }
        let wanted = self.exchanges[request].answer;
        assert!(data.len() <= wanted, "more than was said");
        self.outcome.read.insert(about.word, before + data.len());
        if data.len() < wanted {
            return;
        }
        self.flows.consume(id, wanted);
        match self.exchanges.get(request + 1) {
            Some(next) => assert!(self.flows.ask(id, next.request as u32, self.now)),
            None => self.close(id),
        }
    }

    fn close(&mut self, id: FlowId) {
        if let Some(report) = self.flows.close(id) {
            let other = self.outcome.reports.insert(report.word, report);
            assert_eq!(other, None, "two reports of one flow");
        }
    }
}

fn whole(exchanges: &[Exchange]) -> usize {
    exchanges.iter().map(|exchange| exchange.answer).sum()
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (1..3_000_usize, 1..15_000_usize).prop_map(|(request, answer)| Exchange { request, answer })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A network may do anything; [`World::read`] asserts that each octet read is the one said.
    #[test]
    fn what_is_read_is_a_beginning_of_what_was_said(
        seed: u64,
        (loss, duplicate, reorder) in (0.0..0.5, 0.0..0.5, 0.0..1.0),
        exchanges in prop::collection::vec(exchange(), 1..4),
        mss in 100..1_460_usize,
    ) {
        let held_up = Duration::from_millis(500);
        let faults = Faults { loss, duplicate, reorder, held_up };
        let outcome = World::new(seed, 6, &exchanges, faults, mss).run();
        // One report for each flow that was opened, and it knows what was read.
        prop_assert_eq!(outcome.reports.len(), outcome.read.len());
        for (word, report) in &outcome.reports {
            prop_assert_eq!(report.received as usize, outcome.read[word]);
            let is_done = outcome.read[word] == whole(&exchanges);
            prop_assert_eq!(report.end == End::Closed, is_done, "{:?}", report);
            prop_assert_eq!(report.stage == Stage::Answering, report.received > 0 || report.first.is_some());
        }
    }

    /// Without loss everything arrives, however late and however often, and no host is left with an open connection.
    #[test]
    fn all_is_read_where_nothing_is_lost(
        seed: u64,
        (duplicate, reorder) in (0.0..0.5, 0.0..1.0),
        exchanges in prop::collection::vec(exchange(), 1..4),
        mss in 500..1_460_usize,
    ) {
        let held_up = Duration::from_millis(60);
        let faults = Faults { loss: 0.0, duplicate, reorder, held_up };
        let outcome = World::new(seed, 6, &exchanges, faults, mss).run();
        prop_assert_eq!(outcome.reports.len(), 6);
        prop_assert!(outcome.read.values().all(|read| *read == whole(&exchanges)));
        prop_assert!(outcome.reports.values().all(|report| report.end == End::Closed));
        prop_assert!(outcome.peers.iter().all(|peer| peer.reset));
    }
}

/// A perfect network: each host gets the one reset that it believes, and nothing is sent twice.
#[test]
fn a_perfect_network_needs_nothing_twice() {
    let faults = Faults { loss: 0.0, duplicate: 0.0, reorder: 0.0, held_up: Duration::ZERO };
    let exchanges = [Exchange { request: 517, answer: 3_500 }];
    let outcome = World::new(1, 100, &exchanges, faults, 1_460).run();
    assert!(outcome.read.values().all(|read| *read == 3_500));
    assert!(outcome.peers.iter().all(|peer| peer.reset && peer.challenges == 0));
    assert_eq!(outcome.counts, super::super::Counts::default());
}

/// What the TLS scanner has to reach: 1 % lost each way, 0.5 % out of order. The SYN-ACK is said again when it is lost, as
/// ours are by the retries of a scan.
#[test]
fn nearly_all_is_read_where_one_in_a_hundred_is_lost() {
    const WORLDS: u64 = 40;
    const HOSTS: usize = 100;
    let held_up = Duration::from_millis(30);
    let faults = Faults { loss: 0.01, duplicate: 0.001, reorder: 0.005, held_up };
    let exchanges = [Exchange { request: 517, answer: 3_500 }];
    let (mut complete, mut resent) = (0, 0);
    for seed in 0..WORLDS {
        let outcome = World::new(seed, HOSTS, &exchanges, faults, 1_460).run();
        complete += outcome.read.values().filter(|read| **read == 3_500).count();
        resent += outcome.counts.resent;
    }
    let all = WORLDS as usize * HOSTS;
    assert!(complete * 10_000 >= all * 9_999, "{complete} of {all}");
    assert!(resent > 0, "nothing was lost");
}
