//! What a fuzzer does with the certificates of a host; compiled for fuzzing and tests alone.
//!
//! Asserts more than that nothing panics: records keep what could not be read, and x509-parser and webpki, which read whole
//! certificates, agree wherever they read one.
//!
//! # Panics
//!
//! When an invariant does not hold.

use std::{
    net::Ipv4Addr,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;
use x509_parser::{certificate::X509CertificateParser, nom::Parser as _};

use super::{Describer, Fields, der::Reader, hex, sequence};
use crate::{
    cache::sha256,
    trust::{Roots, Truster},
};

const NAMES: [&str; 3] = ["www.example.com", "a.b.example.com", "198.19.0.7"];

/// Certificates one after the other, as many as have a tag and a length, and whatever follows.
pub fn fuzz_certificate(data: &[u8]) {
    let mut reader = Reader::new(data);
    let mut chain = Vec::new();
    let mut read = 0;
    while let Ok(item) = reader.next() {
        chain.push(item.whole);
        read += item.whole.len();
    }
    assert!(read <= data.len());
    chain.push(data.get(read..).unwrap_or_default());

    let mut describer = Describer::new(false);
    for der in &chain {
        let record = describer.describe(der);
        assert_eq!(record.sha256, hex(&sha256(&[der])));
        assert_eq!(record, describer.describe(der));
        let kept = record.der.as_ref().map(|text| BASE64_STANDARD.decode(text).expect("is base64"));
        assert_eq!(kept.as_deref(), record.parse_error.is_some().then_some(*der));
        for text in [&record.subject, &record.issuer].into_iter().flatten().chain(&record.sans) {
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        agrees_with_x509_parser(der);
        agrees_with_webpki(der);
    }
    assert_eq!(Describer::new(false).describe_all(&chain).len(), chain.len());

    let now = UNIX_EPOCH + Duration::from_secs(1_811_808_000);
    let mut truster = Truster::new(Some(Roots::mozilla()));
    let mut ask = || truster.trust(&chain, Some(NAMES[0]), Ipv4Addr::LOCALHOST.into(), now);
    assert_eq!(ask(), ask());
}

/// What it reads whole, we cut at the same places.
fn agrees_with_x509_parser(der: &[u8]) {
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let Ok((_, theirs)) = parser.parse(der) else {
        return;
    };
    let ours = Fields::of(der);
    // It reads no further than it needs to, so what is behind a field it has read may be nothing.
    if ours.error.is_some() {
        return;
    }
    assert_eq!(ours.tbs, Some(theirs.tbs_certificate.as_ref()));
    assert_eq!(ours.serial, Some(theirs.tbs_certificate.raw_serial()));
    // A signature is whole octets; what is none is no signature of ours.
    let theirs = &theirs.signature_value;
    assert_eq!(ours.signature, (theirs.unused_bits == 0).then_some(&*theirs.data));
}

/// What it takes, we read; and a name is right for both or for neither.
fn agrees_with_webpki(der: &[u8]) {
    let certificate = CertificateDer::from(der);
    let Ok(theirs) = EndEntityCert::try_from(&certificate) else {
        return;
    };
    let ours = Fields::of(der);
    assert_eq!(ours.error, None);
    assert_eq!(ours.version, Some(3));
    assert_eq!(ours.subject.and_then(sequence), Some(theirs.subject()));
    assert_eq!(ours.issuer.and_then(sequence), Some(theirs.issuer()));
    for name in NAMES {
        let asked = ServerName::try_from(name).expect("is a name");
        let is_for = crate::trust::is_for(&ours, name);
        assert_eq!(is_for, theirs.verify_is_valid_for_subject_name(&asked).is_ok(), "{name}");
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/certificate");
        let mut count = 0;
        for entry in fs::read_dir(folder).unwrap() {
            fuzz_certificate(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 5, "{count}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A certificate with octets of it changed, and another behind it.
        #[test]
        fn changed_certificates_hold(changes in prop::collection::vec((0_usize..596, any::<u8>()), 1..4)) {
            let mut data = include_bytes!("../../testdata/certificates/sha1.der").to_vec();
            for (at, octet) in changes {
                data[at] = octet;
            }
            data.extend(include_bytes!("../../testdata/certificates/rsa2048-issuer.der"));
            fuzz_certificate(&data);
        }
    }
}
