//! What rustls says as a server, which is told nothing of us: each version, suite and group, with all that it can say.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    SignatureAlgorithm,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite, SupportedProtocolVersion,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs as provider},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::*;
use crate::hello::{Hello, Profile, Salt};

const OCSP: &[u8] = &[0x30, 3, 10, 1, 6];

/// A certificate, its issuer's, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Identity {
    fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "an issuer");
        let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate_for(algorithm).unwrap();
        let leaf = CertificateParams::new([String::from("host.example")]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        Self { chain: vec![leaf.der().clone(), issuer.der().clone()], key: key.serialize_der() }
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    fn der(&self) -> Vec<Vec<u8>> {
        self.chain.iter().map(|certificate| certificate.to_vec()).collect()
    }
}

struct Server<'a> {
    identity: &'a Identity,
    version: &'static SupportedProtocolVersion,
    suite: SupportedCipherSuite,
    group: &'static dyn SupportedKxGroup,
    asks_for_certificate: bool,
    ocsp: &'a [u8],
}

impl Server<'_> {
    fn config(&self) -> ServerConfig {
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![self.suite],
            kx_groups: vec![self.group],
            ..provider::default_provider()
        });
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[self.version])
            .unwrap();
        let builder = if self.asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.identity.chain[1].clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = self.identity.chain.clone();
        let mut config = builder
            .with_single_cert_with_ocsp(chain, self.identity.key(), self.ocsp.to_vec())
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }

    /// What it says to the hellos of `shares`.
    fn script(&self, shares: &Arc<KeyShares>) -> Script {
        let hello = Hello::new(Profile::Modern, shares.clone());
        let salt = Salt { random: [3; 32], session_id: [4; 32] };
        let mut server = ServerConnection::new(Arc::new(self.config())).unwrap();
        let mut sent = Vec::new();
        hello.write(&mut sent, &salt, Some("host.example"));
        let mut parts = vec![];
        loop {
            server.read_tls(&mut &sent[..]).unwrap();
            server.process_new_packets().unwrap();
            let mut said = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut said).unwrap();
            }
            let (_, next) = Handshake::new().read(&sent, shares, &said);
            parts.push((sent.clone(), said));
            let Next::Retry(retry) = next else { return Script(parts) };
            assert_eq!(parts.len(), 1, "one is enough");
            hello.write_retry(&mut sent, &salt, Some("host.example"), &retry).unwrap();
        }
    }

    #[track_caller]
    fn is_captured(&self, shares: &Arc<KeyShares>, lengths: &[u8]) -> Capture {
        let (capture, is_enough) = self.script(shares).play_all_ways(shares, lengths, Cut::Idle);
        assert!(is_enough, "{capture:?}");
        assert_eq!((capture.outcome(), capture.stage()), (TlsOutcome::Ok, TlsStage::Done));
        assert_eq!(capture.version(), Some(u16::from(self.version.version)));
        assert_eq!(capture.cipher(), Some(u16::from(self.suite.suite())));
        assert_eq!(capture.group(), Some(u16::from(self.group.name())));
        assert_eq!(certificates(&capture), self.identity.der());
        assert_eq!(capture.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(capture.ocsp().unwrap_or_default(), self.ocsp);
        assert_eq!(capture.client_auth(), self.asks_for_certificate);
        assert_eq!(capture.client_cas().count(), usize::from(self.asks_for_certificate));
        let issuer = x509_parser::parse_x509_certificate(&self.identity.chain[1]).unwrap().1;
        assert!(capture.client_cas().all(|name| name == issuer.subject().as_raw()));
        capture
    }
}

fn shares() -> [Arc<KeyShares>; 2] {
    [KeyShares::identity(), KeyShares::fresh().unwrap()].map(Arc::new)
}

const GROUPS: [&dyn SupportedKxGroup; 3] =
    [provider::kx_group::X25519, provider::kx_group::SECP256R1, provider::kx_group::SECP384R1];

#[test]
fn each_suite_and_group() {
    let ecdsa = Identity::new(&PKCS_ECDSA_P256_SHA256);
    let rsa = Identity::new(&PKCS_RSA_SHA256);
    for suite in provider::ALL_CIPHER_SUITES {
        let name = format!("{:?}", suite.suite());
        let identity = if name.contains("_RSA_") { &rsa } else { &ecdsa };
        let version = if suite.tls13().is_some() { &TLS13 } else { &TLS12 };
        for group in GROUPS {
            for (shares, asks_for_certificate, ocsp) in
                shares().iter().zip([(false, OCSP), (true, &[])]).map(|(s, (a, o))| (s, a, o))
            {
                let server =
                    Server { identity, version, suite: *suite, group, asks_for_certificate, ocsp };
                let capture = server.is_captured(shares, &[6, 30, 1]);
                // Fresh shares are sent of x25519 alone.
                let is_asked_again = !shares.is_identity()
                    && suite.tls13().is_some()
                    && group.name() != rustls::NamedGroup::X25519;
                assert_eq!(capture.retried(), is_asked_again, "{name} {:?}", group.name());
            }
        }
    }
}

#[test]
fn each_key() {
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384, &PKCS_RSA_SHA256] {
        let identity = Identity::new(algorithm);
        let server = Server {
            identity: &identity,
            version: &TLS13,
            suite: provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            group: GROUPS[1],
            asks_for_certificate: true,
            ocsp: OCSP,
        };
        server.is_captured(&shares()[0], &[200]);
    }
}

#[test]
fn they_are_cut_anywhere() {
    let identity = Identity::new(&PKCS_ECDSA_P256_SHA256);
    let suites = [
        (&TLS12, provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (&TLS13, provider::cipher_suite::TLS13_AES_256_GCM_SHA384),
    ];
    for (version, suite) in suites {
        let server = Server {
            identity: &identity,
            version,
            suite,
            group: GROUPS[2],
            asks_for_certificate: true,
            ocsp: OCSP,
        };
        let [identity, fresh] = shares();
        is_cut_anywhere(&server.script(&identity), &identity);
        is_cut_anywhere(&server.script(&fresh), &fresh);
    }
}

#[test]
fn a_host_that_shares_no_version_says_so() {
    let identity = Identity::new(&PKCS_ECDSA_P256_SHA256);
    let server = Server {
        identity: &identity,
        version: &TLS13,
        suite: provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
        group: GROUPS[0],
        asks_for_certificate: false,
        ocsp: &[],
    };
    let hello = Hello::new(Profile::Tls12, shares()[0].clone());
    let mut sent = Vec::new();
    hello.write(&mut sent, &Salt { random: [3; 32], session_id: [4; 32] }, None);
    let mut connection = ServerConnection::new(Arc::new(server.config())).unwrap();
    connection.read_tls(&mut &sent[..]).unwrap();
    connection.process_new_packets().unwrap_err();
    let mut said = Vec::new();
    connection.write_tls(&mut said).unwrap();
    let script = Script(vec![(sent, said)]);
    let (capture, is_enough) = script.play_all_ways(&shares()[0], &[1], Cut::Idle);
    assert!(is_enough && capture.outcome() == TlsOutcome::Alert);
    assert_eq!(capture.alert(), Some(Alert { level: 2, description: 70 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn however_it_is_cut(lengths in prop::collection::vec(0_u8..50, 1..30), with_tls13: bool) {
        static IDENTITY: std::sync::LazyLock<Identity> =
            std::sync::LazyLock::new(|| Identity::new(&PKCS_ECDSA_P256_SHA256));
        let (version, suite) = if with_tls13 {
            (&TLS13, provider::cipher_suite::TLS13_AES_128_GCM_SHA256)
        } else {
            (&TLS12, provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)
        };
        let server = Server {
            identity: &IDENTITY,
            version,
            suite,
            group: GROUPS[1],
            asks_for_certificate: true,
            ocsp: OCSP,
        };
        for shares in shares() {
            server.is_captured(&shares, &lengths);
        }
    }
}
