//! Handshakes with rustls in memory: it accepts the hellos, first and second, and ends with the secret that we compute.

use std::sync::{Arc, Mutex};

use aws_lc_rs::{digest, hmac};
use rustls::{
    KeyLog, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs as provider},
    pki_types::PrivatePkcs8KeyDer,
    server::Acceptor,
};

use super::{
    super::{Hello, KeyShares, Profile, Retry, Salt, group},
    SALT, jarms, ours,
    parsed::{Parsed, be16},
    written,
};

/// The random that makes a ServerHello a HelloRetryRequest (RFC 8446 section 4.1.3).
const RETRY_RANDOM: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

/// Keeps the secret that the server's flight is sealed under.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<u8>>);

impl KeyLog for Kept {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if label == "SERVER_HANDSHAKE_TRAFFIC_SECRET" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

fn server(groups: Vec<&'static dyn SupportedKxGroup>, kept: &Arc<Kept>) -> ServerConnection {
    let certified = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let provider = CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        ],
        kx_groups: groups,
        ..provider::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.key_log = Arc::clone(kept) as Arc<dyn KeyLog>;
    ServerConnection::new(Arc::new(config)).unwrap()
}

/// Says `record` to the server; all it answers.
fn said(server: &mut ServerConnection, record: &[u8]) -> Vec<u8> {
    assert_eq!(server.read_tls(&mut &*record).unwrap(), record.len());
    server.process_new_packets().unwrap();
    let mut answer = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut answer).unwrap();
    }
    answer
}

/// The first handshake message of an answer, which is its first record.
fn first_message(answer: &[u8]) -> &[u8] {
    assert_eq!((answer[0], answer[5]), (22, 2));
    &answer[5..5 + be16(&answer[3..])]
}

/// The body of an extension of a ServerHello.
fn extension(message: &[u8], wanted: usize) -> &[u8] {
    let mut rest = &message[39 + usize::from(message[38]) + 5..];
    loop {
        let (body, behind) = rest[4..].split_at(be16(&rest[2..]));
        if be16(rest) == wanted {
            return body;
        }
        rest = behind;
    }
}

fn expand(secret: &[u8], label: &str, context: &[u8]) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let lengths = [0, 32, label.len() as u8];
    let info = [&lengths, label.as_bytes(), &[context.len() as u8], context, &[1]].concat();
    mac(secret, &info)
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hash(octets: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, octets).as_ref().to_vec()
}

/// RFC 8446 section 7.1 down to the secret of the server's flight.
fn traffic_secret(shared: &[u8], transcript: &[u8]) -> Vec<u8> {
    let early = mac(&[0; 32], &[0; 32]);
    let handshake = mac(&expand(&early, "derived", &hash(&[])), shared);
    expand(&handshake, "s hs traffic", &hash(transcript))
}

/// A handshake as far as the secrets; whether the server wanted a second hello.
fn shake(shares: KeyShares, groups: Vec<&'static dyn SupportedKxGroup>) -> bool {
    let shares = Arc::new(shares);
    let hello = Hello::new(Profile::Modern, Arc::clone(&shares));
    let kept = Arc::default();
    let mut server = server(groups, &kept);
    let mut sent = written(&hello, &SALT, Some("a.example"));
    let mut answer = said(&mut server, &sent);
    let mut transcript = sent[5..].to_vec();
    let is_retried = first_message(&answer)[6..14] == RETRY_RANDOM;
    if is_retried {
        let request = first_message(&answer).to_vec();
        let group = be16(extension(&request, 51)) as u16;
        // Section 4.4.1: a hash stands for the first hello.
        transcript = [&[254, 0, 0, 32], &hash(&transcript)[..], &request].concat();
        let retry = Retry { group: Some(group), cookie: Vec::new() };
        hello.write_retry(&mut sent, &SALT, Some("a.example"), &retry).unwrap();
        answer = said(&mut server, &sent);
        transcript.extend_from_slice(&sent[5..]);
    }
    let server_hello = first_message(&answer);
    transcript.extend_from_slice(server_hello);
    let share = extension(server_hello, 51);
    let secret = shares.shared_secret(be16(share) as u16, &share[4..]).unwrap();
    let ours = traffic_secret(secret.as_ref(), &transcript);
    assert_eq!(ours, *kept.0.lock().unwrap());
    assert_eq!(server.server_name(), Some("a.example"));
    assert_eq!(server.alpn_protocol(), Some(&b"http/1.1"[..]));
    is_retried
}

#[test]
fn rustls_ends_with_our_secret() {
    for (group, identity_retries, fresh_retries) in [
        (provider::kx_group::X25519, false, false),
        (provider::kx_group::SECP256R1, false, true),
        (provider::kx_group::SECP384R1, false, true),
    ] {
        assert_eq!(shake(KeyShares::identity(), vec![group]), identity_retries);
        assert_eq!(shake(KeyShares::fresh().unwrap(), vec![group]), fresh_retries);
    }
}

#[test]
fn rustls_answers_older_profiles_with_tls12() {
    let hello = Hello::new(Profile::Tls12, Arc::new(KeyShares::identity()));
    let mut server = server(vec![provider::kx_group::X25519], &Arc::default());
    let answer = said(&mut server, &written(&hello, &SALT, Some("a.example")));
    let message = first_message(&answer);
    assert_eq!(message[4..6], [3, 3]);
    assert_eq!(be16(&message[39 + usize::from(message[38])..]), 0xc02b);
    // The certificate, in clear.
    assert!(answer.windows(9).any(|window| window == b"a.example"));
}

#[test]
fn rustls_reads_every_field() {
    let modern = ours().into_iter().take(2).chain(jarms().into_iter().skip(6));
    for hello in modern {
        let record = written(&hello, &Salt { random: [3; 32], ..SALT }, Some("a.example"));
        let parsed = Parsed::of(&record);
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &*record).unwrap();
        let accepted = acceptor.accept().ok().flatten().expect("a whole ClientHello");
        let theirs = accepted.client_hello();
        assert_eq!(theirs.server_name(), Some("a.example"));
        let suites: Vec<u16> = theirs.cipher_suites().iter().map(|suite| (*suite).into()).collect();
        assert_eq!(suites, parsed.suites);
        let groups = theirs.named_groups().unwrap().iter().map(|group| u16::from(*group));
        assert_eq!(
            groups.collect::<Vec<_>>(),
            [group::X25519, group::SECP256R1, group::SECP384R1, group::SECP521R1]
        );
        let schemes = theirs.signature_schemes().iter().map(|scheme| u16::from(*scheme));
        let ours = parsed.extension(13).unwrap()[2..].chunks(2).map(|pair| be16(pair) as u16);
        assert!(schemes.eq(ours));
        assert!(theirs.alpn().unwrap().any(|name| name == b"http/1.1"));
    }
}
