//! The far ends of TLS scans, asked by a client of their own: kernel sockets, a ClientHello by hand, and a key schedule by the
//! HKDF of aws-lc-rs.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    thread,
};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement, digest,
    hkdf::{self, HKDF_SHA256, Prk, Salt},
};
use mrpf_lab::{
    Lab,
    gate::{self, Need},
    ipv6,
    tls_responder::{Accepts, Leaves, TlsCounts, TlsResponder},
    veth,
};

use crate::{PATIENCE, SHORT, eventually, host};

const HANDSHAKE: u8 = 22;
const RECORD_HEADER: usize = 5;
const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

/// A client's key share, and how it comes by what both share.
pub(crate) enum Share {
    /// The base point: what both share is the server's share.
    Identity,
    Fresh(agreement::PrivateKey),
}

impl Share {
    pub(crate) fn fresh() -> Self {
        Self::Fresh(agreement::PrivateKey::generate(&agreement::X25519).unwrap())
    }

    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Identity => BASE_POINT.to_vec(),
            Self::Fresh(key) => key.compute_public_key().unwrap().as_ref().to_vec(),
        }
    }

    fn secret(&self, theirs: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => theirs.to_vec(),
            Self::Fresh(key) => {
                let theirs = agreement::UnparsedPublicKey::new(&agreement::X25519, theirs);
                agreement::agree(key, theirs, (), |secret| Ok(secret.to_vec())).unwrap()
            }
        }
    }
}

fn with_len<const N: usize>(content: &[u8]) -> Vec<u8> {
    [&content.len().to_be_bytes()[size_of::<usize>() - N..], content].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &with_len::<2>(content)].concat()
}

/// A record with a ClientHello of TLS 1.3, or of 1.2 without a share.
pub(crate) fn client_hello(share: Option<&[u8]>, alpn: &[&str]) -> Vec<u8> {
    const X25519: [u8; 2] = [0, 29];
    const ECDSA_SECP256R1_SHA256: [u8; 2] = [4, 3];
    let mut extensions = extension(10, &with_len::<2>(&X25519));
    extensions.extend(extension(13, &with_len::<2>(&ECDSA_SECP256R1_SHA256)));
    if let Some(share) = share {
        extensions.extend(extension(43, &with_len::<1>(&[3, 4])));
        let shares = [&X25519[..], &with_len::<2>(share)].concat();
        extensions.extend(extension(51, &with_len::<2>(&shares)));
    }
    if !alpn.is_empty() {
        let names = alpn.iter().flat_map(|name| with_len::<1>(name.as_bytes())).collect::<Vec<_>>();
        extensions.extend(extension(16, &with_len::<2>(&names)));
    }
    let body = [
        &[3, 3][..],
        &[7; 32],
        &with_len::<1>(&[8; 32]),
        &with_len::<2>(&[0x13, 0x05, 0x13, 0x01]), // CCM with a short tag, which few speak
        &with_len::<1>(&[0]),
        &with_len::<2>(&extensions),
    ]
    .concat();
    let message = [&[1][..], &with_len::<3>(&body)].concat();
    [&[HANDSHAKE, 3, 1][..], &with_len::<2>(&message)].concat()
}

fn record(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; RECORD_HEADER];
    stream.read_exact(&mut header).unwrap();
    let mut content = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
    stream.read_exact(&mut content).unwrap();
    (header[0], content)
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(secret: &Prk, label: &str, context: &[u8], len: usize) -> Vec<u8> {
    let label = with_len::<1>(format!("tls13 {label}").as_bytes());
    let info = [&(len as u16).to_be_bytes()[..], &label, &with_len::<1>(context)];
    let mut octets = vec![0; len];
    secret.expand(&info, Length(len)).unwrap().fill(&mut octets).unwrap();
    octets
}

/// The server's handshake messages after its ServerHello, in order.
fn shake_hands(stream: &mut TcpStream, share: &Share, hello: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (kind, server_hello) = record(stream);
    assert_eq!((kind, server_hello[0]), (HANDSHAKE, 2));
    // It ends with the key share.
    let theirs = &server_hello[server_hello.len() - 32..];
    assert_eq!(record(stream), (20, vec![1]));
    let transcript = [&hello[RECORD_HEADER..], &server_hello[..]].concat();
    let transcript = digest::digest(&digest::SHA256, &transcript);
    let empty = digest::digest(&digest::SHA256, b"");
    let early = Salt::new(HKDF_SHA256, &[]).extract(&[0; 32]);
    let derived = expand(&early, "derived", empty.as_ref(), 32);
    let handshake = Salt::new(HKDF_SHA256, &derived).extract(&share.secret(theirs));
    let traffic = expand(&handshake, "s hs traffic", transcript.as_ref(), 32);
    let traffic = Prk::new_less_safe(HKDF_SHA256, &traffic);
    let key = expand(&traffic, "key", b"", 16);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
    let iv: [u8; 12] = expand(&traffic, "iv", b"", 12).try_into().unwrap();
    let mut messages = Vec::new();
    for sequence in 0.. {
        let (kind, mut sealed) = record(stream);
        let header = [&[kind, 3, 3][..], &(sealed.len() as u16).to_be_bytes()].concat();
        let mut nonce = iv;
        nonce[11] ^= sequence;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.open_in_place(nonce, Aad::from(header), &mut sealed).unwrap();
        assert_eq!((kind, plain.last()), (23, Some(&HANDSHAKE)));
        let message = &plain[..plain.len() - 1];
        messages.push((message[0], message[4..].to_vec()));
        if message[0] == 20 {
            break;
        }
    }
    messages
}

/// The certificates of a Certificate message.
fn certificates(body: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = &body[4..]; // no context, and the length of the list
    let mut certificates = Vec::new();
    while !rest.is_empty() {
        let len = usize::from(u16::from_be_bytes([rest[1], rest[2]]));
        certificates.push(rest[3..3 + len].to_vec());
        rest = &rest[3 + len + 2..];
    }
    certificates
}

/// The certificates that a host presents, DER, its own first.
pub(crate) fn presented(addr: IpAddr, port: u16, share: &Share) -> Vec<Vec<u8>> {
    let hello = client_hello(Some(&share.public()), &[]);
    let mut stream = connect(addr, port);
    stream.write_all(&hello).unwrap();
    let messages = shake_hands(&mut stream, share, &hello);
    let certificate = messages.iter().find(|(kind, _)| *kind == 11).unwrap();
    certificates(&certificate.1)
}

fn connect(addr: IpAddr, port: u16) -> TcpStream {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(addr, port), PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn silent_lab() -> Lab {
    Lab::builder().silent(veth::HOSTS).silent6(ipv6::HOSTS).start().unwrap()
}

#[test]
fn every_address_presents_its_own_leaf() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = silent_lab();
    let responder = TlsResponder::start(lab.world(), Arc::new(Leaves::make().unwrap())).unwrap();
    let v6 = |last| IpAddr::V6(Ipv6Addr::from_bits(ipv6::HOSTS.first().to_bits() + last));
    let hosts = [host(0, 0).into(), host(0, 1).into(), host(255, 255).into(), v6(0), v6(77_777)];
    for (addr, port) in hosts.into_iter().zip([443, 8443, 1, 65_535, 443]) {
        for share in [Share::Identity, Share::fresh()] {
            let alpn: &[&str] = if port == 443 { &["http/1.1", "h2"] } else { &[] };
            let hello = client_hello(Some(&share.public()), alpn);
            let mut stream = connect(addr, port);
            stream.write_all(&hello).unwrap();
            let messages = shake_hands(&mut stream, &share, &hello);
            let kinds: Vec<_> = messages.iter().map(|(kind, _)| *kind).collect();
            assert_eq!(kinds, [8, 11, 15, 20], "{addr}");
            let has_h2 = messages[0].1.ends_with(b"\x02h2");
            assert_eq!(has_h2, port == 443, "{addr}");
            let chain = certificates(&messages[1].1);
            assert_eq!(chain.len(), 2);
            assert!(chain[0] == responder.leaf_of(addr), "{addr} presents another leaf");
        }
    }
    let counts = responder.counts();
    let expected = TlsCounts {
        syns: counts.syns,
        hellos: 10,
        ignored: counts.ignored,
        ..TlsCounts::default()
    };
    assert_eq!(counts, expected);
    assert!(counts.syns >= 10, "{counts:?}");
}

#[test]
fn a_hello_may_come_in_two_segments_and_again() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = silent_lab();
    let responder = TlsResponder::start(lab.world(), Arc::new(Leaves::make().unwrap())).unwrap();
    for cut in [1, 3, 5, 100] {
        let share = Share::fresh();
        let hello = client_hello(Some(&share.public()), &["h2"]);
        let mut stream = connect(host(1, 1).into(), 443);
        stream.write_all(&hello[..cut]).unwrap();
        thread::sleep(SHORT / 10);
        stream.write_all(&hello[cut..]).unwrap();
        let messages = shake_hands(&mut stream, &share, &hello);
        assert!(certificates(&messages[1].1)[0] == responder.leaf_of(host(1, 1).into()), "{cut}");
    }
}

#[test]
fn what_cannot_be_answered_is_refused_or_counted() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = silent_lab();
    let responder = TlsResponder::start(lab.world(), Arc::new(Leaves::make().unwrap())).unwrap();
    let mut stream = connect(host(1, 1).into(), 443);
    stream.write_all(&client_hello(None, &[])).unwrap();
    assert_eq!(record(&mut stream), (21, vec![2, 40]));

    let mut stream = connect(host(1, 1).into(), 443);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    eventually("it was counted", || responder.counts().malformed >= 1);
    stream.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let counts = responder.counts();
    assert_eq!((counts.refused, counts.hellos, counts.lost), (1, 0, 0));
}

/// The client of these tests is right, by a server that nobody here wrote; and what the responder presents is a certificate.
#[test]
fn nginx_serves_a_leaf_by_tls() {
    if !gate::permits(&[Need::Netns, Need::Nginx]) {
        return;
    }
    let leaves = Leaves::make().unwrap();
    let addr = host(3, 7).into();
    let chain = leaves.chain_pem(Leaves::number_of(addr));
    let lab = Lab::builder().nginx_tls(443, chain, leaves.key_pem().to_owned()).start().unwrap();
    let share = Share::fresh();
    let hello = client_hello(Some(&share.public()), &[]);
    let mut stream = connect(addr, 443);
    stream.write_all(&hello).unwrap();
    let messages = shake_hands(&mut stream, &share, &hello);
    let chain = certificates(&messages[1].1);
    assert!(chain == [leaves.leaf_of(addr), leaves.intermediate()]);
    assert!(lab.nginx().is_some());
}

#[test]
fn connections_that_are_taken_may_be_left_to_wait() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = silent_lab();
    let accepts = Accepts::start(lab.world()).unwrap();
    let mut stream = connect(host(9, 9).into(), 7);
    stream.write_all(&client_hello(Some(&BASE_POINT), &[])).unwrap();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    let counts = accepts.counts();
    assert!(counts.syns >= 1 && counts.malformed >= 1 && counts.hellos == 0, "{counts:?}");
}
