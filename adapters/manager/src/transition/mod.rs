//! What becomes of a task: pure functions of its row, what has happened, the time and the policy.
//!
//! ```text
//!            Met            GiveOut              Alive, or claim_task          Complete
//!  blocked -------> ready -----------> dispatched ----------> running -----------------> succeeded
//!     |              ^ |                   |  |                 | |
//!     | Unmet        | | Reject            |  '---- Fail, LeaseOver, DeadLetter ----.
//!     v              | v                   |                                        v
//!  skipped           | failed              '---- Recall, or tries are left ---> ready | failed
//!                    '-- PutOff                                   Cancel: all that is open ---> cancelled
//! ```
//!
//! # What holds
//!
//! - A final state never changes.
//! - Every giving-out has its own number and ticket; a message is believed if it has both.
//! - A run that is complete ends its task whoever holds it; a run that failed does only if it holds it, or nobody does.
//! - Nothing here writes. [`crate::settle`] does, and sees to what follows.

use std::time::Duration;

use mrpf_ports::{
    clock::after,
    store::{TaskRow, TaskState},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, LONGEST_WAIT, RunId, TaskError, Ticket,
    message::{Assignment, Run},
    retry_wait,
};

/// The times that decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// How long a sign of life is good for.
    pub(crate) lease: Duration,
    /// How long after the end of a lease nothing is done yet.
    pub(crate) grace: Duration,
    /// How long a task that was given out may wait for a worker.
    pub(crate) patience: Duration,
    /// Drawn for this event: see [`retry_wait`].
    pub(crate) dice: u64,
}

impl Policy {
    /// For events that no time decides.
    pub(crate) const NONE: Self =
        Self { lease: Duration::ZERO, grace: Duration::ZERO, patience: Duration::ZERO, dice: 0 };
}

/// Something that happens to a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// One of the things it waits for has come about.
    Met,
    /// One of the things it waits for never will.
    Unmet,
    /// It is given to whoever takes its message.
    GiveOut(Ticket),
    /// It is not given out before.
    PutOff(Timestamp),
    /// It is not given out at all.
    Reject(&'a TaskError),
    /// A run lives; perhaps it says how far it is.
    Alive(&'a Run, Option<(u64, Option<u64>, &'a str)>),
    /// A run is complete.
    Complete(&'a Run, Completed),
    /// A run gave up.
    Fail(&'a Run, &'a TaskError),
    /// Nobody has heard of it for as long as its lease goes.
    LeaseOver,
    /// Its message may be one of those that wait in its queue, so it is not lost.
    StillQueued,
    /// Its message has become a dead letter.
    DeadLetter(&'a Assignment),
    /// Its message may have died while the platform was stopped.
    Recall,
    /// Somebody ends its workflow.
    Cancel,
}

/// How a complete run ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Completed {
    pub(crate) parts: u32,
    pub(crate) branch: Option<bool>,
    pub(crate) truncated: bool,
}

/// What follows from a change, besides the row.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Effects {
    /// It has ended: others may wait for that.
    pub(crate) has_ended: bool,
    /// It was out and is not any more: its source may be asked again.
    pub(crate) came_back: bool,
    /// So long its source asked to be left alone.
    pub(crate) source_wait: Option<Duration>,
}

/// Why an event does not apply.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the task is over")]
    Over,
    #[error("the task is not waiting for anything")]
    NotBlocked,
    #[error("the task is not ready, or not yet")]
    NotReady,
    #[error("the task is not out")]
    NotOut,
    #[error("the task was not given out so: attempt or ticket differ")]
    OtherAttempt,
    #[error("another run holds the task")]
    OtherRun,
    #[error("the task's lease lives")]
    LeaseLives,
}

/// What `event` makes of `task` at `now`.
pub(crate) fn apply(
    task: &TaskRow,
    event: Event<'_>,
    now: Timestamp,
    policy: &Policy,
) -> Result<(TaskRow, Effects), Refused> {
    if task.state.is_final() {
        return Err(Refused::Over);
    }
    let mut next = task.clone();
    let mut source_wait = None;
    match event {
        Event::Met => {
            wanted(task.state == TaskState::Blocked, Refused::NotBlocked)?;
            next.waits_for = task.waits_for.saturating_sub(1);
            if next.waits_for == 0 {
                next.state = TaskState::Ready;
                next.not_before = now;
            }
        }
        Event::Unmet => {
            wanted(task.state == TaskState::Blocked, Refused::NotBlocked)?;
            end(&mut next, TaskState::Skipped, now);
        }
        Event::GiveOut(ticket) => {
            let is_due = task.state == TaskState::Ready && task.not_before <= now;
            wanted(is_due, Refused::NotReady)?;
            next.state = TaskState::Dispatched;
            next.attempt = task.attempt.saturating_add(1);
            next.ticket = Some(ticket);
            next.lease_until = Some(after(now, policy.patience));
        }
        Event::PutOff(until) => {
            wanted(task.state == TaskState::Ready, Refused::NotReady)?;
            next.not_before = until;
        }
        Event::Reject(error) => {
            wanted(task.state == TaskState::Ready, Refused::NotReady)?;
            next.error = Some(error.clone());
            end(&mut next, TaskState::Failed, now);
        }
        Event::Alive(run, progress) => {
            given_out(task, &run.assignment)?;
            wanted(!is_held_by_another(task, run.run_id, now), Refused::OtherRun)?;
            if task.run_id != Some(run.run_id) {
                next.worker = None;
            }
            next.state = TaskState::Running;
            next.run_id = Some(run.run_id);
            next.lease_until = Some(after(now, policy.lease));
            if let Some((done, total, note)) = progress {
                (next.done, next.total) = (done, total);
                note.clone_into(&mut next.note);
            }
        }
        Event::Complete(run, completed) => {
            given_out(task, &run.assignment)?;
            if task.run_id != Some(run.run_id) {
                next.worker = None;
            }
            next.run_id = Some(run.run_id);
            next.parts = completed.parts;
            next.branch = completed.branch;
            next.truncated = completed.truncated;
            next.error = None;
            end(&mut next, TaskState::Succeeded, now);
        }
        Event::Fail(run, error) => {
            given_out(task, &run.assignment)?;
            let is_others = task.state == TaskState::Running && task.run_id != Some(run.run_id);
            wanted(!is_others, Refused::OtherRun)?;
            if let ErrorKind::RateLimited | ErrorKind::Blocked = error.kind {
                // Whatever a service asks for, it is asked again the same day.
                let asked = error.retry_after_ms.map(Duration::from_millis);
                source_wait = asked.map(|wait| wait.min(LONGEST_WAIT));
            }
            if error.kind == ErrorKind::Cancelled {
                // It was told to stop, and its task is still to be done: no fault of it.
                give_back(&mut next, after(now, policy.grace));
            } else {
                fail(&mut next, error.clone(), now, policy);
            }
        }
        Event::LeaseOver => {
            lease_over(task, now, policy)?;
            if task.state == TaskState::Dispatched {
                give_back(&mut next, now);
            } else {
                let worker = task.worker.as_deref().unwrap_or("its worker");
                let error = TaskError::new(
                    ErrorKind::WorkerLost,
                    format!("nothing was heard of {worker} until its lease was over"),
                );
                fail(&mut next, error, now, policy);
            }
        }
        Event::StillQueued => {
            wanted(task.state == TaskState::Dispatched, Refused::NotOut)?;
            lease_over(task, now, policy)?;
            next.lease_until = Some(after(now, policy.patience));
        }
        Event::DeadLetter(assignment) => {
            given_out(task, assignment)?;
            let lives = task.state == TaskState::Running
                && task.lease_until.is_some_and(|until| until > now);
            wanted(!lives, Refused::LeaseLives)?;
            let error = TaskError::new(
                ErrorKind::DeadLettered,
                "its message came as often as a message may, and no worker got through with it",
            );
            fail(&mut next, error, now, policy);
        }
        Event::Recall => {
            wanted(task.state == TaskState::Dispatched, Refused::NotOut)?;
            give_back(&mut next, now);
        }
        Event::Cancel => end(&mut next, TaskState::Cancelled, now),
    }
    let effects = Effects {
        has_ended: next.state.is_final(),
        came_back: task.state.is_out() && !next.state.is_out(),
        source_wait,
    };
    Ok((next, effects))
}

fn wanted(holds: bool, or: Refused) -> Result<(), Refused> {
    if holds { Ok(()) } else { Err(or) }
}

/// Whether the task is out, and `assignment` is how.
pub(crate) fn given_out(task: &TaskRow, assignment: &Assignment) -> Result<(), Refused> {
    if task.state.is_final() {
        return Err(Refused::Over);
    }
    let is_same = task.attempt == assignment.attempt && task.ticket == Some(assignment.ticket);
    wanted(is_same, Refused::OtherAttempt)?;
    wanted(task.state.is_out(), Refused::NotOut)
}

fn is_held_by_another(task: &TaskRow, run: RunId, now: Timestamp) -> bool {
    task.state == TaskState::Running
        && task.run_id != Some(run)
        && task.lease_until.is_some_and(|until| until > now)
}

fn lease_over(task: &TaskRow, now: Timestamp, policy: &Policy) -> Result<(), Refused> {
    wanted(task.state.is_out(), Refused::NotOut)?;
    let is_over = task.lease_until.is_none_or(|until| after(until, policy.grace) < now);
    wanted(is_over, Refused::LeaseLives)
}

/// Another try, or none.
fn fail(task: &mut TaskRow, error: TaskError, now: Timestamp, policy: &Policy) {
    task.tries = task.tries.saturating_add(1);
    let wait = retry_wait(&error, task.tries, task.max_tries, policy.dice);
    task.error = Some(error);
    match wait {
        Some(wait) => give_back(task, after(now, wait)),
        None => end(task, TaskState::Failed, now),
    }
}

/// Ready again, as if it had not been given out.
fn give_back(task: &mut TaskRow, not_before: Timestamp) {
    task.state = TaskState::Ready;
    task.not_before = not_before;
    task.ticket = None;
    task.lease_until = None;
    task.run_id = None;
    task.worker = None;
    (task.done, task.total) = (0, None);
    task.note.clear();
}

/// Over. The ticket stays, so that a run that still works on it is recognised and told to stop.
fn end(task: &mut TaskRow, state: TaskState, now: Timestamp) {
    task.state = state;
    task.lease_until = None;
    task.finished_at = Some(now);
}

#[cfg(test)]
mod tests;
