//! A table of certificates, right and wrong, with what must be said of each, beside what OpenSSL and webpki say.

mod cases;
mod openssl;
mod pki;

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

use mrpf_records::{ChainTrust, Trust};
use rustls_pki_types::{CertificateDer, Der, ServerName, TrustAnchor};
use webpki::EndEntityCert;

use self::{
    cases::Case,
    openssl::Scratch,
    pki::{Authority, DAY, NOW, params},
};
use super::*;
use crate::certificate::Describer;

fn at(second: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second.try_into().unwrap())
}

fn address() -> IpAddr {
    "198.19.0.7".parse().unwrap()
}

fn slices(chain: &[Vec<u8>]) -> Vec<&[u8]> {
    chain.iter().map(|der| &der[..]).collect()
}

fn roots(scratch: &Scratch, roots: &[Vec<u8>]) -> Roots {
    Roots::from_pem(&scratch.pem("roots", &slices(roots))).unwrap()
}

/// What we say of a case, and whether its host's own certificate is self-issued and self-signed.
fn ours(case: &Case, scratch: &Scratch) -> (Trust, Option<bool>, Option<bool>) {
    let mut truster = Truster::new(Some(roots(scratch, &case.roots)));
    let chain = slices(&case.chain);
    let mut ask = || truster.trust(&chain, case.asked, address(), at(case.now)).unwrap();
    let trust = ask();
    assert_eq!(ask(), trust, "{}: the second answer is another", case.name);
    let record = Describer::new(false).describe(chain[0]);
    (trust, record.self_issued, record.self_signed)
}

#[test]
fn the_table_is_what_we_say() {
    let mut wrong = Vec::new();
    let cases = cases::all();
    assert!(cases.len() >= 60, "{}", cases.len());
    for case in cases {
        let (trust, self_issued, self_signed) = ours(&case, &Scratch::new());
        let expected = Trust { chain: Some(case.chain_trust), ..case.trust };
        if (trust, self_issued, self_signed) != (expected, case.self_issued, case.self_signed) {
            wrong.push(format!(
                "{}:\n  is      {trust:?} {self_issued:?} {self_signed:?}\n  must be {expected:?} {:?} {:?}",
                case.name, case.self_issued, case.self_signed
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_is_what_openssl_says() {
    if !openssl::is_there() {
        return;
    }
    let mut wrong = Vec::new();
    for case in cases::all() {
        let scratch = Scratch::new();
        let chain = slices(&case.chain);
        // It loads all or nothing.
        let rest: Vec<&[u8]> =
            chain[1..].iter().copied().filter(|der| Fields::of(der).error.is_none()).collect();
        let said = openssl::verify(
            &scratch.pem("leaf", &chain[..1]),
            &scratch.pem("rest", &rest),
            &scratch.pem("roots", &slices(&case.roots)),
            case.asked,
            case.now,
        );
        let expected: BTreeSet<u32> = case.openssl.iter().copied().collect();
        if said != expected {
            wrong.push(format!("{}: OpenSSL says {said:?}, the table {expected:?}", case.name));
        }
        let we_take_it =
            case.chain_trust == ChainTrust::Trusted && case.trust.name_match != Some(false);
        let they_take_it = case.openssl.is_empty();
        if (we_take_it == they_take_it) != case.why.is_none() {
            wrong.push(format!(
                "{}: we {we_take_it}, OpenSSL {they_take_it}, because {:?}",
                case.name, case.why
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Names are matched by our own reading: webpki's must agree wherever it reads the certificate.
#[test]
fn names_match_as_webpki_matches_them() {
    let asked = [
        "www.example.com",
        "WWW.example.COM",
        "www.example.com.",
        "example.com",
        "a.shop.example.com",
        "b.a.shop.example.com",
        "shop.example.com",
        "foo.shop.example.com",
        "xn--bcher-kva.example.com",
        "www.tld",
        "198.19.0.7",
        "198.19.0.8",
        "2001:db8::7",
    ];
    let mut compared = 0;
    for case in cases::all() {
        let certificate = CertificateDer::from(&case.chain[0][..]);
        let Ok(theirs) = EndEntityCert::try_from(&certificate) else { continue };
        for name in asked {
            let server_name = ServerName::try_from(name).unwrap();
            assert_eq!(
                names::is_for(&Fields::of(&case.chain[0]), name),
                theirs.verify_is_valid_for_subject_name(&server_name).is_ok(),
                "{}: {name}",
                case.name
            );
            compared += 1;
        }
    }
    assert!(compared > 600, "{compared}");
}

#[test]
fn fields_are_what_openssl_reads() {
    if !openssl::is_there() {
        return;
    }
    let mut describer = Describer::new(false);
    let mut compared = 0;
    let mut seen = BTreeSet::new();
    for case in cases::all() {
        for der in &case.chain {
            if !seen.insert(der.clone()) {
                continue;
            }
            let Some(theirs) = openssl::describe(der) else { continue };
            let record = describer.describe(der);
            let ours = [
                &record.subject,
                &record.issuer,
                &record.serial,
                &record.not_before,
                &record.not_after,
            ]
            .map(|text| text.clone().unwrap_or_default());
            assert_eq!(ours, theirs, "{}", case.name);
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn an_answer_holds_until_a_date_passes() {
    let scratch = Scratch::new();
    let root = Authority::root("Root");
    let leaf = root.issue(params("www.example.com", &["www.example.com"], -10..10));
    let mut truster = Truster::new(Some(roots(&scratch, &[root.der])));
    let mut chain =
        |second| truster.trust(&[&leaf], None, address(), at(second)).unwrap().chain.unwrap();
    assert_eq!(chain(NOW), ChainTrust::Trusted);
    assert_eq!(chain(NOW + 10 * DAY), ChainTrust::Trusted);
    assert_eq!(chain(NOW + 10 * DAY + 1), ChainTrust::Expired);
    assert_eq!(chain(NOW), ChainTrust::Trusted);
    assert_eq!(chain(NOW - 11 * DAY), ChainTrust::NotYetValid);
    assert_eq!(chain(NOW), ChainTrust::Trusted);
}

/// Whatever a host sends, few looks are taken at it.
#[test]
fn many_dates_cost_no_more_than_few() {
    let root = Authority::root("Root");
    let leaf = root.issue(params("x", &[], -100..-10));
    let other = |n: i64| root.issue(params("y", &[], -90 + n..-60 + n));
    let others: Vec<CertificateDer<'_>> = (0..10).map(|n| other(n).into()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.try_into().unwrap()));
    let asked = std::cell::Cell::new(0);
    let verdict = chain::beside_dates(&Fields::of(&leaf), &others, now, |time| {
        asked.set(asked.get() + 1);
        Err(webpki::Error::CertExpired { time, not_after: time })
    });
    assert_eq!((verdict, asked.get()), (None, 3));
}

/// A key that would take long is refused before it is used.
#[test]
fn issuers_with_huge_keys_are_unsupported() {
    let huge = include_bytes!("../../../testdata/certificates/self-rsa16384.der");
    let fields = Fields::of(huge);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let root = Authority::own(pki::issuing(params("Root", &[], -500..500)), key);
    let leaf = root.issue_patched(params("x", &[], -10..10), |tbs| {
        tbs.0[pki::Tbs::ISSUER] = fields.subject.unwrap().to_vec();
    });
    let mut issuer = TrustAnchor {
        subject: Der::from_slice(crate::certificate::sequence(fields.subject.unwrap()).unwrap()),
        subject_public_key_info: Der::from_slice(
            crate::certificate::sequence(fields.key.unwrap()).unwrap(),
        ),
        name_constraints: None,
    };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.try_into().unwrap()));
    let verdict = chain::judge(&[&leaf], std::slice::from_ref(&issuer), now);
    assert_eq!(verdict, ChainTrust::Unsupported);
    let small = Fields::of(&root.der);
    issuer.subject_public_key_info =
        Der::from_slice(crate::certificate::sequence(small.key.unwrap()).unwrap());
    assert_eq!(chain::judge(&[&leaf], &[issuer], now), ChainTrust::Trusted);
}

#[test]
fn without_roots_names_and_dates_are_told_alone() {
    let root = Authority::root("Root");
    let leaf = root.issue(params("x", &["www.example.com"], -10..10));
    let mut truster = Truster::new(None);
    let trust = truster.trust(&[&leaf], Some("www.example.com"), address(), at(NOW)).unwrap();
    assert_eq!(trust, Trust { name_match: Some(true), valid_now: Some(true), chain: None });
    assert_eq!(truster.trust(&[], None, address(), at(NOW)), None);
    let nothing = truster.trust(&[b"nothing"], Some("a.b"), address(), at(NOW)).unwrap();
    assert_eq!(nothing, Trust { name_match: Some(false), valid_now: None, chain: None });
}

/// Mozilla's set is whole: each of its roots is found by name and key.
#[test]
fn the_roots_of_mozilla_are_read() {
    let root = Authority::root("Nobody");
    let leaf = root.issue(params("x", &[], -10..10));
    let mut truster = Truster::new(Some(Roots::mozilla()));
    let trust = truster.trust(&[&leaf, &root.der], None, address(), at(NOW)).unwrap();
    assert_eq!(trust.chain, Some(ChainTrust::UntrustedIssuer));
    let about = truster.roots().unwrap().to_string();
    assert!(about.contains("webpki-roots"), "{about}");
}
