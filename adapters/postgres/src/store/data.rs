//! Stored output: of tasks in the chunks in which it came, of collections by key.

use mrpf_ports::{StoreError, store::Cursor};
use mrpf_tasks::{
    Chunk, CollectionId, TaskId,
    catalogue::DataRef,
    chunk::{MOST_ITEMS, MOST_OCTETS},
};
use postgres::Row;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    columns::{Cells, count},
    connection::Session,
    failure::Failure,
};

pub(super) fn read(
    session: &mut Session<'_>,
    from: DataRef,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Vec<(Cursor, Chunk)>, Failure> {
    // No task is the nil one.
    let (task, seq) =
        after.map_or((Uuid::nil(), -1), |cursor| (cursor.task.0, count(cursor.seq)));
    let found = match from {
        DataRef::Task(id) => session.rows(
            "SELECT task_id, seq, data FROM stored_output
             WHERE task_id = $1 AND (task_id, seq) > ($2, $3) ORDER BY task_id, seq LIMIT $4",
            &[&id.0, &task, &seq, &count(limit)],
        )?,
        DataRef::Collection(id) => session.rows(
            "SELECT task_id, seq, data FROM stored_output
             WHERE collection_id = $1 AND (task_id, seq) > ($2, $3) ORDER BY task_id, seq LIMIT $4",
            &[&id.0, &task, &seq, &count(limit)],
        )?,
        DataRef::Rows(id) => return rows(session, id, seq, limit),
    };
    found.iter().map(chunk).collect()
}

fn chunk(row: &Row) -> Result<(Cursor, Chunk), Failure> {
    let mut cells = Cells::of(row);
    let cursor = Cursor { task: TaskId(cells.plain()?), seq: cells.count()? };
    Ok((cursor, cells.json()?))
}

fn item(text: &str) -> Result<Value, Failure> {
    let corrupt = |error| StoreError::Corrupt(format!("PostgreSQL: column data: {error}"));
    Ok(serde_json::from_str(text).map_err(corrupt)?)
}

/// Rows in chunks of our making, as large as those of tasks.
fn rows(
    session: &mut Session<'_>,
    collection: CollectionId,
    after: i64,
    limit: usize,
) -> Result<Vec<(Cursor, Chunk)>, Failure> {
    let mut chunks: Vec<(Cursor, Chunk)> = Vec::new();
    let mut octets = 0;
    session.read_until(
        "SELECT seq, data::text FROM task_collection_data WHERE collection_id = $1 AND seq > $2 ORDER BY seq",
        &[&collection.0, &after],
        |row| {
            let mut cells = Cells::of(row);
            let cursor = Cursor { task: TaskId(Uuid::nil()), seq: cells.count()? };
            let text: &str = cells.plain()?;
            let size = text.len() + 1;
            let is_full = chunks.len() == limit;
            match chunks.last_mut() {
                Some((last, Chunk::Items { items }))
                    if items.len() < MOST_ITEMS && octets + size <= MOST_OCTETS =>
                {
                    *last = cursor;
                    items.push(item(text)?);
                    octets += size;
                }
                _ if is_full => return Ok(false),
                _ => {
                    chunks.push((cursor, Chunk::Items { items: vec![item(text)?] }));
                    octets = size;
                }
            }
            Ok(true)
        },
    )?;
    Ok(chunks)
}
