//! What every listener does with a frame first, and with a result last.

use std::{
    sync::{Arc, atomic::Ordering::Release},
    time::Duration,
};

use crossbeam_channel::TrySendError;

use super::{Found, SINGLE_TIMES_UPTO, Shared};
use crate::{
    answered::Grouping,
    link::{Frame, Screened},
    probe::{Claim, Probe},
    target::Target,
    time::Instant,
    wire::Packet,
};

/// The part of a listener that knows targets and counts.
#[derive(Debug)]
pub(super) struct Intake<P: Probe> {
    pub(super) shared: Arc<Shared<P>>,
    /// Which of the listeners this is.
    number: usize,
    ring_drops: u64,
    screened: Screened,
}

/// An answer that belongs to a target of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed {
    pub(super) target: Target,
    /// Its number in the order.
    pub(super) sequence: u64,
    /// Which try it answers, from 0.
    pub(super) attempt: u8,
    /// See [`Found::rtt`].
    pub(super) rtt: Option<Duration>,
    pub(super) place: Place,
}

/// Whether others came before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// It is the first answer of its target, which is marked now.
    First,
    /// The target had answered.
    Again,
    /// The target was final.
    Late,
}

/// Why a result is not in the queue.
#[derive(Debug)]
pub(super) enum Kept<R> {
    /// There is no room; here it is again.
    Full(Found<R>),
    /// Nobody takes what is found any more, so there is nothing to go on for: the scan was told to stop.
    Gone,
}

impl<P: Probe> Intake<P> {
    pub(super) fn new(shared: Arc<Shared<P>>, number: u8) -> Self {
        shared.rested[usize::from(number)].store(0, Release);
        Self { shared, number: number.into(), ring_drops: 0, screened: Screened::default() }
    }

    /// Everything below `tail` that this listener took is in the queue.
    pub(super) fn rest(&self, tail: u64) {
        self.shared.rested[self.number].store(tail, Release);
    }

    /// See [`Session::parse`](super::Session::parse).
    #[inline]
    pub(super) fn parse<'a>(&self, frame: &Frame<'a>) -> Option<Packet<'a>> {
        self.shared.session.parse(frame)
    }

    /// Who a valid answer is from, and whether it is the first; `None` when no target of ours was asked what it answers.
    pub(super) fn claim(&self, claim: Claim, at: Instant) -> Option<Claimed> {
        let counters = &self.shared.session.counters;
        let Some(claimed) = self.place(claim, at) else {
            counters.invalid_target.add(1);
            return None;
        };
        counters.valid.add(1);
        match claimed.place {
            Place::First => {}
            Place::Again => counters.duplicate.add(1),
            Place::Late => counters.late.add(1),
        }
        Some(claimed)
    }

    /// Marks the target with this number as answered, and says how many attempts it has had; `None` when that one is not among
    /// them.
    #[inline]
    pub(super) fn mark(&self, sequence: u64, attempt: u8) -> Option<(Place, u8)> {
        let answered = &self.shared.answered;
        let attempts = answered.attempts(sequence);
        if attempt >= attempts {
            return None;
        }
        let place = match answered.mark(sequence) {
            Some(false) => Place::First,
            Some(true) => Place::Again,
            None => Place::Late,
        };
        Some((place, attempts))
    }

    /// Whose an answer is, and whether it is the first of that target.
    fn place(&self, claim: Claim, at: Instant) -> Option<Claimed> {
        let shared = &*self.shared;
        let sequence = shared.walk.sequence(claim.target)?;
        // The time before the attempts: a retry publishes its pass before its time, so that a time we see never
        // belongs to an attempt that we do not.
        let since_sent = shared.answered.since_sent(sequence, at);
        let (place, attempts) = self.mark(sequence, claim.attempt)?;
        let is_timed = attempts == claim.attempt + 1 && self.is_timed();
        let rtt = if is_timed { self.elapsed(since_sent) } else { None };
        Some(Claimed { target: claim.target, sequence, attempt: claim.attempt, rtt, place })
    }

    /// Puts a result into the queue.
    pub(super) fn offer(&self, found: Found<P::Reply>) -> Result<(), Kept<P::Reply>> {
        match self.shared.queue.try_send(found) {
            Ok(()) => {
                self.shared.session.counters.first.add_after(1);
                Ok(())
            }
            Err(TrySendError::Full(found)) => Err(Kept::Full(found)),
            Err(TrySendError::Disconnected(_)) => {
                self.shared.session.stop.stop();
                Err(Kept::Gone)
            }
        }
    }

    /// Whether so much was found that is not taken that the next frames may find no room.
    pub(super) fn is_crowded(&self) -> bool {
        self.shared.queue.len() * 8 >= self.shared.queue.capacity().unwrap_or(usize::MAX) * 7
    }

    pub(super) fn note_screened(&mut self, screened: Screened) {
        self.shared.session.counters.screened(screened, self.screened);
        self.screened = screened;
    }

    pub(super) fn note_ring_drops(&mut self, drops: u64) {
        self.shared.session.counters.ring_drops.add(drops.saturating_sub(self.ring_drops));
        self.ring_drops = drops;
    }

    /// Whether send times are those of single probes, or of blocks that leave within a millisecond: a scan that was slowed far
    /// below the rate that it was made for takes longer for a block.
    fn is_timed(&self) -> bool {
        let Shared { answered, session, .. } = &*self.shared;
        let governor = &session.governor;
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
