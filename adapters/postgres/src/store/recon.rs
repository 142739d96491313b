//! What was found. Rows are merged before they are written, and many are one statement: 50,000 take a fraction of a second.
//!
//! They are written in the order of their keys, so two that write the same names wait for each other and never in a circle. What a
//! row is to be follows from it and from what is there, whoever comes first, so nobody need be begun anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use mrpf_ports::store::{
    CertificateRow, DomainEndpointRow, DomainRecordRow, DomainRow, EndpointCertificateRow,
    EndpointRow, ModelRow, RefusalRow, Seen, SeenCount, TargetRow,
};
use mrpf_records::{CertificateRecord, Timestamp};
use mrpf_tasks::{AddressRange, TaskId, WorkflowId, catalogue::Model};
use postgres::{Row, types::Json};

use crate::{
    columns::{Cells, count, moment, text},
    connection::{Session, Value},
    failure::Failure,
};

/// Rows to be written, each key once.
#[derive(Default)]
pub(super) struct Batch {
    certificates: BTreeMap<String, CertificateRecord>,
    domains: BTreeMap<String, BTreeSet<String>>,
    domain_endpoints: BTreeMap<String, (DomainEndpointRow, BTreeSet<String>)>,
    domain_records: BTreeMap<String, DomainRecordRow>,
    endpoints: BTreeMap<String, EndpointRow>,
    endpoint_certificates: BTreeMap<String, EndpointCertificateRow>,
    targets: BTreeMap<String, TargetRow>,
}

impl Batch {
    pub(super) fn of(rows: &[ModelRow]) -> Self {
        let mut batch = Self::default();
        for row in rows {
            let key = row.key();
            match row {
                ModelRow::Certificate(row) => {
                    let known =
                        batch.certificates.entry(key).or_insert_with(|| row.certificate.clone());
                    if known.der.is_none() {
                        known.der.clone_from(&row.certificate.der);
                    }
                }
                ModelRow::DomainEndpoint(row) => {
                    let (_, sources) = batch
                        .domain_endpoints
                        .entry(key)
                        .or_insert_with(|| (row.clone(), BTreeSet::new()));
                    sources.extend(row.sources.iter().cloned());
                }
                ModelRow::DomainRecord(row) => {
                    batch.domain_records.entry(key).or_insert_with(|| row.clone());
                }
                ModelRow::EndpointCertificate(row) => {
                    let known =
                        batch.endpoint_certificates.entry(key).or_insert_with(|| row.clone());
                    known.position = known.position.min(row.position);
                }
                ModelRow::Domain(row) => {
                    batch.domains.entry(key).or_default().extend(row.sources.iter().cloned());
                }
                ModelRow::Endpoint(row) => {
                    let known = batch.endpoints.entry(key).or_insert_with(|| row.clone());
                    known.service = row.service.clone().or_else(|| known.service.take());
                }
                ModelRow::Target(row) => {
                    batch.targets.entry(key).or_insert_with(|| row.clone());
                }
            }
        }
        batch
    }

    pub(super) fn put(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
    ) -> Result<SeenCount, Failure> {
        let mut seen = SeenCount::default();
        if !self.certificates.is_empty() {
            self.put_certificates(session, now, &mut seen)?;
        }
        if !self.domains.is_empty() {
            self.put_domains(session, now, &mut seen)?;
        }
        if !self.domain_endpoints.is_empty() {
            self.put_domain_endpoints(session, now, &mut seen)?;
        }
        if !self.domain_records.is_empty() {
            self.put_domain_records(session, now, &mut seen)?;
        }
        if !self.endpoints.is_empty() {
            self.put_endpoints(session, now, &mut seen)?;
        }
        if !self.endpoint_certificates.is_empty() {
            self.put_endpoint_certificates(session, now, &mut seen)?;
        }
        if !self.targets.is_empty() {
            self.put_targets(session, now, &mut seen)?;
        }
        Ok(seen)
    }

    fn put_certificates(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let rows = || self.certificates.values();
        let column = |field: fn(&CertificateRecord) -> &Option<String>| -> Vec<_> {
            rows().map(|row| field(row).as_deref().map(text)).collect()
        };
        let hashes: Vec<_> = self.certificates.keys().map(|hash| text(hash)).collect();
        let records: Vec<_> =
            rows().map(|row| Json(CertificateRecord { der: None, ..row.clone() })).collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.certificate AS known
                         (sha256, subject, issuer, not_before, not_after, record, der, first_seen, last_seen)
                     SELECT sha256, subject, issuer, not_before, not_after, record, der, $8::timestamptz, $8::timestamptz
                         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[], $7::text[])
                             WITH ORDINALITY AS found (sha256, subject, issuer, not_before, not_after, record, der, n)
                         ORDER BY n
                 ON CONFLICT (sha256) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen),
                     der = coalesce(excluded.der, known.der)
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[
                &hashes,
                &column(|row| &row.subject),
                &column(|row| &row.issuer),
                &column(|row| &row.not_before),
                &column(|row| &row.not_after),
                &records,
                &column(|row| &row.der),
                &moment(now),
            ],
            seen,
        )
    }

    fn put_domain_endpoints(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let rows = || self.domain_endpoints.values();
        let keys: Vec<_> = self.domain_endpoints.keys().map(|key| text(key)).collect();
        let domains: Vec<_> = rows().map(|(row, _)| row.domain.as_str()).collect();
        let ips: Vec<IpAddr> = rows().map(|(row, _)| row.ip).collect();
        let ports: Vec<i32> = rows().map(|(row, _)| i32::from(row.port)).collect();
        let transports: Vec<_> = rows().map(|(row, _)| text(&row.transport)).collect();
        let sources: Vec<_> = rows()
            .map(|(_, sources)| Json(sources.iter().map(|it| text(it)).collect::<Vec<_>>()))
            .collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.domain_endpoint AS known (key, domain, ip, port, transport, sources, first_seen, last_seen)
                     SELECT key, domain, ip, port, transport, ARRAY(SELECT json_array_elements_text(sources)),
                             $7::timestamptz, $7::timestamptz
                         FROM unnest($1::text[], $2::text[], $3::inet[], $4::integer[], $5::text[], $6::json[])
                             WITH ORDINALITY AS found (key, domain, ip, port, transport, sources, n)
                         ORDER BY n
                 ON CONFLICT (key) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen),
                     sources = CASE WHEN known.sources @> excluded.sources THEN known.sources
                         ELSE ARRAY(SELECT DISTINCT source FROM unnest(known.sources || excluded.sources) AS source ORDER BY source)
                     END
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&keys, &domains, &ips, &ports, &transports, &sources, &moment(now)],
            seen,
        )
    }

    fn put_domain_records(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let rows = || self.domain_records.values();
        let keys: Vec<_> = self.domain_records.keys().map(|key| text(key)).collect();
        let domains: Vec<_> = rows().map(|row| row.domain.as_str()).collect();
        let types: Vec<_> = rows().map(|row| text(&row.rtype)).collect();
        let data: Vec<_> = rows().map(|row| text(&row.data)).collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.domain_record AS known (key, domain, rtype, data, first_seen, last_seen)
                     SELECT key, domain, rtype, data, $5::timestamptz, $5::timestamptz
                         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                             WITH ORDINALITY AS found (key, domain, rtype, data, n)
                         ORDER BY n
                 ON CONFLICT (key) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen)
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&keys, &domains, &types, &data, &moment(now)],
            seen,
        )
    }

    fn put_endpoint_certificates(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let rows = || self.endpoint_certificates.values();
        let keys: Vec<_> = self.endpoint_certificates.keys().map(|key| text(key)).collect();
        let ips: Vec<IpAddr> = rows().map(|row| row.ip).collect();
        let ports: Vec<i32> = rows().map(|row| i32::from(row.port)).collect();
        let transports: Vec<_> = rows().map(|row| text(&row.transport)).collect();
        let hashes: Vec<_> = rows().map(|row| text(&row.sha256)).collect();
        let positions: Vec<i32> = rows().map(|row| i32::from(row.position)).collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.endpoint_certificate AS known
                         (key, ip, port, transport, sha256, position, first_seen, last_seen)
                     SELECT key, ip, port, transport, sha256, position, $7::timestamptz, $7::timestamptz
                         FROM unnest($1::text[], $2::inet[], $3::integer[], $4::text[], $5::text[], $6::integer[])
                             WITH ORDINALITY AS found (key, ip, port, transport, sha256, position, n)
                         ORDER BY n
                 ON CONFLICT (key) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen),
                     position = least(known.position, excluded.position)
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&keys, &ips, &ports, &transports, &hashes, &positions, &moment(now)],
            seen,
        )
    }

    fn put_domains(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let names: Vec<_> = self.domains.keys().map(|name| text(name)).collect();
        // Most rows of a batch have the sources of the others: each set once, and its number by the row.
        let mut sets: Vec<&BTreeSet<String>> = self.domains.values().collect();
        sets.sort_unstable();
        sets.dedup();
        let number = |set: &BTreeSet<String>| sets.partition_point(|other| *other < set);
        let numbers: Vec<i64> = self.domains.values().map(|set| count(number(set))).collect();
        let texts: Vec<_> = sets
            .iter()
            .map(|set| Json(set.iter().map(|source| text(source)).collect::<Vec<_>>()))
            .collect();
        write(
            session,
            "WITH sets AS MATERIALIZED (
                 SELECT n - 1 AS n, ARRAY(SELECT json_array_elements_text(sources)) AS sources
                     FROM unnest($3::json[]) WITH ORDINALITY AS given (sources, n)
             ), put AS (
                 INSERT INTO recon.domain AS known (name, sources, first_seen, last_seen)
                     SELECT found.name, sets.sources, $4::timestamptz, $4::timestamptz
                         FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS found (name, set, n)
                             JOIN sets ON sets.n = found.set
                         ORDER BY found.n
                 ON CONFLICT (name) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen),
                     sources = CASE WHEN known.sources @> excluded.sources THEN known.sources
                         ELSE ARRAY(SELECT DISTINCT source FROM unnest(known.sources || excluded.sources) AS source ORDER BY source)
                     END
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&names, &numbers, &texts, &moment(now)],
            seen,
        )
    }

    fn put_endpoints(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let rows = || self.endpoints.values();
        let keys: Vec<_> = self.endpoints.keys().map(|key| text(key)).collect();
        let ips: Vec<IpAddr> = rows().map(|row| row.ip).collect();
        let ports: Vec<i32> = rows().map(|row| i32::from(row.port)).collect();
        let transports: Vec<_> = rows().map(|row| text(&row.transport)).collect();
        let services: Vec<_> = rows().map(|row| row.service.as_deref().map(text)).collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.endpoint AS known (key, ip, port, transport, service, first_seen, last_seen)
                     SELECT key, ip, port, transport, service, $6::timestamptz, $6::timestamptz
                         FROM unnest($1::text[], $2::inet[], $3::integer[], $4::text[], $5::text[])
                             WITH ORDINALITY AS found (key, ip, port, transport, service, n)
                         ORDER BY n
                 ON CONFLICT (key) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen),
                     service = coalesce(excluded.service, known.service)
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&keys, &ips, &ports, &transports, &services, &moment(now)],
            seen,
        )
    }

    fn put_targets(
        &self,
        session: &mut Session<'_>,
        now: Timestamp,
        seen: &mut SeenCount,
    ) -> Result<(), Failure> {
        let keys: Vec<_> = self.targets.keys().map(|key| text(key)).collect();
        let kinds: Vec<_> = self.targets.values().map(|row| row.kind.as_str()).collect();
        let values: Vec<_> = self.targets.values().map(|row| text(&row.value)).collect();
        write(
            session,
            "WITH put AS (
                 INSERT INTO recon.target AS known (key, kind, value, first_seen, last_seen)
                     SELECT key, kind, value, $4::timestamptz, $4::timestamptz
                         FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS found (key, kind, value, n)
                         ORDER BY n
                 ON CONFLICT (key) DO UPDATE SET last_seen = greatest(known.last_seen, excluded.last_seen)
                 RETURNING xmax = 0 AS is_new
             )
             SELECT count(*) FILTER (WHERE is_new), count(*) FROM put",
            &[&keys, &kinds, &values, &moment(now)],
            seen,
        )
    }
}

/// A row that the statement made itself has been deleted or locked by nobody: its xmax is 0.
fn write(
    session: &mut Session<'_>,
    sql: &'static str,
    values: &[Value<'_>],
    seen: &mut SeenCount,
) -> Result<(), Failure> {
    for row in session.rows(sql, values)? {
        let mut cells = Cells::of(&row);
        let (new, all): (u64, u64) = (cells.count()?, cells.count()?);
        seen.new += new;
        seen.known += all - new;
    }
    Ok(())
}

pub(super) fn known(
    session: &mut Session<'_>,
    model: Model,
    keys: &[String],
) -> Result<Vec<bool>, Failure> {
    let keys: Vec<_> = keys.iter().map(|key| text(key)).collect();
    let sql = match model {
        Model::Certificate => {
            "SELECT EXISTS (SELECT FROM recon.certificate WHERE sha256 = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::DomainEndpoint => {
            "SELECT EXISTS (SELECT FROM recon.domain_endpoint WHERE key = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::DomainRecord => {
            "SELECT EXISTS (SELECT FROM recon.domain_record WHERE key = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::EndpointCertificate => {
            "SELECT EXISTS (SELECT FROM recon.endpoint_certificate WHERE key = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::Domain => {
            "SELECT EXISTS (SELECT FROM recon.domain WHERE name = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::Endpoint => {
            "SELECT EXISTS (SELECT FROM recon.endpoint WHERE key = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
        Model::Target => {
            "SELECT EXISTS (SELECT FROM recon.target WHERE key = asked.key)
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (key, n) ORDER BY n"
        }
    };
    session.rows(sql, &[&keys])?.iter().map(|row| Cells::of(row).plain()).collect()
}

pub(super) fn list(
    session: &mut Session<'_>,
    model: Model,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<ModelRow>, Failure> {
    let sql = match model {
        Model::Certificate => {
            "SELECT record, der, first_seen, last_seen FROM recon.certificate WHERE sha256 > $1 ORDER BY sha256 LIMIT $2"
        }
        Model::DomainEndpoint => {
            "SELECT domain, ip, port, transport, sources, first_seen, last_seen FROM recon.domain_endpoint
             WHERE key > $1 ORDER BY key LIMIT $2"
        }
        Model::DomainRecord => {
            "SELECT domain, rtype, data, first_seen, last_seen FROM recon.domain_record
             WHERE key > $1 ORDER BY key LIMIT $2"
        }
        Model::EndpointCertificate => {
            "SELECT ip, port, transport, sha256, position, first_seen, last_seen FROM recon.endpoint_certificate
             WHERE key > $1 ORDER BY key LIMIT $2"
        }
        Model::Domain => {
            "SELECT name, sources, first_seen, last_seen FROM recon.domain WHERE name > $1 ORDER BY name LIMIT $2"
        }
        Model::Endpoint => {
            "SELECT ip, port, transport, service, first_seen, last_seen FROM recon.endpoint
             WHERE key > $1 ORDER BY key LIMIT $2"
        }
        Model::Target => {
            "SELECT kind, value, first_seen, last_seen FROM recon.target WHERE key > $1 ORDER BY key LIMIT $2"
        }
    };
    // No key is less than the empty text.
    let found = session.rows(sql, &[&text(after.unwrap_or_default()), &count(limit)])?;
    found.iter().map(|row| read(model, row)).collect()
}

fn read(model: Model, row: &Row) -> Result<ModelRow, Failure> {
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
            ip: cells.plain()?,
            port: cells.small()?,
            transport: cells.plain()?,
            sources: cells.plain()?,
            seen: seen(cells)?,
        }),
        Model::DomainRecord => ModelRow::DomainRecord(DomainRecordRow {
            domain: cells.text()?,
            rtype: cells.plain()?,
            data: cells.plain()?,
            seen: seen(cells)?,
        }),
        Model::EndpointCertificate => ModelRow::EndpointCertificate(EndpointCertificateRow {
            ip: cells.plain()?,
            port: cells.small()?,
            transport: cells.plain()?,
            sha256: cells.plain()?,
            position: cells.small()?,
            seen: seen(cells)?,
        }),
        Model::Domain => ModelRow::Domain(DomainRow {
            name: cells.text()?,
            sources: cells.plain()?,
            seen: seen(cells)?,
        }),
        Model::Endpoint => ModelRow::Endpoint(EndpointRow {
            ip: cells.plain()?,
            port: cells.small()?,
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

fn seen(cells: &mut Cells<'_>) -> Result<Option<Seen>, Failure> {
    Ok(Some(Seen { first_seen: cells.moment()?, last_seen: cells.moment()? }))
}

pub(super) fn blocklist(session: &mut Session<'_>) -> Result<Vec<AddressRange>, Failure> {
    let found = session.rows("SELECT range FROM recon.blocklist ORDER BY range", &[])?;
    found.iter().map(|row| Cells::of(row).text()).collect()
}

pub(super) fn put_blocked(
    session: &mut Session<'_>,
    range: AddressRange,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql =
        "INSERT INTO recon.blocklist (range, added_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    session.execute(sql, &[&range.to_string(), &moment(now)]).map(drop)
}

/// In the order of their keys, as all that is written here.
pub(super) fn put_refusals(session: &mut Session<'_>, rows: &[RefusalRow]) -> Result<(), Failure> {
    let mut rows: Vec<&RefusalRow> = rows.iter().collect();
    rows.sort_by_key(|row| (row.workflow_id, row.task_id, &row.what, row.why.as_str(), &row.by));
    let workflows: Vec<_> = rows.iter().map(|row| row.workflow_id.0).collect();
    let tasks: Vec<_> = rows.iter().map(|row| row.task_id.0).collect();
    let whats: Vec<_> = rows.iter().map(|row| text(&row.what)).collect();
    let whys: Vec<_> = rows.iter().map(|row| row.why.as_str()).collect();
    let bys: Vec<_> = rows.iter().map(|row| text(&row.by)).collect();
    let moments: Vec<_> = rows.iter().map(|row| moment(row.at)).collect();
    session
        .execute(
            "INSERT INTO recon.refusal (workflow_id, task_id, what, why, by_whom, at)
                 SELECT workflow_id, task_id, what, why, by_whom, at
                     FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
                         WITH ORDINALITY AS given (workflow_id, task_id, what, why, by_whom, at, n)
                     ORDER BY n
             ON CONFLICT DO NOTHING",
            &[&workflows, &tasks, &whats, &whys, &bys, &moments],
        )
        .map(drop)
}

pub(super) fn refusals(
    session: &mut Session<'_>,
    workflow: WorkflowId,
) -> Result<Vec<RefusalRow>, Failure> {
    let found = session.rows(
        "SELECT workflow_id, task_id, what, why, by_whom, at FROM recon.refusal WHERE workflow_id = $1
         ORDER BY at, task_id, what, why, by_whom",
        &[&workflow.0],
    )?;
    let read = |row: &Row| {
        let mut cells = Cells::of(row);
        Ok(RefusalRow {
            workflow_id: WorkflowId(cells.plain()?),
            task_id: TaskId(cells.plain()?),
            what: cells.plain()?,
            why: cells.word()?,
            by: cells.plain()?,
            at: cells.moment()?,
        })
    };
    found.iter().map(read).collect()
}
