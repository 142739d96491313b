//! One message, from its arrival to its end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use mrpf_ports::{
    Delivery,
    store::{Checkpoint, Claim},
};
use mrpf_tasks::{
    ErrorKind, RunId, TaskError,
    message::{Envelope, Message, Run, RunTask},
};

use crate::{
    hands::TaskHands,
    held::Held,
    keeper::tell_progress,
    settle::settle,
    shared::{GIVEN_BACK, Shared, patiently},
};

/// Does what a message says. Whether a task was run.
pub(crate) fn handle(shared: &Arc<Shared>, delivery: &Delivery) -> bool {
    if shared.runs.stopping().is_some() {
        shared.give_back(&delivery.handle, Duration::ZERO);
        return false;
    }
    let Some(order) = read(shared, delivery) else {
        shared.give_back(&delivery.handle, GIVEN_BACK);
        return false;
    };
    let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
    let Some(checkpoint) = claim(shared, &run, delivery) else { return false };
    let held = Arc::new(Held::new(run, &order.definition, delivery, shared.now()));
    shared.runs.add(&held);
    tracing::debug!(task = %run.assignment.task_id, definition = order.definition, "started");
    if shared.store.is_none() {
        tell_progress(shared, &held);
    }
    let hands = TaskHands::new(shared, &held, checkpoint);
    // A task owns nothing of ours but its hands, whose locks are taken over when they are poisoned.
    let ended = catch_unwind(AssertUnwindSafe(|| shared.runners.run(&hands, &order)));
    settle(shared, &held, hands, ended.unwrap_or_else(|panic| Err(defect(panic.as_ref()))));
    shared.runs.remove(&held);
    true
}

/// What a message gives us to do; `None` when that is nothing for us.
fn read(shared: &Shared, delivery: &Delivery) -> Option<RunTask> {
    let class = shared.settings.class;
    let order = match Envelope::parse(&delivery.body) {
        Ok(Envelope { message: Message::RunTask(order), .. }) => order,
        Ok(Envelope { message, .. }) => {
            let kind = message.kind();
            tracing::warn!(%class, kind, "not for a worker: left to the dead letters");
            return None;
        }
        Err(error) => {
            tracing::warn!(%class, %error, "left to the dead letters");
            return None;
        }
    };
    let why = match shared.runners.find(&order.definition) {
        Some(declared) if declared.class == class => return Some(order),
        Some(_) => "it needs another class of workers",
        None => "this worker does not know it",
    };
    if shared.is_news(&order.definition) {
        let definition = order.definition;
        tracing::error!(definition, why, %class, "tasks are given back: is a worker or the manager of another version?");
    }
    None
}

/// Takes the task for `run`; `None` when it is not to be had, and the message was dealt with.
fn claim(shared: &Shared, run: &Run, delivery: &Delivery) -> Option<Option<Checkpoint>> {
    let Some(store) = &shared.store else { return Some(None) };
    match patiently(|| store.claim_task(run, &shared.lease())) {
        Ok(Claim::Held { checkpoint }) => return Some(checkpoint),
        Ok(Claim::Busy) => {
            shared.give_back(
                &delivery.handle,
                busy_wait(delivery.receive_count, shared.settings.lease),
            );
        }
        Ok(Claim::Stale) => shared.delete(&delivery.handle),
        Err(error) => {
            tracing::warn!(task = %run.assignment.task_id, %error, "a task cannot be claimed");
            // A store that is away for minutes must not make dead letters of all that is waiting.
            shared.give_back(
                &delivery.handle,
                busy_wait(delivery.receive_count, shared.settings.lease),
            );
        }
    }
    None
}

/// How long a message is hidden whose task another run holds, or the store does not give: longer each time, as every delivery brings it closer to the dead
/// letters; no longer than a lease, after which the other run has ended or lives.
fn busy_wait(receive_count: u32, lease: Duration) -> Duration {
    GIVEN_BACK
        .saturating_mul(1 << receive_count.saturating_sub(1).min(16))
        .min(lease.max(GIVEN_BACK))
}

/// What is told of a panic. Its place is on stderr.
fn defect(panic: &(dyn std::any::Any + Send)) -> TaskError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let why = format!("the task panicked, which is a defect: {}", text.unwrap_or("no message"));
    TaskError::new(ErrorKind::WorkerLost, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_task_is_asked_for_less_and_less() {
        let lease = Duration::from_secs(60);
        let waits: Vec<u64> = (1..=7).map(|count| busy_wait(count, lease).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60, 60]);
        assert_eq!(busy_wait(u32::MAX, Duration::from_secs(1)), GIVEN_BACK);
    }

    #[test]
    fn panics_have_their_message() {
        let error = defect(&"boom");
        assert_eq!(error.kind, ErrorKind::WorkerLost);
        assert!(error.message.ends_with("boom"), "{error}");
        assert!(defect(&"boom".to_owned()).message.ends_with("boom"));
        assert!(defect(&7_u8).message.ends_with("no message"));
    }
}
