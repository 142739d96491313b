//! rustls, in threads of this process.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
};
use rustls::{
    CipherSuite, NamedGroup, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use super::{
    OCSP,
    case::{Case, Version},
    check,
    identities::{Identities, Kind},
};

/// How long a client may say nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a server has of what rustls has.
#[derive(Clone, Copy, Default)]
struct Limits {
    suite: Option<CipherSuite>,
    group: Option<NamedGroup>,
}

fn config(case: &Case, limits: Limits) -> ServerConfig {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| limits.suite.is_none_or(|only| suite.suite() == only));
    provider.kx_groups.retain(|group| limits.group.is_none_or(|only| group.name() == only));
    let versions: Vec<&SupportedProtocolVersion> = case
        .answers
        .iter()
        .map(|answer| if answer.version == Version::Tls13 { &TLS13 } else { &TLS12 })
        .collect();
    let provider: Arc<CryptoProvider> = Arc::new(provider);
    let identity = &Identities::get().leaves[&case.kind];
    let chain = identity.chain.iter().map(|cert| CertificateDer::clone(cert.der())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der.clone()));
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .unwrap();
    let builder = if case.asks_clients {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::clone(Identities::get().clients.der())).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
        builder.with_client_cert_verifier(verifier.unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let ocsp = if case.staples { OCSP.to_vec() } else { Vec::new() };
    let mut config = builder.with_single_cert_with_ocsp(chain, key, ocsp).unwrap();
    config.alpn_protocols = case.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Answers one client after the other until the process ends.
fn serve(listener: &TcpListener, config: &Arc<ServerConfig>) {
    for stream in listener.incoming().flatten() {
        // Most clients leave in mid-handshake.
        let _ = greet(stream, Arc::clone(config));
    }
}

fn greet(mut stream: TcpStream, config: Arc<ServerConfig>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
    connection.complete_io(&mut stream)?;
    connection.send_close_notify();
    connection.complete_io(&mut stream).map(|_| ())
}

fn all() -> Vec<(Case, Limits)> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        let case = Case::new(kind.to_string(), kind, Version::Tls13).and(Version::Tls12);
        all.push((case, Limits::default()));
    }
    for (suite, name) in [
        (CipherSuite::TLS13_AES_128_GCM_SHA256, "AES_128_GCM_SHA256"),
        (CipherSuite::TLS13_AES_256_GCM_SHA384, "AES_256_GCM_SHA384"),
        (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "CHACHA20_POLY1305_SHA256"),
    ] {
        let case = Case::new(name, Kind::P256, Version::Tls13).chooses(name, "x25519");
        all.push((case, Limits { suite: Some(suite), group: None }));
    }
    for (group, name) in [
        (NamedGroup::X25519, "x25519"),
        (NamedGroup::secp256r1, "secp256r1"),
        (NamedGroup::secp384r1, "secp384r1"),
    ] {
        let case = Case::new(name, Kind::P384, Version::Tls13).chooses("AES_128_GCM_SHA256", name);
        all.push((case, Limits { suite: None, group: Some(group) }));
    }
    for version in [Version::Tls12, Version::Tls13] {
        let case =
            |what: &str| Case::new(format!("{} {what}", version.as_str()), Kind::P256, version);
        let cases = [
            Case { asks_clients: true, ..case("client certificate required") },
            Case { alpn: Some("h2"), ..case("ALPN h2") },
            Case { staples: true, ..case("OCSP stapled") },
        ];
        all.extend(cases.map(|case| (case, Limits::default())));
    }
    all
}

/// A hello without signature algorithms, as those of TLS 1.1 are, is refused before its version is looked at.
fn refusal(newest: Version) -> &'static str {
    match newest {
        Version::Tls10 | Version::Tls11 => "handshake_failure",
        Version::Tls12 | Version::Tls13 => "protocol_version",
    }
}

#[test]
fn rustls() {
    if !gate::permits(&[Need::Netns, Need::Openssl]) {
        return;
    }
    let (mut cases, limits): (Vec<_>, Vec<_>) = all().into_iter().unzip();
    Case::number(&mut cases);
    for case in &mut cases {
        case.refusal = refusal;
    }
    let lab = Lab::builder().start().unwrap();
    for (case, limits) in cases.iter().zip(limits) {
        let config = Arc::new(config(case, limits));
        // A socket stays in the namespace where it was made.
        let bind = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, case.port));
        let listener = lab.world().run(bind).unwrap().unwrap();
        thread::spawn(move || serve(&listener, &config));
    }
    check(&lab, Vec::new(), &cases);
}
