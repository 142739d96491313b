//! Everything that is no answer is an error of its kind, for every task alike: never "0 results, success".

use std::time::Instant;

use mrpf_tasks::ErrorKind::{self, Blocked, Input, Malformed, RateLimited, Truncated, Upstream};

use super::*;

const HTML: &str = "Content-Type: text/html; charset=UTF-8\r\n";

/// Each task fails with `kind` when it is answered `reply`, and emits nothing.
#[track_caller]
fn check(reply: &Reply, kind: ErrorKind, retry_after_ms: Option<u64>) {
    for (definition, input) in inputs() {
        let (server, hands) = (Server::start([reply.clone()]), Hands::new());
        let error = runners(&settings(&server)).run(&hands, &order(definition, input)).unwrap_err();
        assert_eq!(error.kind, kind, "{definition}: {error}; {reply:?}");
        assert_eq!(error.retry_after_ms, retry_after_ms, "{definition}: {error}");
        assert!(hands.items().is_empty(), "{definition}: {error}");
        assert_eq!(server.requests().len(), 1, "{definition}: {error}");
        let source = runners(&settings(&server)).find(definition).unwrap().source.unwrap();
        assert!(error.message.starts_with(&format!("{source}: ")), "{definition}: {error}");
    }
}

#[test]
fn a_status_other_than_200_is_an_error() {
    for (status, kind) in [
        (204, Malformed),
        (206, Malformed),
        (301, Malformed),
        (304, Malformed),
        (400, Input),
        (401, Blocked),
        (402, Blocked),
        (403, Blocked),
        (404, Malformed),
        (408, Upstream),
        (410, Malformed),
        (422, Input),
        (429, RateLimited),
        (451, Blocked),
        (500, Upstream),
        (502, Upstream),
        (503, Upstream),
        (504, Upstream),
        (522, Upstream),
    ] {
        // A body that would be an answer makes no difference.
        let body = if status == 204 || status == 304 { "" } else { "[]" };
        check(&Reply::status(status, "", body), kind, None);
    }
}

#[test]
fn pages_are_no_answers() {
    check(&Reply::status(200, HTML, "<html><body>Just a moment..."), Blocked, None);
    check(&Reply::status(200, HTML, ""), Blocked, None);
    check(&Reply::status(200, HTML, "[]"), Blocked, None);
    check(&Reply::json("\n<!DOCTYPE html>"), Blocked, None);
    check(&Reply::status(403, HTML, "<html>"), Blocked, None);
    check(&Reply::status(404, HTML, "<html>"), Blocked, None);
    check(&Reply::status(429, HTML, "<html>"), RateLimited, None);
    check(&Reply::status(502, HTML, "<html>"), Upstream, None);
}

#[test]
fn the_wait_that_is_asked_for_is_kept() {
    let late = "Retry-After: 90\r\n";
    check(&Reply::status(429, late, "{}"), RateLimited, Some(90_000));
    check(&Reply::status(503, late, "{}"), Upstream, Some(90_000));
    check(&Reply::status(403, late, "{}"), Blocked, Some(90_000));
    check(&Reply::status(200, &format!("{HTML}{late}"), "<html>"), Blocked, Some(90_000));
    // The hands' clock says 12:00:00.
    let date = "Retry-After: Fri, 27 Nov 2026 12:01:00 GMT\r\n";
    check(&Reply::status(429, date, "{}"), RateLimited, Some(60_000));
    check(&Reply::status(429, "Retry-After: soon\r\n", "{}"), RateLimited, None);
}

#[test]
fn bodies_that_are_no_answer_are_malformed() {
    for body in [
        "",
        " \n",
        "null",
        "{}",
        "{\"x\":1}",
        "\"[]\"",
        "7",
        "[1]",
        "[{}]",
        "[] []",
        "OK",
        "\u{feff}[]",
    ] {
        check(&Reply::json(body), Malformed, None);
    }
    check(&Reply::json("").and("[]"), Malformed, None);
    check(&Reply::status(200, "", [0xff, 0xfe, 0x00]), Malformed, None);
    check(&Reply::status(200, "Content-Encoding: gzip\r\n", "[] is not packed"), Malformed, None);
}

/// A whole answer to each task of [`inputs`].
fn whole_answers() -> [String; 5] {
    let censys = |hit: Value| {
        json!({ "result": { "hits": [hit], "next_page_token": "", "total_hits": 1 } }).to_string()
    };
    [
        json!([{ "issuer_name": "CN=R1", "name_value": "a.example.org", "result_count": 1 }])
            .to_string(),
        censys(json!({ "host_v1": { "resource": { "ip": "192.0.2.7", "services": [] } } })),
        censys(json!({ "certificate_v1": { "resource": { "names": ["a.example.org"] } } })),
        json!({ "ip_str": "192.0.2.7", "hostnames": [], "data": [] }).to_string(),
        json!({ "domain": "example.org", "subdomains": ["a"], "data": [], "more": false })
            .to_string(),
    ]
}

#[test]
fn half_an_answer_is_truncated() {
    for ((definition, input), whole) in inputs().into_iter().zip(whole_answers()) {
        let run = |reply: Reply| {
            let (server, hands) = (Server::start([reply]), Hands::new());
            let ended = runners(&settings(&server)).run(&hands, &order(definition, input.clone()));
            (ended.map_err(|error| error.kind), hands.items().len())
        };
        let chunk = |text: &str| {
            let head = Reply::head(200, "Transfer-Encoding: chunked\r\n");
            head.and(format!("{:x}\r\n{text}\r\n", text.len()))
        };
        assert_eq!(run(Reply::json(&whole)), (Ok(Finished::default()), 1), "{definition}");
        assert_eq!(run(chunk(&whole).and("0\r\n\r\n")).1, 1, "{definition}");
        let length = format!("Content-Length: {}\r\n", whole.len() + 1);
        // All of it, and yet the connection closes before the end that was promised.
        let mut cut = vec![Reply::head(200, &length).and(&whole), chunk(&whole)];
        for end in (1..whole.len()).step_by(9) {
            let part = &whole[..end];
            // The service itself ended early; the connection did; nobody said how long it would be.
            cut.extend([
                Reply::json(part),
                Reply::head(200, &length).and(part),
                Reply::head(200, "").and(part),
                chunk(part),
                chunk(part).and("0\r\n\r\n"),
            ]);
        }
        let packed = server::gzip(whole.as_bytes());
        for end in [9, 14, packed.len() / 2, packed.len() - 1] {
            let packed = &packed[..end];
            cut.push(Reply::status(200, "Content-Encoding: gzip\r\n", packed));
        }
        for reply in cut {
            assert_eq!(run(reply.clone()), (Err(Truncated), 0), "{definition}: {reply:?}");
        }
    }
    // Nothing of what was promised.
    check(&Reply::head(200, "Content-Length: 20\r\n"), Truncated, None);
}

#[test]
fn services_that_do_not_answer_are_upstream_errors() {
    check(&Reply::default(), Upstream, None);
    check(&Reply::default().and("HTTP/1.1 200"), Upstream, None);
    check(&Reply::default().and("SSH-2.0-OpenSSH_9\r\n\r\n"), Malformed, None);
    // Nobody listens: the port was free a moment ago.
    for (definition, input) in inputs() {
        let gone = settings(&Server::start([]));
        let error = runners(&gone).run(&Hands::new(), &order(definition, input)).unwrap_err();
        assert_eq!(error.kind, Upstream, "{error}");
    }
}

#[test]
fn slow_answers_end_in_time() {
    let pause = Duration::from_millis(1_500);
    for ((definition, input), whole) in inputs().into_iter().zip(whole_answers()) {
        let before = Reply::default().wait(pause).and("late");
        let (first, last) = whole.split_at(whole.len() / 2);
        let length = format!("Content-Length: {}\r\n", whole.len());
        let within = Reply::head(200, &length).and(first).wait(pause).and(last);
        for reply in [before, within] {
            let (server, input) = (Server::start([reply]), input.clone());
            let mut settings = settings(&server);
            settings.limits.call = Duration::from_millis(200);
            let (begun, hands) = (Instant::now(), Hands::new());
            let error = runners(&settings).run(&hands, &order(definition, input)).unwrap_err();
            assert!(begun.elapsed() < pause, "{definition}: {:?}", begun.elapsed());
            assert_eq!(error.kind, Upstream, "{definition}: {error}");
            assert!(error.message.contains("time"), "{definition}: {error}");
        }
    }
}

#[test]
fn huge_answers_are_not_read_to_their_end() {
    // 4 MiB of blanks where 1 MiB is allowed, as they are and in 8 KiB.
    let blanks = " ".repeat(4 * 1_024 * 1_024);
    check(&Reply::json(blanks), Malformed, None);
    let packed = server::gzip_of_blanks(16_256);
    assert!(packed.len() < 32 * 1_024, "{}", packed.len());
    check(&Reply::status(200, "Content-Encoding: gzip\r\n", packed), Malformed, None);
    // A row that never ends.
    let row = format!("[{{\"name_value\":\"{}", "a".repeat(2 * 1_024 * 1_024));
    check(&Reply::json(row), Malformed, None);
    // The sample unpacks where it is allowed to.
    let (server, hands) = (
        Server::start([Reply::status(
            200,
            "Content-Encoding: gzip\r\n",
            server::gzip_of_blanks(2),
        )]),
        Hands::new(),
    );
    let input = json!({ "domain": "example.org" });
    let error = runners(&settings(&server)).run(&hands, &order("CrtSh", input)).unwrap_err();
    assert!(error.message.contains("empty body"), "{error}");
}

#[test]
fn a_redirect_is_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::start([Reply::json("[]")]);
        let location = format!("Location: {}/?key={KEY}\r\n", elsewhere.url());
        check(&Reply::status(status, &location, ""), Malformed, None);
        assert!(elsewhere.requests().is_empty(), "{status}");
    }
}
