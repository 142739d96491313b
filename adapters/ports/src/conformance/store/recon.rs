//! What was found is there once, however often it is found.

use std::thread;

use mrpf_tasks::catalogue::Model;

use super::{Bench, now, seconds, within};
use crate::{
    ManagerStore,
    clock::after,
    store::{DomainRow, EndpointRow, ModelRow, Seen, SeenCount, TargetKind, TargetRow},
};

fn domain(name: &str, sources: &[&str]) -> ModelRow {
    let sources = sources.iter().map(|source| (*source).to_owned()).collect();
    ModelRow::Domain(DomainRow { name: name.parse().unwrap(), sources, seen: None })
}

fn endpoint(ip: &str, port: u16, service: Option<&str>) -> ModelRow {
    ModelRow::Endpoint(EndpointRow {
        ip: ip.parse().unwrap(),
        port,
        transport: "tcp".to_owned(),
        service: service.map(str::to_owned),
        seen: None,
    })
}

fn target(kind: TargetKind, value: &str) -> ModelRow {
    ModelRow::Target(TargetRow { kind, value: value.to_owned(), seen: None })
}

fn seen_at(row: &ModelRow, seen: Seen) -> ModelRow {
    let mut row = row.clone();
    *match &mut row {
        ModelRow::Domain(row) => &mut row.seen,
        ModelRow::Endpoint(row) => &mut row.seen,
        ModelRow::Target(row) => &mut row.seen,
    } = Some(seen);
    row
}

/// A whole table, in pages.
fn all(store: &dyn ManagerStore, model: Model, page: usize) -> Vec<ModelRow> {
    let mut rows: Vec<ModelRow> = Vec::new();
    loop {
        let after = rows.last().map(ModelRow::key);
        let found = store.list(model, after.as_deref(), page).unwrap();
        assert!(found.len() <= page);
        if found.is_empty() {
            return rows;
        }
        rows.extend(found);
    }
}

/// And adds to what is known: sources, and a service that was not.
pub fn a_repeat_changes_when_a_row_was_seen_last(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (later, latest) = (after(at, seconds(60)), after(at, seconds(120)));
    let rows = [
        domain("www.example.org", &["crt.sh"]),
        endpoint("198.19.0.7", 443, Some("https")),
        target(TargetKind::Domain, "example.org"),
    ];
    let models = [Model::Domain, Model::Endpoint, Model::Target];
    let stored = || models.map(|model| all(store, model, 10));
    assert_eq!(store.upsert(&rows, at).unwrap(), SeenCount { new: 3, known: 0 });
    let first = Seen { first_seen: at, last_seen: at };
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, first)]));
    assert_eq!(bench.other().upsert(&rows, later).unwrap(), SeenCount { new: 0, known: 3 });
    let again = Seen { first_seen: at, last_seen: later };
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, again)]));
    // Two workers' clocks differ a little: what was seen last stays.
    store.upsert(&rows, at).unwrap();
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, again)]));
    let more = [domain("www.example.org", &["censys"]), endpoint("198.19.0.7", 443, None)];
    store.upsert(&more, latest).unwrap();
    let last = Seen { first_seen: at, last_seen: latest };
    let [mut domains, endpoints, targets] = stored();
    if let ModelRow::Domain(row) = &mut domains[0] {
        row.sources.sort();
    }
    assert_eq!(domains, [seen_at(&domain("www.example.org", &["censys", "crt.sh"]), last)]);
    assert_eq!(endpoints, [seen_at(&rows[1], last)]);
    assert_eq!(targets, [seen_at(&rows[2], again)]);
    store.upsert(&[endpoint("198.19.0.7", 443, Some("h2"))], latest).unwrap();
    let changed = seen_at(&endpoint("198.19.0.7", 443, Some("h2")), last);
    assert_eq!(all(store, Model::Endpoint, 10), [changed]);
}

/// With all its sources.
pub fn a_name_that_comes_twice_in_a_batch_is_one(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let batch = [
        domain("a.example.org", &["crt.sh"]),
        domain("b.example.org", &[]),
        domain("A.example.org.", &["censys", "crt.sh"]),
    ];
    assert_eq!(store.upsert(&batch, at).unwrap(), SeenCount { new: 2, known: 0 });
    assert_eq!(store.upsert(&batch, at).unwrap(), SeenCount { new: 0, known: 2 });
    assert_eq!(store.upsert(&[], at).unwrap(), SeenCount::default());
    let rows = all(store, Model::Domain, 1);
    assert_eq!(rows.len(), 2);
    let ModelRow::Domain(row) = &rows[0] else { panic!("{rows:?}") };
    let mut sources = row.sources.clone();
    sources.sort();
    assert_eq!(sources, ["censys", "crt.sh"]);
}

/// In whatever order each of them writes.
pub fn upserts_of_the_same_names_at_once_make_each_once(bench: &dyn Bench) {
    let at = now();
    let names: Vec<String> = (0..300).map(|n| format!("{n}.example.org")).collect();
    let others = [bench.other(), bench.other()];
    let counts: Vec<SeenCount> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let (names, others) = (&names, &others);
                scope.spawn(move || {
                    let source = format!("source {n}");
                    let mut rows: Vec<ModelRow> =
                        names.iter().map(|name| domain(name, &[&source])).collect();
                    if n % 2 == 1 {
                        rows.reverse();
                    }
                    let store = if n < 4 { bench.store() } else { &*others[n % 2] };
                    store.upsert(&rows, at).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let new: u64 = counts.iter().map(|count| count.new).sum();
    let known: u64 = counts.iter().map(|count| count.known).sum();
    assert_eq!((new, known), (300, 7 * 300));
    let rows = all(bench.store(), Model::Domain, 100);
    assert_eq!(rows.len(), 300);
    for row in rows {
        let ModelRow::Domain(row) = row else { panic!("{row:?}") };
        assert_eq!(row.sources.len(), 8, "{row:?}");
    }
}

/// Octet by octet, whatever the store's own order of texts.
pub fn tables_are_listed_in_the_order_of_their_keys(bench: &dyn Bench) {
    let store = bench.store();
    let mut rows = [
        vec![
            domain("b.example.org", &[]),
            domain("a-b.example.org", &[]),
            domain("a.example.org", &[]),
            domain("ab.example.org", &[]),
            domain("_a.example.org", &[]),
            domain("0.example.org", &[]),
        ],
        vec![
            endpoint("198.19.0.7", 443, None),
            endpoint("198.19.0.10", 80, None),
            endpoint("198.19.0.7", 80, None),
            endpoint("2001:db8::7", 80, None),
        ],
        vec![
            target(TargetKind::Org, "Example Ltd"),
            target(TargetKind::Domain, "example.org"),
            target(TargetKind::Cidr, "198.19.0.0/24"),
            target(TargetKind::Ip, "198.19.0.1"),
        ],
    ];
    store.upsert(&rows.concat(), now()).unwrap();
    for rows in &mut rows {
        rows.sort_by_key(ModelRow::key);
        let keys: Vec<String> = rows.iter().map(ModelRow::key).collect();
        for page in [1, 3, 100] {
            let found = all(store, rows[0].model(), page);
            assert_eq!(found.iter().map(ModelRow::key).collect::<Vec<_>>(), keys);
        }
        let mut asked = keys.clone();
        asked.push("nothing of it".to_owned());
        asked.reverse();
        let known = store.known(rows[0].model(), &asked).unwrap();
        assert_eq!(known, asked.iter().map(|key| keys.contains(key)).collect::<Vec<_>>());
    }
}

/// Each range once.
pub fn the_blocklist_grows(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    assert_eq!(store.blocklist().unwrap(), []);
    let texts = ["198.19.0.0/24", "2001:db8::1-2001:db8::9", "203.0.113.1"];
    within(store, |tx| {
        texts.iter().chain(&texts).try_for_each(|text| tx.put_blocked(text.parse().unwrap(), at))
    });
    let mut found: Vec<String> =
        bench.other().blocklist().unwrap().iter().map(ToString::to_string).collect();
    found.sort();
    assert_eq!(found, texts);
}
