//! DNS scans on the simulated network.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Said, Service},
};
use mrpf_ports::{Finished, store::ModelRow};
use mrpf_records::{DnsRecord, Record};
use mrpf_tasks::{ErrorKind, Scope, TaskDefinition as _, catalogue::DnsScan, scope::Refusal};
use serde_json::{Value, json};

use super::{
    settings,
    world::{Ends, Run, Store},
};

const FIRST: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 53);
const SECOND: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 54);

/// Who was asked.
type Heard = Arc<Mutex<Vec<IpAddr>>>;

/// Two resolvers. Names whose first label begins with `n` have the address 198.19.1.7, others are not there.
fn net() -> (Network, Heard) {
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    let service = Service::new(move |asked| {
        noted.lock().unwrap().push(asked.to.ip());
        let query = asked.payload;
        let end = 12 + query[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
        let mut answer = query[..end].to_vec();
        let is_there = query[13].eq_ignore_ascii_case(&b'n');
        answer[2..12].copy_from_slice(&[
            0x81,
            if is_there { 0x80 } else { 0x83 },
            0,
            1,
            0,
            u8::from(is_there),
            0,
            0,
            0,
            0,
        ]);
        if is_there {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 198, 19, 1, 7]);
        }
        vec![Said::datagram(answer)]
    });
    let hosts = Hosts::new(7).rule((FIRST, SECOND), 53..=53, Behaviour::Serves(service));
    (Network::new(7, hosts, Faults::default()), heard)
}

fn scope() -> Scope {
    serde_json::from_value(json!({ "domains": ["example.org"], "exclude": ["not.example.org"] }))
        .unwrap()
}

fn run(names: &[&str]) -> Run {
    let input = json!({
        "names": names, "types": ["A"], "resolvers": ["198.19.0.53", "198.19.0.54:53"], "rate": 1_000, "resolver_rate": 1_000,
        "retries": 2,
    });
    Run::of(DnsScan::NAME, scope(), input)
}

fn records(output: &[Value]) -> Vec<DnsRecord> {
    let dns = |item: &Value| match serde_json::from_value(item.clone()).unwrap() {
        Record::Dns(record) => *record,
        record => panic!("{record:?}"),
    };
    output.iter().map(dns).collect()
}

#[test]
fn names_in_scope_are_asked_about_and_what_they_stand_for_goes_to_recon() {
    let (network, heard) = net();
    let (store, mut run) = (
        Store::default(),
        run(&[
            "n1.example.org",
            "n2.example.org",
            "gone.example.org",
            "n.example.com",
            "n.not.example.org",
            "n1.example.org",
        ]),
    );
    let finished = run.work(&settings(100_000), network, &store).unwrap();
    assert_eq!((finished, run.progress), (Finished::default(), (3, Some(3))));
    let said: BTreeSet<_> =
        records(&run.output).into_iter().map(|it| (it.name, it.status.into_owned())).collect();
    let expected = [("n1", "NOERROR"), ("n2", "NOERROR"), ("gone", "NXDOMAIN")];
    let expected =
        expected.map(|(name, status)| (format!("{name}.example.org"), status.to_owned()));
    assert_eq!((run.output.len(), said), (3, expected.into()));
    let keys: Vec<String> = store.rows.lock().unwrap().values().map(ModelRow::key).collect();
    assert_eq!(
        keys,
        [
            "n1.example.org",
            "n1.example.org A 198.19.1.7",
            "n2.example.org",
            "n2.example.org A 198.19.1.7"
        ]
    );
    let refused = store.refusals.lock().unwrap();
    let refused: Vec<_> = refused.iter().map(|row| (row.what.as_str(), row.why)).collect();
    let expected =
        [("n.example.com", Refusal::OutOfScope), ("n.not.example.org", Refusal::Excluded)];
    assert_eq!(refused, expected);
    assert_eq!(heard.lock().unwrap().len(), 3, "a query a name");
}

#[test]
fn resolvers_that_are_blocked_are_not_asked() {
    let (network, heard) = net();
    let store = Store { blocklist: vec!["198.19.0.53".parse().unwrap()], ..Store::default() };
    let names: Vec<String> = (0..50).map(|n| format!("n{n}.example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    run(&names).work(&settings(100_000), network, &store).unwrap();
    assert_eq!(*heard.lock().unwrap(), vec![IpAddr::from(SECOND); 50]);

    let (network, heard) = net();
    let store = Store { blocklist: vec!["198.19.0.0/24".parse().unwrap()], ..Store::default() };
    let error = run(&names).work(&settings(100_000), network, &store).unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutOfScope, "{error}");
    assert!(heard.lock().unwrap().is_empty());
}

#[test]
fn a_scan_that_was_stopped_leaves_no_name_out() {
    let store = Store::default();
    let names: Vec<String> = (0..400).map(|n| format!("n{n}.example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut run = run(&names);
    run.ends = Ends::Stopped(120);
    let stopped = run.work(&settings(100), net().0, &store).unwrap_err();
    assert_eq!(stopped.kind, ErrorKind::Cancelled, "{stopped}");
    run.ends = Ends::Never;
    run.work(&settings(100), net().0, &store).unwrap();
    let found: BTreeSet<_> = records(&run.output).into_iter().map(|record| record.name).collect();
    assert_eq!(found.len(), 400);
}

#[test]
fn what_nobody_could_ask_is_refused() {
    let mut names = run(&["n1.example.org"]);
    let with = |run: &mut Run, types: &str, rate: u64| {
        let (network, heard) = net();
        run.change("types", json!([types]));
        run.change("rate", json!(rate));
        let error = run.work(&settings(100_000), network, &Store::default()).unwrap_err();
        assert!(heard.lock().unwrap().is_empty());
        error
    };
    let error = with(&mut names, "WHAT", 1_000);
    assert!(error.kind == ErrorKind::Input && error.message.contains("WHAT"), "{error}");
    let many: Vec<String> = (0..21_700).map(|n| format!("n{n}.example.org")).collect();
    let error = with(&mut run(&many.iter().map(String::as_str).collect::<Vec<_>>()), "A", 1);
    assert!(error.kind == ErrorKind::Input && error.message.contains("6 h"), "{error}");
}
