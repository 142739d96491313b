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
use postgres::{Row, types::Json};

use super::{recon, task};
use crate::{
    columns::{Cells, count, moment, text},
    connection::{Session, Value},
    failure::Failure,
};

/// A transaction that is open.
pub(super) struct PgTx<'a> {
    session: Session<'a>,
    /// The first statement that failed. The server does nothing more in this transaction, and ends it without keeping anything
    /// even if it is told to keep it: so nobody's `Ok` may hide this.
    failure: Option<Failure>,
}

/// How an edge on a collection is met; other edges have the word of [`On`].
const COMPLETE: &str = "complete";

impl<'a> PgTx<'a> {
    pub(super) fn of(session: Session<'a>) -> Self {
        Self { session, failure: None }
    }

    /// Keeps what was done if `work` was, else undoes it.
    pub(super) fn end(self, work: Result<(), StoreError>) -> Result<(), Failure> {
        match (self.failure, work) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(())) => self.session.commit(),
        }
    }

    /// What the caller gets for a failure; what is to be done about it, [`end`](Self::end) says.
    fn told<T>(&mut self, done: Result<T, Failure>) -> Result<T, StoreError> {
        done.map_err(|failure| {
            let error = failure.told();
            self.failure.get_or_insert(failure);
            error
        })
    }

    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<(), StoreError> {
        let done = self.session.execute(sql, values).map(drop);
        self.told(done)
    }

    fn all<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, Failure>,
    ) -> Result<Vec<T>, StoreError> {
        let found = self.session.rows(sql, values);
        let found = found.and_then(|rows| rows.iter().map(read).collect());
        self.told(found)
    }

    fn one<T>(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl Fn(&Row) -> Result<T, Failure>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.all(sql, values, read)?.pop())
    }
}

impl Tx for PgTx<'_> {
    fn control(&mut self) -> Result<Control, StoreError> {
        let read = |row: &Row| Ok(Control { is_stopped: Cells::of(row).plain()? });
        Ok(self.one("SELECT is_stopped FROM control", &[], read)?.unwrap_or_default())
    }

    fn put_control(&mut self, control: Control) -> Result<(), StoreError> {
        self.execute("UPDATE control SET is_stopped = $1", &[&control.is_stopped])
    }

    fn workflow(&mut self, id: WorkflowId) -> Result<Option<WorkflowRow>, StoreError> {
        let sql = "SELECT id, name, state, scope, open, failed, created_at, finished_at FROM workflow WHERE id = $1";
        self.one(sql, &[&id.0], read_workflow)
    }

    fn workflows(&mut self) -> Result<Vec<WorkflowRow>, StoreError> {
        let sql =
            "SELECT id, name, state, scope, open, failed, created_at, finished_at FROM workflow
                   ORDER BY created_at DESC, id DESC";
        self.all(sql, &[], read_workflow)
    }

    fn put_workflow(&mut self, row: &WorkflowRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO workflow (id, name, state, scope, open, failed, created_at, finished_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state, scope = excluded.scope,
                       open = excluded.open, failed = excluded.failed, created_at = excluded.created_at,
                       finished_at = excluded.finished_at";
        self.execute(
            sql,
            &[
                &row.id.0,
                &text(&row.name),
                &row.state.as_str(),
                &Json(&row.scope),
                &i64::from(row.open),
                &i64::from(row.failed),
                &moment(row.created_at),
                &row.finished_at.map(moment),
            ],
        )
    }

    fn task(&mut self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        let found = task::get(&mut self.session, id);
        self.told(found)
    }

    fn tasks(&mut self, filter: TaskFilter, limit: usize) -> Result<Vec<TaskRow>, StoreError> {
        let found = task::find(&mut self.session, filter, limit);
        self.told(found)
    }

    fn deduped(&mut self, workflow: WorkflowId, key: &str) -> Result<Option<TaskId>, StoreError> {
        let found = task::deduped(&mut self.session, workflow, key);
        self.told(found)
    }

    fn put_task(&mut self, row: &TaskRow) -> Result<(), StoreError> {
        let done = task::put(&mut self.session, row);
        self.told(done)
    }

    fn waiting_for_task(&mut self, id: TaskId) -> Result<Vec<EdgeRow>, StoreError> {
        let sql =
            "SELECT task_id, outcome FROM task_edge WHERE depends_on = $1 AND outcome <> 'complete'
                   ORDER BY outcome, task_id";
        self.all(sql, &[&id.0], |row| {
            let mut cells = Cells::of(row);
            let task_id = TaskId(cells.plain()?);
            Ok(EdgeRow { task_id, dependency: Dependency::Task(id, cells.word::<On>()?) })
        })
    }

    fn waiting_for_collection(&mut self, id: CollectionId) -> Result<Vec<EdgeRow>, StoreError> {
        let sql = "SELECT task_id FROM task_edge WHERE depends_on = $1 AND outcome = 'complete' ORDER BY task_id";
        self.all(sql, &[&id.0], |row| {
            let task_id = TaskId(Cells::of(row).plain()?);
            Ok(EdgeRow { task_id, dependency: Dependency::Collection(id) })
        })
    }

    fn put_edge(&mut self, edge: EdgeRow) -> Result<(), StoreError> {
        let (depends_on, outcome) = match edge.dependency {
            Dependency::Task(id, on) => (id.0, on.as_str()),
            Dependency::Collection(id) => (id.0, COMPLETE),
        };
        let sql = "INSERT INTO task_edge (depends_on, outcome, task_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.execute(sql, &[&depends_on, &outcome, &edge.task_id.0])
    }

    fn collection(&mut self, id: CollectionId) -> Result<Option<CollectionRow>, StoreError> {
        let sql = "SELECT id, workflow_id, name, feeders, total, done, failed, completed_at FROM task_collection WHERE id = $1";
        self.one(sql, &[&id.0], read_collection)
    }

    fn collections(&mut self, workflow: WorkflowId) -> Result<Vec<CollectionRow>, StoreError> {
        let sql = "SELECT id, workflow_id, name, feeders, total, done, failed, completed_at FROM task_collection
                   WHERE workflow_id = $1 ORDER BY id";
        self.all(sql, &[&workflow.0], read_collection)
    }

    fn put_collection(&mut self, row: &CollectionRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_collection (id, workflow_id, name, feeders, total, done, failed, completed_at)
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                   ON CONFLICT (id) DO UPDATE SET name = excluded.name, feeders = excluded.feeders,
                       total = excluded.total, done = excluded.done, failed = excluded.failed,
                       completed_at = excluded.completed_at";
        self.execute(
            sql,
            &[
                &row.id.0,
                &row.workflow_id.0,
                &text(&row.name),
                &i64::from(row.feeders),
                &i64::from(row.total),
                &i64::from(row.done),
                &i64::from(row.failed),
                &row.completed_at.map(moment),
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
        let sql = "INSERT INTO task_data (task_id, run_id, seq, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
        self.execute(sql, &[&task.0, &run.0, &i64::from(seq), &Json(chunk)])
    }

    fn parts(&mut self, task: TaskId, run: RunId) -> Result<u32, StoreError> {
        let sql = "SELECT count(*) FROM task_data WHERE task_id = $1 AND run_id = $2";
        let count = self.one(sql, &[&task.0, &run.0], |row| Cells::of(row).count())?;
        Ok(count.unwrap_or_default())
    }

    fn put_child(
        &mut self,
        task: TaskId,
        run: RunId,
        index: u32,
        child: &NewTask,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_child (task_id, run_id, idx, definition, input) VALUES ($1, $2, $3, $4, $5)
                   ON CONFLICT DO NOTHING";
        let NewTask { definition, input } = child;
        self.execute(sql, &[&task.0, &run.0, &i64::from(index), &text(definition), &Json(input)])
    }

    fn children(&mut self, task: TaskId, run: RunId) -> Result<Vec<(u32, NewTask)>, StoreError> {
        let sql = "SELECT idx, definition, input FROM task_child WHERE task_id = $1 AND run_id = $2 ORDER BY idx";
        self.all(sql, &[&task.0, &run.0], |row| {
            let mut cells = Cells::of(row);
            let index = cells.count()?;
            Ok((index, NewTask { definition: cells.plain()?, input: cells.json()? }))
        })
    }

    fn put_outcome(
        &mut self,
        task: TaskId,
        run: RunId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO task_outcome (task_id, run_id, outcome) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.execute(sql, &[&task.0, &run.0, &Json(outcome)])
    }

    fn outcome(&mut self, task: TaskId, run: RunId) -> Result<Option<Outcome>, StoreError> {
        let sql = "SELECT outcome FROM task_outcome WHERE task_id = $1 AND run_id = $2";
        self.one(sql, &[&task.0, &run.0], |row| Cells::of(row).json())
    }

    fn keep_run(&mut self, task: TaskId, run: Option<RunId>) -> Result<(), StoreError> {
        let others = "DELETE FROM task_data WHERE task_id = $1 AND run_id IS DISTINCT FROM $2";
        self.execute(others, &[&task.0, &run.map(|run| run.0)])?;
        self.execute("DELETE FROM task_child WHERE task_id = $1", &[&task.0])?;
        self.execute("DELETE FROM task_outcome WHERE task_id = $1", &[&task.0])?;
        self.execute("DELETE FROM task_checkpoint WHERE task_id = $1", &[&task.0])
    }

    fn put_outbox(&mut self, class: WorkerClass, body: &str) -> Result<(), StoreError> {
        let sql = "INSERT INTO outbox (class, body) VALUES ($1, $2)";
        self.execute(sql, &[&class.as_str(), &text(body)])
    }

    fn take_outbox(
        &mut self,
        now: Timestamp,
        hide_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = "SELECT id, class, body FROM outbox WHERE hidden_until <= $1 ORDER BY hidden_until, id LIMIT $2";
        let rows = self.all(sql, &[&moment(now), &count(limit)], |row| {
            let mut cells = Cells::of(row);
            Ok(OutboxRow { id: cells.plain()?, class: cells.word()?, body: cells.plain()? })
        })?;
        if !rows.is_empty() {
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let sql = "UPDATE outbox SET hidden_until = $2 WHERE id = ANY($1)";
            self.execute(sql, &[&ids, &moment(hide_until)])?;
        }
        Ok(rows)
    }

    fn put_off_outbox(&mut self, ids: &[i64], until: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE outbox SET hidden_until = $2 WHERE id = ANY($1)";
        self.execute(sql, &[&ids, &moment(until)])
    }

    fn remove_outbox(&mut self, ids: &[i64]) -> Result<(), StoreError> {
        self.execute("DELETE FROM outbox WHERE id = ANY($1)", &[&ids])
    }

    fn pace(&mut self, source: &str) -> Result<(Timestamp, u32), StoreError> {
        let sql = "SELECT next_at FROM source_pace WHERE source = $1";
        let next = self.one(sql, &[&text(source)], |row| Cells::of(row).moment())?;
        let next = next.unwrap_or_else(|| Timestamp::from_unix_micros(0));
        let out = task::out_of(&mut self.session, source);
        Ok((next, self.told(out)?))
    }

    fn put_pace(&mut self, source: &str, next: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO source_pace (source, next_at) VALUES ($1, $2)
                   ON CONFLICT (source) DO UPDATE SET next_at = excluded.next_at";
        self.execute(sql, &[&text(source), &moment(next)])
    }

    fn slots(&mut self) -> Result<Vec<SlotRow>, StoreError> {
        let sql = "SELECT slot, generation, state, instance_id, lease_until, is_surplus FROM bare_metal_slot ORDER BY slot";
        self.all(sql, &[], |row| {
            let mut cells = Cells::of(row);
            Ok(SlotRow {
                slot: cells.count()?,
                generation: cells.count()?,
                state: cells.word()?,
                instance_id: cells.plain()?,
                lease_until: cells.moment_or_none()?,
                is_surplus: cells.plain()?,
            })
        })
    }

    fn put_slot(&mut self, row: &SlotRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO bare_metal_slot (slot, generation, state, instance_id, lease_until, is_surplus)
                   VALUES ($1, $2, $3, $4, $5, $6)
                   ON CONFLICT (slot) DO UPDATE SET generation = excluded.generation, state = excluded.state,
                       instance_id = excluded.instance_id, lease_until = excluded.lease_until,
                       is_surplus = excluded.is_surplus";
        self.execute(
            sql,
            &[
                &i64::from(row.slot),
                &i64::from(row.generation),
                &row.state.as_str(),
                &row.instance_id.as_deref().map(text),
                &row.lease_until.map(moment),
                &row.is_surplus,
            ],
        )
    }

    fn put_blocked(&mut self, range: AddressRange, now: Timestamp) -> Result<(), StoreError> {
        let done = recon::put_blocked(&mut self.session, range, now);
        self.told(done)
    }

    fn put_refusal(&mut self, row: &RefusalRow) -> Result<(), StoreError> {
        let done = recon::put_refusals(&mut self.session, std::slice::from_ref(row));
        self.told(done)
    }

    fn put_dead_letter(
        &mut self,
        queue: &str,
        message: Option<MessageId>,
        body: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO dead_letter (queue, message_id, body, why, at) VALUES ($1, $2, $3, $4, $5)";
        let message = message.map(|id| id.0);
        self.execute(sql, &[&text(queue), &message, &text(body), &text(why), &moment(now)])
    }
}

fn read_workflow(row: &Row) -> Result<WorkflowRow, Failure> {
    let mut cells = Cells::of(row);
    Ok(WorkflowRow {
        id: WorkflowId(cells.plain()?),
        name: cells.plain()?,
        state: cells.word()?,
        scope: cells.json()?,
        open: cells.count()?,
        failed: cells.count()?,
        created_at: cells.moment()?,
        finished_at: cells.moment_or_none()?,
    })
}

fn read_collection(row: &Row) -> Result<CollectionRow, Failure> {
    let mut cells = Cells::of(row);
    Ok(CollectionRow {
        id: CollectionId(cells.plain()?),
        workflow_id: WorkflowId(cells.plain()?),
        name: cells.plain()?,
        feeders: cells.count()?,
        total: cells.count()?,
        done: cells.count()?,
        failed: cells.count()?,
        completed_at: cells.moment_or_none()?,
    })
}
