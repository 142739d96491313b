//! Keys stay where they belong, whatever a service sends.

use mrpf_tasks::{ErrorKind, TaskError};

use super::*;

/// A key as it may stand in a text: as it is, as in URLs, as Rust and JSON quote it, in letters of one case.
fn forms(key: &str) -> Vec<String> {
    let encoded = key
        .replace('%', "%25")
        .replace('"', "%22")
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let quoted = format!("{key:?}").trim_matches('"').to_owned();
    let forms = [key.to_owned(), encoded, quoted];
    forms.iter().flat_map(|form| [form.clone(), form.to_lowercase(), form.to_uppercase()]).collect()
}

#[track_caller]
fn check_hidden(error: &TaskError, hands: &Hands) {
    let shown = format!("{error} {error:?} {} {:?}", json!(error), hands.notes()).to_lowercase();
    for form in [TOKEN, KEY].into_iter().flat_map(forms) {
        assert!(!shown.contains(&form.to_lowercase()), "{form} in {shown}");
    }
    // Nor most of one.
    assert!(!shown.contains("t0ken") && !shown.contains("shodankey"), "{shown}");
}

#[test]
fn a_service_that_sends_the_key_back_does_not_get_it_into_errors() {
    for key in [TOKEN, KEY] {
        for form in forms(key) {
            let long = format!("{}{form}", "x".repeat(190));
            for reply in [
                Reply::status(401, "", json!({ "error": form }).to_string()),
                Reply::status(403, "", json!({ "detail": long, "title": form }).to_string()),
                Reply::status(400, "", json!({ "errors": [{ "message": form }] }).to_string()),
                Reply::status(500, "", &form),
                Reply::status(404, "Content-Type: text/html\r\n", format!("<p>{form}")),
                Reply::status(302, &format!("Location: https://example.net/?key={form}\r\n"), ""),
                Reply::json(json!(form)),
                Reply::json(json!({ "error": form })),
                Reply::json(json!([{ "issuer_name": [form] }])),
                Reply::json(json!([{ "issuer_name": "", "name_value": "", "result_count": form }])),
                Reply::json(json!({ "result": { "hits": form } })),
                Reply::json(json!({ "ip_str": form, "hostnames": [], "data": [] })),
                Reply::json(json!({ "ip_str": "192.0.2.7", "hostnames": [], "data": form })),
                Reply::json(
                    json!({ "ip_str": "192.0.2.7", "hostnames": [], "data": [], "asn": form }),
                ),
                Reply::json(json!({ "domain": form, "subdomains": [], "data": [], "more": false })),
                Reply::default().and(&form),
            ] {
                for (definition, input) in inputs() {
                    // A key that belongs to another service is not known here, and was never sent here.
                    if definition.starts_with("Shodan") != (key == KEY) || definition == "CrtSh" {
                        continue;
                    }
                    let (server, hands) = (Server::start([reply.clone()]), Hands::new());
                    let error = runners(&settings(&server))
                        .run(&hands, &order(definition, input))
                        .unwrap_err();
                    check_hidden(&error, &hands);
                }
            }
        }
    }
}

#[test]
fn a_service_that_cannot_be_reached_does_not_get_the_key_into_errors() {
    for (definition, input) in inputs() {
        let gone = settings(&Server::start([]));
        let hands = Hands::new();
        let error = runners(&gone).run(&hands, &order(definition, input)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Upstream);
        check_hidden(&error, &hands);
    }
}

#[test]
fn each_service_gets_its_own_key_and_no_other() {
    for (definition, input) in inputs() {
        let server = Server::start([]);
        runners(&settings(&server)).run(&Hands::new(), &order(definition, input)).unwrap_err();
        let asked = server.requests().concat();
        let has = |key: &str| forms(key).iter().any(|form| asked.contains(form.as_str()));
        assert_eq!(has(TOKEN), definition.starts_with("Censys"), "{definition}");
        assert_eq!(has(KEY), definition.starts_with("Shodan"), "{definition}");
    }
}

#[test]
fn a_key_that_is_missing_is_named_and_nothing_is_asked() {
    for (definition, input) in inputs() {
        let variable = match definition {
            "CensysHosts" | "CensysCertificates" => "CENSYS_TOKEN",
            "ShodanHost" | "ShodanDomain" => "SHODAN_API_KEY",
            _ => continue,
        };
        let server = Server::start([]);
        let settings = Settings { censys_token: None, shodan_key: None, ..settings(&server) };
        let error = runners(&settings).run(&Hands::new(), &order(definition, input)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotConfigured);
        assert!(error.message.contains(&format!("{variable} is not set")), "{error}");
        assert!(server.requests().is_empty());
    }
}

#[test]
fn a_key_that_is_refused_is_named_before_what_the_service_says() {
    let said = "no ".repeat(500);
    for status in [401, 403] {
        for (definition, input) in inputs() {
            let reply = Reply::status(status, "", json!({ "error": said }).to_string());
            let server = Server::start([reply]);
            let error = runners(&settings(&server))
                .run(&Hands::new(), &order(definition, input))
                .unwrap_err();
            let expected = match definition {
                "CrtSh" => format!("crt.sh: status {status}: no no"),
                "CensysHosts" | "CensysCertificates" => {
                    format!("censys: status {status} (is CENSYS_TOKEN right")
                }
                _ => format!("shodan: status {status} (is SHODAN_API_KEY right"),
            };
            assert!(error.message.starts_with(&expected), "{error}");
            assert!(error.message.len() < 250, "{error}");
        }
    }
}

#[test]
fn debug_texts_have_no_keys() {
    let server = Server::start([]);
    let settings = settings(&server);
    let texts = format!(
        "{settings:?} {settings:#?} {:?} {:?} {:?}",
        runners(&settings),
        crate::censys::AskCensys::new(&settings),
        crate::shodan::AskShodan::new(&settings),
    )
    .to_lowercase();
    assert!(!texts.contains("t0ken") && !texts.contains("shodankey"), "{texts}");
    assert!(texts.contains("***"), "the keys are there, hidden: {texts}");
}
