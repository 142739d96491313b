//! Tasks that are ready are given out.
//!
//! ```text
//!  due, oldest first --> scope and blocklist --> pace of its source --> attempt + 1, ticket --> outbox
//!                          |  refusals             | not yet
//!                          '--> nothing left:      '--> put off, at its place in the line
//!                               failed
//! ```
//!
//! All of a batch is one transaction, the outbox rows with it: a task that says it was given out has its message stored.

use std::{collections::BTreeMap, fmt::Display, time::Duration};

use mrpf_ports::{
    StoreError,
    clock::after,
    store::{RefusalRow, TaskFilter, TaskRow, TaskState, Tx, WorkflowState},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, ErrorKind, Scope, TaskDefinition as _, TaskError, TaskId, WorkerClass,
    catalogue::{DnsScan, DnsScanInput, SynScanInput, TcpSynScan, TlsScan, TlsScanInput},
    message::{Assignment, Envelope, Message, RunTask},
    read_input,
    scope::{Refused, Targeted},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    desk::{Desk, Outside},
    error::ManagerError,
    settle::{Books, interval},
    transition::Event,
};

/// A task that waits for its source looks again after this, at least: others may have left the line.
const LONGEST_PUT_OFF: Duration = Duration::from_secs(60);

/// What was given out.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GivenOut {
    /// More may be due.
    pub(crate) is_full: bool,
    /// Bare-metal tasks among them: a machine may be needed.
    pub(crate) has_raw: bool,
}

/// Gives out up to a batch of tasks.
pub(crate) fn give_out(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<GivenOut, ManagerError> {
    let store = &*outside.store;
    let most = desk.settings.batch;
    let mut due: Vec<(TaskId, bool)> = Vec::new();
    let look = &mut |tx: &mut dyn Tx| {
        due.clear();
        if !tx.control()?.is_stopped {
            let rows = tx.tasks(TaskFilter::Due(now), most)?;
            due.extend(rows.iter().map(|row| (row.id, row.class == WorkerClass::BareMetal)));
        }
        Ok(())
    };
    store.transaction(look).map_err(ManagerError::dispatch)?;
    if due.is_empty() {
        return Ok(GivenOut::default());
    }
    let has_raw = due.iter().any(|(_, is_raw)| *is_raw);
    let blocklist = if has_raw { store.blocklist() } else { Ok(Vec::new()) };
    let blocklist = blocklist.map_err(ManagerError::dispatch)?;
    let before = desk.counts;
    let work = &mut |tx: &mut dyn Tx| {
        desk.counts = before;
        // Another manager may have stopped the platform or given these out since.
        if tx.control()?.is_stopped {
            return Ok(());
        }
        let mut line = Line { books: Books::open(tx, desk, now), paces: BTreeMap::new() };
        due.iter().try_for_each(|(id, _)| line.give(*id, &blocklist))?;
        line.books.close()
    };
    store.transaction(work).map_err(ManagerError::dispatch)?;
    Ok(GivenOut { is_full: due.len() >= most, has_raw })
}

/// Those that are given out, one after the other.
struct Line<'a> {
    books: Books<'a>,
    paces: BTreeMap<String, Pace>,
}

/// How far the line before a source has been served in this transaction.
struct Pace {
    next: Timestamp,
    is_out: bool,
    /// Where the next task that is put off stands.
    place: u32,
}

impl Line<'_> {
    fn give(&mut self, id: TaskId, blocklist: &[AddressRange]) -> Result<(), StoreError> {
        let now = self.books.now();
        let Some(task) = self.books.task(id)? else { return Ok(()) };
        let workflow = self.books.workflow(task.workflow_id)?;
        let is_due = task.state == TaskState::Ready && task.not_before <= now;
        if !is_due || workflow.state != WorkflowState::Running {
            return Ok(());
        }
        let scope = workflow.scope.clone();
        let cut = match task.definition.as_str() {
            TcpSynScan::NAME => cut::<SynScanInput>(&task, &scope, blocklist),
            DnsScan::NAME => cut::<DnsScanInput>(&task, &scope, blocklist),
            TlsScan::NAME => cut::<TlsScanInput>(&task, &scope, blocklist),
            _ => Ok((Some(task.input.clone()), Vec::new())),
        };
        let (input, refused) = match cut {
            Ok(cut) => cut,
            Err(error) => return self.reject(&task, error),
        };
        self.note_refused(&task, &refused)?;
        let Some(input) = input else {
            let why = "all of its targets lie outside the scope or are on the blocklist";
            return self.reject(&task, TaskError::new(ErrorKind::OutOfScope, why));
        };
        if self.is_put_off(&task)? {
            return Ok(());
        }
        let ticket = self.books.desk().dice.ticket();
        let order = RunTask {
            assignment: Assignment { task_id: id, attempt: task.attempt.saturating_add(1), ticket },
            workflow_id: task.workflow_id,
            definition: task.definition.clone(),
            input,
            scope,
        };
        let body = match Envelope::new(Message::RunTask(order), now).to_json() {
            Ok(body) => body,
            Err(error) => {
                return self.reject(&task, TaskError::new(ErrorKind::Input, error.to_string()));
            }
        };
        if self.books.apply(&task, Event::GiveOut(ticket))?.is_ok() {
            self.books.tx().put_outbox(task.class, &body)?;
            self.books.desk().counts.given_out += 1;
        }
        Ok(())
    }

    fn reject(&mut self, task: &TaskRow, error: TaskError) -> Result<(), StoreError> {
        tracing::warn!(task = %task.id, definition = task.definition, %error, "not given out");
        self.books.apply(task, Event::Reject(&error)).map(drop)
    }

    fn note_refused(&mut self, task: &TaskRow, refused: &[Refused]) -> Result<(), StoreError> {
        let at = self.books.now();
        for refused in refused {
            self.books.tx().put_refusal(&RefusalRow {
                workflow_id: task.workflow_id,
                task_id: task.id,
                what: refused.what.clone(),
                why: refused.why,
                by: "manager".to_owned(),
                at,
            })?;
        }
        Ok(())
    }

    /// Whether a task must wait for its source. One task of a source is out at a time, and its interval lies between two.
    fn is_put_off(&mut self, task: &TaskRow) -> Result<bool, StoreError> {
        let Some(source) = &task.source else { return Ok(false) };
        let now = self.books.now();
        let interval = interval(&self.books.desk().registry, task);
        if !self.paces.contains_key(source) {
            let (next, out) = self.books.tx().pace(source)?;
            self.paces.insert(source.clone(), Pace { next, is_out: out > 0, place: 0 });
        }
        let Some(pace) = self.paces.get_mut(source) else { return Ok(false) };
        if !pace.is_out && pace.next <= now {
            pace.next = after(now, interval);
            let next = pace.next;
            self.books.tx().put_pace(source, next)?;
            return Ok(false);
        }
        // Stands in line: each at the moment at which it may be its turn, so that those who wait are not looked at in vain.
        let first = if pace.next > now { pace.next } else { after(now, interval) };
        let until = after(first, (interval * pace.place).min(LONGEST_PUT_OFF));
        pace.place = pace.place.saturating_add(1);
        self.books.apply(task, Event::PutOff(until)).map(|_| true)
    }
}

/// The input of a task without what it may not touch, and that; no input where nothing is left.
fn cut<I: Targeted + DeserializeOwned + Serialize>(
    task: &TaskRow,
    scope: &Scope,
    blocklist: &[AddressRange],
) -> Result<(Option<Value>, Vec<Refused>), TaskError> {
    let wrong = |error: &dyn Display| TaskError::new(ErrorKind::Input, error.to_string());
    let mut input: I = read_input(&task.input).map_err(|error| wrong(&error))?;
    let refused = input.cut(scope, blocklist);
    if input.has_no_target() {
        return Ok((None, refused));
    }
    let input = serde_json::to_value(&input).map_err(|error| wrong(&error))?;
    Ok((Some(input), refused))
}
