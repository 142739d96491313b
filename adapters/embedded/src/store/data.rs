//! Stored output: of tasks in the chunks in which it came, of collections by key.

use mrpf_ports::store::Cursor;
use mrpf_tasks::{
    Chunk, CollectionId, TaskId,
    catalogue::DataRef,
    chunk::{MOST_ITEMS, MOST_OCTETS},
    message::Run,
};
use rusqlite::{Connection, params};
use serde_json::Value;

use super::run::holds;
use crate::columns::{Cells, Count, Json, Text};

pub(super) fn read(
    connection: &Connection,
    from: DataRef,
    after: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<(Cursor, Chunk)>> {
    match from {
        // Of one task, and of those of a collection, alike: only the run that a task succeeded with has output.
        DataRef::Task(task) => chunks(
            connection,
            "SELECT task.id, task_data.seq, task_data.data
             FROM task JOIN task_data ON task_data.task_id = task.id AND task_data.run_id = task.run_id
             WHERE task.id = ?1 AND task.state = 'succeeded'
                 AND task.id >= ?2 AND (task.id > ?2 OR task_data.seq > ?3)
             ORDER BY task_data.seq LIMIT ?4",
            &task.to_string(),
            after,
            limit,
        ),
        DataRef::Collection(collection) => chunks(
            connection,
            "SELECT task.id, task_data.seq, task_data.data
             FROM task JOIN task_data ON task_data.task_id = task.id AND task_data.run_id = task.run_id
             WHERE task.member_of = ?1 AND task.state = 'succeeded'
                 AND task.id >= ?2 AND (task.id > ?2 OR task_data.seq > ?3)
             ORDER BY task.id, task_data.seq LIMIT ?4",
            &collection.to_string(),
            after,
            limit,
        ),
        DataRef::Rows(collection) => rows(connection, collection, after, limit),
    }
}

fn chunks(
    connection: &Connection,
    sql: &str,
    id: &str,
    after: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<(Cursor, Chunk)>> {
    // No id is less than the empty text.
    let task = after.map_or_else(String::new, |cursor| cursor.task.to_string());
    let seq = Count(after.map_or(0, |cursor| cursor.seq));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut find = connection.prepare_cached(sql)?;
    let found = find.query_map(params![id, task, seq, limit], |row| {
        let mut cells = Cells::of(row);
        let cursor = Cursor { task: cells.text()?, seq: cells.plain::<Count>()?.0 };
        Ok((cursor, cells.json()?))
    })?;
    found.collect()
}

/// Rows in chunks of our making, as large as those of tasks.
fn rows(
    connection: &Connection,
    collection: CollectionId,
    after: Option<Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<(Cursor, Chunk)>> {
    let mut find = connection.prepare_cached(
        "SELECT seq, data FROM task_collection_data WHERE collection_id = ?1 AND seq > ?2 ORDER BY seq",
    )?;
    let after = Count(after.map_or(0, |cursor| cursor.seq));
    let mut found = find.query(params![Text(collection), after])?;
    let mut chunks: Vec<(Cursor, Chunk)> = Vec::new();
    let mut octets = 0;
    while let Some(row) = found.next()? {
        let mut cells = Cells::of(row);
        let seq = cells.plain::<Count>()?.0;
        let size = row.get_ref(1)?.as_str()?.len() + 1;
        let item: Value = cells.json()?;
        let cursor = Cursor { task: TaskId(Default::default()), seq };
        let is_full = chunks.len() == limit;
        match chunks.last_mut() {
            Some((last, Chunk::Items { items }))
                if items.len() < MOST_ITEMS && octets + size <= MOST_OCTETS =>
            {
                *last = cursor;
                items.push(item);
                octets += size;
            }
            _ if is_full => break,
            _ => {
                chunks.push((cursor, Chunk::Items { items: vec![item] }));
                octets = size;
            }
        }
    }
    Ok(chunks)
}

pub(super) fn insert_rows(
    connection: &Connection,
    run: &Run,
    collection: CollectionId,
    rows: &[(String, Value)],
) -> rusqlite::Result<Option<u64>> {
    if !holds(connection, run)? {
        return Ok(None);
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO task_collection_data (collection_id, item_key, data, task_id) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
    )?;
    let (collection, task) = (Text(collection), Text(run.assignment.task_id));
    let mut new = 0;
    for (key, item) in rows {
        new += u64::from(insert.execute(params![collection, key, Json(item), task])? == 1);
    }
    Ok(Some(new))
}
