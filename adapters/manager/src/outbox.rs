//! Messages that were decided on are sent.
//!
//! They are hidden from other managers, sent, and removed; what cannot be sent is tried again after a moment, in which others have
//! their turn. A manager that is killed in between leaves them to be sent a second time, which does no harm: the second one finds
//! its attempt taken.

use std::time::Duration;

use mrpf_ports::{
    QueueError, QueueName,
    clock::after,
    store::{OutboxRow, Tx},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind, RunId, TaskError, WorkerClass,
    message::{Envelope, Message, Run},
};

use crate::{
    desk::{Desk, Outside},
    error::ManagerError,
    settle::Books,
    transition::Event,
};

/// For so long other managers leave alone what one is about to send.
pub(crate) const HIDDEN: Duration = Duration::from_secs(30);
/// Until what could not be sent is tried again.
pub(crate) const PUT_OFF: Duration = Duration::from_secs(3);
/// So many are sent at a time while a queue has trouble: what it takes of them is not sent again. A batch of SQS.
const FEW: usize = 10;

/// What came of sending.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Whether more may be waiting.
    pub(crate) is_full: bool,
    /// Whether messages for bare-metal workers could not be sent: a machine for them would find nothing to do.
    pub(crate) is_raw_stuck: bool,
    /// Why a queue did not take its messages.
    pub(crate) error: Option<ManagerError>,
}

/// Sends up to a batch of messages.
pub(crate) fn send(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<Sent, ManagerError> {
    let most = desk.settings.batch;
    let mut rows = Vec::new();
    let take = &mut |tx: &mut dyn Tx| {
        rows = tx.take_outbox(now, after(now, HIDDEN), most)?;
        Ok(())
    };
    outside.store.transaction(take).map_err(ManagerError::outbox)?;
    let mut all = Sent { is_full: rows.len() >= most, is_raw_stuck: false, error: None };
    // The queue of one class may be out of reach while those of the others are not.
    for class in WorkerClass::ALL {
        let of_class: Vec<&OutboxRow> = rows.iter().filter(|row| row.class == class).collect();
        let at_a_time = if desk.has_trouble(class) { FEW } else { most };
        let mut left = of_class.as_slice();
        while let Some(rows) = left.get(..left.len().min(at_a_time)).filter(|it| !it.is_empty()) {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let bodies: Vec<String> = rows.iter().map(|row| row.body.clone()).collect();
            let sent = match outside.queue(class.into()).send(&bodies) {
                Ok(()) => remove(outside, &ids),
                Err(QueueError::TooLarge { .. }) => one_by_one(outside, desk, rows, now),
                Err(error) => {
                    all.is_raw_stuck |= class == WorkerClass::BareMetal;
                    let ids: Vec<i64> = left.iter().map(|row| row.id).collect();
                    put_off(outside, &ids, after(now, PUT_OFF))?;
                    Err(ManagerError::outbox(error))
                }
            };
            desk.set_trouble(class, sent.is_err());
            if let Err(error) = sent {
                all.error.get_or_insert(error);
                break;
            }
            left = &left[rows.len()..];
        }
    }
    Ok(all)
}

fn put_off(outside: &Outside, ids: &[i64], until: Timestamp) -> Result<(), ManagerError> {
    let work = &mut |tx: &mut dyn Tx| tx.put_off_outbox(ids, until);
    outside.store.transaction(work).map_err(ManagerError::outbox)
}

fn remove(outside: &Outside, ids: &[i64]) -> Result<(), ManagerError> {
    outside.store.transaction(&mut |tx| tx.remove_outbox(ids)).map_err(ManagerError::outbox)
}

/// A message is larger than this queue takes, which another queue might have: its task fails, and the others are sent.
fn one_by_one(
    outside: &Outside,
    desk: &mut Desk,
    rows: &[&OutboxRow],
    now: Timestamp,
) -> Result<(), ManagerError> {
    for row in rows {
        match outside.queue(row.class.into()).send(std::slice::from_ref(&row.body)) {
            Ok(()) => {}
            Err(error @ QueueError::TooLarge { .. }) => give_up(outside, desk, row, &error, now)?,
            Err(error) => return Err(ManagerError::outbox(error)),
        }
        remove(outside, &[row.id])?;
    }
    Ok(())
}

fn give_up(
    outside: &Outside,
    desk: &mut Desk,
    row: &OutboxRow,
    error: &QueueError,
    now: Timestamp,
) -> Result<(), ManagerError> {
    let why = error.to_string();
    let order = match Envelope::parse(&row.body).map(|envelope| envelope.message) {
        Ok(Message::RunTask(order)) => Some(order),
        _ => None,
    };
    let error = TaskError::new(ErrorKind::Input, why.clone());
    let work = &mut |tx: &mut dyn Tx| {
        let mut books = Books::open(tx, desk, now);
        if let Some(order) = &order
            && let Some(task) = books.task(order.assignment.task_id)?
        {
            // In the name of a run that will never be.
            let run = Run { assignment: order.assignment, run_id: RunId::fresh() };
            books.apply(&task, Event::Fail(&run, &error))?.ok();
        }
        let queue = QueueName::from(row.class).as_str();
        books.tx().put_dead_letter(queue, None, &row.body, &why, now)?;
        books.close()
    };
    outside.store.transaction(work).map_err(ManagerError::outbox)
}
