//! Hosts that answer probes: frames in, frames with delays out.
//!
//! The far side of the simulated wire and of the lab's responder thread. It owns no socket and no clock, draws what is random from a
//! seed, and reads frames with etherparse instead of [`crate::wire`], so that it is a second opinion on what we send:
//! a SYN or datagram whose checksums are wrong is counted and not answered, as a kernel would do.
//!
//! ```text
//!  frame -> question -> first matching rule -> Behaviour -> reply -> emit(delay, frame)
//!              |                                  '-> SYN-ACK -> half open -> again after 1 s and 3 s
//!              '-> RST or ACK of ours ---------------------------> closed, or at hosts that speak:
//!                  segments of ours --------------------------> talk -> voice -> segments, again until acknowledged
//!  frame -> datagram -> first matching rule that serves -> Service -> datagrams, ICMP errors
//! ```
//!
//! # What holds
//!
//! - The same seed and the same calls give the same bytes.
//! - It answers SYNs and datagrams to addresses that a rule covers, ARP requests and neighbour solicitations for addresses it
//!   [owns](Hosts::owning), and what comes to a [host that speaks](Behaviour::Speaks), and nothing else. IPv4 and IPv6 alike.
//! - Every table is bounded: see [`MAX_HALF_OPEN`] and [`MAX_TALKS`].
//!
//! Never opens a link and never sends: whoever holds a frame decides where it goes.

mod behaviour;
mod counts;
mod half_open;
mod question;
mod reply;
mod service;
mod speaker;
mod talk;
mod talks;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, net::IpAddr, ops::RangeInclusive, time::Duration};

pub use self::{
    behaviour::{Behaviour, Odd, OpenHost, Quote, RstAck},
    counts::HostCounts,
    half_open::MAX_HALF_OPEN,
    service::{Heard, Said, Service},
    speaker::{Order, Say, Speaker, Then},
    talks::MAX_TALKS,
};
use self::{
    half_open::{Connection, HalfOpen},
    question::{Asked, Asking, Question},
    talk::Talk,
    talks::Talks,
};
use super::random::Random;
use crate::{link::LinkLayer, time::Instant};

/// Most connections that [`Behaviour::Challenge`] remembers; hosts beyond it answer as if they remembered none.
const MAX_CHALLENGED: usize = 1 << 16;

/// A set of simulated hosts. See the [module](self).
#[derive(Debug)]
pub struct Hosts {
    rules: Vec<Rule>,
    owned: Vec<(IpAddr, IpAddr)>,
    hardware_address: [u8; 6],
    state: State,
}

#[derive(Debug)]
struct Rule {
    addrs: (IpAddr, IpAddr),
    ports: RangeInclusive<u16>,
    behaviour: Behaviour,
}

/// What changes while frames are answered, apart from the rules so that both can be borrowed.
#[derive(Debug)]
struct State {
    seed: u64,
    now: Instant,
    random: Random,
    half_open: HalfOpen,
    talks: Talks,
    /// By host, port and peer: the connection that the host still holds, `None` once it was reset.
    challenged: HashMap<(IpAddr, u16, IpAddr), Option<OldConnection>>,
    counts: HostCounts,
    out: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct OldConnection {
    peer_port: u16,
    /// What the host acknowledges there: the sequence number of a RST that ends it.
    ack: u32,
}

/// How a reply leaves, as the wrappers around a behaviour want it.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    delay: Duration,
    /// Each copy waits up to this longer.
    jitter: Duration,
    copies: u8,
}

impl Delivery {
    /// One copy at once.
    const PLAIN: Self = Self { delay: Duration::ZERO, jitter: Duration::ZERO, copies: 1 };

    fn send(self, frame: &[u8], random: &mut Random, emit: Emit<'_>) {
        for _ in 0..self.copies {
            emit(self.delay + random.below(self.jitter), frame);
        }
    }
}

/// Takes a reply that leaves after a delay.
type Emit<'a> = &'a mut dyn FnMut(Duration, &[u8]);

impl Hosts {
    /// No hosts yet; what they draw at random comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            rules: Vec::new(),
            owned: Vec::new(),
            hardware_address: [0x02, 0, 0xc6, 0x13, 0, 1],
            state: State {
                seed,
                now: Instant::START,
                random: Random::new(seed),
                half_open: HalfOpen::default(),
                talks: Talks::default(),
                challenged: HashMap::new(),
                counts: HostCounts::default(),
                out: Vec::with_capacity(2_048),
            },
        }
    }

    /// The hosts `addrs` (both ends included) behave so on `ports`. The first rule that matches wins: for a datagram of those that
    /// [serve](Behaviour::Serves), for a SYN of the others. What none matches gets no answer.
    #[must_use]
    pub fn rule<A: Into<IpAddr>>(
        mut self,
        (first, last): (A, A),
        ports: RangeInclusive<u16>,
        behaviour: Behaviour,
    ) -> Self {
        let addrs = (first.into(), last.into());
        self.rules.push(Rule { addrs, ports, behaviour });
        self
    }

    /// ARP requests or neighbour solicitations for `addrs` (both ends included) are answered with the [hardware
    /// address](Self::hardware_address).
    #[must_use]
    pub fn owning<A: Into<IpAddr>>(mut self, (first, last): (A, A)) -> Self {
        self.owned.push((first.into(), last.into()));
        self
    }

    /// The one hardware address of all hosts in ARP replies and neighbour advertisements.
    #[must_use]
    pub fn hardware_address(mut self, octets: [u8; 6]) -> Self {
        self.hardware_address = octets;
        self
    }

    /// How the first rule that covers `addr` and `port` behaves when it gets a SYN.
    pub fn behaviour(&self, addr: impl Into<IpAddr>, port: u16) -> Option<&Behaviour> {
        let addr = addr.into();
        first(&self.rules, addr, port, false)
    }

    /// Answers one frame. `emit` gets each reply with the time that passes before it leaves; a reply carries the VLAN
    /// tags of its question.
    pub fn answer(
        &mut self,
        frame: &[u8],
        layer: LinkLayer,
        emit: &mut dyn FnMut(Duration, &[u8]),
    ) {
        self.state.counts.frames += 1;
        match question::read(frame, layer) {
            Asked::Nothing => self.state.counts.ignored += 1,
            Asked::BadChecksum => self.state.counts.bad_checksums += 1,
            Asked::Arp(asked) => {
                if self.owns(asked.wanted.into()) {
                    self.state.counts.arp_answers += 1;
                    reply::arp(&mut self.state.out, &asked, self.hardware_address);
                    emit(Duration::ZERO, &self.state.out);
                } else {
                    self.state.counts.ignored += 1;
                }
            }
            Asked::Neighbour(asked) => {
                if self.owns(asked.wanted.into()) {
                    self.state.counts.ndp_answers += 1;
                    reply::advertisement(&mut self.state.out, &asked, self.hardware_address);
                    emit(Duration::ZERO, &self.state.out);
                } else {
                    self.state.counts.ignored += 1;
                }
            }
            Asked::Tcp(question) => self.segment(&question, emit),
            Asked::Udp(asking) => self.datagram(&asking, emit),
        }
    }

    /// Moves the clock of the hosts to `now` and sends the SYN-ACKs that are due again: 1 s and 3 s after the SYN, unless
    /// a RST (its sequence number is what the SYN-ACK acknowledged) or an ACK came. After 63 s, as long as Linux takes with
    /// its default of 5 retransmissions, a connection is given up. Hosts that speak say again what nobody acknowledged.
    ///
    /// A world that never calls this has hosts that never repeat themselves.
    pub fn advance(&mut self, now: Instant, emit: &mut dyn FnMut(Duration, &[u8])) {
        let state = &mut self.state;
        state.now = state.now.max(now);
        let (sent, expired) =
            state.half_open.poll(state.now, &mut |frame| emit(Duration::ZERO, frame));
        state.counts.retransmitted += sent;
        state.counts.expired += expired;
        state.wake_talks(emit);
    }

    /// When [`advance`](Self::advance) next has something to do; [`Instant::NEVER`] when there are no connections.
    pub fn next_due(&self) -> Instant {
        self.state.half_open.next_due().min(self.state.talks.next_due())
    }

    /// How many connections hosts that speak hold, past the handshake.
    pub fn talks(&self) -> usize {
        self.state.talks.len()
    }

    /// How many connections hosts hold half open: a SYN-ACK was sent and neither RST nor ACK came.
    pub fn half_open(&self) -> usize {
        self.state.half_open.len()
    }

    /// What the hosts saw and did so far.
    pub fn counters(&self) -> HostCounts {
        self.state.counts
    }

    fn owns(&self, addr: IpAddr) -> bool {
        self.owned.iter().any(|addrs| within(*addrs, addr))
    }

    fn datagram(&mut self, asking: &Asking<'_>, emit: Emit<'_>) {
        let Self { rules, state, .. } = self;
        match first(rules, asking.packet.destination, asking.destination_port, true) {
            Some(behaviour) => state.serve(behaviour, asking, Delivery::PLAIN, emit),
            None => state.counts.datagrams_unclaimed += 1,
        }
    }

    fn segment(&mut self, question: &Question<'_>, emit: Emit<'_>) {
        let Self { rules, state, .. } = self;
        let behaviour = || first(rules, question.destination, question.destination_port, false);
        if state.talks.holds(&connection(question)) {
            state.hear(question, emit);
        } else if question.is_rst {
            state.reset(question);
        } else if question.is_syn && !question.is_ack {
            match behaviour() {
                Some(behaviour) => {
                    state.answer(behaviour, question, Delivery::PLAIN, emit);
                }
                None => state.counts.syns_unclaimed += 1,
            }
        } else if question.is_ack
            && let Some(completed) =
                state.half_open.acknowledge(&connection(question), question.seq, question.ack)
        {
            state.counts.completed += 1;
            if let Some(talk) = completed.talk {
                state.begin(talk, question, emit);
            }
        } else if question.is_ack && behaviour().is_some_and(Behaviour::is_speaking) {
            state.refuse(question, emit);
        } else {
            state.counts.ignored += 1;
        }
    }
}

impl State {
    fn answer(
        &mut self,
        behaviour: &Behaviour,
        question: &Question<'_>,
        delivery: Delivery,
        emit: Emit<'_>,
    ) {
        match behaviour {
            Behaviour::Challenge(open) => {
                if let Some(old) = self.challenged(question) {
                    self.counts.syns_challenged += 1;
                    let seq = self.draw(question, 2) as u32;
                    reply::challenge(&mut self.out, question, open, seq, old.ack);
                    self.deliver(delivery, emit);
                } else {
                    self.open(open, question, delivery, emit);
                }
            }
            Behaviour::Closed { ttl, ack } => {
                self.counts.syns_closed += 1;
                reply::closed(&mut self.out, question, *ttl, *ack);
                self.deliver(delivery, emit);
            }
            Behaviour::Duplicate(copies, inner) => {
                let copies = delivery.copies.saturating_mul(*copies);
                self.answer(inner, question, Delivery { copies, ..delivery }, emit);
            }
            Behaviour::Lossy { percent, of } => {
                if self.random.chance(f64::from(*percent) / 100.0) {
                    self.counts.syns_lost += 1;
                } else {
                    self.answer(of, question, delivery, emit);
                }
            }
            Behaviour::Odd(odd) => {
                self.counts.syns_odd += 1;
                let isn = self.draw(question, 1) as u32;
                reply::odd(&mut self.out, question, *odd, isn);
                if odd.is_open() {
                    self.track(question, isn, delivery, None);
                }
                self.deliver(delivery, emit);
            }
            Behaviour::Open(open) => self.open(open, question, delivery, emit),
            Behaviour::Reorder(most, inner) => {
                let jitter = delivery.jitter + *most;
                self.answer(inner, question, Delivery { jitter, ..delivery }, emit);
            }
            Behaviour::Serves(_) => {} // no rule for SYNs leads here
            Behaviour::Silent => self.counts.syns_silent += 1,
            Behaviour::Slow(by, inner) => {
                let delay = delivery.delay + *by;
                self.answer(inner, question, Delivery { delay, ..delivery }, emit);
            }
            Behaviour::Speaks(speaker) => {
                self.counts.syns_speaking += 1;
                let isn = self.draw(question, 1) as u32;
                let talk = Talk::new(speaker, question, isn, delivery);
                talk.syn_ack(&mut self.out);
                self.track(question, isn, delivery, Some(Box::new(talk)));
                self.deliver(delivery, emit);
            }
            Behaviour::Unreachable { code, responder, quote } => {
                self.counts.syns_unreachable += 1;
                let of_this_family =
                    |responder: &IpAddr| responder.is_ipv4() == question.destination.is_ipv4();
                let responder = responder.filter(of_this_family).unwrap_or(question.destination);
                reply::unreachable(&mut self.out, &question.whole(), *code, responder, *quote);
                self.deliver(delivery, emit);
            }
        }
    }

    fn open(
        &mut self,
        open: &OpenHost,
        question: &Question<'_>,
        delivery: Delivery,
        emit: Emit<'_>,
    ) {
        self.counts.syns_open += 1;
        let isn = self.draw(question, 1) as u32;
        reply::syn_ack(&mut self.out, question, open, isn);
        self.track(question, isn, delivery, None);
        self.deliver(delivery, emit);
    }

    /// Remembers the SYN-ACK in `out` until its peer closes the connection.
    fn track(
        &mut self,
        question: &Question<'_>,
        isn: u32,
        delivery: Delivery,
        talk: Option<Box<Talk>>,
    ) {
        let sent_at = self.now + delivery.delay;
        let peer_next = question.seq.wrapping_add(1);
        if !self.half_open.open(connection(question), isn, peer_next, sent_at, &self.out, talk) {
            self.counts.untracked += 1;
        }
    }

    /// The old connection that a SYN runs into, made when the host is first asked.
    fn challenged(&mut self, question: &Question<'_>) -> Option<OldConnection> {
        let key = (question.destination, question.destination_port, question.source);
        let is_full = self.challenged.len() >= MAX_CHALLENGED;
        let ack = self.draw(question, 3) as u32;
        let held = match self.challenged.get(&key) {
            Some(held) => *held,
            None if is_full => None,
            None => {
                // Any number but the two that would make the ACK an answer to this SYN.
                let ack = question.seq.wrapping_add(2 + (ack >> 1));
                let old = OldConnection { peer_port: question.source_port, ack };
                self.challenged.insert(key, Some(old));
                Some(old)
            }
        };
        held.filter(|old| old.peer_port == question.source_port)
    }

    fn reset(&mut self, question: &Question<'_>) {
        if self.half_open.reset(&connection(question), question.seq) {
            self.counts.resets += 1;
            return;
        }
        let key = (question.destination, question.destination_port, question.source);
        if let Some(held) = self.challenged.get_mut(&key)
            && held
                .is_some_and(|old| old.peer_port == question.source_port && old.ack == question.seq)
        {
            *held = None;
            self.counts.resets += 1;
            return;
        }
        self.counts.stray_resets += 1;
    }

    fn deliver(&mut self, delivery: Delivery, emit: Emit<'_>) {
        delivery.send(&self.out, &mut self.random, emit);
    }

    /// A number that depends on the seed, the connection and `salt` alone: a SYN that comes twice gets the same answer.
    fn draw(&self, question: &Question<'_>, salt: u64) -> u64 {
        let addrs = mixed(question.source).rotate_left(32) ^ mixed(question.destination);
        let ports = u64::from(question.source_port) << 16 | u64::from(question.destination_port);
        let first = Random::new(self.seed ^ addrs).next();
        Random::new(first ^ ports ^ salt << 32).next()
    }
}

/// The first rule that covers `addr` and `port`, of those for datagrams or of the others.
fn first(rules: &[Rule], addr: IpAddr, port: u16, serves: bool) -> Option<&Behaviour> {
    let covers = |rule: &&Rule| {
        within(rule.addrs, addr) && rule.ports.contains(&port) && rule.behaviour.serves() == serves
    };
    rules.iter().find(covers).map(|rule| &rule.behaviour)
}

fn connection(question: &Question<'_>) -> Connection {
    Connection {
        host: question.destination,
        host_port: question.destination_port,
        peer: question.source,
        peer_port: question.source_port,
    }
}

/// An address of one range is always of its family: all of IPv4 sorts before all of IPv6.
fn within((first, last): (IpAddr, IpAddr), addr: IpAddr) -> bool {
    (first..=last).contains(&addr)
}

/// An address as a part of what [`State::draw`] depends on.
fn mixed(addr: IpAddr) -> u64 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits().into(),
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            Random::new((bits >> 64) as u64).next() ^ bits as u64
        }
    }
}
