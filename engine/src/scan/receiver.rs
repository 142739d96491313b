//! A listener for which an answer is all there is to know.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Found, Outcome, Shared,
    intake::{Claimed, Intake, Kept, Place},
    listener::Listener,
};
use crate::{
    answered::MAX_RETRIES,
    governor::{Class, Waiting},
    link::{Digest, Form, Frame, LinkError, MAX_BATCH, Screened, Tx},
    probe::{Claim, KINDS, Probe},
    time::Instant,
    wire::Packet,
};

/// Closing frames that may be owed at once; a burst of answers beyond it leaves connections half open at the hosts,
/// which is counted.
const MAX_OWED: usize = 8 << 10;

/// Digests that are placed together: in a short loop of its own, the way back from a target to its number is under way in the
/// processor for several of them at once.
const TOGETHER: usize = 32;

/// Says what the first answer of a target is, and ends what it opened. See the [module](super).
#[derive(Debug)]
pub struct Receiver<P: Probe> {
    intake: Intake<P>,
    owed: VecDeque<P::Closing>,
    waiting: Waiting,
    /// Frames to wait for before a send: see [`super::batch`].
    batch: u32,
    /// What digests said since they were last counted.
    tally: Tally,
    /// Digests that were read and not placed.
    unplaced: Vec<(Claim, usize)>,
}

/// What answers of which nothing is told add to the counters, many at once.
#[derive(Debug, Default)]
struct Tally {
    received: u64,
    valid: u64,
    first: u64,
    duplicate: u64,
    late: u64,
    by_attempt: [u64; MAX_RETRIES as usize + 1],
    by_kind: [u64; KINDS],
}

impl<P: Probe> Receiver<P> {
    /// One receiving half of a scan, number `number` of those that [`Settings::threads`](super::Settings::threads) asks for.
    pub fn new(shared: Arc<Shared<P>>, number: u8) -> Self {
        Self {
            owed: VecDeque::with_capacity(MAX_OWED),
            waiting: Waiting::new(Class::Flow),
            batch: super::batch(shared.session.rate),
            intake: Intake::new(shared, number),
            tally: Tally::default(),
            unplaced: Vec::with_capacity(TOGETHER),
        }
    }

    /// An answer that proved itself in the link.
    #[inline]
    fn take_digest(&mut self, digest: &Digest) {
        let shared = &*self.intake.shared;
        self.tally.received += 1;
        match shared.probe.read_digest(digest) {
            Ok(read) => self.unplaced.push(read),
            Err(invalid) => return shared.session.counters.invalid(invalid),
        }
        if self.unplaced.len() == TOGETHER {
            self.place_digests();
        }
    }

    /// Says of the digests that were read whose they are, and whether they are the first.
    fn place_digests(&mut self) {
        let shared = &*self.intake.shared;
        let mut sequences = [None; TOGETHER];
        for (sequence, (claim, _)) in sequences.iter_mut().zip(&self.unplaced) {
            *sequence = shared.walk.sequence(claim.target);
        }
        let tally = &mut self.tally;
        for (sequence, (claim, kind)) in sequences.into_iter().zip(self.unplaced.drain(..)) {
            let marked = sequence.and_then(|at| self.intake.mark(at, claim.attempt));
            let Some((place, _)) = marked else {
                shared.session.counters.invalid_target.add(1);
                continue;
            };
            tally.valid += 1;
            match place {
                Place::First => {
                    tally.first += 1;
                    tally.by_attempt[usize::from(claim.attempt)] += 1;
                    tally.by_kind[kind] += 1;
                }
                Place::Again => tally.duplicate += 1,
                Place::Late => tally.late += 1,
            }
        }
    }

    /// Adds to the counters what was counted here.
    fn count(&mut self) {
        let counters = &self.intake.shared.session.counters;
        let Tally { received, valid, first, duplicate, late, by_attempt, by_kind } =
            std::mem::take(&mut self.tally);
        if received == 0 {
            return;
        }
        for (counter, n) in [
            (&counters.received, received),
            (&counters.valid, valid),
            (&counters.duplicate, duplicate),
            (&counters.late, late),
        ] {
            counter.add(n);
        }
        for (counter, n) in counters.answered_by_attempt.iter().zip(by_attempt) {
            counter.add(n);
        }
        for (counter, n) in counters.answered_by_kind.iter().zip(by_kind) {
            counter.add(n);
        }
        counters.first.add_after(first);
    }

    /// A packet that only somebody who saw our probe can have sent.
    fn take(&mut self, claimed: &Claimed, packet: &Packet<'_>, at: Instant) {
        let shared = &*self.intake.shared;
        let is_first = claimed.place == Place::First;
        owe(&mut self.owed, shared, packet, is_first);
        if !is_first {
            return;
        }
        let reply = shared.probe.classify(packet);
        self.tell(claimed, reply, at);
    }

    /// Puts the first answer of a target into the queue, where that is wanted.
    fn tell(&mut self, claimed: &Claimed, reply: P::Reply, at: Instant) {
        let shared = &*self.intake.shared;
        let counters = &shared.session.counters;
        let by_attempt = &counters.answered_by_attempt[usize::from(claimed.attempt)];
        if !shared.settings.tell {
            by_attempt.add(1);
            counters.answered_by_kind[shared.probe.kind(&reply)].add(1);
            return counters.first.add_after(1);
        }
        let found = Found {
            target: claimed.target,
            at,
            outcome: Outcome::Reply(reply),
            attempts: claimed.attempt + 1,
            rtt: claimed.rtt,
        };
        match self.intake.offer(found) {
            Ok(()) => by_attempt.add(1),
            Err(kept) => {
                if let Kept::Full(_) = kept {
                    // A retry brings it again when there is room.
                    shared.answered.unmark(claimed.sequence);
                }
                counters.refused.add(1);
            }
        }
    }
}

impl<P: Probe> Listener for Receiver<P> {
    #[inline]
    fn handle(&mut self, frame: Frame<'_>) {
        if frame.form == Form::Digest {
            if let Some(digest) = Digest::read(frame.bytes) {
                self.take_digest(&digest);
            }
            return;
        }
        let Some(packet) = self.intake.parse(&frame) else { return };
        let shared = &*self.intake.shared;
        match shared.probe.validate(&packet) {
            Ok(claim) => {
                if let Some(claimed) = self.intake.claim(claim, frame.at) {
                    self.take(&claimed, &packet, frame.at);
                }
            }
            Err(invalid) => shared.session.counters.invalid(invalid),
        }
    }

    fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        let shared = &*self.intake.shared;
        let mut lens = [0; MAX_BATCH];
        while !self.owed.is_empty() {
            let want = self.owed.len().min(link.slots()) as u32;
            let got = shared.session.governor.take(Class::Flow, want, now);
            if got == 0 {
                shared.session.governor.set_waiting(&mut self.waiting, self.owed.len() as u32);
                // For a part of the bucket alone: who sleeps until all of it is there wakes up too late, and what was
                // missed is not made up.
                return Ok(Some(
                    shared.session.governor.ready_at(Class::Flow, want.min(self.batch)),
                ));
            }
            for (slot, closing) in self.owed.drain(..got as usize).enumerate() {
                lens[slot] = shared.probe.make_closing(link.frame(slot), &closing);
            }
            let sent = link.send(&lens[..got as usize])?;
            shared.session.counters.batch(sent);
            shared.session.counters.resets.add(u64::from(sent.sent));
        }
        shared.session.governor.set_waiting(&mut self.waiting, 0);
        Ok(None)
    }

    fn rest(&mut self, _: Instant) {
        self.place_digests();
        self.count();
        self.intake.rest(self.intake.shared.answered.tail());
    }

    fn is_crowded(&self) -> bool {
        self.intake.is_crowded()
    }

    fn was_stopped(&self) -> bool {
        self.intake.shared.session.stop.is_stopped()
    }

    fn note_ring_drops(&mut self, drops: u64) {
        self.intake.note_ring_drops(drops);
    }

    fn note_screened(&mut self, screened: Screened) {
        self.intake.note_screened(screened);
    }

    fn abandon(&mut self) {
        let shared = &*self.intake.shared;
        shared.session.counters.resets_skipped.add(self.owed.len() as u64);
        self.owed.clear();
        shared.session.governor.set_waiting(&mut self.waiting, 0);
    }
}

/// Notes the closing frame that an answer asks for. Each attempt is a connection of its own at the host, and an answer that
/// comes again tells that our first reset was lost, so a late or repeated one gets a reset too; but only while no other is
/// owed, or a host that repeats itself without end would keep every other frame waiting.
fn owe<P: Probe>(
    owed: &mut VecDeque<P::Closing>,
    shared: &Shared<P>,
    packet: &Packet<'_>,
    is_first: bool,
) {
    if !shared.settings.close {
        return;
    }
    let Some(closing) = shared.probe.closing(packet) else { return };
    if owed.is_empty() || is_first && owed.len() < MAX_OWED {
        owed.push_back(closing);
    } else if is_first {
        shared.session.counters.resets_skipped.add(1);
    }
}
