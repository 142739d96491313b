//! The end of a run: told, handed back, or thrown away. Whichever it is, it happens once.

use std::time::Duration;

use mrpf_ports::{Finished, Handle};
use mrpf_tasks::{
    ErrorKind, TaskError,
    message::{CompleteTask, Message, Outcome, Part},
};

use crate::{
    hands::{TaskHands, Yield},
    held::{Held, Orders, Stopping},
    shared::{GIVEN_BACK, Shared, patiently},
};

/// Most characters of an error that are told.
const MOST_WORDS: usize = 4_000;

/// Ends a run whose task has returned, unless the worker could not wait for that.
pub(crate) fn settle(
    shared: &Shared,
    held: &Held,
    hands: TaskHands,
    result: Result<Finished, TaskError>,
) {
    if !held.settle() {
        return;
    }
    let is_stopped =
        |error: &TaskError| held.orders() == Orders::Stop && error.kind == ErrorKind::Cancelled;
    match result {
        _ if held.is_lost() => throw_away(shared, held),
        Err(error) if is_stopped(&error) => hand_back(shared, held),
        Err(error) => fail(shared, held, error),
        Ok(finished) => match hands.finish() {
            _ if held.is_lost() => throw_away(shared, held),
            Ok(output) => complete(shared, held, succeeded(held, finished, output)),
            Err(error) => fail(shared, held, error),
        },
    }
}

/// Lets others have everything that is left of `taken` when there is no more time to wait.
pub(crate) fn let_go_of_all(shared: &Shared, taken: &[Handle]) {
    let runs = shared.runs.all();
    // Those that never came to be runs: whatever they wait for, others may get it sooner.
    let is_run = |message: &&Handle| runs.iter().any(|held| held.handle == **message);
    for message in taken.iter().filter(|message| !is_run(message)) {
        shared.give_back(message, Duration::ZERO);
    }
    for held in runs {
        take_away(shared, &held);
    }
}

/// Takes a run from a task that does not stop.
fn take_away(shared: &Shared, held: &Held) {
    if !held.settle() {
        return;
    }
    held.order(Orders::Abandon);
    let task = held.run.assignment.task_id;
    tracing::warn!(%task, definition = held.definition, "does not stop: another worker does it again");
    hand_back(shared, held);
}

/// Lets another worker have the task, from its checkpoint if it has one.
///
/// A message in its last delivery would be a dead letter, and its task failed for ever, although nothing is wrong with it; so
/// the manager is told that the run was stopped, and gives the task out again. Where time after time was too short for it, it has
/// failed.
fn hand_back(shared: &Shared, held: &Held) {
    if held.is_last_delivery(shared.settings.max_receives) {
        let (kind, why) = match shared.runs.stopping() {
            Some(Stopping::OutOfTime) => (
                ErrorKind::Resource,
                "not done when the worker's time was over, as for others that had this message before: give the function a \
                 longer timeout, or the task less to do",
            ),
            Some(Stopping::Told) | None => {
                (ErrorKind::Cancelled, "told to stop, as were others that had this message before")
            }
        };
        return fail(shared, held, TaskError::new(kind, why));
    }
    release(shared, held);
    shared.give_back(&held.handle, Duration::ZERO);
}

/// Whoever holds the task now tells how it ended.
fn throw_away(shared: &Shared, held: &Held) {
    // Refused by the store unless only the message is lost.
    release(shared, held);
    shared.give_back(&held.handle, GIVEN_BACK);
}

fn release(shared: &Shared, held: &Held) {
    if let Some(store) = &shared.store
        && let Err(error) = patiently(|| store.release_task(&held.run))
    {
        let task = held.run.assignment.task_id;
        tracing::debug!(%task, %error, "not released: its lease will end by itself");
    }
}

/// The messages that say a run succeeded: one, or one a part.
fn succeeded(held: &Held, finished: Finished, output: Yield) -> Vec<Message> {
    let Yield { parts, kept, created } = output;
    let Finished { branch, truncated } = finished;
    let outcome = Outcome::Succeeded { parts, created, branch, truncated };
    let complete = |part| {
        Message::CompleteTask(CompleteTask { run: held.run, outcome: outcome.clone(), part })
    };
    if kept.is_empty() {
        return vec![complete(None)];
    }
    (0..).zip(kept).map(|(index, chunk)| complete(Some(Part { index, chunk }))).collect()
}

fn fail(shared: &Shared, held: &Held, mut error: TaskError) {
    if let Some((end, _)) = error.message.char_indices().nth(MOST_WORDS) {
        error.message.truncate(end);
    }
    let task = held.run.assignment.task_id;
    tracing::info!(%task, definition = held.definition, %error, "failed");
    let outcome = Outcome::Failed { error };
    complete(
        shared,
        held,
        vec![Message::CompleteTask(CompleteTask { run: held.run, outcome, part: None })],
    );
}

/// Says how the run ended, and only then removes its message.
fn complete(shared: &Shared, held: &Held, messages: Vec<Message>) {
    match shared.send(messages) {
        Ok(()) => shared.delete(&held.handle),
        Err(error) => {
            let task = held.run.assignment.task_id;
            tracing::error!(%task, %error, "its end is not told, so it is done again");
            release(shared, held);
            shared.give_back(&held.handle, GIVEN_BACK);
        }
    }
}
