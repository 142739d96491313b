//! What a run may do to its task. Each is one statement, and so one transaction: no two runs ever hold a task at once.
//!
//! The functions stand in `migrations/0003_workers.sql`, since a worker's login cannot read `task`. What it writes into rows by
//! itself is fenced twice: by `holds`, and by the guards of the rows, which want the ticket said.

use mrpf_ports::{
    StoreError,
    store::{Checkpoint, Claim, Lease, Renewal},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{Chunk, CollectionId, message::Run};
use postgres::types::Json;
use serde_json::Value;

use crate::{
    columns::{Cells, count, moment, text},
    connection::Connection,
    failure::Failure,
};

pub(super) fn claim(
    connection: &mut Connection,
    run: &Run,
    lease: &Lease<'_>,
) -> Result<Claim, Failure> {
    let (task, attempt, ticket) = named(run);
    let (worker, now, until) = (text(lease.worker), moment(lease.now), moment(lease.until));
    let row = connection.row(
        "SELECT claim, checkpoint_position, checkpoint_parts FROM claim_task($1, $2, $3, $4, $5, $6, $7)",
        &[&task, &attempt, &ticket, &run.run_id.0, &worker, &now, &until],
    )?;
    let mut cells = Cells::of(&row);
    match cells.plain()? {
        "busy" => Ok(Claim::Busy),
        "held" => {
            let position: Option<Value> = cells.json_or_none()?;
            let parts: Option<u32> = cells.count_or_none()?;
            let checkpoint =
                position.zip(parts).map(|(position, parts)| Checkpoint { position, parts });
            Ok(Claim::Held { checkpoint })
        }
        _ => Ok(Claim::Stale),
    }
}

pub(super) fn renew(
    connection: &mut Connection,
    run: &Run,
    lease: &Lease<'_>,
    progress: Option<(u64, Option<u64>, &str)>,
) -> Result<Renewal, Failure> {
    let (task, attempt, ticket) = named(run);
    let (done, total, note) = progress.unwrap_or_default();
    let (done, total, note) = (count(done), total.map(count), text(note));
    let row = connection.row(
        "SELECT renew_task($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &task,
            &attempt,
            &ticket,
            &run.run_id.0,
            &moment(lease.until),
            &progress.is_some(),
            &done,
            &total,
            &note,
        ],
    )?;
    Ok(match Cells::of(&row).plain()? {
        "held" => Renewal::Held,
        "stop" => Renewal::Stop,
        _ => Renewal::Lost,
    })
}

pub(super) fn release(connection: &mut Connection, run: &Run) -> Result<(), Failure> {
    let (task, attempt, ticket) = named(run);
    let row = connection.row(
        "SELECT release_task($1, $2, $3, $4)",
        &[&task, &attempt, &ticket, &run.run_id.0],
    )?;
    unless_fenced(row.try_get(0)?)
}

pub(super) fn put_part(
    connection: &mut Connection,
    run: &Run,
    seq: u32,
    chunk: &Json<&Chunk>,
) -> Result<(), Failure> {
    let (task, attempt, ticket) = named(run);
    let row = connection.row(
        "WITH fence AS MATERIALIZED (
             SELECT holds($1, $2, $3, $4) AS is_held, set_config('mrpf.ticket', $3::uuid::text, true) AS said
         ), put AS (
             INSERT INTO task_data (task_id, run_id, seq, data)
                 SELECT $1, $4, $5::bigint, $6::json FROM fence WHERE is_held AND said IS NOT NULL
             ON CONFLICT DO NOTHING
         )
         SELECT is_held FROM fence",
        &[&task, &attempt, &ticket, &run.run_id.0, &i64::from(seq), chunk],
    )?;
    unless_fenced(row.try_get(0)?)
}

pub(super) fn put_checkpoint(
    connection: &mut Connection,
    run: &Run,
    checkpoint: &Checkpoint,
    now: Timestamp,
) -> Result<(), Failure> {
    let (task, attempt, ticket) = named(run);
    let (position, parts) = (Json(&checkpoint.position), i64::from(checkpoint.parts));
    let row = connection.row(
        "WITH fence AS MATERIALIZED (
             SELECT holds($1, $2, $3, $4) AS is_held, set_config('mrpf.ticket', $3::uuid::text, true) AS said
         ), put AS (
             INSERT INTO task_checkpoint (task_id, run_id, position, parts, saved_at)
                 SELECT $1, $4, $5::json, $6::bigint, $7::timestamptz FROM fence WHERE is_held AND said IS NOT NULL
             ON CONFLICT (task_id) DO UPDATE SET run_id = excluded.run_id, position = excluded.position,
                 parts = excluded.parts, saved_at = excluded.saved_at
         )
         SELECT is_held FROM fence",
        &[&task, &attempt, &ticket, &run.run_id.0, &position, &parts, &moment(now)],
    )?;
    unless_fenced(row.try_get(0)?)
}

/// Gives how many were new. Those of a key that comes twice in `rows` are one.
pub(super) fn insert_rows(
    connection: &mut Connection,
    run: &Run,
    collection: CollectionId,
    rows: &[(String, Value)],
) -> Result<u64, Failure> {
    let (task, attempt, ticket) = named(run);
    let keys: Vec<_> = rows.iter().map(|(key, _)| text(key)).collect();
    let items: Vec<_> = rows.iter().map(|(_, item)| Json(item)).collect();
    let row = connection.row(
        "WITH fence AS MATERIALIZED (
             SELECT holds($1, $2, $3, $4) AS is_held, set_config('mrpf.ticket', $3::uuid::text, true) AS said
         ), put AS (
             INSERT INTO task_collection_data (collection_id, item_key, data, task_id)
                 SELECT $5::uuid, item_key, data, $1
                     FROM fence, unnest($6::text[], $7::json[]) WITH ORDINALITY AS item (item_key, data, n)
                     WHERE is_held AND said IS NOT NULL
                     ORDER BY n
             ON CONFLICT DO NOTHING
             RETURNING 1
         )
         SELECT is_held, (SELECT count(*) FROM put) FROM fence",
        &[&task, &attempt, &ticket, &run.run_id.0, &collection.0, &keys, &items],
    )?;
    let mut cells = Cells::of(&row);
    unless_fenced(cells.plain()?)?;
    cells.count()
}

/// What a run's task is known by.
fn named(run: &Run) -> (uuid::Uuid, i64, uuid::Uuid) {
    let assignment = &run.assignment;
    (assignment.task_id.0, i64::from(assignment.attempt), assignment.ticket.0)
}

fn unless_fenced(is_held: bool) -> Result<(), Failure> {
    if is_held { Ok(()) } else { Err(StoreError::Fenced.into()) }
}
