//! Items as rows of recon: what a name, a record or a host says about each table.

use std::net::SocketAddr;

use mrpf_ports::store::{
    DomainRecordRow, DomainRow, EndpointRow, ModelRow, TargetKind, TargetRow, told_by_dns,
    told_by_tls,
};
use mrpf_records::{Record, State};
use mrpf_tasks::{
    AddressRange, Scope,
    catalogue::{HostFound, Model, NameFound},
    scope::{Refusal, Refused},
};
use serde::Deserialize;
use serde_json::Value;

use crate::item::name_in;

/// The rows that an item is, which may be none (a closed port); `None` of what is no item of this model.
pub(crate) fn rows_of(model: Model, item: &Value) -> Option<Vec<ModelRow>> {
    if item.get("type").is_some_and(|kind| kind == "tls" || kind == "dns") {
        return match Record::deserialize(item).ok()? {
            Record::Tls(record) => Some(told_by_tls(&record, model)),
            Record::Dns(record) => Some(told_by_dns(&record, model)),
            _ => None,
        };
    }
    match model {
        Model::Certificate
        | Model::EndpointCertificate
        | Model::DomainEndpoint
        | Model::DomainRecord => row(model, item),
        Model::Domain => domain(item).map(|row| vec![ModelRow::Domain(row)]),
        Model::Endpoint => {
            endpoints(item).map(|rows| rows.into_iter().map(ModelRow::Endpoint).collect())
        }
        Model::Target => target(item).map(|row| vec![ModelRow::Target(row)]),
    }
}

/// A row as [`ListModels`](mrpf_tasks::catalogue::ListModels) gives it, or the hash of a certificate.
fn row(model: Model, item: &Value) -> Option<Vec<ModelRow>> {
    let named;
    let item = match item {
        Value::String(hash) if model == Model::Certificate => {
            named = serde_json::json!({ "sha256": hash });
            &named
        }
        item => item,
    };
    let mut row = ModelRow::deserialize(item).ok().filter(|row| row.model() == model)?;
    *row.seen_mut() = None;
    let fits = |row: &DomainRecordRow| row.data.len() <= DomainRecordRow::MOST_DATA;
    let is_long = matches!(&row, ModelRow::DomainRecord(row) if !fits(row));
    (!is_long).then(|| vec![row])
}

/// A name, with or without who knows it.
fn domain(item: &Value) -> Option<DomainRow> {
    let (name, sources) = match item {
        Value::String(name) => (name_in(name)?, Vec::new()),
        _ => {
            let found = NameFound::deserialize(item).ok()?;
            (name_in(&found.name)?, vec![found.source])
        }
    };
    Some(DomainRow { name, sources, seen: None })
}

/// A record of a scan, a host that a source knows, `{ip, port, transport}`, or `ip:port`, which is TCP.
fn endpoints(item: &Value) -> Option<Vec<EndpointRow>> {
    if let Value::String(text) = item {
        let (socket, transport) = text.split_once('/').unwrap_or((text, "tcp"));
        let socket: SocketAddr = socket.parse().ok()?;
        return endpoint(socket, transport, None).map(|row| vec![row]);
    }
    if item.get("type").is_some() {
        let rows = match Record::deserialize(item).ok()? {
            Record::Syn(record) if record.state == State::Open => {
                Vec::from_iter(endpoint(SocketAddr::new(record.ip, record.port), "tcp", None))
            }
            _ => Vec::new(),
        };
        return Some(rows);
    }
    if item.get("services").is_some() {
        let host = HostFound::deserialize(item).ok()?;
        let rows = host.services.into_iter().map(|service| {
            let socket = SocketAddr::new(host.ip, service.port);
            endpoint(socket, &service.transport, service.service)
        });
        return rows.collect();
    }
    let row = EndpointRow::deserialize(item).ok()?;
    endpoint(SocketAddr::new(row.ip, row.port), &row.transport, row.service).map(|row| vec![row])
}

fn endpoint(socket: SocketAddr, transport: &str, service: Option<String>) -> Option<EndpointRow> {
    let transport = transport.to_ascii_lowercase();
    let (ip, port) = (socket.ip(), socket.port());
    let is_known = matches!(transport.as_str(), "tcp" | "udp");
    is_known.then_some(EndpointRow { ip, port, transport, service, seen: None })
}

/// `{kind, value}`, or a value whose kind its form says.
fn target(item: &Value) -> Option<TargetRow> {
    let (kind, value) = match item {
        Value::String(value) => (None, value.clone()),
        _ => {
            let row = TargetRow::deserialize(item).ok()?;
            (Some(row.kind), row.value)
        }
    };
    let range = value.trim().parse::<AddressRange>().ok();
    let name = name_in(&value);
    let kind = match (kind, &range, &name) {
        (Some(kind), ..) => kind,
        (None, Some(range), _) if range.count() == 1 => TargetKind::Ip,
        (None, Some(_), _) => TargetKind::Cidr,
        (None, None, Some(_)) => TargetKind::Domain,
        (None, None, None) => TargetKind::Org,
    };
    let value = match kind {
        TargetKind::Domain => name?.to_string(),
        TargetKind::Cidr => range?.to_string(),
        TargetKind::Ip => range.filter(|range| range.count() == 1)?.to_string(),
        TargetKind::Org => value.trim().to_owned(),
    };
    (!value.is_empty()).then_some(TargetRow { kind, value, seen: None })
}

/// What of a row lies outside the scope. An organisation lies in every scope: nothing can be sent to it.
pub(crate) fn refused(scope: &Scope, row: &ModelRow) -> Vec<Refused> {
    let name = |text: &str| {
        // A row that others wrote may have any text.
        let why = match name_in(text) {
            Some(name) => scope.refusal_of(&name),
            None => Some(Refusal::OutOfScope),
        };
        why.map(|why| Refused { what: text.to_owned(), why }).into_iter().collect()
    };
    let address = |ip| scope.cut(&[AddressRange::one(ip)], &[]).refused;
    match row {
        // Nothing can be sent to it either.
        ModelRow::Certificate(_) => Vec::new(),
        ModelRow::Domain(row) => name(row.name.as_str()),
        ModelRow::DomainEndpoint(row) => {
            let mut refused: Vec<Refused> = name(row.domain.as_str());
            refused.extend(address(row.ip));
            refused
        }
        // What it stands for may be anybody's: that is worth knowing, and nothing is sent there for it.
        ModelRow::DomainRecord(row) => name(row.domain.as_str()),
        ModelRow::Endpoint(row) => address(row.ip),
        ModelRow::EndpointCertificate(row) => address(row.ip),
        ModelRow::Target(row) => match row.kind {
            TargetKind::Org => Vec::new(),
            TargetKind::Domain => name(&row.value),
            TargetKind::Cidr | TargetKind::Ip => match row.value.parse() {
                Ok(range) => scope.cut(&[range], &[]).refused,
                Err(_) => vec![Refused { what: row.value.clone(), why: Refusal::OutOfScope }],
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The keys of an item's rows.
    #[track_caller]
    fn check(model: Model, item: Value, keys: Option<&[&str]>) {
        let rows =
            rows_of(model, &item).map(|rows| rows.iter().map(ModelRow::key).collect::<Vec<_>>());
        let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(rows, keys, "{item}");
    }

    #[test]
    fn names_are_domains() {
        let key = Some(["example.org"].as_slice());
        check(Model::Domain, json!("*.example.ORG"), key);
        check(Model::Domain, json!({ "name": "Example.org.", "source": "crt.sh" }), key);
        for item in
            [json!("me@example.org"), json!({ "name": "a b", "source": "x" }), json!({}), json!(1)]
        {
            check(Model::Domain, item, None);
        }
    }

    #[test]
    fn records_and_hosts_are_endpoints() {
        let record = |state: &str| json!({ "type": "syn", "ts": "2026-11-24T08:00:00Z", "ip": "198.19.0.7", "port": 80, "state": state, "reason": "syn-ack" });
        check(Model::Endpoint, record("open"), Some(&["198.19.0.7:80/tcp"]));
        check(Model::Endpoint, record("closed"), Some(&[]));
        check(Model::Endpoint, record("ajar"), None);
        let host = json!({ "type": "host", "ts": "2026-11-24T08:00:00Z", "ip": "198.19.0.9", "noise": true });
        check(Model::Endpoint, host, Some(&[]));
        let found = |transport: &str| {
            json!({ "ip": "2001:db8::7", "source": "shodan", "services": [
                { "port": 443, "transport": "TCP", "service": "https" }, { "port": 53, "transport": transport },
            ]})
        };
        check(
            Model::Endpoint,
            found("udp"),
            Some(&["[2001:db8::7]:443/tcp", "[2001:db8::7]:53/udp"]),
        );
        check(Model::Endpoint, found("quic"), None);
        check(
            Model::Endpoint,
            json!({ "ip": "198.19.0.7", "port": 53, "transport": "udp" }),
            Some(&["198.19.0.7:53/udp"]),
        );
        check(Model::Endpoint, json!("198.19.0.7:22"), Some(&["198.19.0.7:22/tcp"]));
        check(Model::Endpoint, json!("198.19.0.7:53/udp"), Some(&["198.19.0.7:53/udp"]));
        for item in [
            json!("198.19.0.7"),
            json!("198.19.0.7:1/icmp"),
            json!({ "ip": "198.19.0.7" }),
            json!(null),
        ] {
            check(Model::Endpoint, item, None);
        }
    }

    #[test]
    fn a_tls_record_is_rows_of_every_table_but_two() {
        let hash = "a4".repeat(32);
        let record = json!({
            "type": "tls", "ts": "2026-11-24T08:00:00Z", "ip": "198.19.0.7", "port": 443, "outcome": "ok", "stage": "done",
            "certificates": [{ "sha256": hash, "sans": ["www.example.org", "*.example.org"] }],
        });
        let shown = format!("198.19.0.7:443/tcp {hash}");
        for (model, keys) in [
            (Model::Certificate, [hash.as_str()].as_slice()),
            (Model::EndpointCertificate, &[&shown]),
            (Model::Domain, &["www.example.org", "example.org"]),
            (Model::DomainEndpoint, &["www.example.org 198.19.0.7:443/tcp"]),
            (Model::Endpoint, &["198.19.0.7:443/tcp"]),
            (Model::DomainRecord, &[]),
            (Model::Target, &[]),
        ] {
            check(model, record.clone(), Some(keys));
        }
        let mut broken = record.clone();
        broken["outcome"] = json!("well");
        check(Model::Certificate, broken, None);
    }

    #[test]
    fn a_dns_record_is_a_name_and_what_it_stands_for() {
        let record = json!({
            "type": "dns", "ts": "2026-11-24T08:00:00Z", "name": "www.example.org", "qtype": "A", "status": "NOERROR",
            "answers": [{ "name": "www.example.org", "type": "A", "ttl": 60, "data": "198.19.0.7" }],
        });
        check(Model::Domain, record.clone(), Some(&["www.example.org"]));
        check(Model::DomainRecord, record.clone(), Some(&["www.example.org A 198.19.0.7"]));
        check(Model::Endpoint, record.clone(), Some(&[]));
        let mut broken = record;
        broken["answers"] = json!("none");
        check(Model::DomainRecord, broken, None);
    }

    #[test]
    fn rows_as_they_are_listed_are_rows() {
        let hash = "a4".repeat(32);
        let seen =
            json!({ "first_seen": "2026-11-24T08:00:00Z", "last_seen": "2026-11-24T08:00:00Z" });
        let with_seen = |mut row: Value| {
            row.as_object_mut().unwrap().extend(seen.as_object().unwrap().clone());
            row
        };
        let place = json!({ "ip": "198.19.0.7", "port": 443, "transport": "tcp" });
        let at = |more: Value| {
            let mut row = place.clone();
            row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            with_seen(row)
        };
        check(Model::Certificate, with_seen(json!({ "sha256": hash })), Some(&[&hash]));
        check(Model::Certificate, json!(hash), Some(&[&hash]));
        let shown = format!("198.19.0.7:443/tcp {hash}");
        let row = at(json!({ "sha256": hash, "position": 1 }));
        check(Model::EndpointCertificate, row.clone(), Some(&[&shown]));
        check(Model::Certificate, row, None);
        let row = at(json!({ "domain": "example.org", "sources": ["tls"] }));
        check(Model::DomainEndpoint, row, Some(&["example.org 198.19.0.7:443/tcp"]));
        let record = |data: &str| {
            with_seen(json!({ "domain": "example.org", "rtype": "TXT", "data": data }))
        };
        check(Model::DomainRecord, record("\"a\""), Some(&["example.org TXT \"a\""]));
        check(Model::DomainRecord, record(&"x".repeat(2_001)), None);
        for model in [
            Model::Certificate,
            Model::EndpointCertificate,
            Model::DomainEndpoint,
            Model::DomainRecord,
        ] {
            check(model, json!({ "name": "example.org" }), None);
            check(model, json!(7), None);
        }
        check(Model::EndpointCertificate, json!(hash), None);
    }

    #[test]
    fn targets_have_the_kind_that_they_say_or_look_like() {
        check(
            Model::Target,
            json!({ "kind": "domain", "value": "Example.org" }),
            Some(&["domain example.org"]),
        );
        check(
            Model::Target,
            json!({ "kind": "org", "value": "example.org" }),
            Some(&["org example.org"]),
        );
        check(Model::Target, json!("198.19.0.0/24"), Some(&["cidr 198.19.0.0/24"]));
        check(Model::Target, json!("198.19.0.1"), Some(&["ip 198.19.0.1"]));
        check(Model::Target, json!("example.org"), Some(&["domain example.org"]));
        check(Model::Target, json!("Example Ltd."), Some(&["org Example Ltd."]));
        let bad = [
            json!({ "kind": "ip", "value": "198.19.0.0/24" }),
            json!({ "kind": "domain", "value": "198.19.0.1" }),
            json!({ "kind": "asn", "value": "64500" }),
            json!(" "),
        ];
        for item in bad {
            check(Model::Target, item, None);
        }
    }

    #[test]
    fn rows_outside_the_scope_are_told_apart() {
        let scope: Scope = serde_json::from_value(json!({
            "domains": ["example.org"], "addresses": ["198.19.0.0/24"], "exclude": ["198.19.0.7"],
        }))
        .unwrap();
        let refused = |model, item: Value| {
            let rows = rows_of(model, &item).unwrap();
            rows.iter()
                .flat_map(|row| refused(&scope, row))
                .map(|it| (it.what, it.why))
                .collect::<Vec<_>>()
        };
        assert_eq!(refused(Model::Domain, json!("a.example.org")), []);
        assert_eq!(refused(Model::Target, json!("Example Ltd.")), []);
        assert_eq!(
            refused(Model::Target, json!("198.19.0.0/29")),
            [("198.19.0.7".to_owned(), Refusal::Excluded)]
        );
        assert_eq!(
            refused(Model::Endpoint, json!("198.19.1.1:80")),
            [("198.19.1.1".to_owned(), Refusal::OutOfScope)]
        );
        assert_eq!(
            refused(Model::Domain, json!("example.com")),
            [("example.com".to_owned(), Refusal::OutOfScope)]
        );
    }
}
