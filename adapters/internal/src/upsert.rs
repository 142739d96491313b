//! Writing what was found into recon.

use std::collections::{BTreeMap, btree_map::Entry};

use mrpf_ports::{Cx, Finished, Runs, store::ModelRow};
use mrpf_tasks::{
    TaskError,
    catalogue::{UpsertInput, UpsertModels, Upserted},
};

use crate::{
    Stored,
    batch::MOST_ITEMS,
    item::each,
    rows::{refused, rows_of},
    scope::Refusals,
};

impl Runs<UpsertModels> for Stored {
    fn run(&self, cx: &Cx<'_, UpsertModels>, input: UpsertInput) -> Result<Finished, TaskError> {
        let mut told = Upserted::default();
        let mut refusals = Refusals::default();
        // By key: two that write the same rows take them in the same order and never wait for each other in a circle, and
        // no statement meets a row twice.
        let mut batch: BTreeMap<String, ModelRow> = BTreeMap::new();
        let write = |batch: &mut BTreeMap<String, ModelRow>, told: &mut Upserted| {
            let rows: Vec<ModelRow> = std::mem::take(batch).into_values().collect();
            if !rows.is_empty() {
                let seen = cx.recon().upsert(&rows)?;
                told.new += seen.new;
                told.known += seen.known;
            }
            Ok::<_, TaskError>(())
        };
        each(cx, input.from, |item| {
            let Some(rows) = rows_of(input.model, &item) else {
                told.malformed += 1;
                return Ok(());
            };
            for row in rows {
                let outside = refused(cx.scope(), &row);
                if outside.is_empty() {
                    add(&mut batch, row);
                } else {
                    told.refused += 1;
                    outside.into_iter().try_for_each(|it| refusals.note(cx, it))?;
                }
            }
            if batch.len() >= MOST_ITEMS { write(&mut batch, &mut told) } else { Ok(()) }
        })?;
        write(&mut batch, &mut told)?;
        refusals.finish(cx)?;
        cx.emit(&told)?;
        Ok(Finished::default())
    }
}

/// Adds a row, or what it says to one with the same key.
fn add(batch: &mut BTreeMap<String, ModelRow>, row: ModelRow) {
    match batch.entry(row.key()) {
        Entry::Vacant(entry) => drop(entry.insert(row)),
        Entry::Occupied(mut known) => known.get_mut().absorb(&row),
    }
}

#[cfg(test)]
mod tests {
    use mrpf_ports::store::{DomainRow, EndpointRow};
    use mrpf_tasks::scope::Refusal;
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{Fake, items};

    fn scope() -> Value {
        json!({ "domains": ["example.org"], "addresses": ["198.19.0.0/24"] })
    }

    #[test]
    fn names_are_written_once_with_all_their_sources() {
        let fake = Fake::with_scope(scope());
        let from = fake.stored(items(json!([
            { "name": "b.example.org", "source": "crt.sh" },
            { "name": "*.B.example.org", "source": "shodan" },
            { "name": "a.example.org", "source": "crt.sh" },
            { "name": "b.example.org", "source": "crt.sh" },
            { "name": "example.com", "source": "crt.sh" },
            { "name": "me@example.org", "source": "crt.sh" },
            7,
        ])));
        let input = json!({ "model": "domain", "from": from });
        assert_eq!(fake.run::<UpsertModels>(input.clone()), Ok(Finished::default()));
        assert_eq!(fake.output(), [json!({ "new": 2, "known": 0, "malformed": 2, "refused": 1 })]);
        assert_eq!(fake.refused(), [("example.com".to_owned(), Refusal::OutOfScope)]);
        let row = |name: &str, sources: &[&str]| {
            let sources = sources.iter().map(|source| (*source).to_owned()).collect();
            ModelRow::Domain(DomainRow { name: name.parse().unwrap(), sources, seen: None })
        };
        let rows = [row("a.example.org", &["crt.sh"]), row("b.example.org", &["crt.sh", "shodan"])];
        assert_eq!(fake.upserts(), [rows.to_vec()]);

        assert_eq!(fake.run::<UpsertModels>(input), Ok(Finished::default()));
        assert_eq!(fake.output()[1], json!({ "new": 0, "known": 2, "malformed": 2, "refused": 1 }));
        assert_eq!(fake.refused().len(), 1, "a refusal is noted once");
    }

    #[test]
    fn endpoints_keep_the_service_that_is_known() {
        let fake = Fake::with_scope(scope());
        let host = |service: Value| json!({ "ip": "198.19.0.7", "source": "x", "services": [{ "port": 80, "transport": "tcp", "service": service }] });
        let from = fake.stored(vec![host(json!("http")), host(json!(null))]);
        let input = json!({ "model": "endpoint", "from": from });
        assert_eq!(fake.run::<UpsertModels>(input), Ok(Finished::default()));
        let row = EndpointRow {
            ip: "198.19.0.7".parse().unwrap(),
            port: 80,
            transport: "tcp".to_owned(),
            service: Some("http".to_owned()),
            seen: None,
        };
        assert_eq!(fake.upserts(), [vec![ModelRow::Endpoint(row)]]);
    }

    /// However many show it.
    #[test]
    fn a_certificate_is_written_once_and_names_outside_are_refused() {
        let fake = Fake::with_scope(scope());
        let hash = "a4".repeat(32);
        let record = |last: u8| {
            json!({ "type": "tls", "ts": "2026-11-24T08:00:00Z", "ip": format!("198.19.0.{last}"), "port": 443,
                "outcome": "ok", "stage": "done", "certificates": [{
                    "sha256": hash, "sans": ["a.example.org", "b.example.com"],
                }] })
        };
        let from = fake.stored((0..200).map(record).collect());
        let upsert = |model: &str| {
            let input = json!({ "model": model, "from": from.clone() });
            assert_eq!(fake.run::<UpsertModels>(input), Ok(Finished::default()));
            let told = fake.output().pop().unwrap();
            (told["new"].as_u64().unwrap(), told["refused"].as_u64().unwrap())
        };
        assert_eq!(upsert("certificate"), (1, 0));
        assert_eq!(upsert("endpoint_certificate"), (200, 0));
        assert_eq!(upsert("domain"), (1, 200));
        assert_eq!(upsert("domain_endpoint"), (200, 200));
        assert_eq!(fake.refused(), [("b.example.com".to_owned(), Refusal::OutOfScope)]);
    }

    #[test]
    fn many_are_written_in_batches_in_order() {
        let fake = Fake::with_scope(scope());
        let names = (0..12_000).rev().map(|n| json!(format!("n{n}.example.org"))).collect();
        let input = json!({ "model": "domain", "from": fake.stored(names) });
        assert_eq!(fake.run::<UpsertModels>(input), Ok(Finished::default()));
        assert_eq!(fake.output()[0]["new"], json!(12_000));
        let upserts = fake.upserts();
        assert_eq!(upserts.iter().map(Vec::len).collect::<Vec<_>>(), [5_000, 5_000, 2_000]);
        for rows in upserts {
            assert!(rows.is_sorted_by_key(ModelRow::key));
        }
    }
}
