//! Messages that came as often as a message may.
//!
//! Those of the workers' queues: no worker got through with the task, so it fails, and what waits for it goes on. Those of the
//! manager's own queue are tried a last time, each alone.

use std::time::Duration;

use mrpf_ports::{Queue, QueueName, StoreError, store::Tx};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    WorkerClass,
    message::{Envelope, Message},
};

use crate::{
    desk::{Desk, Outside},
    error::ManagerError,
    intake,
    settle::Books,
    transition::{Event, Refused},
};

/// Most dead letters of one queue in one step: they are rare.
const MOST: usize = 10;

/// Reads the dead letters of all queues; gives whether there may be more.
pub(crate) fn read(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<bool, ManagerError> {
    let mut is_stopped = false;
    let look = &mut |tx: &mut dyn Tx| {
        is_stopped = tx.control()?.is_stopped;
        Ok(())
    };
    outside.store.transaction(look).map_err(ManagerError::dead_letters)?;
    let (mut is_full, mut failed) = (false, None);
    for class in WorkerClass::ALL {
        let name = QueueName::from(class);
        // While the platform is stopped workers give every message back until it dies, which is no task's fault: see `resume`.
        if is_stopped {
            break;
        }
        let Some(dead) = outside.queue(name).dead_letters() else { continue };
        let done = each(dead, desk, |desk, body| {
            let letter = Letter { name, body, now };
            letter.fail_its_task(outside, desk)
        });
        // One queue is not in the way of the others.
        match done {
            Ok(may_have_more) => is_full |= may_have_more,
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(dead) = outside.queue(QueueName::TaskManager).dead_letters() {
        let done = each(dead, desk, |desk, body| {
            let letter = Letter { name: QueueName::TaskManager, body, now };
            letter.try_again(outside, desk)
        });
        match done {
            Ok(may_have_more) => is_full |= may_have_more,
            Err(error) => {
                failed.get_or_insert(error);
            }
        }
    }
    failed.map_or(Ok(is_full), Err)
}

/// Gives each dead letter to `take`, and removes those that it is done with.
fn each(
    dead: &dyn Queue,
    desk: &mut Desk,
    mut take: impl FnMut(&mut Desk, &str) -> Result<bool, StoreError>,
) -> Result<bool, ManagerError> {
    let letters = dead
        .receive(MOST, Duration::ZERO, desk.settings.visibility)
        .map_err(ManagerError::dead_letters)?;
    let (mut done, mut failed) = (Vec::new(), None);
    for letter in &letters {
        match take(desk, &letter.body) {
            Ok(true) => done.push(letter.handle.clone()),
            Ok(false) => {}
            Err(error @ StoreError::Unreachable(_)) => {
                failed = Some(error);
                break;
            }
            // One that the store does not take is in no other's way.
            Err(error) => failed = Some(error),
        }
    }
    dead.delete(&done).map_err(ManagerError::dead_letters)?;
    failed.map_or(Ok(letters.len() >= MOST), |error| Err(ManagerError::dead_letters(error)))
}

struct Letter<'a> {
    name: QueueName,
    body: &'a str,
    now: Timestamp,
}

impl Letter<'_> {
    /// Ends the task of a letter. `false` when a run still holds it: the letter comes again when its lease is over.
    fn fail_its_task(&self, outside: &Outside, desk: &mut Desk) -> Result<bool, StoreError> {
        let Self { name, body, now } = *self;
        let said = Envelope::parse(body);
        let mut is_done = true;
        let before = desk.counts;
        outside.store.transaction(&mut |tx| {
            desk.counts = before;
            is_done = true;
            let mut books = Books::open(tx, desk, now);
            let (id, why) = match &said {
                Err(error) => (None, error.to_string()),
                Ok(Envelope { id, message: Message::RunTask(order), .. }) => {
                    let outcome = match books.task(order.assignment.task_id)? {
                        Some(task) => books.apply(&task, Event::DeadLetter(&order.assignment))?,
                        None => Err(Refused::OtherAttempt),
                    };
                    match outcome {
                        Ok(_) => (Some(*id), "no worker got through with it".to_owned()),
                        Err(Refused::LeaseLives) => {
                            is_done = false;
                            return Ok(());
                        }
                        // Given out anew since, or over: it has nothing to say.
                        Err(_) => return Ok(()),
                    }
                }
                Ok(Envelope { id, message, .. }) => {
                    (Some(*id), format!("{}: no message for workers", message.kind()))
                }
            };
            tracing::warn!(queue = name.as_str(), why, "a dead letter");
            books.desk().counts.buried += 1;
            books.tx().put_dead_letter(name.as_str(), id, body, &why, now)?;
            books.close()
        })?;
        Ok(is_done)
    }

    /// Takes a message of a worker in, or keeps it with what was in the way.
    fn try_again(&self, outside: &Outside, desk: &mut Desk) -> Result<bool, StoreError> {
        let Self { name, body, now } = *self;
        let why = match intake::process(outside, desk, &[intake::read(body)], now) {
            Ok(()) => return Ok(true),
            Err(
                error @ (StoreError::Busy(_)
                | StoreError::Unavailable(_)
                | StoreError::Unreachable(_)),
            ) => return Err(error),
            Err(error) => error.to_string(),
        };
        let id = Envelope::parse(body).ok().map(|envelope| envelope.id);
        desk.counts.buried += 1;
        outside
            .store
            .transaction(&mut |tx| tx.put_dead_letter(name.as_str(), id, body, &why, now))?;
        Ok(true)
    }
}
