//! What was found. Rows are merged before they are written and written in the order of their keys, so a batch touches each page
//! once, and 50,000 of them take a fraction of a second.

use std::collections::{BTreeMap, BTreeSet};

use mrpf_ports::store::{
    CertificateRow, DomainEndpointRow, DomainRecordRow, DomainRow, EndpointCertificateRow,
    EndpointRow, ModelRow, RefusalRow, Seen, SeenCount, TargetRow,
};
use mrpf_records::{CertificateRecord, Timestamp};
use mrpf_tasks::{AddressRange, WorkflowId, catalogue::Model};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, ToSql, params};

use crate::columns::{Cells, Json, Moment, Text};

/// The same rows, each key once.
pub(super) fn merged(rows: &[ModelRow]) -> BTreeMap<(&'static str, String), ModelRow> {
    let mut merged = BTreeMap::new();
    for row in rows {
        let entry = merged.entry((table(row.model()).0, row.key()));
        entry.and_modify(|known: &mut ModelRow| known.absorb(row)).or_insert_with(|| row.clone());
    }
    merged
}

/// The table of a model, and the column of its key.
fn table(model: Model) -> (&'static str, &'static str) {
    match model {
        Model::Certificate => ("recon_certificate", "sha256"),
        Model::Domain => ("recon_domain", "name"),
        Model::DomainEndpoint => ("recon_domain_endpoint", "key"),
        Model::DomainRecord => ("recon_domain_record", "key"),
        Model::Endpoint => ("recon_endpoint", "key"),
        Model::EndpointCertificate => ("recon_endpoint_certificate", "key"),
        Model::Target => ("recon_target", "key"),
    }
}

pub(super) fn upsert(
    connection: &Connection,
    rows: &BTreeMap<(&'static str, String), ModelRow>,
    now: Timestamp,
) -> rusqlite::Result<SeenCount> {
    let mut domains = Sourced::new(
        connection,
        "SELECT sources FROM recon_domain WHERE name = ?1",
        "INSERT INTO recon_domain (name, sources, first_seen, last_seen) VALUES (?1, ?2, ?3, ?3)",
        "UPDATE recon_domain SET sources = ?2, last_seen = max(last_seen, ?3) WHERE name = ?1",
    )?;
    let mut domain_endpoints = Sourced::new(
        connection,
        "SELECT sources FROM recon_domain_endpoint WHERE key = ?1",
        "INSERT INTO recon_domain_endpoint (key, sources, domain, ip, port, transport, first_seen, last_seen)
         VALUES (?1, ?2, ?4, ?5, ?6, ?7, ?3, ?3)",
        "UPDATE recon_domain_endpoint SET sources = ?2, last_seen = max(last_seen, ?3) WHERE key = ?1",
    )?;
    let mut certificates = connection.prepare_cached(
        "INSERT INTO recon_certificate (sha256, subject, issuer, not_before, not_after, record, der, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
         ON CONFLICT (sha256) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen), der = coalesce(excluded.der, der)",
    )?;
    let mut domain_records = connection.prepare_cached(
        "INSERT INTO recon_domain_record (key, domain, rtype, data, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)
         ON CONFLICT (key) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen)",
    )?;
    let mut endpoint_certificates = connection.prepare_cached(
        "INSERT INTO recon_endpoint_certificate (key, ip, port, transport, sha256, position, first_seen, last_seen)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
         ON CONFLICT (key) DO UPDATE SET last_seen = max(last_seen, excluded.last_seen),
             position = min(position, excluded.position)",
    )?;
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
    let mut is_known = Model::ALL
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
            ModelRow::Certificate(row) => {
                let CertificateRecord { sha256, subject, issuer, not_before, not_after, .. } =
                    &row.certificate;
                let record = Json(CertificateRecord { der: None, ..row.certificate.clone() });
                let der = &row.certificate.der;
                certificates.execute(params![
                    sha256, subject, issuer, not_before, not_after, record, der, now
                ])?;
            }
            ModelRow::Domain(row) => domains.put(key, &row.sources, &now, &[])?,
            ModelRow::DomainEndpoint(row) => {
                let DomainEndpointRow { domain, ip, port, transport, sources, .. } = row;
                let (domain, ip) = (Text(domain), Text(ip));
                domain_endpoints.put(key, sources, &now, &[&domain, &ip, port, transport])?;
            }
            ModelRow::DomainRecord(row) => {
                let DomainRecordRow { domain, rtype, data, .. } = row;
                domain_records.execute(params![key, Text(domain), rtype, data, now])?;
            }
            ModelRow::EndpointCertificate(row) => {
                let EndpointCertificateRow { ip, port, transport, sha256, position, .. } = row;
                let ip = Text(ip);
                endpoint_certificates
                    .execute(params![key, ip, port, transport, sha256, position, now])?;
            }
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

/// Rows of a table that say who told of them.
struct Sourced<'a> {
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    update: CachedStatement<'a>,
}

impl<'a> Sourced<'a> {
    fn new(
        connection: &'a Connection,
        find: &str,
        insert: &str,
        update: &str,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            find: connection.prepare_cached(find)?,
            insert: connection.prepare_cached(insert)?,
            update: connection.prepare_cached(update)?,
        })
    }

    /// `more` is what a row that is new has beside its key, sources and moment.
    fn put(
        &mut self,
        key: &str,
        sources: &[String],
        now: &Moment,
        more: &[&dyn ToSql],
    ) -> rusqlite::Result<()> {
        let known = self
            .find
            .query_row([key], |row| Ok(row.get::<_, Json<BTreeSet<String>>>(0)?.0))
            .optional()?;
        let is_known = known.is_some();
        let mut all = known.unwrap_or_default();
        all.extend(sources.iter().cloned());
        let all = Json(all);
        let mut values: Vec<&dyn ToSql> = vec![&key, &all, now];
        if is_known {
            return self.update.execute(values.as_slice()).map(drop);
        }
        values.extend_from_slice(more);
        self.insert.execute(values.as_slice()).map(drop)
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
        Model::Certificate => "record, der",
        Model::Domain => "name, sources",
        Model::DomainEndpoint => "domain, ip, port, transport, sources",
        Model::DomainRecord => "domain, rtype, data",
        Model::Endpoint => "ip, port, transport, service",
        Model::EndpointCertificate => "ip, port, transport, sha256, position",
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
        Model::Certificate => {
            let certificate: CertificateRecord = cells.json()?;
            ModelRow::Certificate(Box::new(CertificateRow {
                certificate: CertificateRecord { der: cells.plain()?, ..certificate },
                seen: seen(cells)?,
            }))
        }
        Model::DomainEndpoint => ModelRow::DomainEndpoint(DomainEndpointRow {
            domain: cells.text()?,
            ip: cells.text()?,
            port: cells.plain()?,
            transport: cells.plain()?,
            sources: cells.json()?,
            seen: seen(cells)?,
        }),
        Model::DomainRecord => ModelRow::DomainRecord(DomainRecordRow {
            domain: cells.text()?,
            rtype: cells.plain()?,
            data: cells.plain()?,
            seen: seen(cells)?,
        }),
        Model::EndpointCertificate => ModelRow::EndpointCertificate(EndpointCertificateRow {
            ip: cells.text()?,
            port: cells.plain()?,
            transport: cells.plain()?,
            sha256: cells.plain()?,
            position: cells.plain()?,
            seen: seen(cells)?,
        }),
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
