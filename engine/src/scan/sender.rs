//! The half of a scan that asks.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use super::{
    Found, Outcome, Shared,
    adapt::{Losses, Spread},
    lane::Lane,
};
use crate::{
    answered::{GROUP, Grouping, MAX_RETRIES},
    governor::{Class, DEBT, Rate, Waiting},
    link::{LinkError, MAX_BATCH, Tx},
    probe::{Probe, Shot},
    sources::Family,
    target::Target,
    time::Instant,
};

/// When to call [`Sender::poll`] again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// At once: there is more to do.
    Now,
    /// Not before this moment.
    At(Instant),
    /// Never: every target has an outcome, or the scan was stopped.
    Done,
}

/// How many targets one call settles or skips at most, so that a call stays short.
const BOUND: u32 = 4_096;
/// Longest time between two calls, so that a stop is seen.
const LONGEST_NAP: Duration = Duration::from_millis(50);
/// A link that waited so long for room has moved the times of its batch.
const WORTH_A_STAMP: Duration = Duration::from_millis(1);
/// How long to leave a listener alone that has given no credit.
const CREDIT_NAP: Duration = Duration::from_micros(200);
/// How long to leave a consumer that is behind alone.
const PAUSE: Duration = Duration::from_millis(5);

/// Walks the targets and probes them. See the [module](super).
#[derive(Debug)]
pub struct Sender<P: Probe> {
    shared: Arc<Shared<P>>,
    lane: Lane,
    /// `passes[a]`: of our targets those below it have had attempt `a`. The ring has the copy that others read.
    passes: [u64; MAX_RETRIES as usize + 1],
    /// Our targets below it are final.
    tail: u64,
    /// `entered[a]`: up to here pass `a` has found its targets due.
    entered: [u64; MAX_RETRIES as usize + 1],
    spreads: [Option<Spread>; MAX_RETRIES as usize + 1],
    losses: Option<Losses>,
    lens: [u16; MAX_BATCH],
    filled: usize,
    /// When the batch under way was last stamped.
    stamped: Instant,
    /// Probes of the batch under way, by attempt.
    made: [u64; MAX_RETRIES as usize + 1],
    /// Their numbers, by slot.
    sequences: [u64; MAX_BATCH],
    /// Retries are due that got no token.
    is_starved: bool,
    /// The last call had more retries to look at than one call looks at.
    is_bounded: bool,
    /// Nothing more could be claimed when it was last tried.
    is_full: bool,
    waiting: Waiting,
    is_paused: bool,
    /// The targets of the first attempts under way.
    targets: [Target; MAX_BATCH],
    /// What each place of the link was last prepared for; made with the first call.
    prepared: Vec<Option<Family>>,
    total: u64,
    /// Frames to wait for before a send: half a millisecond's worth.
    batch: u32,
}

impl<P: Probe> Sender<P> {
    /// One sending half of a scan, number `number` of those that [`Settings::threads`](super::Settings::threads) asks for.
    pub fn new(shared: Arc<Shared<P>>, number: u8) -> Self {
        let retries = shared.settings.retries;
        let is_max = shared.session.rate == Rate::Max;
        Self {
            lane: Lane::new(number, shared.answered.block(), shared.answered.blocks()),
            passes: [0; MAX_RETRIES as usize + 1],
            tail: 0,
            entered: [0; MAX_RETRIES as usize + 1],
            spreads: [const { None }; MAX_RETRIES as usize + 1]
                .map(|_: Option<Spread>| is_max.then(|| Spread::new(shared.settings.spacing))),
            // One judges for all.
            losses: (is_max && retries > 0 && number == 0)
                .then(|| Losses::new(shared.settings.spacing, retries)),
            lens: [0; MAX_BATCH],
            filled: 0,
            stamped: Instant::START,
            made: [0; MAX_RETRIES as usize + 1],
            sequences: [0; MAX_BATCH],
            is_starved: false,
            is_bounded: false,
            is_full: false,
            waiting: Waiting::new(Class::Retry),
            is_paused: false,
            targets: [Target { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 }; MAX_BATCH],
            prepared: Vec::new(),
            total: shared.walk.len(),
            batch: super::batch(shared.session.rate),
            shared,
        }
    }

    /// Does a bounded amount of what is due at `now`: settles targets, and makes and sends at most one batch.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the link is gone.
    pub fn poll<T: Tx>(&mut self, now: Instant, link: &mut T) -> Result<Next, LinkError> {
        let settled_all = self.settle(now);
        if self.shared.session.stop.is_stopped() || self.is_done() {
            link.drain();
            self.note_lost(link);
            self.shared.session.governor.set_waiting(&mut self.waiting, 0);
            return Ok(Next::Done);
        }
        if self.shared.is_behind() {
            if !self.is_paused {
                self.is_paused = true;
                self.shared.session.counters.pauses.add(1);
            }
            return Ok(Next::At(now + PAUSE));
        }
        self.is_paused = false;
        self.adapt(now);
        if self.filled > 0 && now.since(self.stamped) >= WORTH_A_STAMP {
            self.stamp_again(now);
        }
        self.filled = 0;
        if self.prepared.is_empty() {
            self.prepared = vec![None; link.places()];
        }
        self.retry(now, link);
        if !self.is_starved {
            self.first_attempts(now, link);
        }
        if self.filled > 0 {
            // Others need not wait for us while the link does.
            self.shared.session.governor.set_waiting(&mut self.waiting, 0);
            let sent = match link.send(&self.lens[..self.filled]) {
                Ok(sent) => sent,
                Err(failure) => {
                    // Of what it took before, some will not leave any more.
                    self.note_lost(link);
                    return Err(failure);
                }
            };
            self.shared.session.counters.batch(sent);
            self.shared.session.counters.probes.add(u64::from(sent.sent));
            self.note_lost(link);
            self.stamped = now;
            if sent.waited >= WORTH_A_STAMP {
                self.stamp_again(now + sent.waited);
            }
            for (made, counter) in
                self.made.iter_mut().zip(self.shared.session.counters.made_by_attempt.iter())
            {
                if *made > 0 {
                    counter.add(std::mem::take(made));
                }
            }
            return Ok(Next::Now);
        }
        Ok(if settled_all && !self.is_bounded { self.next(now) } else { Next::Now })
    }

    /// Takes off what the link lost after it had taken it.
    fn note_lost<T: Tx>(&self, link: &mut T) {
        let lost = link.lost();
        if lost > 0 {
            self.shared.session.counters.lost(lost);
        }
    }

    /// Notes that the call at `now` comes later than `expected`, the moment that the one before gave: what the governor
    /// forfeits is shown. Where no probe was due there is nothing to forfeit, and without a rate neither.
    pub fn note_delay(&self, expected: Instant, now: Instant) {
        let late = now.since(expected);
        if late <= DEBT || self.shared.session.rate == Rate::Max {
            return;
        }
        let late = late.min(self.overdue(now));
        if late > DEBT {
            self.shared.session.counters.stalls.add(1);
            self.shared.session.counters.stalled_us.add(late.as_micros() as u64);
        }
    }

    /// For how long a probe could have been sent: there is one to send, its time has come and the governor gives it. Zero
    /// when there is none.
    fn overdue(&self, now: Instant) -> Duration {
        let shared = &*self.shared;
        // A consumer that is behind holds everything back, and is counted as that.
        if self.is_paused || shared.session.stop.is_stopped() {
            return Duration::ZERO;
        }
        let given = |class| now.since(shared.session.governor.ready_at(class, 1));
        if self.is_starved {
            return given(Class::Retry);
        }
        if self.passes[0] < self.lane.end || !self.is_full {
            return if shared.credit() > 0 { given(Class::New) } else { Duration::ZERO };
        }
        let spacing = spacing_micros(shared.settings.spacing);
        let retry = |passes: &[u64]| {
            let waiting = (passes[1]..passes[0]).take(BOUND as usize);
            let first = waiting
                .map_while(|at| self.lane.sequence_kept(at))
                .find(|sequence| !shared.answered.is_answered(*sequence))?;
            let over = shared.answered.since_sent(first, now).saturating_sub(spacing);
            Some(Duration::from_micros(over.into()))
        };
        let last = usize::from(shared.settings.retries);
        let oldest = self.passes[..=last].windows(2).filter_map(retry).max();
        oldest.map_or(Duration::ZERO, |over| over.min(given(Class::Retry)))
    }

    /// The batch under way has left at `now`, or a little earlier: the machine or the link kept it since it was stamped.
    fn stamp_again(&mut self, now: Instant) {
        for sequence in &self.sequences[..self.filled] {
            self.shared.answered.stamp(*sequence, now);
        }
        self.stamped = now;
    }

    fn is_done(&self) -> bool {
        // Answered targets need no cooldown: when all have answered, nothing more can be learnt.
        let Shared { answered, session, .. } = &*self.shared;
        let counters = &session.counters;
        answered.is_exhausted()
            && (self.tail == self.lane.end
                || counters.first.load() + counters.no_neighbour.load() == self.total)
    }

    /// Moves the tail over targets whose time is over; false when it stopped for the bound.
    fn settle(&mut self, now: Instant) -> bool {
        let shared = &*self.shared;
        let limit = self.passes[usize::from(shared.settings.retries)];
        let cooldown = shared.settings.cooldown.as_micros() as u32;
        let is_by_group = shared.answered.grouping() == Grouping::Block && !shared.settings.silent;
        let mut silent = 0;
        let from = self.tail;
        while self.tail < limit && self.tail - from < u64::from(BOUND) {
            let sequence = self.lane.sequence(self.tail);
            if shared.answered.since_sent(sequence, now) < cooldown {
                break;
            }
            if is_by_group && sequence.is_multiple_of(GROUP) && limit - self.tail >= GROUP {
                // One time for all of them, and nothing to say of each.
                silent += u64::from(shared.answered.mark_group(sequence));
                self.tail += GROUP;
                continue;
            }
            if !shared.answered.is_answered(sequence) {
                match self.call_silent(sequence, now) {
                    Some(is_silent) => silent += u64::from(is_silent),
                    None => break,
                }
            }
            self.tail += 1;
        }
        if self.tail > from {
            let waits = self.tail < self.lane.end;
            let tail = waits.then(|| self.lane.sequence(self.tail));
            shared.answered.set_tail(self.lane.number, tail);
            shared.session.counters.silent.add_after(silent);
            self.lane.forget(self.tail);
        }
        self.tail - from < u64::from(BOUND)
    }

    /// Makes silence the outcome of the target, unless an answer came first; `None` when there is no room to say it.
    fn call_silent(&self, sequence: u64, now: Instant) -> Option<bool> {
        let shared = &*self.shared;
        if shared.settings.silent && shared.queue_is_half_full() {
            return None;
        }
        // The receiver may mark it at this moment: one of us is told that it was the first.
        if shared.answered.mark(sequence) != Some(false) {
            return Some(false);
        }
        let found = Found {
            target: shared.walk.target(sequence),
            at: now,
            outcome: Outcome::Silent,
            attempts: shared.settings.retries + 1,
            rtt: None,
        };
        if shared.settings.silent
            && let Err(error) = shared.queue.try_send(found)
        {
            shared.answered.unmark(sequence);
            if error.is_disconnected() {
                shared.session.stop.stop();
            }
            return None;
        }
        Some(true)
    }

    /// Fills slots with the retries that are due, later attempts first: their targets are the oldest.
    fn retry<T: Tx>(&mut self, now: Instant, link: &mut T) {
        let shared = Arc::clone(&self.shared);
        let spacing = spacing_micros(shared.settings.spacing);
        let mut steps = 0;
        (self.is_starved, self.is_bounded) = (false, false);
        'passes: for attempt in (1..=shared.settings.retries).rev() {
            let pass = usize::from(attempt);
            while self.passes[pass] < self.passes[pass - 1] {
                let at = self.passes[pass];
                let sequence = self.lane.sequence(at);
                if at >= self.entered[pass] {
                    // A group lies in one block, and only the last of all blocks ends within one.
                    let end = (at + shared.answered.left_in_group(sequence)).min(self.lane.end);
                    if self.passes[pass - 1] < end
                        || shared.answered.since_sent(sequence, now) < spacing
                    {
                        break;
                    }
                    self.entered[pass] = end;
                }
                steps += 1;
                if steps > BOUND || self.filled == link.slots() {
                    self.is_bounded = true;
                    break 'passes;
                }
                if let Some(spread) = &mut self.spreads[pass]
                    && !spread.may_pass(now, self.passes[pass - 1] - at)
                {
                    break;
                }
                if !shared.answered.is_answered(sequence) {
                    if shared.session.governor.take(Class::Retry, 1, now) == 0 {
                        self.is_starved = true;
                        break 'passes;
                    }
                    // The pass before the time: see `Receiver::take`.
                    shared.answered.set_pass(self.lane.number, attempt, sequence + 1);
                    shared.answered.stamp(sequence, now);
                    let target = shared.walk.target(sequence);
                    self.fill(sequence, target, attempt, link);
                }
                self.passes[pass] = at + 1;
            }
        }
        for attempt in 1..=shared.settings.retries {
            self.publish(attempt);
        }
        shared.session.governor.set_waiting(&mut self.waiting, u32::from(self.is_starved));
    }

    /// Fills the slots that are left with targets not asked yet.
    fn first_attempts<T: Tx>(&mut self, now: Instant, link: &mut T) {
        let shared = Arc::clone(&self.shared);
        let free = ((link.slots() - self.filled) as u64).min(shared.credit());
        if free == 0 {
            return;
        }
        if self.passes[0] == self.lane.end {
            self.is_full = !self.lane.claim(&shared.answered);
        }
        // A block at a time: the next call claims the next one.
        let want = (self.lane.end - self.passes[0]).min(free) as u32;
        let tokens = shared.session.governor.take(Class::New, want, now);
        if tokens == 0 {
            return;
        }
        // What is left of one block, so the numbers follow each other. Found by themselves in a short loop, the targets of
        // several numbers are under way in the processor at once, which whole probes are too long for.
        let start = self.lane.sequence(self.passes[0]);
        for (sequence, target) in (start..).zip(&mut self.targets[..tokens as usize]) {
            *target = shared.walk.target(sequence);
        }
        for (at, sequence) in (start..).take(tokens as usize).enumerate() {
            shared.answered.stamp(sequence, now);
            self.passes[0] += 1;
            if !self.fill(sequence, self.targets[at], 0, link) {
                shared.session.governor.put_back(Class::New, 1);
                shared.answered.set_pass(self.lane.number, 0, sequence + 1);
                self.tell_no_neighbour(sequence, now);
            }
        }
        self.publish(0);
        shared.answered.set_started(self.lane.number, self.passes[0]);
    }

    /// Tells the receivers how far a pass is. Behind the last of ours it ends where that does: what follows may be another's.
    fn publish(&self, attempt: u8) {
        if let Some(last) = self.passes[usize::from(attempt)].checked_sub(1) {
            let pass = self.lane.sequence_kept(last).map_or(0, |sequence| sequence + 1);
            if pass > 0 {
                self.shared.answered.set_pass(self.lane.number, attempt, pass);
            }
        }
    }

    /// Makes the probe of `target`, which is that of `sequence`, in the next slot; false when its host has no hardware address.
    #[inline]
    fn fill<T: Tx>(&mut self, sequence: u64, target: Target, attempt: u8, link: &mut T) -> bool {
        let Some(next_hop) = self.shared.session.next_hops.of(target.addr) else {
            return false;
        };
        let (slot, probe, family) = (self.filled, &self.shared.probe, Family::of(&target.addr));
        let place = link.place(slot);
        let frame = link.frame(slot);
        if self.prepared[place] != Some(family) {
            probe.prepare(frame, family);
            self.prepared[place] = Some(family);
        }
        self.lens[slot] = probe.make(frame, &Shot { target, attempt, next_hop });
        self.sequences[slot] = sequence;
        self.filled += 1;
        self.made[usize::from(attempt)] += 1;
        true
    }

    fn tell_no_neighbour(&self, sequence: u64, now: Instant) {
        let shared = &*self.shared;
        if shared.answered.mark(sequence) != Some(false) {
            return;
        }
        let target = shared.walk.target(sequence);
        let found =
            Found { target, at: now, outcome: Outcome::NoNeighbour, attempts: 0, rtt: None };
        match shared.queue.try_send(found) {
            Ok(()) => shared.session.counters.no_neighbour.add_after(1),
            Err(_) => shared.session.counters.untold.add(1),
        }
    }

    /// Slows first attempts when answers show that they are lost where retries are not.
    fn adapt(&mut self, now: Instant) {
        let Some(losses) = &mut self.losses else {
            return;
        };
        let shared = &*self.shared;
        if shared.answered.is_exhausted() {
            return;
        }
        let head = shared.answered.started();
        if let Some(pace) =
            losses.judge(now, head, &shared.session.counters, shared.settings.retries)
        {
            if pace.is_slower {
                shared.session.counters.slowdowns.add(1);
            }
            shared.session.governor.pace_new(pace.rate);
        }
    }

    /// The first moment at which something is due.
    fn next(&self, now: Instant) -> Next {
        let shared = &*self.shared;
        let (ring, settings) = (&shared.answered, &shared.settings);
        let governor = &shared.session.governor;
        let due = |at, after: Duration| {
            let since = ring.since_sent(self.lane.sequence(at), now);
            now + after.saturating_sub(Duration::from_micros(since.into()))
        };
        let spacing = Duration::from_micros(u64::from(spacing_micros(settings.spacing)));
        let mut at = now + LONGEST_NAP;
        if self.is_starved {
            at = at.min(governor.ready_at(Class::Retry, self.batch));
        } else if self.passes[0] < self.lane.end || !self.is_full {
            let ready = governor.ready_at(Class::New, self.batch);
            at = at.min(if shared.credit() > 0 { ready } else { ready.max(now + CREDIT_NAP) });
        }
        for attempt in 1..=usize::from(settings.retries) {
            let first = self.passes[attempt];
            if first < self.passes[attempt - 1] {
                // An open group is due whatever its time says, which is that of the last retry in it.
                let is_open = first < self.entered[attempt];
                let due = if is_open { Instant::START } else { due(first, spacing) };
                match &self.spreads[attempt] {
                    Some(spread) => at = at.min(spread.ready_at().max(due)),
                    None if is_open => {} // it waits for tokens alone
                    None => at = at.min(due),
                }
            }
        }
        if self.tail < self.passes[usize::from(settings.retries)] {
            at = at.min(due(self.tail, settings.cooldown));
        }
        // A moment that is already past means something else holds it back (a class before, the queue): look again soon.
        Next::At(at.max(now + Duration::from_micros(20)))
    }
}

/// The ring's times are whole microseconds and may be too early by what is not worth a stamp, so so much more is what makes
/// sure of the whole spacing.
fn spacing_micros(spacing: Duration) -> u32 {
    (spacing + WORTH_A_STAMP).as_micros() as u32 + 1
}
