//! Censys: pages, credits, and every field of what is found.

use mrpf_tasks::{
    ErrorKind,
    catalogue::{CensysCertificates, CensysHosts},
};

use super::*;

fn page(hits: Value, next: &str, total: f64) -> Reply {
    Reply::json(json!({ "result": {
        "hits": hits,
        "next_page_token": next,
        "previous_page_token": "",
        "query_duration_millis": 12,
        "total_hits": total,
    }}))
}

fn host(resource: Value) -> Value {
    json!({ "host_v1": { "extensions": {}, "resource": resource, "matched_services": [] } })
}

fn certificate(names: &[&str], not_before: &str, serial: &str) -> Value {
    json!({ "certificate_v1": { "extensions": {}, "resource": {
        "fingerprint_sha256": "00ff",
        "names": names,
        "parsed": {
            "issuer_dn": "C=XX, O=Test Trust, CN=R1",
            "subject_dn": "CN=example.org",
            "serial_number": "2571",
            "serial_number_hex": serial,
            "validity_period": {
                "length_seconds": 1,
                "not_before": not_before,
                "not_after": "2027-01-02T03:04:05Z",
            },
        },
    }}})
}

#[test]
fn hosts_are_found_with_all_their_fields() {
    let full = host(json!({
        "ip": "192.0.2.7",
        "location": { "country": "Nowhere" },
        "autonomous_system": { "asn": 64_496, "name": "TEST", "organization": "Test Networks" },
        "whois": { "organization": { "handle": "T1", "name": "Test Registrant" } },
        "dns": {
            "names": ["www.example.org", "Example.org"],
            "reverse_dns": { "names": ["seven.example.net", "example.org", ""] },
        },
        "service_count": 5,
        "services": [
            { "port": 443, "transport_protocol": "tcp", "protocol": "HTTP",
              "scan_time": "2026-11-20T01:02:03.456Z", "tls": { "version_selected": "tls1_3" } },
            { "port": 443, "transport_protocol": "quic", "protocol": "", "scan_time": "never" },
            { "port": 53, "transport_protocol": "udp", "protocol": "DNS" },
            { "transport_protocol": "icmp", "protocol": "PING" },
            { "port": 9 },
        ],
    }));
    let bare = host(json!({ "ip": "2001:db8::7", "services": null, "whois": {} }));
    let other = json!({ "webproperty_v1": { "extensions": {}, "resource": {} } });
    let (items, truncated, requests) = run_well::<CensysHosts>(
        [page(json!([full, other, bare]), "", 3.0)],
        json!({ "query": "host.ip: 192.0.2.0/24 or \"x\"" }),
    );
    assert_eq!(
        items,
        [
            json!({
                "ip": "192.0.2.7",
                "source": "censys",
                "services": [
                    { "port": 443, "transport": "tcp", "service": "HTTP",
                      "seen_at": "2026-11-20T01:02:03.456000Z" },
                    { "port": 443, "transport": "udp" },
                    { "port": 53, "transport": "udp", "service": "DNS" },
                ],
                "names": ["example.org", "seven.example.net", "www.example.org"],
                "asn": 64_496,
                "organization": "Test Registrant",
            }),
            json!({ "ip": "2001:db8::7", "source": "censys", "services": [] }),
        ]
    );
    assert!(!truncated);
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with(
        "POST /v3/global/search/query?organization_id=11111111-2222-3333-4444-555555555555 HTTP/1.1"
    ));
    let head = head.to_lowercase();
    assert!(head.contains(&format!("\r\nauthorization: bearer {}", TOKEN.to_lowercase())));
    assert!(head.contains("\r\ncontent-type: application/json"));
    let asked: Value = serde_json::from_str(body).unwrap();
    assert_eq!(asked, json!({ "query": "host.ip: 192.0.2.0/24 or \"x\"", "page_size": 100 }));
}

#[test]
fn the_network_operator_stands_in_for_a_registrant() {
    let hit = host(json!({
        "ip": "192.0.2.7",
        "autonomous_system": { "asn": 64_496, "organization": "Test Networks" },
    }));
    let (items, ..) =
        run_well::<CensysHosts>([page(json!([hit]), "", 1.0)], json!({ "query": "x" }));
    assert_eq!(items[0]["organization"], "Test Networks");
}

#[test]
fn names_of_certificates_come_once_over_all_pages() {
    let (server, hands) = (
        Server::start([
            page(
                json!([certificate(
                    &["a.example.org", "b.example.org"],
                    "2026-01-01T00:00:00Z",
                    "01"
                )]),
                "to/2",
                3.0,
            ),
            page(
                json!([certificate(&["A.example.org"], "2026-02-01T00:00:00Z", "02")]),
                "to/3",
                3.0,
            ),
            page(json!([certificate(&["b.example.org"], "2025-01-01T00:00:00Z", "00")]), "", 3.0),
        ]),
        Hands::new(),
    );
    let input = json!({ "query": "cert.names: example.org" });
    let finished = run::<CensysCertificates>(&settings(&server), &hands, input).unwrap();
    assert!(!finished.truncated);
    let found = |name: &str, not_before: &str, serial: &str| {
        json!({
            "name": name,
            "source": "censys",
            "not_before": not_before,
            "not_after": "2027-01-02T03:04:05.000000Z",
            "issuer": "C=XX, O=Test Trust, CN=R1",
            "serial": serial,
        })
    };
    assert_eq!(
        hands.items(),
        [
            found("a.example.org", "2026-02-01T00:00:00.000000Z", "02"),
            found("b.example.org", "2026-01-01T00:00:00.000000Z", "01"),
        ]
    );
    // The pace is kept between pages, and each page is asked for with the token of the one before.
    assert_eq!(hands.sleeps(), [Duration::from_millis(2_500); 2]);
    let tokens: Vec<Value> = server
        .requests()
        .iter()
        .map(|request| {
            let body = request.split_once("\r\n\r\n").unwrap().1;
            serde_json::from_str::<Value>(body).unwrap()["page_token"].clone()
        })
        .collect();
    assert_eq!(tokens, [Value::Null, json!("to/2"), json!("to/3")]);
    assert_eq!(hands.notes(), ["page 1", "page 2", "page 3"]);
}

#[test]
fn no_more_pages_are_paid_for_than_allowed() {
    let hit = || json!([host(json!({ "ip": "192.0.2.7" }))]);
    let (items, truncated, requests) = run_well::<CensysHosts>(
        [page(hit(), "2", 900.0), page(hit(), "3", 900.0)],
        json!({ "query": "x", "max_pages": 2 }),
    );
    assert!(items.len() == 2 && truncated && requests.len() == 2);
}

#[test]
fn a_task_told_to_stop_between_pages_asks_no_more() {
    let hits = json!([host(json!({ "ip": "192.0.2.7" }))]);
    let (server, hands) = (Server::start([page(hits, "2", 900.0)]), Hands::stopped_at_sleep());
    let error =
        run::<CensysHosts>(&settings(&server), &hands, json!({ "query": "x" })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn nothing_found_is_said_by_the_source() {
    for hits in [json!([]), Value::Null] {
        let (items, truncated, _) =
            run_well::<CensysHosts>([page(hits, "", 0.0)], json!({ "query": "x" }));
        assert!(items.is_empty() && !truncated);
    }
    // A last page may be empty.
    let hits = json!([host(json!({ "ip": "192.0.2.7" }))]);
    let replies = [page(hits, "2", 1.0), page(Value::Null, "", 1.0)];
    assert_eq!(run_well::<CensysHosts>(replies, json!({ "query": "x" })).0.len(), 1);
}

#[test]
fn what_is_not_the_documented_search_is_refused() {
    let hit = || host(json!({ "ip": "192.0.2.7" }));
    let one = |reply| vec![reply];
    for (replies, kind) in [
        (one(page(json!([]), "", 7.0)), ErrorKind::Malformed), // hits, and none given
        (one(page(Value::Null, "", 7.0)), ErrorKind::Malformed),
        (one(page(json!([{ "host_v2": {} }]), "", 1.0)), ErrorKind::Malformed),
        (one(page(json!([host(json!({ "ip": "seven" }))]), "", 1.0)), ErrorKind::Malformed),
        (one(page(json!([host(json!({}))]), "", 1.0)), ErrorKind::Malformed),
        (one(Reply::json("{}")), ErrorKind::Malformed),
        (one(Reply::json(r#"{"result":{}}"#)), ErrorKind::Malformed),
        (one(Reply::json(r#"{"result":{"hits":[],"total_hits":0}}"#)), ErrorKind::Malformed),
        // The same page for ever.
        (
            vec![page(json!([hit()]), "2", 9.0), page(json!([hit()]), "2", 9.0)],
            ErrorKind::Malformed,
        ),
        // A query for something else.
        (one(page(json!([certificate(&["a"], "", "")]), "", 1.0)), ErrorKind::Input),
    ] {
        let (server, hands) = (Server::start(replies), Hands::new());
        let error =
            run::<CensysHosts>(&settings(&server), &hands, json!({ "query": "x" })).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}
