//! Shodan: addresses, domains, and its honest nothing.

use mrpf_tasks::{
    ErrorKind,
    catalogue::{ShodanDomain, ShodanHost},
};

use super::*;

fn host() -> Value {
    json!({
        "ip": 3_221_225_991_u32,
        "ip_str": "192.0.2.7",
        "asn": "AS64496",
        "org": "Test Networks",
        "isp": "Test Line",
        "os": null,
        "hostnames": ["www.example.org", "Mail.example.org", "www.example.org"],
        "domains": ["example.org"],
        "ports": [443, 53],
        "tags": [],
        "last_update": "2026-11-21T00:00:00.000000",
        "data": [
            { "port": 443, "transport": "tcp", "timestamp": "2026-11-20T01:02:03.456789",
              "product": "nginx", "_shodan": { "module": "https", "id": "1" }, "data": "HTTP/1.1" },
            { "port": 443, "transport": "tcp", "timestamp": "2026-11-19T00:00:00",
              "_shodan": { "module": "http" } },
            { "port": 53, "transport": "udp", "timestamp": "2026-11-18T00:00:00.1",
              "product": "Knot DNS", "_shodan": {} },
            { "port": 22, "transport": "tcp" },
        ],
    })
}

fn domain(subdomains: &[&str], records: &[(&str, &str, &str)], more: bool) -> Reply {
    let records: Vec<Value> = records
        .iter()
        .map(|(subdomain, kind, value)| {
            json!({ "subdomain": subdomain, "type": kind, "value": value,
                    "last_seen": "2026-11-20T01:02:03.456789+00:00" })
        })
        .collect();
    Reply::json(json!({
        "domain": "example.org", "tags": ["ipv6"], "subdomains": subdomains,
        "data": records, "more": more,
    }))
}

fn refused(status: u16, said: &str) -> Reply {
    Reply::status(status, "", json!({ "error": said }).to_string())
}

#[test]
fn a_host_is_found_with_all_its_fields() {
    let (items, truncated, requests) =
        run_well::<ShodanHost>([Reply::json(host())], json!({ "ip": "192.0.2.7" }));
    assert_eq!(
        items,
        [json!({
            "ip": "192.0.2.7",
            "source": "shodan",
            "services": [
                { "port": 22, "transport": "tcp" },
                { "port": 53, "transport": "udp", "service": "Knot DNS",
                  "seen_at": "2026-11-18T00:00:00.100000Z" },
                { "port": 443, "transport": "tcp", "service": "https",
                  "seen_at": "2026-11-20T01:02:03.456789Z" },
            ],
            "names": ["mail.example.org", "www.example.org"],
            "asn": 64_496,
            "organization": "Test Networks",
        })]
    );
    assert!(!truncated);
    assert!(
        requests[0].starts_with("GET /shodan/host/192.0.2.7?key=ShodanKey%25of%22Test1 HTTP/1.1")
    );
}

#[test]
fn an_ipv6_host_is_asked_for() {
    let mut answer = host();
    answer["ip_str"] = json!("2001:db8::7");
    let (items, _, requests) =
        run_well::<ShodanHost>([Reply::json(answer)], json!({ "ip": "2001:DB8:0::7" }));
    assert_eq!(items[0]["ip"], "2001:db8::7");
    assert!(requests[0].starts_with("GET /shodan/host/2001:db8::7?key="), "{}", requests[0]);
}

#[test]
fn a_domain_is_found_over_all_pages_at_the_pace_of_the_source() {
    let (server, hands) = (
        Server::start([
            domain(
                &["www", "*", "old"],
                &[
                    ("", "MX", "mail.example.net"),
                    ("WWW", "A", "192.0.2.7"),
                    ("www", "A", "192.0.2.8"),
                    ("www", "A", "no address"),
                    ("api", "CNAME", "cdn.example.net"),
                ],
                true,
            ),
            domain(&[], &[("www", "AAAA", "2001:db8::7"), ("www", "A", "192.0.2.7")], false),
        ]),
        Hands::new(),
    );
    let input = json!({ "domain": "Example.org" });
    let finished = run::<ShodanDomain>(&settings(&server), &hands, input).unwrap();
    assert!(!finished.truncated);
    let bare = |name: &str| json!({ "name": name, "source": "shodan" });
    assert_eq!(
        hands.items(),
        [
            bare("*.example.org"),
            bare("api.example.org"),
            bare("example.org"),
            bare("old.example.org"),
            json!({
                "name": "www.example.org",
                "source": "shodan",
                "addresses": ["192.0.2.7", "192.0.2.8", "2001:db8::7"],
            }),
        ]
    );
    assert_eq!(hands.sleeps(), [Duration::from_secs(1)]);
    let key = "key=ShodanKey%25of%22Test1";
    let lines: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(
        lines,
        [1, 2].map(|page| format!("GET /dns/domain/example.org?{key}&page={page} HTTP/1.1"))
    );
}

#[test]
fn pages_that_the_plan_does_not_have_are_said_to_be_missing() {
    let first = || domain(&["www"], &[("www", "A", "192.0.2.7")], true);
    let (items, truncated, requests) = run_well::<ShodanDomain>(
        [first(), refused(403, "Paging requires enterprise access")],
        json!({ "domain": "example.org" }),
    );
    assert!(items.len() == 1 && truncated && requests.len() == 2);
    // Not so when there are no words to it, or it is something else.
    for (reply, kind) in [
        (Reply::status(403, "Content-Type: text/html\r\n", "<html>"), ErrorKind::Blocked),
        (refused(429, "slow down"), ErrorKind::RateLimited),
        (refused(502, "down"), ErrorKind::Upstream),
        (refused(404, "No information available for that domain."), ErrorKind::Malformed),
    ] {
        let (server, hands) = (Server::start([first(), reply]), Hands::new());
        let input = json!({ "domain": "example.org" });
        let error = run::<ShodanDomain>(&settings(&server), &hands, input).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(hands.items().is_empty());
    }
}

#[test]
fn a_task_told_to_stop_between_pages_asks_no_more() {
    let first = domain(&["www"], &[("www", "A", "192.0.2.7")], true);
    let (server, hands) = (Server::start([first]), Hands::stopped_at_sleep());
    let input = json!({ "domain": "example.org" });
    let error = run::<ShodanDomain>(&settings(&server), &hands, input).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    assert!(server.requests().len() == 1 && hands.items().is_empty());
}

#[test]
fn nothing_known_is_said_by_the_source_and_by_nothing_else() {
    let nothing = || refused(404, "No information available for that IP.");
    let (items, truncated, _) = run_well::<ShodanHost>([nothing()], json!({ "ip": "192.0.2.7" }));
    assert!(items.is_empty() && !truncated);
    let (items, truncated, _) = run_well::<ShodanDomain>(
        [refused(404, "No information available for that domain.")],
        json!({ "domain": "example.org" }),
    );
    assert!(items.is_empty() && !truncated);
    let empty = domain(&[], &[], false);
    assert!(run_well::<ShodanDomain>([empty], json!({ "domain": "example.org" })).0.is_empty());
    for (reply, kind) in [
        (refused(404, "Not found"), ErrorKind::Malformed),
        (Reply::status(404, "", ""), ErrorKind::Malformed),
        (Reply::status(404, "Content-Type: text/html\r\n", "<html>"), ErrorKind::Blocked),
        (refused(200, "No information available for that IP."), ErrorKind::Malformed),
        (refused(400, "Invalid IP"), ErrorKind::Input),
    ] {
        let (server, hands) = (Server::start([reply]), Hands::new());
        let error = run::<ShodanHost>(&settings(&server), &hands, json!({ "ip": "192.0.2.7" }))
            .unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
}

#[test]
fn what_is_not_the_documented_answer_is_refused() {
    let change = |field: &str, value: Value| {
        let mut host = host();
        host[field] = value;
        host
    };
    for answer in [
        change("ip_str", json!("192.0.2.8")), // about another host
        change("ip_str", json!("seven")),
        change("asn", json!("64496")),
        change("asn", json!("AS99999999999")),
        change("data", Value::Null),
        change("data", json!([{ "port": 70_000, "transport": "tcp" }])),
        change("data", json!([{ "port": 7, "transport": "sctp" }])),
        change("data", json!([{ "transport": "tcp" }])),
        change("hostnames", json!("www.example.org")),
    ] {
        let (server, hands) = (Server::start([Reply::json(&answer)]), Hands::new());
        let error = run::<ShodanHost>(&settings(&server), &hands, json!({ "ip": "192.0.2.7" }))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{error} of {answer}");
        assert!(hands.items().is_empty());
    }
    for reply in [
        Reply::json(
            json!({ "domain": "example.net", "subdomains": [], "data": [], "more": false }),
        ),
        Reply::json(json!({ "domain": "example.org", "subdomains": [], "data": [], "more": true })),
        Reply::json(json!({ "domain": "example.org", "subdomains": [], "data": [] })),
        Reply::json(json!({ "domain": "example.org", "data": [], "more": false })),
    ] {
        let (server, hands) = (Server::start([reply]), Hands::new());
        let input = json!({ "domain": "example.org" });
        let error = run::<ShodanDomain>(&settings(&server), &hands, input).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Malformed, "{error}");
    }
}
