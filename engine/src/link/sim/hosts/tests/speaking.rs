//! Hosts that speak, asked by the flows of the scanner, in virtual time and over networks of all kinds.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    cookie::Cookie,
    link::{
        Rx, Tx,
        sim::{Faults, Network},
    },
    sources::Sources,
    target::Target,
    tcp::{
        About, End, FlowId, Flows, Frames, Handled, Incoming, Opening, Report, Requests, Settings,
    },
    template::{Ends, TcpProfile},
    wire::{self, MacAddr, tcp::Flags},
};

const US_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const HOST_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);
const PORT: u16 = 443;
const OUR_PORT: u16 = 61_000;
const REQUEST: usize = 517;
const ANSWER: usize = 3_500;

fn octets(key: u64, len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| ((key ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

fn request(number: u8) -> Vec<u8> {
    octets(u64::from(number) << 32, REQUEST)
}

fn answer(host: Target) -> Vec<u8> {
    let last = match host.addr {
        IpAddr::V4(addr) => u64::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits() as u64,
    };
    octets(last << 8, ANSWER)
}

/// Answers the request, and nothing else.
fn honest() -> Speaker {
    Speaker::answering(|host, asked| {
        assert!(
            asked.len() <= REQUEST && request(0).starts_with(asked),
            "it was asked something else"
        );
        if asked.len() < REQUEST { Say::nothing() } else { Say::bytes(answer(host)) }
    })
}

struct Asker(Vec<Vec<u8>>);

impl Requests for Asker {
    fn bytes(&mut self, about: &About) -> &[u8] {
        &self.0[usize::from(about.request)]
    }
}

/// What a client got of one host.
#[derive(Debug, PartialEq)]
struct Got {
    octets: Vec<u8>,
    report: Report,
}

/// The receiver of a scan in small: one SYN a host, each whole answer closed or asked on.
struct Client {
    network: Network,
    flows: Flows,
    frames: Frames,
    asker: Asker,
    /// After how many octets it asks again, in order, and at last closes.
    enough: Vec<usize>,
    got: HashMap<IpAddr, Vec<u8>>,
    done: HashMap<IpAddr, Got>,
}

impl Client {
    fn new(network: Network, requests: &[Vec<u8>], enough: &[usize]) -> Self {
        let sources = Sources { v4: Some(US), v6: Some(US_6) };
        let source_mac = MacAddr(OUR_MAC);
        let ends = Ends { layer: LinkLayer::Ethernet, source_mac, vlan: None, sources };
        let settings = Settings { flows: 1_024, buffers: 8 << 20, ..Settings::default() };
        Self {
            network,
            flows: Flows::new(settings, Cookie::from_key(&[9; 16])).unwrap(),
            frames: Frames::new(&ends, TcpProfile::Windows),
            asker: Asker(requests.to_vec()),
            enough: enough.to_vec(),
            got: HashMap::new(),
            done: HashMap::new(),
        }
    }

    /// Asks all `hosts`, each by one SYN, until nothing happens any more or a minute has passed.
    fn ask(mut self, hosts: &[IpAddr]) -> HashMap<IpAddr, Got> {
        let until = self.network.now() + Duration::from_secs(60);
        hosts.iter().for_each(|host| self.send(&syn_to(*host)));
        loop {
            self.hear();
            while let Some(id) = self.flows.poll_ended(self.network.now()) {
                self.close(id);
            }
            let mut slot = [0; Frames::MAX_LEN];
            while let Some(out) = self.flows.poll_transmit(self.network.now(), &mut self.asker) {
                let len = usize::from(self.frames.write(&mut slot, &out));
                let frame = slot[..len].to_vec();
                self.send(&frame);
            }
            let next = self.flows.poll_timeout().unwrap_or(Instant::NEVER);
            let next = next.min(self.network.next_event()).max(self.network.now());
            if next > until {
                assert!(self.flows.is_empty(), "a flow did not end");
                return self.done;
            }
            self.network.advance(next);
        }
    }

    fn send(&self, frame: &[u8]) {
        let mut tx = self.network.tx();
        tx.frame(0)[..frame.len()].copy_from_slice(frame);
        tx.send(&[frame.len() as u16]).unwrap();
    }

    fn hear(&mut self) {
        let mut frames = Vec::new();
        self.network
            .rx()
            .receive(Duration::ZERO, |frame| frames.push(frame.bytes.to_vec()))
            .unwrap();
        for frame in frames {
            let packet = wire::parse(&frame, LinkLayer::Ethernet).unwrap();
            let incoming = Incoming::of(&packet).unwrap();
            let now = self.network.now();
            match self.flows.handle(&incoming, now) {
                Handled::Stranger => self.meet(incoming, now),
                Handled::Quiet => {}
                Handled::Data(id) => self.read(id, now),
                Handled::Ended(id) => self.close(id),
            }
        }
    }

    fn meet(&mut self, syn_ack: Incoming<'_>, now: Instant) {
        let (addr, next_hop) = (syn_ack.remote.addr, MacAddr(THEIR_MAC));
        let flags = syn_ack.segment.flags();
        let is_new = flags.contains(Flags::SYN) && !self.got.contains_key(&addr);
        if is_new {
            let request_len = self.asker.0[0].len() as u32;
            let opening = Opening { syn_ack, next_hop, label: 1, word: 0, request_len };
            self.flows.open(&opening, now).unwrap();
            self.got.insert(addr, Vec::new());
        } else if !flags.contains(Flags::RST) {
            self.flows.refuse(&syn_ack, next_hop, 1);
        }
    }

    fn read(&mut self, id: FlowId, now: Instant) {
        let about = self.flows.about(id).unwrap();
        let data = self.flows.data(id).to_vec();
        self.flows.consume(id, data.len());
        let got = self.got.get_mut(&about.remote.addr).unwrap();
        got.extend(data);
        let request = usize::from(about.request);
        if got.len() >= self.enough[request] {
            match self.asker.0.get(request + 1) {
                Some(next) => assert!(self.flows.ask(id, next.len() as u32, now)),
                None => self.close(id),
            }
        }
    }

    fn close(&mut self, id: FlowId) {
        let addr = self.flows.about(id).unwrap().remote.addr;
        let octets = [&self.got[&addr], self.flows.data(id)].concat();
        let report = self.flows.close(id).unwrap();
        assert_eq!(self.done.insert(addr, Got { octets, report }), None, "two reports");
    }
}

pub(super) fn syn_to(host: IpAddr) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(OUR_MAC, THEIR_MAC);
    let ip = match host {
        IpAddr::V4(host) => ethernet.ipv4(US.octets(), host.octets(), 64),
        IpAddr::V6(host) => ethernet.ipv6(US_6.octets(), host.octets(), 64),
    };
    // As the Windows profile of the flows has them.
    let options = [2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2];
    let tcp = ip.tcp(OUR_PORT, PORT, 77, 64_240).syn().options_raw(&options).unwrap();
    let mut frame = Vec::new();
    tcp.write(&mut frame, &[]).unwrap();
    frame
}

fn network(behaviour: &Behaviour, faults: Faults) -> Network {
    let v4 = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    let v6 = (Ipv6Addr::from_bits(0x2001_0db8 << 96), Ipv6Addr::from_bits(0x2001_0db9 << 96));
    let hosts = Hosts::new(5).rule(v4, PORT..=PORT, behaviour.clone());
    Network::new(3, hosts.rule(v6, PORT..=PORT, behaviour.clone()), faults)
}

/// One host on a perfect network, and the network afterwards.
fn ask_one(speaker: Speaker, host: IpAddr) -> (Got, Network) {
    let network = network(&Behaviour::Speaks(speaker), Faults::default());
    let client = Client::new(network.clone(), &[request(0)], &[ANSWER]);
    let got = client.ask(&[host]).remove(&host).expect("it was never there");
    (got, network)
}

#[track_caller]
fn check_whole(name: &str, speaker: Speaker) {
    for host in [HOST.into(), HOST_6.into()] {
        let (got, network) = ask_one(speaker.clone(), host);
        assert_eq!((got.octets.len(), got.report.end), (ANSWER, End::Closed), "{name}, {host}");
        assert!(
            got.octets == answer(Target { addr: host, port: PORT }),
            "{name}, {host}: other words"
        );
        // The reset was believed: the host holds nothing.
        let counts =
            network.with_hosts(|hosts| (hosts.talks(), hosts.half_open(), hosts.counters().resets));
        assert_eq!(counts, (0, 0, 1), "{name}, {host}");
    }
}

#[test]
fn in_whatever_manner_a_host_speaks_its_words_are_the_same() {
    check_whole("plain", honest());
    check_whole("one octet a segment", honest().segment(1));
    check_whole("backward", honest().order(Order::Backward));
    check_whole("one octet a segment, backward", honest().segment(1).order(Order::Backward));
    check_whole("overlapping", honest().segment(100).overlap(99));
    check_whole("overlapping, backward", honest().segment(500).overlap(200).order(Order::Backward));
    check_whole("small segments both ways", honest().mss(Some(64)).segment(64));
    check_whole("no MSS in the SYN-ACK", honest().mss(None));
    check_whole("a small window", honest().window(200));
    check_whole("a window that opens", honest().opens_after(Duration::from_millis(700)));
}

#[test]
fn a_plain_answer_takes_no_more_segments_than_it_must() {
    let (got, network) = ask_one(honest(), HOST.into());
    let counts = network.with_hosts(Hosts::counters);
    assert_eq!((counts.syns_speaking, counts.completed, counts.said_again), (1, 1, 0));
    assert_eq!((counts.challenged, counts.strangers), (0, 0));
    // The SYN-ACK and three segments of 1,460, 1,460 and 580 octets.
    assert_eq!(network.counts().delivered, 4);
    assert!(!got.report.zero_window && got.report.resent == 0, "{got:?}");
}

#[test]
fn a_window_of_zero_is_seen_and_outlasted() {
    let (got, _) = ask_one(honest().opens_after(Duration::from_millis(700)), HOST.into());
    assert!(got.report.zero_window, "{:?}", got.report);
    let first = got.report.first.unwrap().since(got.report.opened);
    assert!(first >= Duration::from_millis(700), "{first:?}");
}

#[test]
fn an_end_comes_after_what_was_said_before_it() {
    for (said, then, end) in [
        (1_000, Then::Finish, End::Finished),
        (0, Then::Finish, End::Finished),
        (0, Then::Reset, End::Reset),
        (1_000, Then::Reset, End::Reset),
        (0, Then::Wait, End::Idle),
        (1_000, Then::Wait, End::Idle),
    ] {
        let speaker = Speaker::answering(move |host, asked| {
            let is_whole = asked.len() == REQUEST;
            if is_whole { Say::bytes(&answer(host)[..said]).then(then) } else { Say::nothing() }
        });
        let (got, network) = ask_one(speaker, HOST.into());
        assert_eq!((got.octets.len(), got.report.end), (said, end), "{said} octets, then {then:?}");
        assert_eq!(network.with_hosts(Hosts::talks), 0, "{said} octets, then {then:?}");
    }
    assert_eq!(ask_one(Speaker::silent(), HOST.into()).0.report.end, End::Idle);
}

/// A host that speaks first, and one whose voice remembers what it was asked before.
#[test]
fn a_voice_may_begin_and_may_remember() {
    let speaker = Speaker::new(|_| {
        let mut turn = 0;
        move |asked: &[u8]| {
            if asked != &request(turn)[..] && turn > 0 || turn == 0 && !asked.is_empty() {
                return Say::nothing();
            }
            turn += 1;
            Say::bytes(vec![turn; 2_000])
        }
    });
    let network = network(&Behaviour::Speaks(speaker), Faults::default());
    let requests = [Vec::new(), request(1), request(2)];
    let client = Client::new(network, &requests, &[2_000, 4_000, 6_000]);
    let got = client.ask(&[HOST.into()]).remove(&HOST.into()).unwrap();
    assert_eq!(got.octets, [vec![1; 2_000], vec![2; 2_000], vec![3; 2_000]].concat());
}

#[test]
fn voices_of_two_connections_are_two() {
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let speaker = Speaker::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        |_: &[u8]| Say::reset()
    });
    let network = network(&Behaviour::Speaks(speaker), Faults::default());
    let hosts = [HOST.into(), IpAddr::from(Ipv4Addr::new(198, 19, 1, 1))];
    let got = Client::new(network, &[request(0)], &[1]).ask(&hosts);
    assert_eq!((got.len(), made.load(Ordering::Relaxed)), (2, 2));
}

fn bad(loss: f64) -> Faults {
    let latency = (Duration::from_millis(10), Duration::from_millis(40));
    Faults {
        loss_out: loss,
        loss_back: loss,
        duplicate: 0.1,
        reorder: 0.2,
        latency,
        ..Faults::default()
    }
}

fn many() -> Vec<IpAddr> {
    (0..200).map(|n| Ipv4Addr::new(198, 19, 2, n).into()).collect()
}

#[test]
fn whatever_the_network_does_the_words_are_the_same_and_nearly_all_arrive() {
    let slow = Behaviour::Speaks(honest().segment(700)).slow(Duration::from_millis(50));
    let doubled = Behaviour::Duplicate(2, Box::new(Behaviour::Speaks(honest())));
    for behaviour in [Behaviour::Speaks(honest()), slow, doubled] {
        let network = network(&behaviour, bad(0.1));
        let got = Client::new(network.clone(), &[request(0)], &[ANSWER]).ask(&many());
        for (addr, got) in &got {
            let whole = answer(Target { addr: *addr, port: PORT });
            assert!(whole.starts_with(&got.octets), "{addr}: other words");
        }
        let whole = got.values().filter(|got| got.octets.len() == ANSWER).count();
        // One SYN each, of which a tenth is lost; of the others a few run out of time.
        assert!((150..200).contains(&whole), "{whole}");
        let counts = network.with_hosts(Hosts::counters);
        assert!(counts.said_again > 20 && counts.retransmitted > 0, "{counts:?}");
    }
}

#[test]
fn one_seed_gives_one_conversation() {
    let run = || {
        let network = network(&Behaviour::Speaks(honest()), bad(0.2));
        let got = Client::new(network.clone(), &[request(0)], &[ANSWER]).ask(&many());
        let mut got: Vec<_> = got.into_iter().collect();
        got.sort_by_key(|(addr, _)| *addr);
        (got, network.counts(), network.with_hosts(Hosts::counters))
    };
    assert!(run() == run());
}
