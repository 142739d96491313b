//! What a server of TLS 1.3 says first (RFC 8446), at the price of one hash and a few HMACs.
//!
//! ```text
//! ServerHello               per connection: random, session id          in clear
//! ChangeCipherSpec          always the same
//! EncryptedExtensions       one of two                                   a record each,
//! Certificate               one of many                                  AES-128-GCM
//! CertificateVerify         one, which nobody signed
//! Finished                  one, which is none
//! ```
//!
//! The server's key share is the base point of X25519, so what both share is the client's key share itself: no group operation
//! is due here. A client that verifies finds out at once; one that collects certificates cannot tell.
//!
//! The key schedule is this crate's own: it is what that of the scanner is held against.

use std::ops::Range;

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest, hmac,
};

use super::{hello::Hello, leaves::Leaves};

/// X25519's base point (RFC 7748, section 4.1).
pub(super) const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];
/// A fatal alert: handshake_failure.
pub(super) const REFUSAL: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];
const RECORD_HEADER: usize = 5;
const TAG: usize = 16;
const HANDSHAKE: u8 = 22;

const SERVER_HELLO: u8 = 2;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const CERTIFICATE: u8 = 11;
const CERTIFICATE_VERIFY: u8 = 15;
const FINISHED: u8 = 20;

/// All that can be known beforehand.
pub(super) struct Flights {
    extensions: Records,
    extensions_h2: Records,
    /// Certificate, CertificateVerify and Finished by leaf.
    identities: Vec<Records>,
    /// HMAC under the secret that the handshake secret is extracted with.
    derived: hmac::Key,
    /// The handshake secret for the latest key share: a scan has one for all its connections.
    latest: ([u8; 32], hmac::Key),
}

/// Records with their headers, in clear, and room for their tags.
#[derive(Default)]
struct Records {
    octets: Vec<u8>,
    places: Vec<Range<usize>>,
}

impl Flights {
    pub(super) fn new(leaves: &Leaves) -> Self {
        let empty = digest::digest(&digest::SHA256, b"");
        let early = hmac::sign(&sha256_key(&[0; 32]), &[0; 32]);
        let derived = expand::<32>(&sha256_key(early.as_ref()), b"derived", empty.as_ref());
        let derived = sha256_key(&derived);
        let latest = (BASE_POINT, extract(&derived, &BASE_POINT));
        Self {
            extensions: Records::of([message(ENCRYPTED_EXTENSIONS, &[0, 0])]),
            extensions_h2: Records::of([message(
                ENCRYPTED_EXTENSIONS,
                &[0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'],
            )]),
            identities: (0..leaves.count()).map(|number| identity(leaves, number)).collect(),
            derived,
            latest,
        }
    }

    /// Writes the whole flight that answers `hello`, for the host with leaf `number`; the server's random is `random`.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        hello: &Hello<'_>,
        number: usize,
        random: &[u8; 32],
    ) {
        out.clear();
        server_hello(out, hello.session_id, random);
        let mut transcript = digest::Context::new(&digest::SHA256);
        transcript.update(hello.message);
        transcript.update(&out[RECORD_HEADER..]);
        let transcript = transcript.finish();
        out.extend(CHANGE_CIPHER_SPEC);
        if self.latest.0 != *hello.x25519 {
            self.latest = (*hello.x25519, extract(&self.derived, hello.x25519));
        }
        let traffic = expand::<32>(&self.latest.1, b"s hs traffic", transcript.as_ref());
        let traffic = sha256_key(&traffic);
        let key = expand::<16>(&traffic, b"key", b"");
        let iv = expand::<12>(&traffic, b"iv", b"");
        // It refuses keys of another length alone.
        let Ok(key) = UnboundKey::new(&AES_128_GCM, &key) else { return };
        let key = LessSafeKey::new(key);
        let extensions = if hello.offers_h2 { &self.extensions_h2 } else { &self.extensions };
        let identity = &self.identities[number % self.identities.len()];
        let mut sequence = 0;
        for records in [extensions, identity] {
            records.seal(out, &key, &iv, &mut sequence);
        }
    }
}

impl Records {
    fn of(messages: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut records = Self::default();
        for message in messages {
            let start = records.octets.len();
            let len = message.len() + 1 + TAG;
            records.octets.extend([23, 3, 3]);
            records.octets.extend((len as u16).to_be_bytes());
            records.octets.extend(message);
            records.octets.push(HANDSHAKE);
            records.octets.extend([0; TAG]);
            records.places.push(start..records.octets.len());
        }
        records
    }

    /// Appends them, sealed: RFC 8446, section 5.2.
    fn seal(&self, out: &mut Vec<u8>, key: &LessSafeKey, iv: &[u8; 12], sequence: &mut u64) {
        let start = out.len();
        out.extend(&self.octets);
        for place in &self.places {
            let record = &mut out[start + place.start..start + place.end];
            let (header, content) = record.split_at_mut(RECORD_HEADER);
            let (content, tag) = content.split_at_mut(content.len() - TAG);
            let mut nonce = *iv;
            for (octet, number) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
                *octet ^= number;
            }
            *sequence += 1;
            let nonce = Nonce::assume_unique_for_key(nonce);
            // It refuses only what no record is long enough for.
            if let Ok(sealed) = key.seal_in_place_separate_tag(nonce, Aad::from(&*header), content)
            {
                tag.copy_from_slice(sealed.as_ref());
            }
        }
    }
}

fn server_hello(out: &mut Vec<u8>, session_id: &[u8], random: &[u8; 32]) {
    const SUITE_AND_COMPRESSION: [u8; 3] = [0x13, 0x01, 0];
    const EXTENSIONS: [u8; 16] = [
        0, 46, // of all
        0, 43, 0, 2, 3, 4, // supported_versions: TLS 1.3
        0, 51, 0, 36, 0, 29, 0, 32, // key_share: X25519, and the point that follows
    ];
    let body = 2 + 32 + 1 + session_id.len() + 3 + 16 + 32;
    out.extend([HANDSHAKE, 3, 3]);
    out.extend((body as u16 + 4).to_be_bytes());
    out.extend([SERVER_HELLO, 0]);
    out.extend((body as u16).to_be_bytes());
    out.extend([3, 3]);
    out.extend(random);
    out.push(session_id.len() as u8);
    out.extend(session_id);
    out.extend(SUITE_AND_COMPRESSION);
    out.extend(EXTENSIONS);
    out.extend(BASE_POINT);
}

/// Certificate, CertificateVerify and Finished of one host. The last two have the right form and no meaning.
fn identity(leaves: &Leaves, number: usize) -> Records {
    const NO_CONTEXT: u8 = 0;
    const ECDSA_SECP256R1_SHA256: [u8; 2] = [4, 3];
    const SIGNATURE: usize = 71;
    let mut list = Vec::new();
    for certificate in [leaves.leaf(number), leaves.intermediate()] {
        list.extend(&(certificate.len() as u32).to_be_bytes()[1..]);
        list.extend(certificate);
        list.extend([0, 0]); // no extensions
    }
    let mut certificate = vec![NO_CONTEXT];
    certificate.extend(&(list.len() as u32).to_be_bytes()[1..]);
    certificate.extend(list);
    let mut verify = ECDSA_SECP256R1_SHA256.to_vec();
    verify.extend([0, SIGNATURE as u8]);
    verify.extend([0x5a; SIGNATURE]);
    Records::of([
        message(CERTIFICATE, &certificate),
        message(CERTIFICATE_VERIFY, &verify),
        message(FINISHED, &[0x5a; 32]),
    ])
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = (body.len() as u32).to_be_bytes().to_vec();
    message[0] = kind;
    message.extend(body);
    message
}

fn sha256_key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn extract(salt: &hmac::Key, secret: &[u8; 32]) -> hmac::Key {
    sha256_key(hmac::sign(salt, secret).as_ref())
}

/// HKDF-Expand-Label for at most 32 octets: RFC 8446, section 7.1; one round of RFC 5869, section 2.3.
pub(super) fn expand<const N: usize>(secret: &hmac::Key, label: &[u8], context: &[u8]) -> [u8; N] {
    const PREFIX: &[u8] = b"tls13 ";
    let mut hmac = hmac::Context::with_key(secret);
    hmac.update(&[0, N as u8, (PREFIX.len() + label.len()) as u8]);
    hmac.update(PREFIX);
    hmac.update(label);
    hmac.update(&[context.len() as u8]);
    hmac.update(context);
    hmac.update(&[1]);
    let mut octets = [0; N];
    octets.copy_from_slice(&hmac.sign().as_ref()[..N]);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    }

    /// RFC 8448, section 3: the simple 1-RTT handshake.
    #[test]
    fn the_key_schedule_is_that_of_the_rfc() {
        let empty = digest::digest(&digest::SHA256, b"");
        let early = hmac::sign(&sha256_key(&[0; 32]), &[0; 32]);
        assert_eq!(
            early.as_ref(),
            hex("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
        );
        let derived = expand::<32>(&sha256_key(early.as_ref()), b"derived", empty.as_ref());
        assert_eq!(
            derived[..],
            hex("6f2615a108c702c5678f54fc9dbab69716c076189c48250cebeac3576c3611ba")
        );
        let shared = hex("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
        let handshake = hmac::sign(&sha256_key(&derived), &shared);
        assert_eq!(
            handshake.as_ref(),
            hex("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
        );
    }
}
