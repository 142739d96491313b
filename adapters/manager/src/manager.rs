//! The loop: a bounded amount of everything, over and over.
//!
//! ```text
//!  step(now): intake -> reaper, dead letters -> dispatch -> outbox -> launches, slots      each part on its own: one that fails
//!                                                                                      is told of and tried again
//! ```
//!
//! Everything that matters is in the store and the queues, and what is to be done follows from what is there: a manager may be
//! killed anywhere, and several may work side by side. A manager keeps when it last looked at something, and nothing else.

use std::time::Duration;

use mrpf_ports::{
    Clock, Delivery,
    clock::{Wake, after, between},
};
use mrpf_records::Timestamp;
use mrpf_tasks::Registry;

use crate::{
    Dice, Settings, dead_letters,
    desk::{Desk, Outside},
    dispatch,
    error::ManagerError,
    intake, outbox, reaper, slots,
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
        Self {
            outside,
            desk: Desk { registry, settings, dice, counts: Counts::default() },
            next_look: start,
            next_reconcile: start,
            next_launch: start,
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
            for error in &step.errors {
                tracing::error!(%error, "tried again in a moment");
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

    /// Each part has the time of its own beginning: what comes before it may have waited, and paces are kept by it.
    fn turn(&mut self, time: &dyn Fn() -> Timestamp, wait: Duration) -> Step {
        let Self { outside, desk, .. } = self;
        let mut tally = Tally::default();
        let taken = tally.note(intake::receive(outside, desk, wait)).unwrap_or_default();
        let is_behind = tally.note(intake::take_in(outside, desk, &taken, time())).unwrap_or(true);
        if self.next_look <= time() {
            self.next_look = after(time(), desk.settings.look_every);
            // Signs of life may be among the messages that wait.
            if !is_behind {
                tally.note(reaper::reap(outside, desk, time()));
            }
            tally.note(dead_letters::read(outside, desk, time()));
        }
        let given = tally.note(dispatch::give_out(outside, desk, time())).unwrap_or_default();
        // Also what another manager has left.
        tally.note(outbox::send(outside, desk, time()));
        if self.next_reconcile <= time() {
            self.next_reconcile = after(time(), desk.settings.reconcile_every);
            self.next_launch = time();
            tally.note(slots::reconcile(outside, desk, time()));
        }
        // After the messages were sent: see `slots`.
        if given.has_raw || self.next_launch <= time() {
            self.next_launch = after(time(), desk.settings.poll);
            tally.note(slots::launch(outside, desk, time()));
        }
        let wait = match tally {
            Tally { ref errors, .. } if !errors.is_empty() => AFTER_ERROR,
            Tally { is_full: true, .. } => Duration::ZERO,
            Tally { .. } => desk.settings.poll,
        };
        Step { again: after(time(), wait), errors: tally.errors }
    }
}

/// What the parts of a step say.
#[derive(Default)]
struct Tally {
    is_full: bool,
    errors: Vec<ManagerError>,
}

impl Tally {
    fn note<T: Told>(&mut self, outcome: Result<T, ManagerError>) -> Option<T> {
        match outcome {
            Ok(told) => {
                self.is_full |= told.has_more();
                Some(told)
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}

/// What a part says when it has done its share.
trait Told {
    /// Whether there may be more for it to do.
    fn has_more(&self) -> bool;
}

impl Told for bool {
    fn has_more(&self) -> bool {
        *self
    }
}

impl Told for () {
    fn has_more(&self) -> bool {
        false
    }
}

impl Told for Vec<Delivery> {
    /// Its messages are still to be taken in.
    fn has_more(&self) -> bool {
        false
    }
}

impl Told for dispatch::GivenOut {
    fn has_more(&self) -> bool {
        self.is_full
    }
}
