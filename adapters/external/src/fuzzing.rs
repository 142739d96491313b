//! What a fuzzer does with answers of services; compiled for fuzzing and tests alone.

use std::fmt::Debug;

use mrpf_records::Timestamp;
use mrpf_tasks::{
    ErrorKind,
    catalogue::{HostFound, NameFound},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    body::{self, BadAnswer},
    censys, crt_sh, moment,
    names::Names,
    service, shodan,
};

/// The domain that [`fuzz_answers`] takes the answer to be about.
const DOMAIN: &str = "example.org";

/// Reads `data` as an answer of each service. What a parser takes must be well-formed; what it does not take must be
/// refused with a kind that says what to do.
///
/// # Panics
///
/// When that does not hold.
pub fn fuzz_answers(data: &[u8]) {
    let opened = match body::open(data) {
        Ok(opened) => opened,
        Err(bad) => return check_bad(&bad),
    };
    match crt_sh::read(opened) {
        Ok(read) => {
            check_json(data);
            check_names(&read.names.found("crt.sh").collect::<Vec<_>>());
        }
        Err(bad) => check_bad(&bad),
    }
    match censys::read(opened) {
        Ok(page) => {
            check_json(data);
            let mut names = Names::default();
            for hit in page.hits {
                hit.add_to(&mut names);
                match hit.host() {
                    Ok(host) => host.iter().for_each(check_host),
                    Err(bad) => check_bad(&bad),
                }
            }
            check_names(&names.found("censys").collect::<Vec<_>>());
        }
        Err(bad) => check_bad(&bad),
    }
    match shodan::read_host(opened) {
        Ok(host) => {
            check_json(data);
            check_host(&host);
            let ports: Vec<_> =
                host.services.iter().map(|service| (service.port, &service.transport)).collect();
            assert!(ports.is_sorted_by(|a, b| a < b), "each port once: {ports:?}");
        }
        Err(bad) => check_bad(&bad),
    }
    let mut names = shodan::Addresses::new();
    match shodan::read_domain(opened, DOMAIN, &mut names) {
        Ok(_) => {
            check_json(data);
            let found: Vec<_> = shodan::found(&names).collect();
            check_names(&found);
            assert!(found.iter().all(|found| found.name.ends_with(DOMAIN)), "{found:?}");
        }
        Err(bad) => check_bad(&bad),
    }
    if let Some(said) = service::said(data) {
        assert!(!said.is_empty() && said.trim() == said);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        // Both take any text; neither may panic.
        let _ = (moment::read(text), moment::retry_after(text, Timestamp::from_unix_micros(0)));
    }
}

fn check_json(data: &[u8]) {
    serde_json::from_slice::<serde::de::IgnoredAny>(data).expect("what was taken is JSON");
}

fn check_bad(bad: &BadAnswer) {
    let kinds = [ErrorKind::Blocked, ErrorKind::Malformed, ErrorKind::Truncated];
    assert!(kinds.contains(&bad.kind) && !bad.why.is_empty(), "{bad:?}");
}

fn check_names(found: &[NameFound]) {
    assert!(found.is_sorted_by(|a, b| a.name < b.name), "each name once: {found:?}");
    for found in found {
        assert!(is_clean(&found.name), "{found:?}");
        assert!(found.issuer.as_deref() != Some("") && found.serial.as_deref() != Some(""));
        check_round_trip(found);
    }
}

fn check_host(host: &HostFound) {
    assert!(host.names.is_sorted_by(|a, b| a < b) && host.names.iter().all(|name| is_clean(name)));
    assert!(host.organization.as_deref() != Some(""));
    for service in &host.services {
        assert!(service.transport == "tcp" || service.transport == "udp", "{service:?}");
        assert!(service.service.as_deref() != Some(""));
    }
    check_round_trip(host);
}

fn is_clean(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.bytes().any(|octet| octet.is_ascii_uppercase())
}

fn check_round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(item: &T) {
    let json = serde_json::to_string(item).expect("items are JSON");
    assert_eq!(&serde_json::from_str::<T>(&json).expect("and come back"), item);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    fn corpus() -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/source_answers");
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
    }

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows; and every beginning of each, as a
    /// connection that breaks gives it.
    #[test]
    fn the_corpus_holds() {
        let corpus = corpus();
        assert!(corpus.len() >= 10, "{} inputs", corpus.len());
        for input in &corpus {
            for end in 0..=input.len() {
                fuzz_answers(&input[..end]);
            }
        }
    }

    /// An answer that breaks off is never taken for a whole one.
    #[test]
    fn no_beginning_of_an_answer_is_an_answer() {
        for input in corpus() {
            let whole = input.trim_ascii();
            if serde_json::from_slice::<serde::de::IgnoredAny>(whole).is_err() {
                continue;
            }
            for end in 0..whole.len().saturating_sub(1) {
                let part = &whole[..end];
                let mut names = shodan::Addresses::new();
                assert!(crt_sh::read(part).is_err() && censys::read(part).is_err());
                assert!(shodan::read_host(part).is_err());
                assert!(shodan::read_domain(part, DOMAIN, &mut names).is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn any_octets_hold(data in prop::collection::vec(any::<u8>(), 0..256)) {
            fuzz_answers(&data);
        }

        /// Answers with a piece changed, doubled or lost.
        #[test]
        fn changed_answers_hold(
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            len in 0_usize..12,
            with in "[\\[\\]{},:\"0-9a-z.\\\\n -]{0,12}",
        ) {
            let corpus = corpus();
            let mut input = which.get(&corpus).clone();
            let at = at.index(input.len() + 1);
            let end = (at + len).min(input.len());
            input.splice(at..end, with.into_bytes());
            fuzz_answers(&input);
        }

        /// Rows of any strings: each name of them is found, once.
        #[test]
        fn every_name_of_crt_sh_is_found(
            rows in prop::collection::vec((".{0,12}", prop::collection::vec(".{0,12}", 0..4)), 0..6),
        ) {
            let row = |(issuer, names): &(String, Vec<String>)| {
                serde_json::json!({ "issuer_name": issuer, "name_value": names.join("\n") })
            };
            let json = serde_json::Value::Array(rows.iter().map(row).collect()).to_string();
            fuzz_answers(json.as_bytes());
            let read = crt_sh::read(json.as_bytes()).unwrap();
            let found: Vec<_> = read.names.found("x").map(|found| found.name).collect();
            for name in rows.iter().flat_map(|(_, names)| names).flat_map(|name| name.lines()) {
                let name = name.trim().to_ascii_lowercase();
                prop_assert!(name.is_empty() || found.contains(&name), "{name:?} in {found:?}");
            }
        }
    }
}
