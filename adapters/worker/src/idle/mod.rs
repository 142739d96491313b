//! When a worker has had nothing to do for so long that its machine is to go. Pure: what happened and `now` go in.
//!
//! ```text
//!            message                      message: live again
//!   Busy <------------ Waiting <----------------------------------- .
//!    |  '- all let go ---^ | timeout: mark the slot as draining     |
//!    |                     '-------------------------> Draining ----+--> Over: power off
//!    '- the timer stands still                         one more poll, nothing
//! ```
//!
//! The manager that sees a live worker launches no other. So a worker must not go with a message under way to it:
//!
//! ```text
//!   worker                                   manager
//!   1. marks its slot as draining            1. sends the message
//!   2. polls a last time                     2. counts live and launching slots; draining is no capacity
//!   3. nothing: goes                         3. too few: launches
//! ```
//!
//! Each writes before it reads what the other writes, so at least one of them sees the other. `model.rs` tries all orders of
//! these steps, with this very code. A queue may show a message late; then the manager's next reconciliation finds it.
//!
//! The slot of a worker that goes is still its machine's, which is not off yet. The manager frees it when the machine is gone.

use std::{str::FromStr, time::Duration};

use mrpf_ports::clock::between;
use mrpf_records::Timestamp;

/// How long the last poll waits. A long poll asks every part of a queue, which a poll of no time at all need not.
pub(crate) const LAST_POLL: Duration = Duration::from_secs(2);
/// No poll is shorter, for the same reason.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// After how much time without a task a worker goes: a second at least.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct IdleTimeout(Duration);

impl IdleTimeout {
    /// `seconds`, unless that is zero: a worker that goes at once would never take a message.
    ///
    /// # Errors
    ///
    /// [`IdleError`].
    pub fn from_secs(seconds: u32) -> Result<Self, IdleError> {
        match seconds {
            0 => Err(IdleError("0".to_owned())),
            _ => Ok(Self(Duration::from_secs(seconds.into()))),
        }
    }

    /// As a length of time.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl Default for IdleTimeout {
    /// Five minutes.
    fn default() -> Self {
        Self(Duration::from_secs(300))
    }
}

impl FromStr for IdleTimeout {
    type Err = IdleError;

    /// Seconds, as `BARE_METAL_IDLE_TIMEOUT_SECS` has them.
    fn from_str(text: &str) -> Result<Self, IdleError> {
        let error = || IdleError(text.chars().take(40).collect());
        Self::from_secs(text.trim().parse().map_err(|_| error())?).map_err(|_| error())
    }
}

/// No idle timeout.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no idle timeout: give whole seconds, 1 or more")]
pub struct IdleError(String);

/// See the [module](self).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Idle {
    timeout: Duration,
    phase: Phase,
}

/// `since` is when the last task ended.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase {
    Busy { messages: usize, since: Timestamp },
    Waiting { since: Timestamp },
    Draining { since: Timestamp, marked: Timestamp },
    Over,
}

/// What a worker without a poll under way is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Wait for messages, so long at most.
    Poll(Duration),
    /// Mark the slot as draining, and [say so](Idle::drained).
    Drain,
    /// Wait for messages a last time.
    LastPoll,
    /// Go.
    Off,
}

impl Idle {
    /// The timer runs from `now`.
    pub(crate) fn new(timeout: IdleTimeout, now: Timestamp) -> Self {
        Self { timeout: timeout.0, phase: Phase::Waiting { since: now } }
    }

    /// What to do next.
    pub(crate) fn step(&self, now: Timestamp, poll_wait: Duration) -> Step {
        match self.phase {
            Phase::Busy { .. } => Step::Poll(poll_wait),
            Phase::Waiting { since } => match self.timeout.saturating_sub(between(since, now)) {
                Duration::ZERO => Step::Drain,
                left => Step::Poll(left.min(poll_wait).max(SHORTEST_POLL)),
            },
            // The last poll fails for want of a queue: the message that it might miss is found by the manager.
            Phase::Draining { marked, .. }
                if between(marked, now) > self.timeout.max(LAST_POLL * 2) =>
            {
                Step::Off
            }
            Phase::Draining { .. } => Step::LastPoll,
            Phase::Over => Step::Off,
        }
    }

    /// The slot is marked as draining.
    pub(crate) fn drained(&mut self, now: Timestamp) {
        if let Phase::Waiting { since } = self.phase {
            self.phase = Phase::Draining { since, marked: now };
        }
    }

    /// A poll gave messages. `true`: the slot is to be marked as live again before anything is done with them.
    pub(crate) fn took(&mut self, count: usize) -> bool {
        let (messages, since, is_drained) = match self.phase {
            Phase::Busy { messages, since } => (messages, since, false),
            Phase::Waiting { since } => (0, since, false),
            Phase::Draining { since, .. } => (0, since, true),
            Phase::Over => return false,
        };
        self.phase = Phase::Busy { messages: messages + count, since };
        is_drained
    }

    /// A poll gave nothing.
    pub(crate) fn found_nothing(&mut self) {
        if let Phase::Draining { .. } = self.phase {
            self.phase = Phase::Over;
        }
    }

    /// A message is dealt with. One that was given back unused does not count as work: a machine that can do nothing with what
    /// it gets is to go.
    pub(crate) fn let_go(&mut self, was_run: bool, now: Timestamp) {
        if let Phase::Busy { messages, since } = self.phase {
            let since = if was_run { now } else { since };
            self.phase = match messages.saturating_sub(1) {
                0 => Phase::Waiting { since },
                messages => Phase::Busy { messages, since },
            };
        }
    }
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_micros(seconds * 1_000_000)
    }

    fn idle() -> Idle {
        Idle::new(IdleTimeout::from_secs(30).unwrap(), at(0))
    }

    #[test]
    fn a_worker_without_work_drains_polls_and_goes() {
        let mut idle = idle();
        assert_eq!(idle.step(at(0), WAIT), Step::Poll(WAIT));
        idle.found_nothing();
        assert_eq!(idle.step(at(20), WAIT), Step::Poll(Duration::from_secs(10)));
        assert_eq!(idle.step(at(30), WAIT), Step::Drain);
        assert_eq!(idle.step(at(31), WAIT), Step::Drain, "not marked yet");
        idle.drained(at(31));
        assert_eq!(idle.step(at(31), WAIT), Step::LastPoll);
        idle.found_nothing();
        assert_eq!(idle.step(at(33), WAIT), Step::Off);
        assert!(!idle.took(1));
        assert_eq!(idle.step(at(33), WAIT), Step::Off, "what is over is over");
    }

    #[test]
    fn a_message_in_the_last_poll_brings_it_back() {
        let mut idle = idle();
        idle.drained(at(30));
        assert!(idle.took(1));
        assert_eq!(idle.step(at(900), WAIT), Step::Poll(WAIT), "a task runs");
        idle.let_go(true, at(1_000));
        assert_eq!(idle.step(at(1_029), WAIT), Step::Poll(Duration::from_secs(1)));
        assert_eq!(idle.step(at(1_030), WAIT), Step::Drain);
    }

    #[test]
    fn the_timer_starts_when_the_last_of_several_tasks_ends() {
        let mut idle = idle();
        assert!(!idle.took(2));
        idle.let_go(true, at(100));
        assert_eq!(idle.step(at(500), WAIT), Step::Poll(WAIT));
        assert!(!idle.took(1));
        idle.let_go(true, at(600));
        idle.let_go(true, at(700));
        assert_eq!(idle.step(at(729), WAIT), Step::Poll(Duration::from_secs(1)));
        assert_eq!(idle.step(at(730), WAIT), Step::Drain);
    }

    #[test]
    fn messages_that_are_given_back_are_no_work() {
        let mut idle = idle();
        for second in [5, 10, 15, 20, 25] {
            assert!(!idle.took(1));
            idle.let_go(false, at(second));
        }
        assert_eq!(idle.step(at(30), WAIT), Step::Drain);
    }

    #[test]
    fn a_queue_that_cannot_be_asked_keeps_a_machine_no_longer_than_a_second_timeout() {
        let mut idle = idle();
        idle.drained(at(30));
        assert_eq!(idle.step(at(60), WAIT), Step::LastPoll);
        assert_eq!(idle.step(at(61), WAIT), Step::Off);
    }

    #[test]
    fn timeouts_are_seconds_and_not_zero() {
        assert_eq!("300".parse(), Ok(IdleTimeout::default()));
        for text in ["0", "", "-1", "5m", "1.5", "99999999999"] {
            let error = text.parse::<IdleTimeout>().unwrap_err();
            assert!(error.to_string().contains("whole seconds"), "{text}: {error}");
        }
    }
}
