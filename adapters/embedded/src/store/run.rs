//! What a run may do to its task. Each is one transaction, so no two runs ever hold a task at once.
//!
//! ```text
//!   dispatched ---claim---> running(run, lease) <--renew--.
//!       ^                     |        |    '-------------'
//!       '------release--------'        '--lease over--> another run may claim
//! ```
//!
//! A run holds its task from the claim until another run claims it, it is released or the manager ends it: a lease that is over
//! takes nothing away by itself.

use mrpf_ports::store::{Checkpoint, Claim, Lease, Renewal, TaskState, WorkflowState};
use mrpf_records::Timestamp;
use mrpf_tasks::{RunId, TaskId, Ticket, message::Run};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::columns::{Cells, Count, Json, Moment, Text};

/// What a run is judged by.
struct Fence {
    state: TaskState,
    attempt: u32,
    ticket: Option<Ticket>,
    run_id: Option<RunId>,
    lease_until: Option<Timestamp>,
    is_workflow_cancelled: bool,
    is_stopped: bool,
}

impl Fence {
    fn of(connection: &Connection, task: TaskId) -> rusqlite::Result<Option<Self>> {
        let mut find = connection.prepare_cached(
            "SELECT task.state, task.attempt, task.ticket, task.run_id, task.lease_until, workflow.state, control.is_stopped
             FROM task JOIN workflow ON workflow.id = task.workflow_id JOIN control
             WHERE task.id = ?1",
        )?;
        let read = |row: &rusqlite::Row<'_>| {
            let mut cells = Cells::of(row);
            Ok(Self {
                state: cells.word()?,
                attempt: cells.plain()?,
                ticket: cells.text_or_none()?,
                run_id: cells.text_or_none()?,
                lease_until: cells.moment_or_none()?,
                is_workflow_cancelled: cells.word::<WorkflowState>()? == WorkflowState::Cancelled,
                is_stopped: cells.plain()?,
            })
        };
        find.query_row([Text(task)], read).optional()
    }

    /// Whether the run's message is the one that was given out last.
    fn is_for(&self, run: &Run) -> bool {
        self.attempt == run.assignment.attempt && self.ticket == Some(run.assignment.ticket)
    }

    fn is_held_by(&self, run: &Run) -> bool {
        self.is_for(run) && self.state == TaskState::Running && self.run_id == Some(run.run_id)
    }
}

pub(super) fn claim(
    connection: &Connection,
    run: &Run,
    lease: &Lease<'_>,
) -> rusqlite::Result<Claim> {
    let task = run.assignment.task_id;
    let Some(fence) = Fence::of(connection, task)? else { return Ok(Claim::Stale) };
    if !fence.is_for(run) || !fence.state.is_out() || fence.is_workflow_cancelled {
        return Ok(Claim::Stale);
    }
    let lives = fence.state == TaskState::Running
        && fence.run_id != Some(run.run_id)
        && fence.lease_until.is_some_and(|until| until > lease.now);
    if lives || fence.is_stopped {
        return Ok(Claim::Busy);
    }
    connection
        .prepare_cached(
            "UPDATE task SET state = 'running', run_id = ?2, worker = ?3, lease_until = ?4 WHERE id = ?1",
        )?
        .execute(params![Text(task), Text(run.run_id), lease.worker, Moment(lease.until)])?;
    Ok(Claim::Held { checkpoint: take_over(connection, run)? })
}

/// Makes what an earlier run's checkpoint covers this run's, and removes what it does not.
fn take_over(connection: &Connection, run: &Run) -> rusqlite::Result<Option<Checkpoint>> {
    let (task, run) = (Text(run.assignment.task_id), Text(run.run_id));
    let found = connection
        .prepare_cached("SELECT run_id, position, parts FROM task_checkpoint WHERE task_id = ?1")?
        .query_row([&task], |row| {
            let mut cells = Cells::of(row);
            let earlier: RunId = cells.text()?;
            Ok((earlier, Checkpoint { position: cells.json()?, parts: cells.plain()? }))
        })
        .optional()?;
    if let Some((earlier, checkpoint)) = &found {
        connection
            .prepare_cached(
                "UPDATE task_data SET run_id = ?3 WHERE task_id = ?1 AND run_id = ?2 AND seq < ?4",
            )?
            .execute(params![task, Text(earlier), run, checkpoint.parts])?;
        connection
            .prepare_cached("UPDATE task_checkpoint SET run_id = ?2 WHERE task_id = ?1")?
            .execute(params![task, run])?;
    }
    connection
        .prepare_cached("DELETE FROM task_data WHERE task_id = ?1 AND run_id <> ?2")?
        .execute(params![task, run])?;
    Ok(found.map(|(_, checkpoint)| checkpoint))
}

pub(super) fn renew(
    connection: &Connection,
    run: &Run,
    lease: &Lease<'_>,
    progress: Option<(u64, Option<u64>, &str)>,
) -> rusqlite::Result<Renewal> {
    let task = run.assignment.task_id;
    let Some(fence) = Fence::of(connection, task)? else { return Ok(Renewal::Lost) };
    if fence.is_for(run) && fence.state == TaskState::Cancelled {
        return Ok(Renewal::Stop);
    }
    if !fence.is_held_by(run) {
        return Ok(Renewal::Lost);
    }
    if fence.is_stopped || fence.is_workflow_cancelled {
        return Ok(Renewal::Stop);
    }
    connection
        .prepare_cached("UPDATE task SET lease_until = ?2 WHERE id = ?1")?
        .execute(params![Text(task), Moment(lease.until)])?;
    if let Some((done, total, note)) = progress {
        connection
            .prepare_cached("UPDATE task SET done = ?2, total = ?3, note = ?4 WHERE id = ?1")?
            .execute(params![Text(task), Count(done), total.map(Count), note])?;
    }
    Ok(Renewal::Held)
}

/// Gives the task back as it was given out. Its lease stays: once it is over the reaper looks whether anybody has claimed it.
pub(super) fn release(connection: &Connection, run: &Run) -> rusqlite::Result<Option<()>> {
    if !holds(connection, run)? {
        return Ok(None);
    }
    connection
        .prepare_cached(
            "UPDATE task SET state = 'dispatched', run_id = NULL, worker = NULL WHERE id = ?1",
        )?
        .execute([Text(run.assignment.task_id)])?;
    Ok(Some(()))
}

pub(super) fn put_part(
    connection: &Connection,
    run: &Run,
    seq: u32,
    text: &str,
) -> rusqlite::Result<Option<()>> {
    if !holds(connection, run)? {
        return Ok(None);
    }
    insert_part(connection, run.assignment.task_id, run.run_id, seq, text)?;
    Ok(Some(()))
}

pub(super) fn insert_part(
    connection: &Connection,
    task: TaskId,
    run: RunId,
    seq: u32,
    text: &str,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO task_data (task_id, run_id, seq, data) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Text(task), Text(run), seq, text])?;
    Ok(())
}

pub(super) fn put_checkpoint(
    connection: &Connection,
    run: &Run,
    checkpoint: &Checkpoint,
    now: Timestamp,
) -> rusqlite::Result<Option<()>> {
    if !holds(connection, run)? {
        return Ok(None);
    }
    let (task, run) = (Text(run.assignment.task_id), Text(run.run_id));
    connection
        .prepare_cached(
            "INSERT INTO task_checkpoint (task_id, run_id, position, parts, saved_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (task_id) DO UPDATE SET run_id = excluded.run_id, position = excluded.position,
                 parts = excluded.parts, saved_at = excluded.saved_at",
        )?
        .execute(params![task, run, Json(&checkpoint.position), checkpoint.parts, Moment(now)])?;
    Ok(Some(()))
}

/// Whether a run holds its task.
pub(super) fn holds(connection: &Connection, run: &Run) -> rusqlite::Result<bool> {
    let fence = Fence::of(connection, run.assignment.task_id)?;
    Ok(fence.is_some_and(|fence| fence.is_held_by(run)))
}
