//! TLS scans on the simulated network. The hosts speak TLS 1.2, whose certificates are sent in clear.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Say, Speaker},
};
use mrpf_ports::{Finished, store::ModelRow};
use mrpf_records::{Record, TlsOutcome, TlsRecord};
use mrpf_tasks::{ErrorKind, Scope, TaskDefinition as _, catalogue::TlsScan};
use serde_json::{Value, json};

use super::{
    settings,
    world::{Ends, Run, Store},
};

/// A self-signed certificate for `names`.
fn certificate(names: &[&str]) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    certificate.der().to_vec()
}

/// What a host of TLS 1.2 says to a hello: the suite of the least ceremony, its certificate, and that it is done.
fn flight(der: &[u8]) -> Vec<u8> {
    let long = |bytes: &[u8]| {
        let mut counted = (bytes.len() as u32).to_be_bytes()[1..].to_vec();
        counted.extend_from_slice(bytes);
        counted
    };
    let message = |kind: u8, body: &[u8]| [&[kind], long(body).as_slice()].concat();
    let mut hello = vec![0x03, 0x03];
    hello.extend([7; 32]);
    hello.extend([0, 0x00, 0x9c, 0]);
    let all = [message(2, &hello), message(11, &long(&long(der))), message(14, &[])].concat();
    let mut record = vec![22, 0x03, 0x03];
    record.extend((all.len() as u16).to_be_bytes());
    record.extend(all);
    record
}

/// Hellos that came to port 443, by the last octet of the address.
type Asked = Arc<Mutex<Vec<(u8, Vec<u8>)>>>;

/// 40 hosts: port 443 of each shows one certificate of all, port 22 speaks SSH, and 8443 is closed.
fn net(der: &[u8]) -> (Network, Asked) {
    let (flight, asked) = (flight(der), Asked::default());
    let noted = Arc::clone(&asked);
    let tls = Speaker::answering(move |target, said| {
        if said.is_empty() {
            return Say::nothing();
        }
        if let std::net::IpAddr::V4(addr) = target.addr {
            noted.lock().unwrap().push((addr.octets()[3], said.to_vec()));
        }
        Say::bytes(flight.clone())
    });
    let ssh = Speaker::answering(|_, said| match said {
        [] => Say::nothing(),
        _ => Say::bytes("SSH-2.0-OpenSSH_9.2\r\n"),
    });
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 0, 39));
    let hosts = Hosts::new(7)
        .rule(all, 443..=443, Behaviour::Speaks(tls))
        .rule(all, 22..=22, Behaviour::Speaks(ssh))
        .rule(all, 8_443..=8_443, Behaviour::closed());
    (Network::new(7, hosts, Faults::default()), asked)
}

fn scope() -> Scope {
    serde_json::from_value(json!({ "domains": ["example.org"], "addresses": ["198.19.0.0/24"] }))
        .unwrap()
}

fn run(more: Value) -> Run {
    let mut input = json!({ "rate": 100_000, "retries": 1, "cooldown_secs": 1, "seed": 7 });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Run::of(TlsScan::NAME, scope(), input)
}

fn records(output: &[Value]) -> Vec<TlsRecord> {
    let tls = |item: &Value| match serde_json::from_value(item.clone()).unwrap() {
        Record::Tls(record) => *record,
        record => panic!("{record:?}"),
    };
    output.iter().map(tls).collect()
}

#[test]
fn certificates_go_to_recon_once_each_and_names_outside_do_not() {
    let der = certificate(&["www.example.org", "*.example.org", "www.example.com"]);
    let (network, _) = net(&der);
    let (store, mut run) = (
        Store::default(),
        run(json!({ "targets": ["198.19.0.0-198.19.0.39"], "ports": "22,443,8443" })),
    );
    let finished = run.work(&settings(100_000), network, &store).unwrap();
    assert_eq!((finished, run.progress), (Finished::default(), (120, Some(120))));
    let records = records(&run.output);
    assert_eq!(records.len(), 80, "two ports of 40 hosts answer");
    let hash = &records.iter().find(|it| it.port == 443).unwrap().certificates[0].sha256;
    for record in &records {
        if record.port == 22 {
            assert_eq!(record.outcome, TlsOutcome::NotTls, "{record:?}");
            continue;
        }
        assert_eq!(record.outcome, TlsOutcome::Ok, "{record:?}");
        assert_eq!((&record.certificates[0].sha256, &record.certificates[0].der), (hash, &None));
        assert!(record.trust.is_some_and(|trust| trust.chain.is_some()), "{record:?}");
    }
    let rows = store.rows.lock().unwrap();
    let (mut certificates, mut shown, mut names, mut services) =
        (0, 0, BTreeSet::new(), Vec::new());
    for row in rows.values() {
        match row {
            ModelRow::Certificate(row) => {
                certificates += 1;
                assert_eq!(row.certificate.sha256, *hash);
                let octets = row.certificate.der.as_deref().expect("all of it");
                assert!(octets.len() >= der.len(), "{octets}");
            }
            ModelRow::EndpointCertificate(row) => {
                shown += 1;
                assert_eq!((row.port, &row.sha256, row.position), (443, hash, 0));
            }
            ModelRow::DomainEndpoint(row) => drop(names.insert(row.domain.to_string())),
            ModelRow::Endpoint(row) => services.push((row.port, row.service.clone())),
            row => panic!("{row:?}"),
        }
    }
    assert_eq!((certificates, shown), (1, 40));
    assert_eq!(names, ["www.example.org".to_owned()].into());
    services.sort();
    services.dedup();
    let service = |port, service: &str| (port, Some(service.to_owned()));
    assert_eq!(services, [service(22, "ssh"), service(443, "tls")]);
}

#[test]
fn hosts_are_asked_for_their_names_and_those_outside_are_not_asked() {
    let (network, asked) = net(&certificate(&["a.example.org"]));
    let store = Store { blocklist: vec!["198.19.0.3".parse().unwrap()], ..Store::default() };
    let host = |ip: &str, name: &str| json!({ "ip": ip, "ports": [443], "server_name": name });
    let mut run = run(json!({ "hosts": [
        host("198.19.0.1", "a.example.org"),
        { "ip": "198.19.0.2", "ports": [443] },
        host("198.19.0.3", "c.example.org"),
        host("203.0.113.1", "d.example.org"),
    ] }));
    run.work(&settings(100_000), network, &store).unwrap();
    assert_eq!(run.probed(), 2);
    let names: Vec<_> = records(&run.output).into_iter().map(|it| (it.ip, it.sni)).collect();
    assert_eq!(names.len(), 2);
    let asked = asked.lock().unwrap();
    let says = |hello: &[u8], name: &[u8]| hello.windows(name.len()).any(|part| part == name);
    assert!(asked.iter().all(|(last, hello)| says(hello, b"a.example.org") == (*last == 1)));
    let told: BTreeSet<String> =
        store.refusals.lock().unwrap().iter().map(|row| row.what.clone()).collect();
    assert_eq!(told, ["198.19.0.3".to_owned(), "203.0.113.1".to_owned()].into());
}

#[test]
fn a_scan_that_was_stopped_or_lost_goes_on_and_leaves_nothing_out() {
    let der = certificate(&["a.example.org"]);
    for ends in [Ends::Stopped(8), Ends::Killed(12), Ends::Stopped(30)] {
        let (store, mut run) = (
            Store::default(),
            run(json!({ "targets": ["198.19.0.0-198.19.0.39"], "ports": "443" })),
        );
        run.ends = ends;
        let (network, _) = net(&der);
        match run.work(&settings(40), network, &store) {
            Ok(_) => {}
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Cancelled | ErrorKind::WorkerLost),
                "{error}"
            ),
        }
        run.ends = Ends::Never;
        let (network, _) = net(&der);
        run.work(&settings(10_000), network, &store).unwrap();
        let found: BTreeSet<_> = records(&run.output).into_iter().map(|record| record.ip).collect();
        assert_eq!(found.len(), 40, "{ends:?}");
        let rows = store.rows.lock().unwrap();
        let of = |wanted| rows.values().filter(|row| row.model() == wanted).count();
        use mrpf_tasks::catalogue::Model;
        assert_eq!((of(Model::Certificate), of(Model::EndpointCertificate)), (1, 40), "{ends:?}");
    }
}
