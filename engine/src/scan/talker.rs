//! A listener that talks to who answers.
//!
//! ```text
//!  frame -> segment of a flow? -- yes --> Flows::handle --data--> Dialogue::read --enough--> close --> Found into the queue
//!             | no                                   '--ended------------------------------->'
//!             v
//!           SYN-ACK, cookie valid, first answer of its target? -- yes --> Flows::open
//!             '-- RST, ICMP: that is the result      '-- a repeated or late one is sent a reset
//! ```
//!
//! # What holds
//!
//! - A target whose SYN-ACK was taken has one result, when its connection is over, and none only if the scan was stopped.
//! - What a host says is read where it was put together, and nothing of it is copied here.
//! - New probes wait while there is little room for the connections that they may open, or frames wait for us.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{
    Dialogue, Found, Outcome, Shared,
    dialogue::Turn,
    intake::{Claimed, Intake, Kept, Place},
    listener::{LINGER, Listener},
    tails::Tails,
};
use crate::{
    governor::{Class, Waiting},
    link::{Frame, LinkError, MAX_BATCH, Tx},
    probe::Connects,
    tcp::{self, FlowId, Flows, Frames, Handled, Incoming, Opening, Refused},
    time::Instant,
    wire::{MacAddr, Packet, tcp::Flags},
};

/// Opens a connection for each first SYN-ACK and says what came of it. See the [module](super).
#[derive(Debug)]
pub struct Talker<P: Connects, D> {
    intake: Intake<P>,
    flows: Flows,
    frames: Frames,
    dialogue: D,
    waiting: Waiting,
    /// Frames to wait for before a send: see [`super::batch`].
    batch: u32,
    /// Results for which the queue had no room. While there are some, no frame is taken.
    kept: VecDeque<Found<P::Reply>>,
    tails: Tails,
    /// Which of the listeners this is.
    number: u8,
    /// Above so many flows no further target is asked.
    plenty: usize,
    /// When the latest frame that was taken since the last [`poll_transmit`](Listener::poll_transmit) arrived.
    latest: Option<Instant>,
    /// See [`Listener::nap`].
    nap: Duration,
    /// Something was given up, so nothing more is complete.
    has_abandoned: bool,
    /// Whether the senders were told to wait, for either.
    is_full: bool,
    /// What of the flows' counts was added to those of the scan.
    told: tcp::Counts,
}

impl<P: Connects, D: Dialogue<Reply = P::Reply>> Talker<P, D> {
    /// One receiving half of a scan, number `number` of those that [`Settings::threads`](super::Settings::threads) asks for.
    /// `frames` and `flows` are of the profile of the probe.
    pub fn new(
        shared: Arc<Shared<P>>,
        number: u8,
        flows: Flows,
        frames: Frames,
        dialogue: D,
    ) -> Self {
        let most = flows.settings().flows as usize;
        // What was asked within the last second may still answer.
        let coming =
            shared.session.rate.per_second().map_or(u64::MAX, std::num::NonZeroU64::get) as usize;
        shared.extend_credit(number, CREDIT.min(most as u64));
        Self {
            tails: Tails::new(flows.settings().deadline + LINGER),
            plenty: (most - coming.clamp(most / 16, most / 2)).min(most.saturating_sub(1)),
            number,
            waiting: Waiting::new(Class::Flow),
            batch: super::batch(shared.session.rate),
            intake: Intake::new(shared, number),
            flows,
            frames,
            dialogue,
            kept: VecDeque::with_capacity(MAX_BATCH),
            latest: None,
            nap: if coming as u64 > SLOW { ROUND } else { 10 * ROUND },
            has_abandoned: false,
            is_full: false,
            told: tcp::Counts::default(),
        }
    }

    /// A segment of no flow. Gives false for those that may answer a SYN.
    fn is_aftermath(&mut self, incoming: &Incoming<'_>, packet: &Packet<'_>) -> bool {
        let flags = incoming.segment.flags();
        if flags.contains(Flags::SYN) || flags.contains(Flags::RST) || !flags.contains(Flags::ACK) {
            return false;
        }
        // Of a connection that is over: it acknowledges something that we may have said.
        let shared = &*self.intake.shared;
        let syn = shared.probe.syn(incoming.remote, incoming.local_port);
        let said = incoming.segment.ack().wrapping_sub(syn.seq);
        if said == 0 || said > 1 + MOST_SAID || shared.walk.sequence(incoming.remote).is_none() {
            return false;
        }
        shared.session.counters.segments.add(1);
        self.refuse_again(incoming, next_hop(packet), syn.label);
        true
    }

    /// A packet that only somebody who saw our SYN can have sent.
    fn take(&mut self, claimed: &Claimed, packet: &Packet<'_>, at: Instant) {
        let shared = &*self.intake.shared;
        let syn_ack = Incoming::of(packet)
            .filter(|incoming| incoming.segment.flags().contains(Flags::SYN | Flags::ACK));
        let Some(syn_ack) = syn_ack else {
            if claimed.place == Place::First {
                shared.session.counters.answered_by_attempt[usize::from(claimed.attempt)].add(1);
                self.finish(Found {
                    target: claimed.target,
                    at,
                    outcome: Outcome::Reply(shared.probe.classify(packet)),
                    attempts: claimed.attempt + 1,
                    rtt: claimed.rtt,
                });
            }
            return;
        };
        let syn = shared.probe.syn(syn_ack.remote, syn_ack.local_port);
        let next_hop = next_hop(packet);
        if claimed.place != Place::First {
            return self.refuse_again(&syn_ack, next_hop, syn.label);
        }
        let opening = Opening {
            request_len: self.dialogue.request_len(claimed.target),
            syn_ack,
            next_hop,
            label: syn.label,
            word: word(claimed),
        };
        match self.flows.open(&opening, at) {
            Ok(_) => {
                shared.session.counters.connections.add(1);
                shared.session.counters.answered_by_attempt[usize::from(claimed.attempt)].add(1);
            }
            Err(Refused::Full | Refused::Known) => {
                // A retry finds it again when there is room.
                shared.answered.unmark(claimed.sequence);
                shared.session.counters.refused.add(1);
                self.flows.refuse(&syn_ack, next_hop, syn.label);
            }
        }
    }

    /// Owes a reset to a host that was told before, but only while no other is owed: a host that repeats itself without end
    /// would keep every other frame waiting.
    fn refuse_again(&mut self, incoming: &Incoming<'_>, next_hop: MacAddr, label: u32) {
        if self.flows.strays() == 0 {
            self.flows.refuse(incoming, next_hop, label);
        }
    }

    fn read(&mut self, flow: FlowId, now: Instant) {
        let Some(about) = self.flows.about(flow) else { return };
        let (read, next) = self.dialogue.read(&about, self.flows.data(flow));
        self.flows.consume(flow, read);
        match next {
            Turn::More => {}
            Turn::Ask(len) if self.flows.ask(flow, len, now) => {}
            // A host that answers what it has not acknowledged will not be asked more.
            Turn::Ask(_) | Turn::Enough => self.close(flow, now),
        }
    }

    /// The connection is over, for us or for its host. What had come before its end is read first.
    fn ended(&mut self, flow: FlowId, now: Instant) {
        if let Some(about) = self.flows.about(flow)
            && !self.flows.data(flow).is_empty()
        {
            let (read, _) = self.dialogue.read(&about, self.flows.data(flow));
            self.flows.consume(flow, read);
        }
        self.close(flow, now);
    }

    fn close(&mut self, flow: FlowId, now: Instant) {
        let Some(about) = self.flows.about(flow) else { return };
        let Some(report) = self.flows.close(flow) else { return };
        let reply = self.dialogue.end(&about, &report);
        let (attempt, rtt) = unfold(report.word);
        self.finish(Found {
            target: report.remote,
            at: now,
            outcome: Outcome::Reply(reply),
            attempts: attempt + 1,
            rtt,
        });
    }

    fn finish(&mut self, found: Found<P::Reply>) {
        match self.intake.offer(found) {
            Ok(()) => {}
            Err(Kept::Full(found)) => self.kept.push_back(found),
            Err(Kept::Gone) => self.intake.shared.session.counters.refused.add(1),
        }
    }

    /// Offers again what the queue had no room for.
    fn offer_again(&mut self) {
        while let Some(found) = self.kept.pop_front() {
            match self.intake.offer(found) {
                Ok(()) => {}
                Err(Kept::Full(found)) => return self.kept.push_front(found),
                Err(Kept::Gone) => self.intake.shared.session.counters.refused.add(1),
            }
        }
    }

    /// Tells the senders whether there is room for what they may open, and whether we keep up with what it brings.
    fn tell_room(&mut self, now: Instant) {
        let late = self.latest.take().map_or(Duration::ZERO, |arrived| now.since(arrived));
        let is_full = self.flows.len() > self.plenty || late > LATE;
        if is_full != self.is_full {
            self.is_full = is_full;
            self.intake.shared.tell_full(is_full);
        }
        if !is_full {
            let places = self.flows.settings().flows as usize - self.flows.len();
            self.intake.shared.extend_credit(self.number, CREDIT.min(places as u64));
        }
    }
}

impl<P: Connects, D: Dialogue<Reply = P::Reply>> Listener for Talker<P, D> {
    #[inline]
    fn handle(&mut self, frame: Frame<'_>) {
        let Some(packet) = self.intake.parse(&frame) else { return };
        let at = frame.at;
        self.latest = Some(at);
        if let Some(incoming) = Incoming::of(&packet) {
            let handled = self.flows.handle(&incoming, at);
            if handled != Handled::Stranger {
                self.intake.shared.session.counters.segments.add(1);
            }
            match handled {
                Handled::Data(flow) => return self.read(flow, at),
                Handled::Ended(flow) => return self.ended(flow, at),
                Handled::Quiet => return,
                Handled::Stranger if self.is_aftermath(&incoming, &packet) => return,
                Handled::Stranger => {}
            }
        } else if let Some((remote, local_port, seq)) = self.intake.shared.probe.quoted(&packet) {
            let handled = self.flows.unreachable(remote, local_port, seq);
            if handled != Handled::Stranger {
                self.intake.shared.session.counters.segments.add(1);
                if let Handled::Ended(flow) = handled {
                    self.ended(flow, at);
                }
                return;
            }
        }
        match self.intake.shared.probe.validate(&packet) {
            Ok(claim) => {
                if let Some(claimed) = self.intake.claim(claim, at) {
                    self.take(&claimed, &packet, at);
                }
            }
            Err(invalid) => self.intake.shared.session.counters.invalid(invalid),
        }
    }

    fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        self.offer_again();
        // What has come in time may still lie in the ring.
        if !self.is_crowded() {
            while let Some(flow) = self.flows.poll_ended(now) {
                self.ended(flow, now);
            }
        }
        let mut lens = [0; MAX_BATCH];
        while self.flows.pending() > 0 {
            let shared = &*self.intake.shared;
            let want = self.flows.pending().min(link.slots()) as u32;
            let got = shared.session.governor.take(Class::Flow, want, now);
            if got == 0 {
                let flows = self.flows.pending() - self.flows.strays();
                shared.session.governor.set_waiting(&mut self.waiting, flows as u32);
                self.tell_room(now);
                let shared = &*self.intake.shared;
                return Ok(Some(
                    shared.session.governor.ready_at(Class::Flow, want.min(self.batch)),
                ));
            }
            let mut made = 0;
            while made < got as usize
                && let Some(outgoing) = self.flows.poll_transmit(now, &mut self.dialogue)
            {
                lens[made] = self.frames.write(link.frame(made), &outgoing);
                made += 1;
            }
            // Some that waited had nothing to say any more.
            shared.session.governor.put_back(Class::Flow, got - made as u32);
            if made > 0 {
                let sent = link.send(&lens[..made])?;
                shared.session.counters.batch(sent);
                shared.session.counters.segments_sent.add(u64::from(sent.sent));
            }
        }
        let shared = &*self.intake.shared;
        shared.session.governor.set_waiting(&mut self.waiting, 0);
        let counts = self.flows.counts();
        shared.session.counters.flows(counts, std::mem::replace(&mut self.told, counts));
        self.tell_room(now);
        let again = self.flows.poll_timeout();
        Ok(if self.kept.is_empty() { again } else { Some(now) })
    }

    fn rest(&mut self, now: Instant) {
        let tail = self.intake.shared.answered.tail();
        if !self.kept.is_empty() || self.has_abandoned {
            return;
        }
        if self.flows.is_empty() {
            self.tails.clear();
            self.intake.rest(tail);
        } else if let Some(tail) = self.tails.note(now, tail) {
            self.intake.rest(tail);
        }
    }

    fn is_crowded(&self) -> bool {
        !self.kept.is_empty() || self.intake.is_crowded()
    }

    fn was_stopped(&self) -> bool {
        self.intake.shared.session.stop.is_stopped()
    }

    fn note_ring_drops(&mut self, drops: u64) {
        self.intake.note_ring_drops(drops);
    }

    fn nap(&self) -> Duration {
        self.nap
    }

    fn patience(&self) -> Duration {
        if self.was_stopped() { LINGER } else { self.flows.settings().deadline + LINGER }
    }

    fn leave(&mut self) {
        let counters = &self.intake.shared.session.counters;
        counters.resets_skipped.add(self.flows.pending() as u64);
        counters.abandoned.add(self.kept.len() as u64);
        self.has_abandoned |= !self.kept.is_empty();
        self.kept.clear();
        self.intake.shared.session.governor.set_waiting(&mut self.waiting, 0);
    }

    fn abandon(&mut self) {
        self.has_abandoned |= !self.flows.is_empty();
        for place in 0..self.flows.settings().flows as usize {
            let Some(flow) = self.flows.at(place) else { continue };
            if let Some(about) = self.flows.about(flow) {
                self.dialogue.forget(&about);
            }
            self.flows.close(flow);
            self.intake.shared.session.counters.abandoned.add(1);
        }
    }
}

/// Frames that have waited so long in the ring say that more come than we can read: a SYN is sent faster than what follows
/// it is dealt with. Twice what a frame waits for company when few come; the ring holds some ten times as much.
const LATE: Duration = Duration::from_millis(8);

/// Targets that may be asked until we have come round again: what their hosts say at once fits into the ring.
const CREDIT: u64 = 2_048;
/// How long to wait for frames at most, so that credit does not run out where nobody answers; ten times as long at rates below
/// [`SLOW`].
const ROUND: Duration = Duration::from_millis(2);
const SLOW: u64 = 50_000;

/// Longer requests than this are made by nobody.
const MOST_SAID: u32 = 1 << 16;

fn next_hop(packet: &Packet<'_>) -> MacAddr {
    packet.ethernet.map_or(MacAddr::ZERO, |ethernet| ethernet.source())
}

/// What of an answer is told when its connection is over: the attempt, and the round-trip time in microseconds and one.
fn word(claimed: &Claimed) -> u64 {
    let rtt = claimed.rtt.map_or(0, |rtt| rtt.as_micros() as u64 + 1);
    rtt << 8 | u64::from(claimed.attempt)
}

fn unfold(word: u64) -> (u8, Option<Duration>) {
    (word as u8, (word >> 8).checked_sub(1).map(Duration::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    #[test]
    fn a_word_keeps_attempt_and_time() {
        let target = Target { addr: [198, 18, 0, 1].into(), port: 443 };
        for (attempt, rtt) in
            [(0, None), (2, Some(Duration::ZERO)), (7, Some(Duration::from_secs(70)))]
        {
            let claimed = Claimed { target, sequence: 0, attempt, rtt, place: Place::First };
            assert_eq!(unfold(word(&claimed)), (attempt, rtt));
        }
    }
}
