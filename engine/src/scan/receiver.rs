//! A listener for which an answer is all there is to know.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Found, Outcome, Shared,
    intake::{Claimed, Intake, Kept, Place},
    listener::Listener,
};
use crate::{
    governor::{Class, Waiting},
    link::{Frame, LinkError, MAX_BATCH, Tx},
    probe::Probe,
    time::Instant,
    wire::Packet,
};

/// Closing frames that may be owed at once; a burst of answers beyond it leaves connections half open at the hosts,
/// which is counted.
const MAX_OWED: usize = 8 << 10;

/// Says what the first answer of a target is, and ends what it opened. See the [module](super).
#[derive(Debug)]
pub struct Receiver<P: Probe> {
    intake: Intake<P>,
    owed: VecDeque<P::Closing>,
    waiting: Waiting,
    /// Frames to wait for before a send: see [`super::batch`].
    batch: u32,
}

impl<P: Probe> Receiver<P> {
    /// One receiving half of a scan, number `number` of those that [`Settings::threads`](super::Settings::threads) asks for.
    pub fn new(shared: Arc<Shared<P>>, number: u8) -> Self {
        Self {
            owed: VecDeque::with_capacity(MAX_OWED),
            waiting: Waiting::new(Class::Flow),
            batch: super::batch(shared.session.rate),
            intake: Intake::new(shared, number),
        }
    }

    /// A packet that only somebody who saw our probe can have sent.
    fn take(&mut self, claimed: &Claimed, packet: &Packet<'_>, at: Instant) {
        let shared = &*self.intake.shared;
        let is_first = claimed.place == Place::First;
        owe(&mut self.owed, shared, packet, is_first);
        if !is_first {
            return;
        }
        let found = Found {
            target: claimed.target,
            at,
            outcome: Outcome::Reply(shared.probe.classify(packet)),
            attempts: claimed.attempt + 1,
            rtt: claimed.rtt,
        };
        match self.intake.offer(found) {
            Ok(()) => {
                shared.session.counters.answered_by_attempt[usize::from(claimed.attempt)].add(1);
            }
            Err(kept) => {
                if let Kept::Full(_) = kept {
                    // A retry brings it again when there is room.
                    shared.answered.unmark(claimed.sequence);
                }
                shared.session.counters.refused.add(1);
            }
        }
    }
}

impl<P: Probe> Listener for Receiver<P> {
    #[inline]
    fn handle(&mut self, frame: Frame<'_>) {
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
