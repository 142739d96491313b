//! The half of a scan that reads answers.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Arc, atomic::Ordering::Release},
    time::Duration,
};

use crossbeam_channel::TrySendError;

use super::{Found, Outcome, SINGLE_TIMES_UPTO, Shared};
use crate::{
    answered::Grouping,
    governor::{Class, Waiting},
    link::{Frame, LinkError, MAX_BATCH, Tx},
    probe::{Claim, Probe},
    time::Instant,
    wire::{self, Network, Packet, Transport},
};

/// Closing frames that may be owed at once; a burst of answers beyond it leaves connections half open at the hosts,
/// which is counted.
const MAX_OWED: usize = 8 << 10;

/// The ICMPv6 types of neighbour discovery (RFC 4861, section 4).
const NDP: RangeInclusive<u8> = 133..=137;

/// Reads frames where they lie and says what they answer. See the [module](super).
#[derive(Debug)]
pub struct Receiver<P: Probe> {
    shared: Arc<Shared<P>>,
    owed: VecDeque<P::Closing>,
    waiting: Waiting,
    /// Which of the receivers this is.
    number: usize,
    ring_drops: u64,
    /// Frames to wait for before a send: see [`super::batch`].
    batch: u32,
}

impl<P: Probe> Receiver<P> {
    /// One receiving half of a scan, number `number` of those that [`Settings::threads`](super::Settings::threads) asks for.
    pub fn new(shared: Arc<Shared<P>>, number: u8) -> Self {
        shared.rested[usize::from(number)].store(0, Release);
        Self {
            owed: VecDeque::with_capacity(MAX_OWED),
            waiting: Waiting::new(Class::Flow),
            number: number.into(),
            ring_drops: 0,
            batch: super::batch(shared.rate),
            shared,
        }
    }

    /// Notes that every frame taken so far was dealt with: see [`Shared::mark`](super::Shared::mark). To be called between two
    /// looks at the link, however little came.
    pub fn rest(&self) {
        self.shared.rested[self.number].store(self.shared.answered.tail(), Release);
    }

    /// Takes one received frame.
    #[inline]
    pub fn handle(&mut self, frame: Frame<'_>) {
        let shared = &*self.shared;
        shared.counters.received.add(1);
        let packet = match wire::parse(frame.bytes, shared.layer) {
            Ok(packet) => packet,
            Err(malformed) => return shared.counters.malformed(malformed),
        };
        match &packet.network {
            Network::Arp(_) => return shared.counters.arp_received.add(1),
            Network::Ipv6(_, Transport::Icmpv6(message)) if NDP.contains(&message.kind()) => {
                return shared.counters.arp_received.add(1);
            }
            _ => {}
        }
        match shared.probe.validate(&packet) {
            Ok(claim) => self.take(claim, &packet, frame.at),
            Err(invalid) => shared.counters.invalid(invalid),
        }
    }

    /// A packet that only somebody who saw our probe can have sent.
    fn take(&mut self, claim: Claim, packet: &Packet<'_>, at: Instant) {
        let shared = &*self.shared;
        let counters = &shared.counters;
        let Some(sequence) = shared.walk.sequence(claim.target) else {
            return counters.invalid_target.add(1);
        };
        // The time before the attempts: a retry publishes its pass before its time, so that a time we see never
        // belongs to an attempt that we do not.
        let since_sent = shared.answered.since_sent(sequence, at);
        let attempts = shared.answered.attempts(sequence);
        if claim.attempt >= attempts {
            return counters.invalid_target.add(1);
        }
        counters.valid.add(1);
        let before = shared.answered.mark(sequence);
        owe(&mut self.owed, shared, packet, before == Some(false));
        match before {
            None => return counters.late.add(1),
            Some(true) => return counters.duplicate.add(1),
            Some(false) => {}
        }
        let found = Found {
            target: claim.target,
            at,
            outcome: Outcome::Reply(shared.probe.classify(packet)),
            attempts: claim.attempt + 1,
            rtt: if attempts == claim.attempt + 1 && self.is_timed() {
                self.elapsed(since_sent)
            } else {
                None
            },
        };
        match shared.queue.try_send(found) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                // A retry brings it again when there is room.
                shared.answered.unmark(sequence);
                return counters.refused.add(1);
            }
            Err(TrySendError::Disconnected(_)) => {
                // Nobody takes what is found any more, so there is nothing to go on for.
                shared.stop.stop();
                return counters.refused.add(1);
            }
        }
        counters.answered_by_attempt[usize::from(claim.attempt)].add(1);
        counters.first.add_after(1);
    }

    /// Whether so much was found that is not taken that the next frames may find no room.
    pub(super) fn is_crowded(&self) -> bool {
        self.shared.queue.len() * 8 >= self.shared.queue.capacity().unwrap_or(usize::MAX) * 7
    }

    /// Sends closing frames that are owed, as the governor allows; returns when to call again if some remain.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the link is gone.
    pub fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        let shared = &*self.shared;
        let mut lens = [0; MAX_BATCH];
        while !self.owed.is_empty() {
            let want = self.owed.len().min(link.slots()) as u32;
            let got = shared.governor.take(Class::Flow, want, now);
            if got == 0 {
                shared.governor.set_waiting(&mut self.waiting, self.owed.len() as u32);
                // For a part of the bucket alone: who sleeps until all of it is there wakes up too late, and what was
                // missed is not made up.
                return Ok(Some(shared.governor.ready_at(Class::Flow, want.min(self.batch))));
            }
            for (slot, closing) in self.owed.drain(..got as usize).enumerate() {
                lens[slot] = shared.probe.make_closing(link.frame(slot), &closing);
            }
            let sent = link.send(&lens[..got as usize])?;
            shared.counters.batch(sent);
            shared.counters.resets.add(u64::from(sent.sent));
        }
        shared.governor.set_waiting(&mut self.waiting, 0);
        Ok(None)
    }

    /// Whether the scan was ended early.
    pub(super) fn was_stopped(&self) -> bool {
        self.shared.stop.is_stopped()
    }

    /// Notes how many frames the link has lost so far before they could be shown.
    pub fn note_ring_drops(&mut self, drops: u64) {
        self.shared.counters.ring_drops.add(drops.saturating_sub(self.ring_drops));
        self.ring_drops = drops;
    }

    /// Gives up on closing frames that could not be sent until the end.
    pub(super) fn abandon(&mut self) {
        self.shared.counters.resets_skipped.add(self.owed.len() as u64);
        self.owed.clear();
        self.shared.governor.set_waiting(&mut self.waiting, 0);
    }

    /// Whether send times are those of single probes, or of blocks that leave within a millisecond: a scan that was slowed far
    /// below the rate that it was made for takes longer for a block.
    fn is_timed(&self) -> bool {
        let Shared { answered, governor, .. } = &*self.shared;
        answered.grouping() == Grouping::Single
            || [governor.rate(), governor.new_pace()]
                .into_iter()
                .flatten()
                .all(|rate| rate.get() > SINGLE_TIMES_UPTO)
    }

    /// A round-trip time from wrapped microseconds; `None` when clocks do not agree.
    fn elapsed(&self, wrapped_micros: u32) -> Option<Duration> {
        /// Probes of one block leave within this time.
        const BLOCK_MICROS: u32 = 5_000;
        if wrapped_micros <= u32::MAX / 2 {
            return Some(Duration::from_micros(u64::from(wrapped_micros)));
        }
        // It seems to lie in the future: it is the time of a block whose last probe left after the one that was answered.
        let is_of_block = self.shared.answered.grouping() == Grouping::Block;
        (is_of_block && wrapped_micros.wrapping_neg() <= BLOCK_MICROS).then_some(Duration::ZERO)
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
        shared.counters.resets_skipped.add(1);
    }
}
