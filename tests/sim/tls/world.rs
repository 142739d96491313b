//! Hosts that speak TLS on the simulated network, and scans of them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Hosts, Say, Speaker, Then},
};
use mrpf_records::{Record, TlsRecord};
use mrpf_tls::{Builder, Scan, Summary};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::{TLS12, TLS13},
};

/// A leaf and the authority that signed it.
#[derive(Clone)]
pub(crate) struct Pki {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self::with_extra(0)
    }

    /// The leaf has an extension of so many octets that nobody knows.
    pub(crate) fn with_extra(octets: usize) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_certificate = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let mut leaf = CertificateParams::new(vec!["www.example".to_owned()]).unwrap();
        if octets > 0 {
            let extension =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5; octets]);
            leaf.custom_extensions.push(extension);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = leaf.signed_by(&key, &issuer).unwrap();
        Self {
            chain: vec![certificate.der().clone(), authority_certificate.der().clone()],
            key: key.serialize_der(),
        }
    }

    /// SHA-256 of the certificates, in hex.
    pub(crate) fn chain_sha256(&self) -> Vec<String> {
        let mut describer = mrpf_tls::certificate::Describer::new(false);
        self.chain.iter().map(|der| describer.describe(der).sha256.clone()).collect()
    }

    fn config(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// Hosts with TLS 1.3.
    pub(crate) fn server(&self) -> Speaker {
        self.speaker(&TLS13, None)
    }

    /// Hosts with TLS 1.2.
    pub(crate) fn server_v12(&self) -> Speaker {
        self.speaker(&TLS12, None)
    }

    /// Hosts that say so many octets of their flight, and then do something else.
    pub(crate) fn server_cut(&self, octets: usize, then: Then) -> Speaker {
        self.speaker(&TLS13, Some((octets, then)))
    }

    /// What a host with TLS 1.3 says to one hello, without a network.
    pub(crate) fn answer(&self, mut hello: &[u8]) -> Vec<u8> {
        let mut connection = ServerConnection::new(self.config(&TLS13)).unwrap();
        let mut said = Vec::new();
        connection.read_tls(&mut hello).unwrap();
        // A hello that it cannot answer gives an alert.
        let _ = connection.process_new_packets();
        while connection.wants_write() {
            connection.write_tls(&mut said).unwrap();
        }
        said
    }

    fn speaker(
        &self,
        version: &'static SupportedProtocolVersion,
        cut: Option<(usize, Then)>,
    ) -> Speaker {
        let config = self.config(version);
        Speaker::new(move |_| {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut heard = 0;
            move |asked: &[u8]| {
                let mut fresh = &asked[heard.min(asked.len())..];
                heard = asked.len();
                while !fresh.is_empty() {
                    connection.read_tls(&mut fresh).unwrap();
                    if connection.process_new_packets().is_err() {
                        break;
                    }
                }
                let mut said = Vec::new();
                while connection.wants_write() {
                    connection.write_tls(&mut said).unwrap();
                }
                if said.is_empty() {
                    return Say::nothing();
                }
                heard = 0;
                match cut {
                    Some((octets, then)) => {
                        said.truncate(octets);
                        Say::bytes(said).then(then)
                    }
                    None => Say::bytes(said),
                }
            }
        })
    }
}

/// All of 198.19.0.0/16 behave so.
pub(crate) fn hosts(seed: u64, behaviour: Behaviour) -> Hosts {
    Hosts::new(seed).rule(([198, 19, 0, 0], [198, 19, 255, 255]), 0..=u16::MAX, behaviour)
}

pub(crate) fn network_of(seed: u64, hosts: Hosts, faults: Faults) -> Network {
    Network::new(seed, hosts, faults)
}

/// A network on which all hosts speak so.
pub(crate) fn network(seed: u64, speaker: Speaker, faults: Faults) -> Network {
    network_of(seed, hosts(seed, Behaviour::Speaks(speaker)), faults)
}

fn targets(network: Network, targets: &str) -> mrpf_syn::Builder {
    mrpf_syn::Scan::builder()
        .target(targets)
        .ports("443")
        .allow_reserved(true)
        .seed(11)
        .cooldown(Duration::from_secs(2))
        .simulated(network)
}

/// A scan of port 443 of `of`.
pub(crate) fn tls(network: Network, of: &str) -> Builder {
    tls_from(network, of, 0)
}

/// The same from number `mark` of its order on.
pub(crate) fn tls_from(network: Network, of: &str, mark: u64) -> Builder {
    Scan::builder(targets(network, of).start_at(mark))
}

pub(crate) fn keep(rows: &mut BTreeMap<IpAddr, TlsRecord>, record: Record) {
    let Record::Tls(row) = record else { panic!("{record:?}") };
    rows.insert(row.ip, *row);
}

/// Runs a scan to its end; two records of one host are a failure.
#[track_caller]
pub(crate) fn run(builder: Builder) -> (BTreeMap<IpAddr, TlsRecord>, Summary) {
    let mut scan = builder.build().unwrap();
    let mut rows = BTreeMap::new();
    for record in &mut scan {
        let before = rows.len();
        keep(&mut rows, record);
        assert_eq!(rows.len(), before + 1, "a second record of a host");
    }
    (rows, scan.finish().expect("a simulated link stays"))
}
