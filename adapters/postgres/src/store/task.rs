//! The rows of tasks.

use std::{sync::LazyLock, time::SystemTime};

use mrpf_ports::store::{TaskFilter, TaskRow};
use mrpf_tasks::{CollectionId, RunId, TaskId, Ticket, WorkflowId};
use postgres::{Row, types::Json};
use uuid::Uuid;

use crate::{
    columns::{Cells, count, moment, text},
    connection::{Session, Value},
    failure::Failure,
};

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
    let values: Vec<_> = (1..=FIXED.len() + MOVING.len()).map(|n| format!("${n}")).collect();
    let changes = MOVING.map(|column| format!("{column} = excluded.{column}"));
    format!(
        "INSERT INTO task ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}",
        *COLUMNS,
        values.join(", "),
        changes.join(", ")
    )
});

pub(super) fn put(session: &mut Session<'_>, row: &TaskRow) -> Result<(), Failure> {
    let values: [Value<'_>; FIXED.len() + MOVING.len()] = [
        &row.id.0,
        &row.workflow_id.0,
        &row.name.as_deref().map(text),
        &row.parent_id.map(|id| id.0),
        &row.member_of.map(|id| id.0),
        &text(&row.definition),
        &row.class.as_str(),
        &row.source.as_deref().map(text),
        &row.dedupe_key.as_deref().map(text),
        &moment(row.created_at),
        &row.feeds.map(|id| id.0),
        &row.state.as_str(),
        &i64::from(row.waits_for),
        &i64::from(row.attempt),
        &row.ticket.map(|ticket| ticket.0),
        &i64::from(row.tries),
        &i64::from(row.max_tries),
        &moment(row.not_before),
        &row.lease_until.map(moment),
        &row.run_id.map(|id| id.0),
        &row.worker.as_deref().map(text),
        &i64::from(row.parts),
        &row.branch,
        &row.truncated,
        &row.error.as_ref().map(Json),
        &count(row.done),
        &row.total.map(count),
        &text(&row.note),
        &row.finished_at.map(moment),
        &Json(&row.input),
    ];
    session.execute(&PUT, &values).map(drop)
}

fn read(row: &Row) -> Result<TaskRow, Failure> {
    let mut cells = Cells::of(row);
    Ok(TaskRow {
        id: TaskId(cells.plain()?),
        workflow_id: WorkflowId(cells.plain()?),
        name: cells.plain()?,
        parent_id: cells.plain::<Option<Uuid>>()?.map(TaskId),
        member_of: cells.plain::<Option<Uuid>>()?.map(CollectionId),
        definition: cells.plain()?,
        class: cells.word()?,
        source: cells.plain()?,
        dedupe_key: cells.plain()?,
        created_at: cells.moment()?,
        feeds: cells.plain::<Option<Uuid>>()?.map(CollectionId),
        state: cells.word()?,
        waits_for: cells.count()?,
        attempt: cells.count()?,
        ticket: cells.plain::<Option<Uuid>>()?.map(Ticket),
        tries: cells.count()?,
        max_tries: cells.count()?,
        not_before: cells.moment()?,
        lease_until: cells.moment_or_none()?,
        run_id: cells.plain::<Option<Uuid>>()?.map(RunId),
        worker: cells.plain()?,
        parts: cells.count()?,
        branch: cells.plain()?,
        truncated: cells.plain()?,
        error: cells.json_or_none()?,
        done: cells.count()?,
        total: cells.count_or_none()?,
        note: cells.plain()?,
        finished_at: cells.moment_or_none()?,
        input: cells.json()?,
    })
}

pub(super) fn get(session: &mut Session<'_>, id: TaskId) -> Result<Option<TaskRow>, Failure> {
    static GET: LazyLock<String> =
        LazyLock::new(|| format!("SELECT {} FROM task WHERE id = $1", *COLUMNS));
    session.rows(&GET, &[&id.0])?.first().map(read).transpose()
}

pub(super) fn find(
    session: &mut Session<'_>,
    filter: TaskFilter,
    limit: usize,
) -> Result<Vec<TaskRow>, Failure> {
    let question = Question::of(filter);
    let found = session.rows(question.sql(), &[question.value(), &count(limit)])?;
    found.iter().map(read).collect()
}

/// A filter as it is asked.
enum Question {
    Due(SystemTime),
    Expired(SystemTime),
    RawUnfinished(SystemTime),
    Open(Uuid),
    Of(Uuid),
}

impl Question {
    fn of(filter: TaskFilter) -> Self {
        match filter {
            TaskFilter::Due(now) => Self::Due(moment(now)),
            TaskFilter::Expired(before) => Self::Expired(moment(before)),
            TaskFilter::RawUnfinished(now) => Self::RawUnfinished(moment(now)),
            TaskFilter::Open(workflow) => Self::Open(workflow.0),
            TaskFilter::Of(workflow) => Self::Of(workflow.0),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Due(at) | Self::Expired(at) | Self::RawUnfinished(at) => at,
            Self::Open(workflow) | Self::Of(workflow) => workflow,
        }
    }

    /// The words of each partial index stand in its question, else PostgreSQL does not use it.
    fn sql(&self) -> &'static str {
        static DUE: LazyLock<String> =
            LazyLock::new(|| asked("state = 'ready' AND not_before <= $1 ORDER BY not_before, id"));
        static EXPIRED: LazyLock<String> = LazyLock::new(|| {
            asked("state IN ('dispatched', 'running') AND lease_until < $1 ORDER BY lease_until, id")
        });
        static RAW_UNFINISHED: LazyLock<String> = LazyLock::new(|| {
            asked(
                "class = 'bare_metal' AND state IN ('ready', 'dispatched', 'running')
                 AND (state <> 'ready' OR not_before <= $1) ORDER BY state, not_before, id",
            )
        });
        static OPEN: LazyLock<String> = LazyLock::new(|| {
            asked(
                "workflow_id = $1 AND state IN ('blocked', 'ready', 'dispatched', 'running') ORDER BY id",
            )
        });
        static OF: LazyLock<String> =
            LazyLock::new(|| asked("workflow_id = $1 ORDER BY created_at, id"));
        match self {
            Self::Due(_) => &DUE,
            Self::Expired(_) => &EXPIRED,
            Self::RawUnfinished(_) => &RAW_UNFINISHED,
            Self::Open(_) => &OPEN,
            Self::Of(_) => &OF,
        }
    }
}

fn asked(clause: &str) -> String {
    format!("SELECT {} FROM task WHERE {clause} LIMIT $2", *COLUMNS)
}

pub(super) fn deduped(
    session: &mut Session<'_>,
    workflow: WorkflowId,
    key: &str,
) -> Result<Option<TaskId>, Failure> {
    let found = session.rows(
        "SELECT id FROM task
         WHERE workflow_id = $1 AND task_manager.digest(dedupe_key) = task_manager.digest($2) AND dedupe_key IS NOT NULL",
        &[&workflow.0, &text(key)],
    )?;
    found.first().map(|row| Cells::of(row).plain().map(TaskId)).transpose()
}

/// How many tasks that name a source are out.
pub(super) fn out_of(session: &mut Session<'_>, source: &str) -> Result<u32, Failure> {
    let found = session.rows(
        "SELECT count(*) FROM task WHERE source = $1 AND source IS NOT NULL AND state IN ('dispatched', 'running')",
        &[&text(source)],
    )?;
    found.first().map_or(Ok(0), |row| Cells::of(row).count())
}

#[cfg(test)]
mod tests {
    use mrpf_cloud::Postgres;
    use mrpf_records::Timestamp;

    use super::*;
    use crate::{connection::Connector, migrate};

    /// With 100,000 tasks that have ended none of these may look at them.
    #[test]
    fn every_filter_has_its_index() {
        let Some(postgres) = Postgres::shared() else { return };
        let database = postgres.database();
        let connector = Connector::new(&database.url()).unwrap();
        migrate::migrate(&connector).unwrap();
        let mut connection = connector.connection().unwrap();
        let (now, workflow) = (Timestamp::from_unix_micros(1), WorkflowId::fresh());
        for (filter, index) in [
            (TaskFilter::Due(now), "task_due"),
            (TaskFilter::Expired(now), "task_out"),
            (TaskFilter::RawUnfinished(now), "task_raw"),
            (TaskFilter::Open(workflow), "task_open"),
            (TaskFilter::Of(workflow), "task_of"),
        ] {
            let question = Question::of(filter);
            let explain = format!("EXPLAIN {}", question.sql());
            let plan: Vec<String> = connection
                .client
                .query(&explain, &[question.value(), &9_i64])
                .unwrap()
                .iter()
                .map(|row| row.get(0))
                .collect();
            let plan = plan.join("; ");
            assert!(plan.contains(&format!("Index Scan using {index}")), "{filter:?}: {plan}");
            assert!(!plan.contains("Sort"), "{filter:?} sorts: {plan}");
        }
    }
}
