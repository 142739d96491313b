//! The rows of tasks.

use std::sync::LazyLock;

use mrpf_ports::store::{TaskFilter, TaskRow};
use mrpf_tasks::{TaskId, WorkflowId};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};

use crate::columns::{Cells, Count, Json, Moment, Text};

/// What a task is. It stays, so a change of state leaves the indexes of these columns alone.
const FIXED: [&str; 10] = [
    "id",
    "workflow_id",
    "name",
    "parent_id",
    "member_of",
    "definition",
    "class",
    "source",
    "dedupe_key",
    "created_at",
];
/// How far it is.
const MOVING: [&str; 20] = [
    "feeds",
    "state",
    "waits_for",
    "attempt",
    "ticket",
    "tries",
    "max_tries",
    "not_before",
    "lease_until",
    "run_id",
    "worker",
    "parts",
    "branch",
    "truncated",
    "error",
    "done",
    "total",
    "note",
    "finished_at",
    "input",
];

static COLUMNS: LazyLock<String> = LazyLock::new(|| [&FIXED[..], &MOVING[..]].concat().join(", "));

static PUT: LazyLock<String> = LazyLock::new(|| {
    let values: Vec<_> = (1..=FIXED.len() + MOVING.len()).map(|n| format!("?{n}")).collect();
    let changes = MOVING.map(|column| format!("{column} = excluded.{column}"));
    format!(
        "INSERT INTO task ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
        *COLUMNS,
        values.join(", "),
        changes.join(", ")
    )
});

pub(super) fn put(connection: &Connection, row: &TaskRow) -> rusqlite::Result<()> {
    let values: [&dyn ToSql; FIXED.len() + MOVING.len()] = [
        &Text(row.id),
        &Text(row.workflow_id),
        &row.name,
        &row.parent_id.map(Text),
        &row.member_of.map(Text),
        &row.definition,
        &row.class.as_str(),
        &row.source,
        &row.dedupe_key,
        &Moment(row.created_at),
        &row.feeds.map(Text),
        &row.state.as_str(),
        &row.waits_for,
        &row.attempt,
        &row.ticket.map(Text),
        &row.tries,
        &row.max_tries,
        &Moment(row.not_before),
        &row.lease_until.map(Moment),
        &row.run_id.map(Text),
        &row.worker,
        &row.parts,
        &row.branch,
        &row.truncated,
        &row.error.as_ref().map(Json),
        &Count(row.done),
        &row.total.map(Count),
        &row.note,
        &row.finished_at.map(Moment),
        &Json(&row.input),
    ];
    connection.prepare_cached(&PUT)?.execute(&values[..]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    let mut cells = Cells::of(row);
    Ok(TaskRow {
        id: cells.text()?,
        workflow_id: cells.text()?,
        name: cells.plain()?,
        parent_id: cells.text_or_none()?,
        member_of: cells.text_or_none()?,
        definition: cells.plain()?,
        class: cells.word()?,
        source: cells.plain()?,
        dedupe_key: cells.plain()?,
        created_at: cells.moment()?,
        feeds: cells.text_or_none()?,
        state: cells.word()?,
        waits_for: cells.plain()?,
        attempt: cells.plain()?,
        ticket: cells.text_or_none()?,
        tries: cells.plain()?,
        max_tries: cells.plain()?,
        not_before: cells.moment()?,
        lease_until: cells.moment_or_none()?,
        run_id: cells.text_or_none()?,
        worker: cells.plain()?,
        parts: cells.plain()?,
        branch: cells.plain()?,
        truncated: cells.plain()?,
        error: cells.plain::<Option<Json<_>>>()?.map(|error| error.0),
        done: cells.plain::<Count>()?.0,
        total: cells.plain::<Option<Count>>()?.map(|total| total.0),
        note: cells.plain()?,
        finished_at: cells.moment_or_none()?,
        input: cells.json()?,
    })
}

pub(super) fn get(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<TaskRow>> {
    static GET: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {} FROM task WHERE id = ?1", *COLUMNS));
    connection.prepare_cached(&GET)?.query_row([Text(id)], read).optional()
}

pub(super) fn find(
    connection: &Connection,
    filter: TaskFilter,
    limit: usize,
) -> rusqlite::Result<Vec<TaskRow>> {
    let (clause, value) = question(filter);
    let sql = format!("SELECT {} FROM task WHERE {clause} LIMIT ?2", *COLUMNS);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map(params![value, limit], read)?.collect()
}

/// The clause of a filter and its value. The words of each partial index stand in its question, else SQLite does not use it.
fn question(filter: TaskFilter) -> (&'static str, Box<dyn ToSql>) {
    match filter {
        TaskFilter::Due(now) => {
            ("state = 'ready' AND not_before <= ?1 ORDER BY not_before, id", Box::new(Moment(now)))
        }
        TaskFilter::Expired(before) => (
            "state IN ('dispatched', 'running') AND lease_until < ?1 ORDER BY lease_until, id",
            Box::new(Moment(before)),
        ),
        TaskFilter::RawUnfinished(now) => (
            "class = 'bare_metal' AND state IN ('ready', 'dispatched', 'running')
             AND (state <> 'ready' OR not_before <= ?1) ORDER BY state, not_before, id",
            Box::new(Moment(now)),
        ),
        TaskFilter::Open(workflow) => (
            "workflow_id = ?1 AND state IN ('blocked', 'ready', 'dispatched', 'running') ORDER BY id",
            Box::new(Text(workflow)),
        ),
        TaskFilter::Of(workflow) => {
            ("workflow_id = ?1 ORDER BY created_at, id", Box::new(Text(workflow)))
        }
    }
}

pub(super) fn deduped(
    connection: &Connection,
    workflow: WorkflowId,
    key: &str,
) -> rusqlite::Result<Option<TaskId>> {
    connection
        .prepare_cached("SELECT id FROM task WHERE workflow_id = ?1 AND dedupe_key = ?2")?
        .query_row(params![Text(workflow), key], |row| Cells::of(row).text())
        .optional()
}

/// How many tasks that name a source are out.
pub(super) fn out_of(connection: &Connection, source: &str) -> rusqlite::Result<u32> {
    connection
        .prepare_cached(
            "SELECT count(*) FROM task WHERE source = ?1 AND source IS NOT NULL AND state IN ('dispatched', 'running')",
        )?
        .query_row([source], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use mrpf_records::Timestamp;

    use super::*;

    /// With 100,000 tasks that have ended none of these may look at them.
    #[test]
    fn every_filter_has_its_index() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(super::super::STORE.migrations[0]).unwrap();
        let (now, workflow) = (Timestamp::from_unix_micros(1), WorkflowId::fresh());
        for (filter, index) in [
            (TaskFilter::Due(now), "task_due"),
            (TaskFilter::Expired(now), "task_out"),
            (TaskFilter::RawUnfinished(now), "task_raw"),
            (TaskFilter::Open(workflow), "task_open"),
            (TaskFilter::Of(workflow), "task_of"),
        ] {
            let (clause, value) = question(filter);
            let sql = format!("EXPLAIN QUERY PLAN SELECT * FROM task WHERE {clause} LIMIT ?2");
            let mut explain = connection.prepare(&sql).unwrap();
            let plan: Vec<String> = explain
                .query_map(params![value, 1], |row| row.get("detail"))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let plan = plan.join("; ");
            assert!(plan.contains(&format!("USING INDEX {index}")), "{filter:?}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{filter:?} sorts: {plan}");
        }
    }
}
