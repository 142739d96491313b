//! The primitives of a transaction: each a statement or two.

use mrpf_ports::{
    StoreError,
    store::{
        CollectionRow, Control, Dependency, EdgeRow, On, OutboxRow, RefusalRow, SlotRow,
        TaskFilter, TaskRow, Tx, WorkflowRow,
    },
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, MessageId, RunId, TaskId, WorkerClass, WorkflowId,
    message::{NewTask, Outcome},
};
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{failed, recon, run, task};
use crate::columns::{Cells, Json, Moment, Text};

/// A transaction that is open.
pub(super) struct SqliteTx<'a>(pub(super) &'a Connection);

/// How an edge on a collection is met; other edges have the word of [`On`].
const COMPLETE: &str = "complete";

impl SqliteTx<'_> {
    fn execute(&self, sql: &str, values: impl Params) -> Result<(), StoreError> {
        let run = || self.0.prepare_cached(sql)?.execute(values);
        run().map(drop).map_err(failed)
    }

    fn one<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let run = || self.0.prepare_cached(sql)?.query_row(values, read).optional();
        run().map_err(failed)
    }

    fn all<T>(
        &self,
        sql: &str,
        values: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let run = || {
            let mut find = self.0.prepare_cached(sql)?;
            find.query_map(values, read)?.collect::<rusqlite::Result<_>>()
        };
        run().map_err(failed)
    }
}

impl Tx for SqliteTx<'_> {
    fn control(&mut self) -> Result<Control, StoreError> {
        let read = |row: &Row<'_>| Ok(Control { is_stopped: row.get(0)? });
        Ok(self.one("SELECT is_stopped FROM control", (), read)?.unwrap_or_default())
    }

    fn put_control(&mut self, control: Control) -> Result<(), StoreError> {
        self.execute("UPDATE control SET is_stopped = ?1", [control.is_stopped])
    }

    fn workflow(&mut self, id: WorkflowId) -> Result<Option<WorkflowRow>, StoreError> {
        let sql = "SELECT id, name, state, scope, open, failed, created_at, finished_at FROM workflow WHERE id = ?1";
        self.one(sql, [Text(id)], read_workflow)
    }

    fn workflows(&mut self) -> Result<Vec<WorkflowRow>, StoreError> {
        let sql =
            "SELECT id, name, state, scope, open, failed, created_at, finished_at FROM workflow
                   ORDER BY created_at DESC, id DESC";
        self.all(sql, (), read_workflow)
    }

    fn put_workflow(&mut self, row: &WorkflowRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO workflow (id, name, state, scope, open, failed, created_at, finished_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, scope = excluded.scope,
                       open = excluded.open, failed = excluded.failed, created_at = excluded.created_at,
                       finished_at = excluded.finished_at";
        self.execute(
            sql,
            params![
                Text(row.id),
                row.name,
                row.state.as_str(),
                Json(&row.scope),
                row.open,
                row.failed,
                Moment(row.created_at),
                row.finished_at.map(Moment)
            ],
        )
    }

    fn task(&mut self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        task::get(self.0, id).map_err(failed)
    }

    fn tasks(&mut self, filter: TaskFilter, limit: usize) -> Result<Vec<TaskRow>, StoreError> {
        task::find(self.0, filter, limit).map_err(failed)
    }

    fn deduped(&mut self, workflow: WorkflowId, key: &str) -> Result<Option<TaskId>, StoreError> {
        task::deduped(self.0, workflow, key).map_err(failed)
    }

    fn put_task(&mut self, row: &TaskRow) -> Result<(), StoreError> {
        task::put(self.0, row).map_err(failed)
    }

    fn waiting_for_task(&mut self, id: TaskId) -> Result<Vec<EdgeRow>, StoreError> {
        let sql =
            "SELECT task_id, outcome FROM task_edge WHERE depends_on = ?1 AND outcome <> 'complete'
                   ORDER BY outcome, task_id";
        self.all(sql, [Text(id)], |row| {
            let mut cells = Cells::of(row);
            let task_id = cells.text()?;
            Ok(EdgeRow { task_id, dependency: Dependency::Task(id, cells.word::<On>()?) })
        })
    }

    fn waiting_for_collection(&mut self, id: CollectionId) -> Result<Vec<EdgeRow>, StoreError> {
        let sql = "SELECT task_id FROM task_edge WHERE depends_on = ?1 AND outcome = 'complete' ORDER BY task_id";
        self.all(sql, [Text(id)], |row| {
            Ok(EdgeRow { task_id: Cells::of(row).text()?, dependency: Dependency::Collection(id) })
        })
    }

    fn put_edge(&mut self, edge: EdgeRow) -> Result<(), StoreError> {
        let (depends_on, outcome) = match edge.dependency {
            Dependency::Task(id, on) => (id.0, on.as_str()),
            Dependency::Collection(id) => (id.0, COMPLETE),
        };
        let sql = "INSERT INTO task_edge (depends_on, outcome, task_id) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.execute(sql, params![Text(depends_on), outcome, Text(edge.task_id)])
    }

    fn collection(&mut self, id: CollectionId) -> Result<Option<CollectionRow>, StoreError> {
        let sql = "SELECT id, workflow_id, name, feeders, total, done, failed, completed_at FROM task_collection WHERE id = ?1";
        self.one(sql, [Text(id)], read_collection)
    }

    fn collections(&mut self, workflow: WorkflowId) -> Result<Vec<CollectionRow>, StoreError> {
        let sql = "SELECT id, workflow_id, name, feeders, total, done, failed, completed_at FROM task_collection
                   WHERE workflow_id = ?1 ORDER BY id";
        self.all(sql, [Text(workflow)], read_collection)
    }

    fn put_collection(&mut self, row: &CollectionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_collection (id, workflow_id, name, feeders, total, done, failed, completed_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, feeders = excluded.feeders,
                       total = excluded.total, done = excluded.done, failed = excluded.failed,
                       completed_at = excluded.completed_at";
        self.execute(
            sql,
            params![
                Text(row.id),
                Text(row.workflow_id),
                row.name,
                row.feeders,
                row.total,
                row.done,
                row.failed,
                row.completed_at.map(Moment)
            ],
        )
    }

    fn put_part(
        &mut self,
        task: TaskId,
        run: RunId,
        seq: u32,
        chunk: &Chunk,
    ) -> Result<(), StoreError> {
        let text = serde_json::to_string(chunk)
            .map_err(|error| StoreError::Unavailable(format!("a chunk is no JSON: {error}")))?;
        run::insert_part(self.0, task, run, seq, &text).map_err(failed)
    }

    fn parts(&mut self, task: TaskId, run: RunId) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM task_data WHERE task_id = ?1 AND run_id = ?2";
        let count = self.one(sql, params![Text(task), Text(run)], |row| row.get(0))?;
        Ok(count.unwrap_or_default())
    }

    fn put_child(
        &mut self,
        task: TaskId,
        run: RunId,
        index: u32,
        child: &NewTask,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_child (task_id, run_id, idx, definition, input) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO NOTHING";
        let NewTask { definition, input } = child;
        self.execute(sql, params![Text(task), Text(run), index, definition, Json(input)])
    }

    fn children(&mut self, task: TaskId, run: RunId) -> Result<Vec<(u32, NewTask)>, StoreError> {
        let sql = "SELECT idx, definition, input FROM task_child WHERE task_id = ?1 AND run_id = ?2 ORDER BY idx";
        self.all(sql, params![Text(task), Text(run)], |row| {
            let mut cells = Cells::of(row);
            let index = cells.plain()?;
            Ok((index, NewTask { definition: cells.plain()?, input: cells.json()? }))
        })
    }

    fn put_outcome(
        &mut self,
        task: TaskId,
        run: RunId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_outcome (task_id, run_id, outcome) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.execute(sql, params![Text(task), Text(run), Json(outcome)])
    }

    fn outcome(&mut self, task: TaskId, run: RunId) -> Result<Option<Outcome>, StoreError> {
        let sql = "SELECT outcome FROM task_outcome WHERE task_id = ?1 AND run_id = ?2";
        self.one(sql, params![Text(task), Text(run)], |row| Cells::of(row).json())
    }

    fn keep_run(&mut self, task: TaskId, run: Option<RunId>) -> Result<(), StoreError> {
        let task = Text(task);
        let others = "DELETE FROM task_data WHERE task_id = ?1 AND run_id IS NOT ?2";
        self.execute(others, params![task, run.map(Text)])?;
        self.execute("DELETE FROM task_child WHERE task_id = ?1", [&task])?;
        self.execute("DELETE FROM task_outcome WHERE task_id = ?1", [&task])?;
        self.execute("DELETE FROM task_checkpoint WHERE task_id = ?1", [&task])
    }

    fn put_outbox(&mut self, class: WorkerClass, body: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (class, body) VALUES (?1, ?2)";
        self.execute(sql, params![class.as_str(), body])
    }

    fn take_outbox(
        &mut self,
        now: Timestamp,
        hide_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT id, class, body FROM outbox WHERE hidden_until <= ?1 ORDER BY hidden_until, id LIMIT ?2";
        let rows = self.all(sql, params![Moment(now), limit], |row| {
            let mut cells = Cells::of(row);
            Ok(OutboxRow { id: cells.plain()?, class: cells.word()?, body: cells.plain()? })
        })?;
        for row in &rows {
            let sql = "UPDATE outbox SET hidden_until = ?2 WHERE id = ?1";
            self.execute(sql, params![row.id, Moment(hide_until)])?;
        }
        Ok(rows)
    }

    fn put_off_outbox(&mut self, ids: &[i64], until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET hidden_until = ?2 WHERE id = ?1";
        ids.iter().try_for_each(|id| self.execute(sql, params![id, Moment(until)]))
    }

    fn remove_outbox(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        ids.iter().try_for_each(|id| self.execute("DELETE FROM outbox WHERE id = ?1", [id]))
    }

    fn pace(&mut self, source: &str) -> Result<(Timestamp, u32), StoreError> {
        let sql = "SELECT next_at FROM source_pace WHERE source = ?1";
        let next = self.one(sql, [source], |row| Cells::of(row).moment())?;
        let next = next.unwrap_or_else(|| Timestamp::from_unix_micros(0));
        Ok((next, task::out_of(self.0, source).map_err(failed)?))
    }

    fn put_pace(&mut self, source: &str, next: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO source_pace (source, next_at) VALUES (?1, ?2)
                   ON CONFLICT (source) DO UPDATE SET next_at = excluded.next_at";
        self.execute(sql, params![source, Moment(next)])
    }

    fn slots(&mut self) -> Result<Vec<SlotRow>, StoreError> {
        let sql = "SELECT slot, generation, state, instance_id, lease_until, is_surplus FROM bare_metal_slot ORDER BY slot";
        self.all(sql, (), |row| {
            let mut cells = Cells::of(row);
            Ok(SlotRow {
                slot: cells.plain()?,
                generation: cells.plain()?,
                state: cells.word()?,
                instance_id: cells.plain()?,
                lease_until: cells.moment_or_none()?,
                is_surplus: cells.plain()?,
            })
        })
    }

    fn put_slot(&mut self, row: &SlotRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO bare_metal_slot (slot, generation, state, instance_id, lease_until, is_surplus)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (slot) DO UPDATE SET generation = excluded.generation, state = excluded.state,
                       instance_id = excluded.instance_id, lease_until = excluded.lease_until,
                       is_surplus = excluded.is_surplus";
        let SlotRow { slot, generation, state, instance_id, lease_until, is_surplus } = row;
        let lease_until = lease_until.map(Moment);
        self.execute(
            sql,
            params![slot, generation, state.as_str(), instance_id, lease_until, is_surplus],
        )
    }

    fn put_blocked(&mut self, range: AddressRange, now: Timestamp) -> Result<(), StoreError> {
        recon::put_blocked(self.0, range, now).map_err(failed)
    }

    fn put_refusal(&mut self, row: &RefusalRow) -> Result<(), StoreError> {
        recon::put_refusal(self.0, row).map_err(failed)
    }

    fn put_dead_letter(
        &mut self,
        queue: &str,
        message: Option<MessageId>,
        body: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO dead_letter (queue, message_id, body, why, at) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.execute(sql, params![queue, message.map(Text), body, why, Moment(now)])
    }
}

fn read_workflow(row: &Row<'_>) -> rusqlite::Result<WorkflowRow> {
    let mut cells = Cells::of(row);
    Ok(WorkflowRow {
        id: cells.text()?,
        name: cells.plain()?,
        state: cells.word()?,
        scope: cells.json()?,
        open: cells.plain()?,
        failed: cells.plain()?,
        created_at: cells.moment()?,
        finished_at: cells.moment_or_none()?,
    })
}

fn read_collection(row: &Row<'_>) -> rusqlite::Result<CollectionRow> {
    let mut cells = Cells::of(row);
    Ok(CollectionRow {
        id: cells.text()?,
        workflow_id: cells.text()?,
        name: cells.plain()?,
        feeders: cells.plain()?,
        total: cells.plain()?,
        done: cells.plain()?,
        failed: cells.plain()?,
        completed_at: cells.moment_or_none()?,
    })
}
