//! What a fuzzer does with what hosts say, and hosts that say whatever they are told to; compiled for fuzzing and tests alone.
//!
//! A fuzzer cannot guess a tag, so protected records are sealed here: what it invents is what is in them.
//!
//! # Panics
//!
//! All functions, when an invariant does not hold.

use aws_lc_rs::digest;
use mrpf_records::{TlsOutcome, TlsStage};

use super::{Cut, Handshake, LIMIT, Next, messages};
use crate::{
    capture::{Capture, FIRST_BYTES},
    hello::{KeyShares, group},
    record::{self, HEADER_LEN, LONGEST_CLEAR, LONGEST_SEALED},
    schedule::{Opener, Suite},
};

/// A host of TLS 1.3 that seals whatever it is told to. Its key share and its secret are 32 times 7: the hello has the identity
/// share of x25519.
#[derive(Debug)]
pub struct Host {
    /// What it says.
    pub octets: Vec<u8>,
    sealer: Opener,
}

impl Host {
    /// Says a ServerHello to the hello that was `sent`.
    pub fn new(sent: &[u8], cipher: u16) -> Self {
        const SHARE: [u8; 32] = [7; 32];
        let key_share = [&group::X25519.to_be_bytes()[..], &[0, 32], &SHARE].concat();
        let hello = server_hello(messages::TLS12, cipher, &[(43, &[3, 4]), (51, &key_share)]);
        let suite = Suite::of(cipher).expect("a cipher suite of TLS 1.3");
        let mut transcript = digest::Context::new(suite.digest);
        record::fragments(sent).for_each(|part| transcript.update(part));
        transcript.update(&hello);
        let sealer = Opener::new(suite, &SHARE, transcript.finish().as_ref());
        let mut octets = Vec::new();
        clear(&mut octets, record::HANDSHAKE, &hello);
        Self { octets, sealer: sealer.expect("keys of the right length") }
    }

    /// Says a record of which `content` of type `kind` is protected, with zeros behind it.
    pub fn say(&mut self, kind: u8, content: &[u8], zeros: usize) {
        let mut fragment = [content, &[kind]].concat();
        fragment.resize(fragment.len() + zeros, 0);
        let len = fragment.len() as u16 + 16;
        let [high, low] = len.to_be_bytes();
        let header = [record::APPLICATION_DATA, 3, 3, high, low];
        self.sealer.seal(&header, &mut fragment);
        self.octets.extend_from_slice(&header);
        self.octets.extend_from_slice(&fragment);
    }
}

/// Appends a record in clear.
pub fn clear(octets: &mut Vec<u8>, kind: u8, fragment: &[u8]) {
    let [high, low] = (fragment.len() as u16).to_be_bytes();
    octets.extend_from_slice(&[kind, 3, 3, high, low]);
    octets.extend_from_slice(fragment);
}

/// A handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [_, len @ ..] = (body.len() as u32).to_be_bytes();
    [&[kind], &len[..], body].concat()
}

/// A ServerHello without a session id.
pub fn server_hello(version: u16, cipher: u16, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, value) in extensions {
        list.extend_from_slice(&kind.to_be_bytes());
        list.extend_from_slice(&(value.len() as u16).to_be_bytes());
        list.extend_from_slice(value);
    }
    let [version, cipher] = [version, cipher].map(u16::to_be_bytes);
    let len = (list.len() as u16).to_be_bytes();
    message(2, &[&version[..], &[9; 32], &[0], &cipher, &[0], &len, &list].concat())
}

/// A HelloRetryRequest: a ServerHello with a random of its own.
pub fn retry(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut hello = server_hello(0x0303, 0x1301, extensions);
    let random = digest::digest(&digest::SHA256, b"HelloRetryRequest");
    hello[6..38].copy_from_slice(random.as_ref());
    hello
}

/// The message with `certificates`, of TLS 1.3 if each has extensions.
pub fn certificate(certificates: &[&[u8]], extensions: Option<&[u8]>) -> Vec<u8> {
    let mut list = Vec::new();
    for certificate in certificates {
        list.extend_from_slice(&(certificate.len() as u32).to_be_bytes()[1..]);
        list.extend_from_slice(certificate);
        if let Some(extensions) = extensions {
            list.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
            list.extend_from_slice(extensions);
        }
    }
    let len = (list.len() as u32).to_be_bytes();
    let context: &[u8] = if extensions.is_some() { &[0] } else { &[] };
    message(messages::CERTIFICATE, &[context, &len[1..], &list].concat())
}

/// What is said on one connection: each hello of ours, and what the host says until the next.
#[derive(Clone, Debug)]
pub struct Script(pub Vec<(Vec<u8>, Vec<u8>)>);

impl Script {
    /// Reads it in pieces as long as `lengths` says, as a connection does: what is not consumed comes again. What is left when
    /// there is enough is not read.
    pub fn play(
        &self,
        shares: &KeyShares,
        mut lengths: impl FnMut() -> usize,
        cut: Cut,
    ) -> (Capture, bool) {
        let mut handshake = Handshake::new();
        let mut hellos = self.0.iter().map(|(sent, _)| sent);
        let mut sent = hellos.next().expect("a hello");
        let mut unread = Vec::new();
        for (_, said) in &self.0 {
            let mut rest = &said[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(lengths().clamp(1, rest.len()));
                unread.extend_from_slice(piece);
                rest = later;
                loop {
                    let (used, next) = handshake.read(sent, shares, &unread);
                    unread.drain(..used);
                    match next {
                        Next::More => break,
                        Next::Retry(_) => {
                            if let Some(second) = hellos.next() {
                                sent = second;
                                handshake.asked_again();
                            }
                        }
                        Next::Enough => {
                            let capture = handshake.finish(Cut::Enough);
                            check(&capture);
                            return (capture, true);
                        }
                    }
                }
                assert!(unread.len() < HEADER_LEN + LONGEST_SEALED);
            }
        }
        let capture = handshake.finish(cut);
        check(&capture);
        (capture, false)
    }

    /// Reads it at once, in single octets, and in pieces as long as `lengths` says: the capture is the same.
    pub fn play_all_ways(&self, shares: &KeyShares, lengths: &[u8], cut: Cut) -> (Capture, bool) {
        let whole = self.play(shares, || usize::MAX, cut);
        assert_eq!(whole, self.play(shares, || 1, cut), "octet by octet");
        let mut lengths = lengths.iter().cycle();
        let piece = || lengths.next().map_or(1, |len| usize::from(*len) * usize::from(*len));
        assert_eq!(whole, self.play(shares, piece, cut), "in pieces");
        whole
    }
}

/// What holds of every capture.
fn check(capture: &Capture) {
    let inside = |part: &[u8]| {
        let (whole, part) = (capture.octets.as_ptr_range(), part.as_ptr_range());
        part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
    };
    assert!(capture.octets.len() <= LIMIT + LONGEST_CLEAR + FIRST_BYTES);
    assert!(capture.certificates().all(inside) && capture.client_cas().all(inside));
    assert!(capture.scts().all(inside) && capture.ocsp().is_none_or(inside));
    assert!(capture.alpn().is_none_or(inside) && inside(capture.first_bytes()));
    assert!(capture.first_bytes().len() <= FIRST_BYTES);
    let hello = capture.server_hello();
    assert_eq!(hello.is_some(), capture.stage() >= TlsStage::ServerHello);
    assert!(hello.is_none_or(|hello| hello.len() > 40 && hello[0] == messages::SERVER_HELLO));
    assert!(hello.is_none() || capture.first_bytes().is_empty());
    match capture.outcome() {
        TlsOutcome::Ok => {
            assert!(
                capture.stage() == TlsStage::Done || capture.fault() == Some(super::Fault::NoKeys)
            );
        }
        TlsOutcome::Malformed => assert!(capture.fault().is_some()),
        TlsOutcome::Alert => assert!(capture.alert().is_some()),
        TlsOutcome::NotTls => assert!(!capture.first_bytes().is_empty() && hello.is_none()),
        TlsOutcome::Refused => panic!("there was a connection"),
        _ => assert!(capture.fault().is_none()),
    }
}

/// A hello of TLS 1.3 with its three suites, x25519 and P-384, and the identity share of the first.
pub const SENT: [u8; 115] = {
    let mut sent = [0; 115];
    put(&mut sent, 0, &[22, 3, 1, 0, 110, 1, 0, 0, 106, 3, 3]); // a random and no session id follow
    put(&mut sent, 44, &[0, 6, 0x13, 1, 0x13, 2, 0x13, 3, 1, 0, 0, 59]);
    put(&mut sent, 56, &[0, 43, 0, 3, 2, 3, 4]);
    put(&mut sent, 63, &[0, 10, 0, 6, 0, 4, 0, 29, 0, 24]);
    put(&mut sent, 73, &[0, 51, 0, 38, 0, 36, 0, 29, 0, 32, 9]); // the base point of x25519: 9, and 31 zeros
    sent
};

const fn put(all: &mut [u8], at: usize, octets: &[u8]) {
    let (_, behind) = all.split_at_mut(at);
    let (place, _) = behind.split_at_mut(octets.len());
    place.copy_from_slice(octets);
}

const CUTS: [Cut; 6] =
    [Cut::Finished, Cut::Reset, Cut::Unreachable, Cut::Full, Cut::Idle, Cut::Deadline];

/// Whatever a host may send: the first octet says how the connection ends, and into what pieces it is cut.
pub fn fuzz_records(data: &[u8]) {
    let Some((choice, octets)) = data.split_first() else { return };
    let cut = CUTS[usize::from(*choice) % CUTS.len()];
    let script = Script(vec![(SENT.to_vec(), octets.to_vec())]);
    script.play_all_ways(&KeyShares::identity(), &[*choice, 3, 90, choice >> 4], cut);
}

/// A host of TLS 1.3 that has the keys. The input is a list of records: what kind, how long, how padded, sealed or in clear;
/// and their content.
pub fn fuzz_handshake(data: &[u8]) {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let cipher = 0x1301 + u16::from(choice % 3);
    let mut host = Host::new(&SENT, cipher);
    let mut is_forged = false;
    while let Some((&[how, len_high, len_low], behind)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([len_high, len_low])).min(LONGEST_CLEAR);
        let (content, behind) = behind.split_at(len.min(behind.len()));
        rest = behind;
        match how {
            0..200 => host.say(record::HANDSHAKE, content, usize::from(how % 8)),
            200..220 => host.say(record::ALERT, content, usize::from(how % 8)),
            220..230 => host.say(how, content, 0),
            _ => {
                let kind = how - 230 + record::CHANGE_CIPHER_SPEC;
                is_forged |= kind == record::APPLICATION_DATA;
                clear(&mut host.octets, kind, content);
            }
        }
    }
    let cut = CUTS[usize::from(*choice) % CUTS.len()];
    let script = Script(vec![(SENT.to_vec(), host.octets)]);
    let (capture, _) =
        script.play_all_ways(&KeyShares::identity(), &[*choice, 3, 90, choice >> 4], cut);
    assert_eq!(capture.version(), Some(messages::TLS13));
    assert_eq!(capture.cipher(), Some(cipher));
    assert_eq!(capture.group(), Some(group::X25519));
    assert!(is_forged || capture.fault() != Some(super::Fault::Sealed));
}
