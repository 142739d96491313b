//! crt.sh: what is asked, and every field of what is found.

use mrpf_tasks::catalogue::CrtSh;
use serde_json::{Value, json};

use super::*;

/// A row as crt.sh has it.
fn row(names: &str, not_before: &str, serial: &str, count: u64) -> Value {
    json!({
        "issuer_ca_id": 12_345,
        "issuer_name": "C=XX, O=Test Trust, CN=Test Trust R1",
        "common_name": "example.org",
        "name_value": names,
        "id": 9_876_543_210_i64,
        "entry_timestamp": "2026-10-01T09:08:07.654",
        "not_before": not_before,
        "not_after": "2027-01-02T03:04:05",
        "serial_number": serial,
        "result_count": count,
    })
}

#[test]
fn each_name_comes_once_with_its_newest_certificate() {
    let body = json!([
        row("www.example.org\nexample.org", "2026-09-30T08:00:00", "0a0b", 4),
        row("WWW.example.org\n*.example.org\nadmin@example.org", "2026-10-01T08:00:00", "0c0d", 6),
        row("example.org", "2025-10-01T08:00:00", "0102", 2),
        row("example.org.elsewhere.test", "2026-01-01T00:00:00.5", "", 1),
    ]);
    let (items, truncated, requests) =
        run_well::<CrtSh>([Reply::json(body)], json!({ "domain": "Example.ORG" }));
    let found = |name: &str, not_before: &str, serial: &str| {
        json!({
            "name": name,
            "source": "crt.sh",
            "not_before": not_before,
            "not_after": "2027-01-02T03:04:05.000000Z",
            "issuer": "C=XX, O=Test Trust, CN=Test Trust R1",
            "serial": serial,
        })
    };
    let mut bare = found("example.org.elsewhere.test", "2026-01-01T00:00:00.500000Z", "");
    bare.as_object_mut().unwrap().remove("serial");
    assert_eq!(
        items,
        [
            found("*.example.org", "2026-10-01T08:00:00.000000Z", "0c0d"),
            found("admin@example.org", "2026-10-01T08:00:00.000000Z", "0c0d"),
            found("example.org", "2026-09-30T08:00:00.000000Z", "0a0b"),
            bare,
            found("www.example.org", "2026-10-01T08:00:00.000000Z", "0c0d"),
        ]
    );
    assert!(!truncated);
    let request = requests[0].to_lowercase();
    let line = "get /?q=example.org&match=ilike&output=json&exclude=expired http/1.1\r\n";
    assert!(request.starts_with(line), "{request}");
    assert!(request.contains("\r\nuser-agent: mrpf/"), "{request}");
    assert!(request.contains("\r\naccept-encoding: gzip\r\n"), "{request}");
    assert_eq!(requests.len(), 1);
}

#[test]
fn an_empty_list_is_nothing_found() {
    let (items, truncated, requests) = run_well::<CrtSh>(
        [Reply::json("[]")],
        json!({ "domain": "cafe", "include_expired": true }),
    );
    assert!(items.is_empty() && !truncated);
    // A hexadecimal word as `q` would be a serial number.
    assert!(requests[0].starts_with("GET /?Identity=cafe&match=ILIKE&output=json HTTP/1.1\r\n"));
}

#[test]
fn ten_thousand_identities_mean_that_there_was_more() {
    let rows = |count: u64| {
        let rows: Vec<_> = (0..100)
            .map(|n| row(&format!("n{n}.example.org"), "2026-01-01T00:00:00", "01", count))
            .collect();
        [Reply::json(Value::from(rows))]
    };
    let input = json!({ "domain": "example.org" });
    let (items, truncated, _) = run_well::<CrtSh>(rows(99), input.clone());
    assert!(items.len() == 100 && !truncated);
    let (items, truncated, _) = run_well::<CrtSh>(rows(100), input.clone());
    assert!(items.len() == 100 && truncated, "10,000 identities in 100 rows");
    // Where rows do not say how many they stand for, each stands for one.
    let bare = json!({ "issuer_name": "", "name_value": "a.example.org" });
    let rows = |count: usize| [Reply::json(Value::from(vec![bare.clone(); count]))];
    assert!(!run_well::<CrtSh>(rows(9_999), input.clone()).1);
    let (items, truncated, _) = run_well::<CrtSh>(rows(10_000), input);
    assert!(truncated);
    assert_eq!(items, [json!({ "name": "a.example.org", "source": "crt.sh" })]);
}

#[test]
fn packed_answers_and_answers_in_pieces_are_read() {
    let body = json!([row("a.example.org", "2026-01-01T00:00:00", "01", 1)]).to_string();
    let (first, second) = body.split_at(body.len() / 2);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let replies = [
        Reply::status(200, "Content-Encoding: gzip\r\n", server::gzip(body.as_bytes())),
        Reply::head(200, "Transfer-Encoding: chunked\r\n")
            .and(chunk(first))
            .wait(Duration::from_millis(30))
            .and(chunk(second))
            .and("0\r\n\r\n"),
        Reply::head(200, "").and(&body),
        Reply::json(format!("\r\n {body}\n")),
    ];
    for reply in replies {
        let (items, ..) = run_well::<CrtSh>([reply], json!({ "domain": "example.org" }));
        assert_eq!(items.len(), 1);
        assert_eq!(items[0]["name"], "a.example.org");
    }
}

#[test]
fn a_task_that_is_to_stop_asks_nothing() {
    for (definition, input) in inputs() {
        let (server, hands) = (Server::start([]), Hands::stopped());
        let error = runners(&settings(&server)).run(&hands, &order(definition, input)).unwrap_err();
        assert_eq!(error.kind, mrpf_tasks::ErrorKind::Cancelled, "{definition}");
        assert!(server.requests().is_empty(), "{definition}");
    }
}
