//! What was found is there once, however often it is found.

use std::thread;

use mrpf_records::CertificateRecord;
use mrpf_tasks::catalogue::Model;

use super::{Bench, now, seconds, within};
use crate::{
    ManagerStore,
    clock::after,
    store::{
        CertificateRow, DomainEndpointRow, DomainRecordRow, DomainRow, EndpointCertificateRow,
        EndpointRow, ModelRow, Seen, SeenCount, TargetKind, TargetRow,
    },
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

fn certificate(hash: &str, der: Option<&str>) -> ModelRow {
    let certificate = CertificateRecord {
        sha256: hash.repeat(32),
        subject: Some("CN=www.example.org".to_owned()),
        issuer: Some("CN=\"A\u{0} CA\"".to_owned()),
        not_before: Some("2026-01-01T00:00:00Z".to_owned()),
        not_after: Some("9999-12-31T23:59:59Z".to_owned()),
        sans: vec!["www.example.org".to_owned(), "*.example.org".to_owned()],
        key_bits: Some(256),
        self_signed: Some(false),
        der: der.map(str::to_owned),
        ..CertificateRecord::default()
    };
    ModelRow::Certificate(Box::new(CertificateRow { certificate, seen: None }))
}

fn shown(port: u16, hash: &str, position: u16) -> ModelRow {
    ModelRow::EndpointCertificate(EndpointCertificateRow {
        ip: "198.19.0.7".parse().unwrap(),
        port,
        transport: "tcp".to_owned(),
        sha256: hash.repeat(32),
        position,
        seen: None,
    })
}

fn named(domain: &str, port: u16, sources: &[&str]) -> ModelRow {
    ModelRow::DomainEndpoint(DomainEndpointRow {
        domain: domain.parse().unwrap(),
        ip: "2001:db8::7".parse().unwrap(),
        port,
        transport: "tcp".to_owned(),
        sources: sources.iter().map(|source| (*source).to_owned()).collect(),
        seen: None,
    })
}

fn says(domain: &str, rtype: &str, data: &str) -> ModelRow {
    ModelRow::DomainRecord(DomainRecordRow {
        domain: domain.parse().unwrap(),
        rtype: rtype.to_owned(),
        data: data.to_owned(),
        seen: None,
    })
}

fn seen_at(row: &ModelRow, seen: Seen) -> ModelRow {
    let mut row = row.clone();
    *row.seen_mut() = Some(seen);
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
        certificate("a4", Some("MAA=")),
        shown(443, "a4", 1),
        named("www.example.org", 443, &["tls"]),
        says("www.example.org", "TXT", &"\\000".repeat(DomainRecordRow::MOST_DATA / 4)),
    ];
    let models = rows.each_ref().map(ModelRow::model);
    let stored = || models.map(|model| all(store, model, 10));
    assert_eq!(store.upsert(&rows, at).unwrap(), SeenCount { new: 7, known: 0 });
    let first = Seen { first_seen: at, last_seen: at };
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, first)]));
    assert_eq!(bench.other().upsert(&rows, later).unwrap(), SeenCount { new: 0, known: 7 });
    let again = Seen { first_seen: at, last_seen: later };
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, again)]));
    // Two workers' clocks differ a little: what was seen last stays.
    store.upsert(&rows, at).unwrap();
    assert_eq!(stored(), rows.clone().map(|row| vec![seen_at(&row, again)]));
    let more = [
        domain("www.example.org", &["censys"]),
        endpoint("198.19.0.7", 443, None),
        certificate("a4", None),
        shown(443, "a4", 0),
        named("www.example.org", 443, &["a", "tls"]),
        rows[6].clone(),
    ];
    store.upsert(&more, latest).unwrap();
    let last = Seen { first_seen: at, last_seen: latest };
    let [mut domains, endpoints, targets, certificates, places, names, records] = stored();
    if let ModelRow::Domain(row) = &mut domains[0] {
        row.sources.sort();
    }
    assert_eq!(certificates, [seen_at(&rows[3], last)], "its octets stay");
    assert_eq!(places, [seen_at(&shown(443, "a4", 0), last)]);
    assert_eq!(records, [seen_at(&rows[6], last)]);
    assert_eq!(names, [seen_at(&named("www.example.org", 443, &["a", "tls"]), last)]);
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

/// However many endpoints show it; and whoever kept its octets gives them to all.
pub fn a_certificate_on_10_000_endpoints_is_one_row(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let mut rows: Vec<ModelRow> =
        (1..=10_000).flat_map(|port| [certificate("a4", None), shown(port, "a4", 0)]).collect();
    rows.push(certificate("5b", None));
    let mut counts = SeenCount::default();
    for batch in rows.chunks(5_000) {
        let seen = store.upsert(batch, at).unwrap();
        counts.new += seen.new;
        counts.known += seen.known;
    }
    assert_eq!((counts.new, counts.known), (10_002, 3), "once a batch");
    let found = all(store, Model::Certificate, 10);
    assert_eq!(
        found.iter().map(ModelRow::key).collect::<Vec<_>>(),
        ["5b".repeat(32), "a4".repeat(32)]
    );
    assert_eq!(all(store, Model::EndpointCertificate, 5_000).len(), 10_000);
    store.upsert(&[certificate("a4", None), certificate("a4", Some("MAA="))], at).unwrap();
    let seen = Seen { first_seen: at, last_seen: at };
    let found = all(store, Model::Certificate, 10);
    assert_eq!(found[1], seen_at(&certificate("a4", Some("MAA=")), seen));
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
        vec![certificate("b0", None), certificate("0b", None), certificate("a4", None)],
        vec![shown(443, "b0", 0), shown(443, "0b", 0), shown(80, "b0", 0), shown(8443, "0b", 2)],
        vec![
            named("b.example.org", 443, &[]),
            named("a-b.example.org", 443, &[]),
            named("a.example.org", 8443, &[]),
            named("a.example.org", 443, &[]),
        ],
        vec![
            says("a.example.org", "A", "198.19.0.7"),
            says("a.example.org", "A", "198.19.0.10"),
            says("a.example.org", "AAAA", "2001:db8::7"),
            says("a-b.example.org", "TXT", "\"\""),
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
