//! Reading what recon holds: its rows, and which items are no rows yet.

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    ErrorKind, TaskError,
    catalogue::{FilterNew, FilterNewInput, ListInput, ListModels},
};
use serde_json::Value;

use crate::{
    Stored,
    batch::{Batch, octets},
    item::{each, tell_malformed},
    rows::{refused, rows_of},
};

impl Runs<ListModels> for Stored {
    fn run(&self, cx: &Cx<'_, ListModels>, input: ListInput) -> Result<Finished, TaskError> {
        let mut finished = Finished::default();
        let mut given = 0;
        cx.recon().each_while(input.model, |row| {
            if cx.is_stopping() {
                return Err(cx.stopped());
            }
            if !input.out_of_scope && !refused(cx.scope(), &row).is_empty() {
                return Ok(true);
            }
            if given == input.limit {
                finished.truncated = true;
                return Ok(false);
            }
            given += 1;
            let row = serde_json::to_value(&row)
                .map_err(|error| TaskError::new(ErrorKind::Storage, format!("a row: {error}")))?;
            cx.emit(&row).map(|()| true)
        })?;
        Ok(finished)
    }
}

impl Runs<FilterNew> for Stored {
    fn run(&self, cx: &Cx<'_, FilterNew>, input: FilterNewInput) -> Result<Finished, TaskError> {
        let mut malformed = 0;
        let mut batch = Batch::default();
        let pass = |items: Vec<(String, Value)>| {
            if items.is_empty() {
                return Ok(());
            }
            let (keys, items): (Vec<String>, Vec<Value>) = items.into_iter().unzip();
            let known = cx.recon().known(input.model, &keys)?;
            let new = items.iter().zip(known).filter(|(_, is_known)| !is_known);
            new.map(|(item, _)| item).try_for_each(|item| cx.emit(item))
        };
        each(cx, input.from, |item| {
            let row = item.pointer(&input.field).and_then(|value| rows_of(input.model, value));
            let Some(row) = row.and_then(|rows| rows.into_iter().next()) else {
                malformed += 1;
                return Ok(());
            };
            let key = row.key();
            let octets = key.len() + octets(&item);
            batch.push((key, item), octets).map_or(Ok(()), &pass)
        })?;
        pass(batch.take())?;
        tell_malformed(cx, malformed);
        Ok(Finished::default())
    }
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::catalogue::Model;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    fn fake() -> Fake {
        let fake = Fake::with_scope(json!({ "domains": ["example.org"] }));
        fake.know(
            Model::Domain,
            json!(["a.example.org", "b.example.org", "c.example.com", "d.example.org"]),
        );
        fake
    }

    fn names(fake: &Fake) -> Vec<Value> {
        fake.output().iter().map(|row| row["name"].clone()).collect()
    }

    #[test]
    fn rows_in_scope_are_listed() {
        let fake = fake();
        assert_eq!(fake.run::<ListModels>(json!({ "model": "domain" })), Ok(Finished::default()));
        assert_eq!(names(&fake), ["a.example.org", "b.example.org", "d.example.org"]);
    }

    #[test]
    fn all_rows_are_listed_where_asked() {
        let fake = fake();
        let input = json!({ "model": "domain", "out_of_scope": true, "limit": 4 });
        assert_eq!(fake.run::<ListModels>(input), Ok(Finished::default()));
        assert_eq!(names(&fake).len(), 4);
    }

    #[test]
    fn a_list_that_is_cut_says_so() {
        let fake = fake();
        let input = json!({ "model": "domain", "limit": 2 });
        assert_eq!(fake.run::<ListModels>(input), Ok(Finished { branch: None, truncated: true }));
        assert_eq!(names(&fake), ["a.example.org", "b.example.org"]);
        let input = json!({ "model": "domain", "limit": 3 });
        assert_eq!(
            fake.run::<ListModels>(input),
            Ok(Finished::default()),
            "the fourth is out of scope"
        );
    }

    #[test]
    fn pages_are_turned() {
        let fake = Fake::with_scope(json!({ "domains": ["example.org"] }));
        let many: Vec<String> = (0..2_500).map(|n| format!("n{n:04}.example.org")).collect();
        fake.know(Model::Domain, json!(many));
        assert_eq!(fake.run::<ListModels>(json!({ "model": "domain" })), Ok(Finished::default()));
        assert_eq!(names(&fake), many);
    }

    #[test]
    fn what_is_known_does_not_pass() {
        let fake = fake();
        let from = items(json!([
            { "name": "*.a.EXAMPLE.org" }, { "name": "new.example.org" }, { "name": "e mail" }, {},
        ]));
        let input = json!({ "model": "domain", "field": "/name", "from": fake.stored(from) });
        assert_eq!(fake.run::<FilterNew>(input), Ok(Finished::default()));
        assert_eq!(fake.output(), [json!({ "name": "new.example.org" })]);
        assert_eq!(fake.told(), "2: items were malformed and passed over");
    }

    #[test]
    fn records_are_new_by_their_endpoint() {
        let fake = fake();
        fake.know(Model::Endpoint, json!(["198.19.0.7:80"]));
        let record = |port: u16| json!({ "type": "syn", "ts": "2026-11-24T08:00:00Z", "ip": "198.19.0.7", "port": port, "state": "open", "reason": "syn-ack" });
        let from = fake.stored((80..10_080).map(record).collect());
        let input = json!({ "model": "endpoint", "field": "", "from": from });
        assert_eq!(fake.run::<FilterNew>(input), Ok(Finished::default()));
        assert_eq!(fake.output(), (81..10_080).map(record).collect::<Vec<_>>());
    }
}
