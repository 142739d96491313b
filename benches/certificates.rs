//! What certificates cost beside the handshake that brought them: one element is one certificate, one chain or one row.
//!
//! The leaf has two names, the dates and the extensions of those that public authorities issue, some 700 octets. New ones
//! differ from it in a few octets, so no cache knows them.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mrpf_records::{
    ChainTrust, Record, Timestamp, Timings, TlsOutcome, TlsRecord, TlsStage, Trust,
};
use mrpf_tls::{
    certificate::Describer,
    trust::{Roots, Truster},
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 7));
const NAME: &str = "www.example.com";

struct Chain {
    leaf: Vec<u8>,
    middle: Vec<u8>,
    own: Vec<u8>,
    root: String,
}

fn params(cn: &str) -> CertificateParams {
    let names = [NAME.to_owned(), "example.com".to_owned()];
    let mut params = CertificateParams::new(names).expect("are names");
    params.distinguished_name.push(DnType::CommonName, cn);
    params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
    params.distinguished_name.push(DnType::CountryName, "US");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // As large as two signed certificate timestamps, in an OCTET STRING as webpki wants it.
    let timestamps = [&[4, 0x81, 239][..], &[7; 239]].concat();
    params.custom_extensions =
        vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11_129, 2, 4, 2], timestamps)];
    params
}

fn chain() -> Chain {
    let key = || KeyPair::generate().expect("there is randomness");
    let issuing = |cn| {
        let mut params = params(cn);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.subject_alt_names.clear();
        params
    };
    let root_key = key();
    let root = issuing("Root").self_signed(&root_key).expect("can be signed");
    let root_issuer = Issuer::new(issuing("Root"), root_key);
    let middle_key = key();
    let middle = issuing("Middle").signed_by(&middle_key, &root_issuer).expect("can be signed");
    let issuer = Issuer::new(issuing("Middle"), middle_key);
    let leaf = params(NAME).signed_by(&key(), &issuer).expect("can be signed");
    let own = params(NAME).self_signed(&key()).expect("can be signed");
    Chain {
        leaf: leaf.der().to_vec(),
        middle: middle.der().to_vec(),
        own: own.der().to_vec(),
        root: root.pem(),
    }
}

/// The certificate with other octets of its serial number: the n-th that nobody has seen.
fn renew(der: &mut [u8], n: u64) {
    der[20..24].copy_from_slice(&(n as u32).to_be_bytes());
}

fn describe(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificates/describe");
    group.throughput(Throughput::Elements(1));
    let Chain { mut leaf, mut own, .. } = chain();
    let mut describer = Describer::new(false);
    group.bench_function("known", |b| b.iter(|| describer.describe(black_box(&leaf))));
    let mut n = 0;
    let mut new = |describer: &mut Describer, der: &mut [u8]| {
        n += 1;
        renew(der, n);
        describer.describe(der)
    };
    assert_eq!(new(&mut describer, &mut leaf).parse_error, None);
    group.bench_function("new", |b| b.iter(|| new(&mut describer, &mut leaf)));
    group.bench_function("new_self_issued", |b| b.iter(|| new(&mut describer, &mut own)));
    const BATCH: u64 = 256;
    group.throughput(Throughput::Elements(BATCH));
    group.bench_function("new_self_issued_batch", |b| {
        b.iter(|| {
            let batch: Vec<Vec<u8>> = (0..BATCH)
                .map(|_| {
                    n += 1;
                    renew(&mut own, n);
                    own.clone()
                })
                .collect();
            let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
            describer.describe_all(&batch)
        });
    });
    group.finish();
}

fn trust(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificates/trust");
    group.throughput(Throughput::Elements(1));
    let Chain { mut leaf, middle, root, .. } = chain();
    let now = UNIX_EPOCH + Duration::from_secs(1_811_808_000);
    let ask = |truster: &mut Truster, leaf: &[u8], now: SystemTime| {
        let trust = truster.trust(&[leaf, &middle], Some(NAME), HOST, now);
        trust.expect("there are certificates")
    };
    let mut truster = Truster::new(None);
    assert_eq!(ask(&mut truster, &leaf, now).name_match, Some(true));
    group
        .bench_function("names_and_dates", |b| b.iter(|| ask(&mut truster, black_box(&leaf), now)));

    let file = tempfile::NamedTempFile::new().expect("there is a place for files");
    std::fs::write(&file, root).expect("can be written");
    let roots = Roots::from_pem(file.path()).expect("is a root");
    let mut truster = Truster::new(Some(roots));
    assert_eq!(ask(&mut truster, &leaf, now).chain, Some(ChainTrust::Trusted));
    group.bench_function("known_chain", |b| b.iter(|| ask(&mut truster, black_box(&leaf), now)));
    // A moment earlier each time, at which the last answer did not hold yet.
    let mut second = 1_811_808_000;
    group.bench_function("new_chain", |b| {
        b.iter(|| {
            second -= 1;
            ask(&mut truster, &leaf, UNIX_EPOCH + Duration::from_secs(second))
        });
    });
    let mut n = 0;
    group.bench_function("new_chain_bad_signature", |b| {
        b.iter(|| {
            n += 1;
            renew(&mut leaf, n);
            ask(&mut truster, &leaf, now)
        });
    });
    group.finish();
}

/// One line of JSON with a leaf and an issuer.
fn row(c: &mut Criterion) {
    let mut group = c.benchmark_group("certificates/row");
    let Chain { leaf, middle, .. } = chain();
    let mut describer = Describer::new(false);
    let record = TlsRecord {
        version: Some("TLSv1.3".into()),
        cipher: Some("TLS_AES_128_GCM_SHA256".into()),
        group: Some("x25519".into()),
        alpn: Some("h2".to_owned()),
        certificates: vec![describer.describe(&leaf), describer.describe(&middle)],
        trust: Some(Trust { name_match: None, valid_now: Some(true), chain: None }),
        ja3s: Some("eb1d94daa7e0344597e756a1fb6e7054".to_owned()),
        attempts: Some(1),
        timings: Some(Timings {
            syn_ack_us: Some(99),
            first_byte_us: Some(350),
            done_us: Some(420),
        }),
        ..TlsRecord::new(
            Timestamp::from_unix_micros(1_811_808_000_000_000),
            HOST,
            443,
            TlsOutcome::Ok,
            TlsStage::Done,
        )
    };
    let record = Record::Tls(Box::new(record));
    let mut line = Vec::new();
    serde_json::to_writer(&mut line, &record).expect("memory takes every write");
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("json", |b| {
        b.iter(|| {
            line.clear();
            serde_json::to_writer(&mut line, black_box(&record)).expect("memory takes every write");
            line.len()
        });
    });
    group.throughput(Throughput::Elements(1));
    let known = (describer.describe(&leaf), describer.describe(&middle));
    group.bench_function("make", |b| {
        b.iter(|| TlsRecord {
            certificates: vec![Arc::clone(&known.0), Arc::clone(&known.1)],
            ..TlsRecord::new(
                Timestamp::from_unix_micros(1_811_808_000_000_000),
                HOST,
                443,
                TlsOutcome::Ok,
                TlsStage::Done,
            )
        });
    });
    group.finish();
}

criterion_group!(benches, describe, trust, row);
criterion_main!(benches);
