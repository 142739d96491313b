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

use std::{collections::BTreeMap, time::Duration};

use mrpf_ports::{
    StoreError,
    clock::after,
    store::{RefusalRow, TaskFilter, TaskRow, TaskState, Tx, WorkflowState},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, ErrorKind, TaskDefinition as _, TaskError, TaskId, WorkerClass,
    catalogue::{SynScanInput, TcpSynScan},
    message::{Assignment, Envelope, Message, RunTask},
    read_input,
    scope::Cut,
};
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
        let input = match targets(&task) {
            None => task.input.clone(),
            Some(Err(error)) => return self.reject(&task, error),
            Some(Ok(mut input)) => {
                let cut = scope.cut(&input.targets, blocklist);
                self.note_refused(&task, &cut)?;
                if cut.inside.is_empty() {
                    let why = "all of its targets lie outside the scope or are on the blocklist";
                    return self.reject(&task, TaskError::new(ErrorKind::OutOfScope, why));
                }
                input.targets = cut.inside;
                serde_json::to_value(&input).unwrap_or(Value::Null)
            }
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

    fn note_refused(&mut self, task: &TaskRow, cut: &Cut) -> Result<(), StoreError> {
        let at = self.books.now();
        for refused in &cut.refused {
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

/// The input of a task whose targets are addresses.
fn targets(task: &TaskRow) -> Option<Result<SynScanInput, TaskError>> {
    let read = || {
        read_input(&task.input).map_err(|error| TaskError::new(ErrorKind::Input, error.to_string()))
    };
    (task.definition == TcpSynScan::NAME).then(read)
}
