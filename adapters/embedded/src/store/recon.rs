//! What was found. Rows are merged before they are written and written in the order of their keys, so a batch touches each page
//! once, and 50,000 of them take a fraction of a second.

use std::collections::{BTreeMap, BTreeSet};

use mrpf_ports::store::{DomainRow, EndpointRow, ModelRow, RefusalRow, Seen, SeenCount, TargetRow};
use mrpf_records::Timestamp;
use mrpf_tasks::{AddressRange, WorkflowId, catalogue::Model};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, params};

use crate::columns::{Cells, Json, Moment, Text};

/// The same rows, each key once.
pub(super) fn merged(rows: &[ModelRow]) -> BTreeMap<(&'static str, String), ModelRow> {
    let mut merged = BTreeMap::new();
    for row in rows {
        let entry = merged.entry((table(row.model()).0, row.key()));
        entry.and_modify(|known| merge(known, row)).or_insert_with(|| row.clone());
    }
    merged
}

fn merge(known: &mut ModelRow, row: &ModelRow) {
    match (known, row) {
        (ModelRow::Domain(known), ModelRow::Domain(row)) => {
            known.sources.extend_from_slice(&row.sources);
        }
        (ModelRow::Endpoint(known), ModelRow::Endpoint(row)) => {
            known.service = row.service.clone().or_else(|| known.service.take());
        }
        // A target has nothing but its key.
        _ => {}
    }
}

/// The table of a model, and the column of its key.
fn table(model: Model) -> (&'static str, &'static str) {
    match model {
        Model::Domain => ("recon_domain", "name"),
        Model::Endpoint => ("recon_endpoint", "key"),
        Model::Target => ("recon_target", "key"),
    }
}

pub(super) fn upsert(
    connection: &Connection,
    rows: &BTreeMap<(&'static str, String), ModelRow>,
    now: Timestamp,
) -> rusqlite::Result<SeenCount> {
    let mut domains = Domains::new(connection)?;
    let mut endpoints = connection.prepare_cached(
        "INSERT INTO recon_endpoint (key, ip, port, transport, service, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (key) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen),
             service = coalesce(excluded.service, service)",
    )?;
    let mut targets = connection.prepare_cached(
        "INSERT INTO recon_target (key, kind, value, first_seen, last_seen) VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (key) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)",
    )?;
    let mut is_known = [Model::Domain, Model::Endpoint, Model::Target]
        .map(|model| Known::new(connection, model))
        .into_iter()
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut count = SeenCount::default();
    for ((_, key), row) in rows {
        let was_there = is_known
            .iter_mut()
            .find(|known| known.model == row.model())
            .map_or(Ok(false), |known| known.has(key))?;
        *(if was_there { &mut count.known } else { &mut count.new }) += 1;
        let now = Moment(now);
        match row {
            ModelRow::Domain(row) => domains.put(row, &now)?,
            ModelRow::Endpoint(row) => {
                let EndpointRow { ip, port, transport, service, .. } = row;
                endpoints.execute(params![key, Text(ip), port, transport, service, now])?;
            }
            ModelRow::Target(row) => {
                targets.execute(params![key, row.kind.as_str(), row.value, now])?;
            }
        }
    }
    Ok(count)
}

struct Domains<'a> {
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
}

impl<'a> Domains<'a> {
    fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            find: connection.prepare_cached("SELECT sources FROM recon_domain WHERE name = ?1")?,
            insert: connection.prepare_cached(
                "INSERT INTO recon_domain (name, sources, first_seen, last_seen) VALUES (?1, ?2, ?3, ?3)",
            )?,
            update: connection.prepare_cached(
                "UPDATE recon_domain SET sources = ?2, last_seen = max(last_seen, ?3) WHERE name = ?1",
            )?,
        })
    }

    fn put(&mut self, row: &DomainRow, now: &Moment) -> rusqlite::Result<()> {
        let name = row.name.as_str();
        let known = self
            .find
            .query_row([name], |row| Ok(row.get::<_, Json<BTreeSet<String>>>(0)?.0))
            .optional()?;
        let statement = if known.is_some() { &mut self.update } else { &mut self.insert };
        let mut sources = known.unwrap_or_default();
        sources.extend(row.sources.iter().cloned());
        statement.execute(params![name, Json(sources), now]).map(drop)
    }
}

/// Whether keys are there.
struct Known<'a> {
    model: Model,
    find: CachedStatement<'a>,
}

impl<'a> Known<'a> {
    fn new(connection: &'a Connection, model: Model) -> rusqlite::Result<Self> {
        let (table, key) = table(model);
        let find = connection.prepare_cached(&format!("SELECT 1 FROM {table} WHERE {key} = ?1"))?;
        Ok(Self { model, find })
    }

    fn has(&mut self, key: &str) -> rusqlite::Result<bool> {
        self.find.exists([key])
    }
}

pub(super) fn known(
    connection: &Connection,
    model: Model,
    keys: &[String],
) -> rusqlite::Result<Vec<bool>> {
    let mut known = Known::new(connection, model)?;
    keys.iter().map(|key| known.has(key)).collect()
}

pub(super) fn list(
    connection: &Connection,
    model: Model,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<ModelRow>> {
    let (table, key) = table(model);
    let columns = match model {
        Model::Domain => "name, sources",
        Model::Endpoint => "ip, port, transport, service",
        Model::Target => "kind, value",
    };
    let sql = format!(
        "SELECT {columns}, first_seen, last_seen FROM {table} WHERE {key} > ?1 ORDER BY {key} LIMIT ?2"
    );
    let mut find = connection.prepare_cached(&sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // No key is less than the empty text.
    find.query_map(params![after.unwrap_or_default(), limit], |row| read(model, row))?.collect()
}

fn read(model: Model, row: &Row<'_>) -> rusqlite::Result<ModelRow> {
    let cells = &mut Cells::of(row);
    Ok(match model {
        Model::Domain => ModelRow::Domain(DomainRow {
            name: cells.text()?,
            sources: cells.json()?,
            seen: seen(cells)?,
        }),
        Model::Endpoint => ModelRow::Endpoint(EndpointRow {
            ip: cells.text()?,
            port: cells.plain()?,
            transport: cells.plain()?,
            service: cells.plain()?,
            seen: seen(cells)?,
        }),
        Model::Target => ModelRow::Target(TargetRow {
            kind: cells.word()?,
            value: cells.plain()?,
            seen: seen(cells)?,
        }),
    })
}

fn seen(cells: &mut Cells<'_>) -> rusqlite::Result<Option<Seen>> {
    Ok(Some(Seen { first_seen: cells.moment()?, last_seen: cells.moment()? }))
}

pub(super) fn blocklist(connection: &Connection) -> rusqlite::Result<Vec<AddressRange>> {
    let mut find = connection.prepare_cached("SELECT range FROM recon_blocklist ORDER BY range")?;
    find.query_map((), |row| Cells::of(row).text())?.collect()
}

pub(super) fn put_blocked(
    connection: &Connection,
    range: AddressRange,
    now: Timestamp,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO recon_blocklist (range, added_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute(params![Text(range), Moment(now)])
        .map(drop)
}

pub(super) fn put_refusal(connection: &Connection, row: &RefusalRow) -> rusqlite::Result<()> {
    let RefusalRow { workflow_id, task_id, what, why, by, at } = row;
    connection
        .prepare_cached(
            "INSERT INTO refusal (workflow_id, task_id, what, why, by_whom, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![Text(workflow_id), Text(task_id), what, why.as_str(), by, Moment(*at)])
        .map(drop)
}

pub(super) fn refusals(
    connection: &Connection,
    workflow: WorkflowId,
) -> rusqlite::Result<Vec<RefusalRow>> {
    let mut find = connection.prepare_cached(
        "SELECT workflow_id, task_id, what, why, by_whom, at FROM refusal WHERE workflow_id = ?1
         ORDER BY at, task_id, what, why, by_whom",
    )?;
    let found = find.query_map([Text(workflow)], |row| {
        let mut cells = Cells::of(row);
        Ok(RefusalRow {
            workflow_id: cells.text()?,
            task_id: cells.text()?,
            what: cells.plain()?,
            why: cells.word()?,
            by: cells.plain()?,
            at: cells.moment()?,
        })
    })?;
    found.collect()
}
