//! The table of flows: who has which, what comes in, what time has come.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use super::{
    End, FlowsError, Incoming, Report, Settings,
    buffers::Buffers,
    flow::{Birth, Flow, Progress, State},
    index::Index,
    seq::Seq,
    terms::Terms,
    transmit::{MOST_STRAYS, Queue, Stray},
};
use crate::{cookie::Cookie, target::Target, time::Instant, wheel::Wheel, wire::MacAddr};

/// What timers are rounded up to.
const TICK: Duration = Duration::from_millis(10);
pub(super) const NONE: u32 = u32::MAX;
/// One flow, until it is closed. A number that was given back names no other flow for four billion flows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FlowId {
    pub(super) number: u32,
    pub(super) generation: u32,
}

impl FlowId {
    /// Its place, below [`Settings::flows`], which no other open flow has: for tables beside this one.
    pub fn place(self) -> usize {
        self.number as usize
    }
}

/// Whom a flow is with, and what it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct About {
    /// Which flow.
    pub flow: FlowId,
    /// The host.
    pub remote: Target,
    /// Our port.
    pub local_port: u16,
    /// What was given with [`Opening::word`].
    pub word: u64,
    /// Which request is under way, from 0.
    pub request: u8,
}

/// A SYN-ACK that proved itself an answer to a SYN of ours: its acknowledgement number is the cookie and one.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The SYN-ACK.
    pub syn_ack: Incoming<'a>,
    /// Where frames to the host go: the sender of the frame.
    pub next_hop: MacAddr,
    /// The identification of IPv4 packets and the flow label of IPv6 packets, which is to be the one of the SYN (RFC 6437).
    pub label: u32,
    /// Whatever who asks wants to know the flow by.
    pub word: u64,
    /// How many octets the first request has; none if the host is to speak first.
    pub request_len: u32,
}

/// Why a SYN-ACK opened no flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// There are as many as there may be.
    Full,
    /// There is one with the same ports and addresses.
    Known,
}

/// What came of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Handled {
    /// It belongs to no flow.
    Stranger,
    /// It was taken, and there is nothing for who asked.
    Quiet,
    /// There are more octets to [read](Flows::data).
    Data(FlowId),
    /// The flow is over. What it got can be read until it is [closed](Flows::close).
    Ended(FlowId),
}

/// What happened to segments that a sane network and host would not have caused.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Segments far from what was expected, or that acknowledge what was not sent.
    pub ignored: u64,
    /// See [`Report::suspicious`].
    pub suspicious: u64,
    /// Segments refused because all buffers were in use.
    pub no_buffer: u64,
    /// Segments refused because too many others were missing.
    pub too_many_holes: u64,
    /// Buffers whose octets had to move to a larger one.
    pub moved: u64,
    /// Requests sent again because nobody acknowledged them.
    pub resent: u64,
    /// Resets that were owed to strangers and skipped, since too many were.
    pub strays_skipped: u64,
}

/// All flows of one thread. See the [module](super).
#[derive(Debug)]
pub struct Flows {
    pub(super) settings: Settings,
    hash: Cookie,
    pub(super) flows: Vec<Flow>,
    free: u32,
    len: usize,
    index: Index,
    pub(super) wheel: Wheel,
    pub(super) buffers: Buffers,
    pub(super) queue: Queue,
    pub(super) strays: VecDeque<Stray>,
    pub(super) counts: Counts,
}

impl Flows {
    /// No flows yet. `hash` has a key of its own, not that of the scan, whose values hosts get to see: or they could choose
    /// addresses that all fall into one place of the table.
    ///
    /// # Errors
    ///
    /// [`FlowsError`] when the settings contradict themselves or ask for more memory than there is.
    pub fn new(settings: Settings, hash: Cookie) -> Result<Self, FlowsError> {
        settings.check()?;
        let no_memory = || FlowsError::Memory(settings.memory());
        let capacity = settings.flows as usize;
        let mut flows = Vec::new();
        flows.try_reserve_exact(capacity).map_err(|_| no_memory())?;
        Ok(Self {
            hash,
            flows,
            free: NONE,
            len: 0,
            index: Index::new(capacity).ok_or_else(no_memory)?,
            wheel: Wheel::new(capacity).map_err(|_| no_memory())?,
            buffers: Buffers::new(settings.buffers).ok_or_else(no_memory)?,
            queue: Queue::default(),
            strays: VecDeque::with_capacity(MOST_STRAYS),
            counts: Counts::default(),
            settings,
        })
    }

    // --- what comes in --------------------------------------------------------------------------------------------

    /// Opens a flow. Its first segment, the acknowledgement of the SYN-ACK with as much of the request as one takes, is
    /// [to be sent](Self::poll_transmit).
    ///
    /// # Errors
    ///
    /// [`Refused`] when there can be no such flow; the host waits for a [reset](Self::refuse) then.
    pub fn open(&mut self, opening: &Opening<'_>, now: Instant) -> Result<FlowId, Refused> {
        let Incoming { remote, local_port, segment, .. } = opening.syn_ack;
        let hash = self.hash_of(remote, local_port);
        if self.find(hash, remote, local_port).is_some() {
            return Err(Refused::Known);
        }
        let (number, generation) = match self.flows.get(self.free as usize) {
            Some(flow) => (self.free, flow.generation),
            None if self.flows.len() < self.settings.flows as usize => (self.flows.len() as u32, 0),
            None => return Err(Refused::Full),
        };
        let terms = Terms::of(&segment, remote.addr, &self.settings);
        let birth = Birth {
            remote,
            next_hop: opening.next_hop,
            local_port,
            label: opening.label,
            word: opening.word,
            hash,
            generation,
            ours: Seq(segment.ack()),
            theirs: Seq(segment.seq()).plus(1),
            window: segment.window(),
            mss: terms.mss,
            shifts: terms.shifts,
            permits_sack: terms.permits_sack,
            request_len: opening.request_len,
        };
        let flow = Flow::new(birth, now);
        match self.flows.get_mut(number as usize) {
            Some(slot) => self.free = std::mem::replace(slot, flow).link,
            None => {
                self.flows.push(flow);
                self.wheel.add();
            }
        }
        self.len += 1;
        self.index.insert(hash, number);
        self.attend(number);
        Ok(FlowId { number, generation })
    }

    /// Takes one received segment.
    #[inline]
    pub fn handle(&mut self, incoming: &Incoming<'_>, now: Instant) -> Handled {
        let hash = self.hash_of(incoming.remote, incoming.local_port);
        let Some(number) = self.find(hash, incoming.remote, incoming.local_port) else {
            return Handled::Stranger;
        };
        let Self { flows, settings, buffers, counts, .. } = self;
        let flow = &mut flows[number as usize];
        if flow.state != State::Open {
            return Handled::Quiet;
        }
        let id = FlowId { number, generation: flow.generation };
        match flow.take(incoming, now, settings, buffers, counts) {
            Progress::Ended(end) => self.end(number, end),
            progress => {
                self.attend(number);
                if progress == Progress::Data { Handled::Data(id) } else { Handled::Quiet }
            }
        }
    }

    /// Takes an ICMP error that quotes a packet of ours from `local_port` to `remote` with the sequence number `seq`: it ends the
    /// flow if that number was sent.
    pub fn unreachable(&mut self, remote: Target, local_port: u16, seq: Option<u32>) -> Handled {
        let Some(number) = self.find(self.hash_of(remote, local_port), remote, local_port) else {
            return Handled::Stranger;
        };
        let flow = &self.flows[number as usize];
        if flow.state != State::Open || !seq.is_some_and(|seq| flow.has_sent(seq)) {
            self.counts.ignored += 1;
            return Handled::Quiet;
        }
        self.end(number, End::Unreachable)
    }

    // --- what time has come ---------------------------------------------------------------------------------------

    /// The next flow that is over because nothing came in time; to be called until there is none.
    pub fn poll_ended(&mut self, now: Instant) -> Option<FlowId> {
        let tick = u32::try_from(now.as_nanos() / TICK.as_nanos() as u64).unwrap_or(NONE - 1);
        while let Some(number) = self.wheel.pop(tick) {
            let Self { flows, settings, counts, .. } = self;
            let flow = &mut flows[number as usize];
            let generation = flow.generation;
            match flow.pass(now, settings, counts) {
                Some(end) => {
                    self.end(number, end);
                    return Some(FlowId { number, generation });
                }
                None => self.attend(number),
            }
        }
        None
    }

    /// When to call [`poll_ended`](Self::poll_ended) next; it may find nothing to do then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next().map(|tick| Instant::from_nanos(u64::from(tick) * TICK.as_nanos() as u64))
    }

    // --- what is read, asked and closed ---------------------------------------------------------------------------

    /// What the host said, as far as it is here without a gap and was not consumed. Empty for a flow that was closed.
    #[inline]
    pub fn data(&self, id: FlowId) -> &[u8] {
        self.get(id).map_or(&[], |flow| flow.data(&self.buffers))
    }

    /// Drops the first `n` octets of [`data`](Self::data), or all if there are fewer. Once all that came is consumed, the flow
    /// holds no buffer.
    pub fn consume(&mut self, id: FlowId, n: usize) {
        if self.get(id).is_some() {
            self.flows[id.place()].consume(n, &mut self.buffers);
        }
    }

    /// Asks again on a flow: the [`Requests`](super::Requests) are asked for the next request, of `len` octets. False, and
    /// nothing is done, when the flow is over or the host has not acknowledged all of the last.
    pub fn ask(&mut self, id: FlowId, len: u32, now: Instant) -> bool {
        let is_ready = |flow: &Flow| flow.state == State::Open && flow.is_acknowledged();
        let is_ready = self.get(id).is_some_and(is_ready);
        if is_ready {
            self.flows[id.place()].ask(len, now);
            self.attend(id.number);
        }
        is_ready
    }

    /// Whom a flow is with, and what it is for; `None` once it was closed.
    pub fn about(&self, id: FlowId) -> Option<About> {
        let flow = self.get(id)?;
        let (remote, local_port) = (flow.remote, flow.local_port);
        Some(About { flow: id, remote, local_port, word: flow.word, request: flow.request })
    }

    /// Ends a flow and says how it was; `None` if it was closed before. The host is sent a reset, unless it sent one. This must be
    /// called for flows that are over too: it is what makes room for others.
    pub fn close(&mut self, id: FlowId) -> Option<Report> {
        let flow = self.get(id)?;
        let end = if let State::Ended(end) = flow.state { end } else { End::Closed };
        let report = flow.report(end);
        self.wheel.cancel(id.number);
        let flow = &mut self.flows[id.place()];
        flow.release(&mut self.buffers);
        flow.generation = flow.generation.wrapping_add(1);
        let reset = end != End::Reset;
        flow.state = State::Closing { reset };
        if reset {
            self.enqueue(id.number);
        } else if !flow.is_queued {
            self.free(id.number);
        }
        Some(report)
    }

    /// The flow at a [place](FlowId::place), unless it was closed: all of them, at the end of a scan, are those at the places
    /// below [`Settings::flows`].
    pub fn at(&self, place: usize) -> Option<FlowId> {
        let flow = self.flows.get(place)?;
        let id = FlowId { number: place as u32, generation: flow.generation };
        self.get(id).map(|_| id)
    }

    /// What they are bounded by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many flows there are, those included whose reset was not sent yet.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Octets of buffers in use.
    pub fn buffered(&self) -> usize {
        self.buffers.leased()
    }

    /// What happened that should not.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    // --- inside ---------------------------------------------------------------------------------------------------

    fn get(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(id.place()).filter(|flow| {
            flow.generation == id.generation && matches!(flow.state, State::Open | State::Ended(_))
        })
    }

    #[inline]
    fn hash_of(&self, remote: Target, local_port: u16) -> u32 {
        // Our own address is the same for all, so any will do.
        let hash = match remote.addr {
            IpAddr::V4(addr) => self.hash.v4((0.into(), local_port), (addr, remote.port)),
            IpAddr::V6(addr) => self.hash.v6((0.into(), local_port), (addr, remote.port)),
        };
        hash as u32
    }

    #[inline]
    fn find(&self, hash: u32, remote: Target, local_port: u16) -> Option<u32> {
        self.index.find(hash, |number| {
            let flow = &self.flows[number as usize];
            flow.local_port == local_port && flow.remote == remote
        })
    }

    fn end(&mut self, number: u32, end: End) -> Handled {
        self.wheel.cancel(number);
        let flow = &mut self.flows[number as usize];
        flow.state = State::Ended(end);
        Handled::Ended(FlowId { number, generation: flow.generation })
    }

    /// Sees to it that a flow gets its turn to send, and wakes up in time.
    #[inline]
    pub(super) fn attend(&mut self, number: u32) {
        let flow = &self.flows[number as usize];
        let due = flow.due(&self.settings).as_nanos().div_ceil(TICK.as_nanos() as u64);
        let tick = u32::try_from(due).unwrap_or(NONE - 1);
        // What is due later than it was is left: when it wakes up it is told to wait.
        if tick < self.wheel.due(number) {
            self.wheel.set(number, tick);
        }
        if flow.has_to_send() {
            self.enqueue(number);
        }
    }

    /// Makes room for another flow.
    pub(super) fn free(&mut self, number: u32) {
        let flow = &mut self.flows[number as usize];
        self.index.remove(flow.hash, number);
        flow.state = State::Free;
        flow.link = std::mem::replace(&mut self.free, number);
        self.len -= 1;
    }
}
