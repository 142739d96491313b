//! The same question over TCP, for answers that are longer than a datagram (RFC 7766).
//!
//! ```text
//!  TC --> Knocking --SYN, seq = id | hash--> Opening --SYN-ACK--> Talking: a flow of the engine's, until the message is here
//!                     ^                         |                     2 octets of length, then as many
//!                     '---- another port -------'
//! ```
//!
//! A SYN has a place like a query: its source port and the upper half of its sequence number are slot and generation, the lower
//! half is a hash of both, so a SYN-ACK finds its lookup without a table and proves that it answers us. Each SYN that is sent
//! again is from another port: what the first one left behind at a host or on the way is not in its way.
//!
//! What fails here is a failed attempt, and the next resolver is asked.

use mrpf_engine::{
    governor::{Class, Waiting},
    link::{LinkError, MAX_BATCH, Tx},
    probe::Invalid,
    tcp::{self, About, FlowId, Flows, Handled, Incoming, Opening, Refused, Requests},
    time::Instant,
    wire::{MacAddr, tcp::Flags},
};

use super::{
    desk::{Desk, Found, tick_of},
    frames::Way,
    hearing::told_over_tcp,
    slot::{Asked, Failure, Manner, State},
};
use crate::{
    message::{Matched, Message, Query},
    resolver::ServerId,
};

/// SYNs for one answer.
const SYNS: u8 = 3;
/// Octets of the length before a message (RFC 1035, section 4.2.2).
const PREFIX: usize = 2;
const MOST_REQUEST: usize = PREFIX + Query::MAX_LEN;

/// Connections of one thread. See the [module](self).
#[derive(Debug)]
pub(super) struct Tcp {
    flows: Flows,
    segments: tcp::Frames,
    waiting: Waiting,
    /// What the flows had counted when it was last told.
    told: tcp::Counts,
}

impl Desk {
    /// Asks `server` the same over TCP.
    pub(super) fn knock(&mut self, number: u32, server: ServerId) {
        let edns = self.settings.edns.is_some() && self.pool.speaks_edns(server);
        let slot = self.slots.at(number);
        slot.extra = 0;
        slot.note(Asked { server: server.0, sent: 0 }, Manner { edns, cased: false, tcp: true });
        slot.state = State::Knocking;
        self.slots.wheel.cancel(number);
        self.slots.enlist(&mut self.knocking, number);
    }

    /// Nobody has answered a SYN.
    pub(super) fn knock_again(&mut self, number: u32, now: Instant) {
        let slot = self.slots.at(number);
        slot.extra += 1;
        if let (Some((asked, manner)), true) = (slot.asked(0), slot.extra < SYNS) {
            slot.note(asked, manner);
            slot.state = State::Knocking;
            return self.slots.enlist(&mut self.knocking, number);
        }
        self.tally.tcp_failed.add(1);
        self.fail(number, Failure::Truncated, now, None);
    }

    /// Writes the SYN of `number`; `None` if there is nobody to send it to.
    fn make_syn(&mut self, number: u32, now: Instant, frame: &mut [u8]) -> Option<u16> {
        let slot = self.slots.at(number);
        slot.stamp(now.as_wrapped_micros());
        slot.state = State::Opening;
        let (generation, extra) = (slot.generation, slot.extra);
        let (Asked { server, .. }, _) = slot.asked(0)?;
        let (port, id) = self.places.of(number, generation);
        let server = self.pool.addr(ServerId(server));
        let next_hop = self.session.next_hops().of(server.ip())?;
        let way = Way { next_hop, server, port, label: self.label(port, id) };
        let len = self.frames.syn(frame, &way, self.syn_seq(port, id))?;
        // As RFC 6298 has it, section 2: 1 s, and twice as long each time.
        let wait = std::time::Duration::from_secs(1 << extra);
        self.slots.wheel.set(number, tick_of(now + wait));
        Some(len)
    }

    fn syn_seq(&self, port: u16, id: u16) -> u32 {
        u32::from(id) << 16 | u32::from(self.cases.of_syn(port, id))
    }

    fn label(&self, port: u16, id: u16) -> u32 {
        (self.cases.of(port, id) >> 40) as u32
    }

    /// The request of a flow; nothing if its lookup is over.
    fn write_request(&self, word: u64, out: &mut [u8; MOST_REQUEST]) -> usize {
        let Some(found) = self.talking(word) else { return 0 };
        let (port, id) = self.places.of(found.slot, generation_of(word));
        let (prefix, message) = out.split_at_mut(PREFIX);
        let len = self.query(found.slot, port, id, found.manner).write(message);
        prefix.copy_from_slice(&(len as u16).to_be_bytes());
        PREFIX + len
    }

    /// The lookup that a flow is for, if it waits for it.
    fn talking(&self, word: u64) -> Option<Found> {
        let number = word as u32;
        let slot = self.slots.get(number).filter(|slot| slot.state == State::Talking)?;
        let age = slot.generation.wrapping_sub(generation_of(word));
        let (Asked { server, sent }, manner) = slot.asked(age)?;
        Some(Found { slot: number, age, server: ServerId(server), sent, manner })
    }
}

fn word_of(found: &Found, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(found.slot)
}

fn generation_of(word: u64) -> u32 {
    (word >> 32) as u32
}

/// What is asked on flows: made each time it is sent.
struct Asks<'a> {
    desk: &'a Desk,
    request: [u8; MOST_REQUEST],
}

impl Requests for Asks<'_> {
    fn bytes(&mut self, about: &About) -> &[u8] {
        self.desk.write_request(about.word, &mut self.request);
        // Whole, so that what was announced is there whatever became of the lookup; it ends before the flow only when both do.
        &self.request
    }
}

impl Tcp {
    pub(super) fn new(flows: Flows, segments: tcp::Frames) -> Self {
        Self { flows, segments, waiting: Waiting::new(Class::Flow), told: tcp::Counts::default() }
    }

    /// Takes a segment to a port of ours.
    pub(super) fn hear(
        &mut self,
        desk: &mut Desk,
        incoming: &Incoming<'_>,
        next_hop: MacAddr,
        at: Instant,
    ) {
        let handled = self.flows.handle(incoming, at);
        if handled != Handled::Stranger {
            desk.session.counters().segments.add(1);
        }
        match handled {
            Handled::Data(flow) => self.read(desk, flow, at),
            Handled::Ended(flow) => self.ended(desk, flow, at),
            Handled::Quiet => {}
            Handled::Stranger => self.hear_stranger(desk, incoming, next_hop, at),
        }
    }

    /// A segment of no flow: it answers a SYN, or nothing.
    fn hear_stranger(
        &mut self,
        desk: &mut Desk,
        incoming: &Incoming<'_>,
        next_hop: MacAddr,
        at: Instant,
    ) {
        let flags = incoming.segment.flags();
        let (opens, resets) = (flags.contains(Flags::SYN | Flags::ACK), flags.contains(Flags::RST));
        let seq = incoming.segment.ack().wrapping_sub(1);
        let (port, id) = (incoming.local_port, (seq >> 16) as u16);
        let counters = desk.session.counters();
        if !(opens || resets) || seq != desk.syn_seq(port, id) {
            return counters.invalid(Invalid::Cookie);
        }
        counters.valid.add(1);
        let label = desk.label(port, id);
        let found = desk.find(port, id).ok().filter(|found| {
            let addr = desk.pool.addr(found.server);
            found.manner.tcp
                && addr.ip() == incoming.remote.addr
                && addr.port() == incoming.remote.port
        });
        let is_awaited = |found: &Found| {
            desk.slots.get(found.slot).is_some_and(|slot| slot.state == State::Opening)
        };
        let Some(found) = found.filter(is_awaited) else {
            counters.late.add(1);
            // Of those who repeat themselves without end one is answered at a time.
            if opens && self.flows.strays() == 0 {
                self.flows.refuse(incoming, next_hop, label);
            }
            return;
        };
        counters.first.add(1);
        if resets {
            desk.tally.tcp_failed.add(1);
            return desk.fail(found.slot, Failure::Truncated, at, None);
        }
        self.open(desk, &found, incoming, next_hop, label, at);
    }

    fn open(
        &mut self,
        desk: &mut Desk,
        found: &Found,
        incoming: &Incoming<'_>,
        next_hop: MacAddr,
        label: u32,
        at: Instant,
    ) {
        let slot = desk.slots.at(found.slot);
        let word = word_of(found, slot.generation.wrapping_sub(found.age));
        slot.state = State::Talking;
        let request_len = desk.write_request(word, &mut [0; MOST_REQUEST]) as u32;
        let opening = Opening { syn_ack: *incoming, next_hop, label, word, request_len };
        match self.flows.open(&opening, at) {
            Ok(_) => {
                desk.slots.wheel.cancel(found.slot);
                desk.tally.connections.add(1);
                desk.session.counters().connections.add(1);
            }
            Err(refused) => {
                // Its timer runs on, and the next SYN is from another port.
                desk.slots.at(found.slot).state = State::Opening;
                if refused == Refused::Full {
                    self.flows.refuse(incoming, next_hop, label);
                }
            }
        }
    }

    /// There is more of an answer.
    fn read(&mut self, desk: &mut Desk, flow: FlowId, at: Instant) {
        let Some(about) = self.flows.about(flow) else { return };
        if let Some(message) = whole(self.flows.data(flow)) {
            deliver(desk, about.word, Some(message), at);
            self.flows.close(flow);
        }
    }

    /// A connection is over.
    fn ended(&mut self, desk: &mut Desk, flow: FlowId, at: Instant) {
        let Some(about) = self.flows.about(flow) else { return };
        let data = self.flows.data(flow);
        // The longest message and its length are an octet or two more than a flow keeps: those are missing then.
        let is_full = data.len() == self.flows.settings().cap as usize;
        let message = whole(data).or_else(|| data.get(PREFIX..).filter(|_| is_full));
        deliver(desk, about.word, message, at);
        self.flows.close(flow);
    }

    /// Does what is due about connections.
    pub(super) fn expire(&mut self, desk: &mut Desk, now: Instant) {
        while let Some(flow) = self.flows.poll_ended(now) {
            self.ended(desk, flow, now);
        }
    }

    /// Sends segments and SYNs, as the governor allows; gives when to come again if something remains.
    pub(super) fn transmit<T: Tx>(
        &mut self,
        desk: &mut Desk,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        let mut lens = [0; MAX_BATCH];
        loop {
            let knocking = if self.has_room() { desk.knocking.len() as usize } else { 0 };
            let pending = self.flows.pending() + knocking;
            let session = std::sync::Arc::clone(&desk.session);
            if pending == 0 {
                session.governor().set_waiting(&mut self.waiting, 0);
                session.counters().flows(self.flows.counts(), self.told);
                self.told = self.flows.counts();
                return Ok(self.flows.poll_timeout());
            }
            let want = pending.min(link.slots()) as u32;
            let got = session.governor().take(Class::Flow, want, now);
            if got == 0 {
                session.governor().set_waiting(&mut self.waiting, pending as u32);
                let again = session.governor().ready_at(Class::Flow, want.min(session.batch()));
                return Ok(Some(again));
            }
            let mut made = 0;
            let mut asks = Asks { desk, request: [0; MOST_REQUEST] };
            while made < got as usize
                && let Some(outgoing) = self.flows.poll_transmit(now, &mut asks)
            {
                lens[made] = self.segments.write(link.frame(made), &outgoing);
                made += 1;
            }
            let segments = made;
            while made < got as usize && self.has_room() {
                let Some(number) = desk.slots.pop(&mut desk.knocking) else { break };
                if desk.slots.at(number).state != State::Knocking {
                    desk.go_on_in_list(number);
                    continue;
                }
                match desk.make_syn(number, now, link.frame(made)) {
                    Some(len) => {
                        lens[made] = len;
                        made += 1;
                    }
                    None => desk.fail(number, Failure::Truncated, now, None),
                }
            }
            // Some that waited had nothing to say any more.
            session.governor().put_back(Class::Flow, got - made as u32);
            if made > 0 {
                let sent = link.send(&lens[..made])?;
                session.counters().batch(sent);
                let syns = u64::from(sent.sent).saturating_sub(segments as u64);
                session.counters().segments_sent.add(u64::from(sent.sent) - syns);
                session.counters().probes.add(syns);
                desk.tally.syns.add(syns);
            }
        }
    }

    /// Whether what a SYN opens finds a place.
    fn has_room(&self) -> bool {
        let most = self.flows.settings().flows as usize;
        self.flows.len() < most - most / 4
    }

    /// Gives up all connections; resets remain to be sent.
    pub(super) fn abandon(&mut self) {
        for place in 0..self.flows.settings().flows as usize {
            if let Some(flow) = self.flows.at(place) {
                self.flows.close(flow);
            }
        }
    }

    /// What is owed will not be sent.
    pub(super) fn leave(&mut self, desk: &Desk) {
        desk.session.counters().resets_skipped.add(self.flows.pending() as u64);
        desk.session.governor().set_waiting(&mut self.waiting, 0);
    }
}

/// The message in `data`, if all of it is there.
fn whole(data: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = data.split_first_chunk::<PREFIX>()?;
    rest.get(..usize::from(u16::from_be_bytes(*prefix)))
}

/// A connection brought `message`, or nothing that is one.
fn deliver(desk: &mut Desk, word: u64, message: Option<&[u8]>, at: Instant) {
    let Some(found) = desk.talking(word) else { return };
    let (port, id) = desk.places.of(found.slot, generation_of(word));
    let message = message.and_then(Message::parse).filter(|message| {
        // Who completed the handshake is who was asked, so the case of letters proves nothing more.
        desk.query(found.slot, port, id, found.manner).answers(message) != Matched::Other
    });
    match message {
        Some(message) => {
            let rtt = Desk::rtt(found.sent, at);
            let told = told_over_tcp(desk.pool.addr(found.server), rtt, at);
            desk.take_over_tcp(&found, told, &message);
        }
        None => {
            desk.tally.tcp_failed.add(1);
            desk.fail(found.slot, Failure::Truncated, at, None);
        }
    }
}
