//! Keeps what is ours ours: every message hidden, every task's lease and the machine's slot renewed, from one thread.
//!
//! What it learns on the way it passes on to the task: stop, or abandon what you do.

use std::{sync::Arc, time::Duration};

use mrpf_ports::{
    QueueError, StoreError, WorkerStore,
    clock::{Wake, between},
    store::Renewal,
};
use mrpf_tasks::message::{Message, TaskProgress};

use crate::{
    held::{Held, Kept, Orders, lock},
    shared::Shared,
};

/// Looks after every run, and what `keep_other` does, until `done`.
pub(crate) fn keep_all(shared: &Shared, keep_other: impl Fn(), done: &Wake) {
    loop {
        shared.clock.sleep(shared.settings.tick(), done);
        if done.is_set() {
            return;
        }
        for held in shared.runs.all() {
            keep(shared, &held);
        }
        keep_other();
    }
}

fn keep(shared: &Shared, held: &Arc<Held>) {
    if held.is_lost() {
        return;
    }
    let mut kept = lock(&held.kept);
    if is_due(shared, kept.message) {
        held.unless_settled(|| hide(shared, held, &mut kept));
    }
    match &shared.store {
        Some(store) => renew(shared, store.as_ref(), held, &mut kept),
        None if is_due(shared, kept.task) => {
            kept.task = shared.now();
            tell_progress(shared, held);
        }
        None => {}
    }
}

fn is_due(shared: &Shared, last: mrpf_records::Timestamp) -> bool {
    between(last, shared.now()) >= shared.settings.heartbeat
}

/// Hides the message anew.
fn hide(shared: &Shared, held: &Held, kept: &mut Kept) {
    match shared.own.extend(&held.handle, shared.settings.lease) {
        Ok(()) => kept.message = shared.now(),
        Err(error) => {
            let age = between(kept.message, shared.now());
            let is_lost = matches!(error, QueueError::LeaseLost { .. });
            doubt(shared, held, is_lost, age, &error);
        }
    }
}

/// Renews the task's lease, tells its progress and hears whether it is to stop.
fn renew(shared: &Shared, store: &dyn WorkerStore, held: &Held, kept: &mut Kept) {
    let progress = lock(&held.progress).clone();
    let progress = (progress.done, progress.total, progress.note.as_str());
    match store.renew_task(&held.run, &shared.lease(), Some(progress)) {
        Ok(Renewal::Held) => kept.task = shared.now(),
        // Its end is being told, and the manager has heard of it already.
        Ok(Renewal::Lost) if held.is_settled() => {}
        Ok(Renewal::Lost) => abandon(held, "another run holds the task, or nobody any more"),
        Ok(Renewal::Stop) => {
            kept.task = shared.now();
            if held.orders() == Orders::Run {
                tracing::info!(task = %held.run.assignment.task_id, "told to stop");
                held.order(Orders::Stop);
            }
        }
        Err(error) => {
            let age = between(kept.task, shared.now());
            doubt(shared, held, matches!(error, StoreError::Fenced), age, &error);
        }
    }
}

/// A run that could not be renewed for a whole lease is another's by now, for all that we know.
fn doubt(
    shared: &Shared,
    held: &Held,
    is_lost: bool,
    age: Duration,
    error: &dyn std::error::Error,
) {
    if is_lost || age >= shared.settings.lease {
        abandon(held, &error.to_string());
    } else {
        tracing::warn!(task = %held.run.assignment.task_id, %error, "a lease is not renewed");
    }
}

fn abandon(held: &Held, why: &str) {
    let (task, definition) = (held.run.assignment.task_id, held.definition.as_str());
    tracing::warn!(%task, definition, why, "the run is lost, and its result is thrown away");
    held.order(Orders::Abandon);
}

/// Says that a run of an external worker lives.
pub(crate) fn tell_progress(shared: &Shared, held: &Held) {
    let progress = lock(&held.progress).clone();
    let progress = TaskProgress {
        run: held.run,
        done: progress.done,
        total: progress.total,
        note: progress.note,
    };
    if let Err(error) = shared.send(vec![Message::TaskProgress(progress)]) {
        tracing::warn!(task = %held.run.assignment.task_id, %error, "progress is not told");
    }
}
