//! The loop: a bounded amount of everything, over and over.
//!
//! ```text
//!  step(now): intake -> reaper, dead letters -> dispatch -> outbox -> launches, slots      each part on its own: one that fails
//!                                                                                      is told of and tried again
//!             store out of reach: the rest of the step is left out, and nothing is received until it answers
//! ```
//!
//! A message that is received in vain comes nearer to the dead letters, and a part that waits for a store which does not answer
//! keeps the manager from being stopped: so one question is asked, each second, until there is an answer.
//!
//! Everything that matters is in the store and the queues, and what is to be done follows from what is there: a manager may be
//! killed anywhere, and several may work side by side. A manager keeps when it last looked at something, and nothing else.

use std::time::Duration;

use mrpf_ports::{
    Clock, Delivery, StoreError,
    clock::{Wake, after, between},
};
use mrpf_records::Timestamp;
use mrpf_tasks::Registry;

use crate::{
    Dice, Settings, dead_letters,
    desk::{Desk, Outside},
    dispatch,
    error::{Cause, ManagerError},
    intake,
    outage::{Outages, Told},
    outbox, reaper, slots,
};

/// Wait after a step in which something failed.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Decides who does what, when and how often, and what follows.
#[derive(Debug)]
pub struct Manager {
    outside: Outside,
    desk: Desk,
    next_look: Timestamp,
    next_reconcile: Timestamp,
    next_launch: Timestamp,
    /// Messages for bare-metal workers could not be sent, and have not been tried again.
    no_launch_before: Timestamp,
    /// Since when the store has not answered.
    gone_since: Option<Timestamp>,
    outages: Outages,
}

/// What a manager has done since it was made. What transactions that were undone had counted is not in it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Messages of workers that were taken in.
    pub taken: u64,
    /// Of these, such as change nothing: they came twice, or too late, or speak for a task that was not given out so.
    pub refused: u64,
    /// Messages that nobody can use, kept for people.
    pub buried: u64,
    /// Tasks that were given out.
    pub given_out: u64,
    /// Tasks that succeeded.
    pub completed: u64,
    /// Tasks that a run made and that their workflow had already.
    pub deduped: u64,
    /// Tasks that were lost with their workers.
    pub reaped: u64,
    /// Machines that were launched.
    pub launched: u64,
}

/// What came of a step.
#[derive(Debug)]
pub struct Step {
    /// When there is something to do again, for all that this manager knows; a message may come at any time.
    pub again: Timestamp,
    /// Which parts failed, and why. What they were to do is done later.
    pub errors: Vec<ManagerError>,
}

impl Manager {
    /// A manager of the kinds of task in `registry`.
    pub fn new(outside: Outside, registry: Registry, settings: Settings, dice: Dice) -> Self {
        let start = Timestamp::from_unix_micros(0);
        // Half as long again as the rarest retry.
        let calm = settings.reconcile_every.max(outbox::HIDDEN) * 3 / 2;
        Self {
            outside,
            desk: Desk { registry, settings, dice, counts: Counts::default(), trouble: Vec::new() },
            next_look: start,
            next_reconcile: start,
            next_launch: start,
            no_launch_before: start,
            gone_since: None,
            outages: Outages::new(calm),
        }
    }

    /// What it has done so far.
    pub fn counts(&self) -> Counts {
        self.desk.counts
    }

    /// Does a bounded amount of all there is to do at `now`, and waits for nothing.
    pub fn step(&mut self, now: Timestamp) -> Step {
        self.turn(&|| now, Duration::ZERO)
    }

    /// Works until `stop` is set; what is begun then is finished.
    pub fn run(&mut self, clock: &dyn Clock, stop: &Wake) {
        let mut wait = Duration::ZERO;
        while !stop.is_set() {
            let step = self.turn(&|| clock.now(), wait);
            for told in self.outages.note(&step.errors, clock.now()) {
                match told {
                    Told::Begun(error) => {
                        tracing::error!(%error, "tried again every second, and not told again");
                    }
                    Told::Over { what, lasted, failures } => {
                        let seconds = lasted.as_secs();
                        tracing::info!(what, seconds, failures, "an outage is over");
                    }
                }
            }
            // The next wait is for a message, so that one that comes is taken at once; not so after an error, which may have
            // been the queue's.
            wait = between(clock.now(), step.again).min(self.desk.settings.poll);
            if !step.errors.is_empty() {
                clock.sleep(wait, stop);
                wait = Duration::ZERO;
            }
        }
    }

    fn turn(&mut self, time: &dyn Fn() -> Timestamp, wait: Duration) -> Step {
        let mut tally = Tally::default();
        if self.parts(time, wait, &mut tally).is_err() {
            self.gone_since.get_or_insert_with(time);
        }
        let wait = match tally {
            Tally { ref errors, .. } if !errors.is_empty() => AFTER_ERROR,
            Tally { is_full: true, .. } => Duration::ZERO,
            Tally { .. } => self.desk.settings.poll,
        };
        Step { again: after(time(), wait), errors: tally.errors }
    }

    /// Each part has the time of its own beginning: what comes before it may have waited, and paces are kept by it.
    fn parts(
        &mut self,
        time: &dyn Fn() -> Timestamp,
        wait: Duration,
        tally: &mut Tally,
    ) -> Result<(), StoreGone> {
        self.recover(time, tally)?;
        let Self { outside, desk, .. } = self;
        let taken = tally.note(intake::receive(outside, desk, wait))?.unwrap_or_default();
        let is_behind = tally.note(intake::take_in(outside, desk, &taken, time()))?.unwrap_or(true);
        if self.next_look <= time() {
            self.next_look = after(time(), desk.settings.look_every);
            // Signs of life may be among the messages that wait.
            if !is_behind {
                tally.note(reaper::reap(outside, desk, time()))?;
            }
            tally.note(dead_letters::read(outside, desk, time()))?;
        }
        let given = tally.note(dispatch::give_out(outside, desk, time()))?.unwrap_or_default();
        // Also what another manager has left.
        let sent = tally.note(outbox::send(outside, desk, time()))?;
        if let Some(outbox::Sent { is_raw_stuck, error, .. }) = sent {
            tally.errors.extend(error);
            if is_raw_stuck {
                self.no_launch_before = after(time(), outbox::PUT_OFF + AFTER_ERROR);
            }
        }
        if self.next_reconcile <= time() {
            self.next_reconcile = after(time(), desk.settings.reconcile_every);
            self.next_launch = time();
            let going = tally.note(slots::reconcile(outside, desk, time()))?;
            self.next_reconcile = soon(self.next_reconcile, going, desk, time());
        }
        // After the messages were sent: see `slots`.
        let is_due = given.has_raw || self.next_launch <= time();
        if is_due && self.no_launch_before <= time() {
            self.next_launch = after(time(), desk.settings.poll);
            let going = tally.note(slots::launch(outside, desk, time()))?;
            self.next_reconcile = soon(self.next_reconcile, going, desk, time());
        }
        Ok(())
    }

    /// After an outage: asks whether it is over. Workers could not say that they live either, and get the time to.
    fn recover(
        &mut self,
        time: &dyn Fn() -> Timestamp,
        tally: &mut Tally,
    ) -> Result<(), StoreGone> {
        let Some(since) = self.gone_since else { return Ok(()) };
        if let Err(error) = self.outside.reach_store() {
            tally.errors.push(ManagerError::recovery(error));
            return Err(StoreGone);
        }
        self.gone_since = None;
        let (now, lease) = (time(), self.desk.settings.lease);
        // Shorter than from one sign of life to the next, it has kept nobody from anything.
        if between(since, now) >= lease / 3 {
            self.next_look = after(now, lease);
            self.next_reconcile = after(now, lease);
        }
        Ok(())
    }
}

/// When slots and machines are compared next, by what was seen of machines that go.
fn soon(planned: Timestamp, going: Option<slots::Going>, desk: &Desk, now: Timestamp) -> Timestamp {
    match going {
        Some(slots::Going::Some) => planned.min(after(now, desk.settings.going_every)),
        Some(slots::Going::None) | None => planned,
    }
}

/// The store does not answer anybody: the rest of a step would fail in the same way.
struct StoreGone;

/// What the parts of a step say.
#[derive(Default)]
struct Tally {
    is_full: bool,
    errors: Vec<ManagerError>,
}

impl Tally {
    fn note<T: Share>(&mut self, outcome: Result<T, ManagerError>) -> Result<Option<T>, StoreGone> {
        match outcome {
            Ok(share) => {
                self.is_full |= share.has_more();
                Ok(Some(share))
            }
            Err(error) => {
                let is_gone = matches!(error.cause, Cause::Store(StoreError::Unreachable(_)));
                self.errors.push(error);
                if is_gone { Err(StoreGone) } else { Ok(None) }
            }
        }
    }
}

/// What a part says when it has done its share.
trait Share {
    /// Whether there may be more for it to do.
    fn has_more(&self) -> bool;
}

impl Share for bool {
    fn has_more(&self) -> bool {
        *self
    }
}

impl Share for () {
    fn has_more(&self) -> bool {
        false
    }
}

impl Share for slots::Going {
    fn has_more(&self) -> bool {
        false
    }
}

impl Share for Vec<Delivery> {
    /// Its messages are still to be taken in.
    fn has_more(&self) -> bool {
        false
    }
}

impl Share for outbox::Sent {
    fn has_more(&self) -> bool {
        self.is_full
    }
}

impl Share for dispatch::GivenOut {
    fn has_more(&self) -> bool {
        self.is_full
    }
}
