//! The key schedule of TLS 1.3 (RFC 8446, section 7.1), of which a scan needs one branch: what a server protects its
//! handshake with.
//!
//! ```text
//!   no early secret: a constant
//!          |
//!     HMAC <-- shared secret
//!          |
//!     HMAC <-- "s hs traffic", hash of all messages up to the ServerHello
//!          |
//!          +-- HMAC "key" --> AEAD
//!          '-- HMAC "iv"  --> nonces
//! ```
//!
//! Nothing is ever sealed, no finished message is computed, and no application key is derived.

use std::sync::LazyLock;

use aws_lc_rs::{
    aead::{self, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, hmac,
};

use crate::record::HEADER_LEN;

/// Output of the longest hash, SHA-384.
pub(crate) const LONGEST_HASH: usize = 48;
const LONGEST_KEY: usize = 32;
/// Of `struct HkdfLabel`, without its context: length, `tls13 s hs traffic`, and the lengths of both.
const LONGEST_LABEL: usize = 2 + 1 + 18 + 1;

/// `Derive-Secret(HKDF-Extract(0, 0), "derived", "")`, the salt of the handshake secret when there is no pre-shared key.
const DERIVED_SHA256: [u8; 32] = [
    0x6f, 0x26, 0x15, 0xa1, 0x08, 0xc7, 0x02, 0xc5, 0x67, 0x8f, 0x54, 0xfc, 0x9d, 0xba, 0xb6, 0x97,
    0x16, 0xc0, 0x76, 0x18, 0x9c, 0x48, 0x25, 0x0c, 0xeb, 0xea, 0xc3, 0x57, 0x6c, 0x36, 0x11, 0xba,
];
const DERIVED_SHA384: [u8; 48] = [
    0x15, 0x91, 0xda, 0xc5, 0xcb, 0xbf, 0x03, 0x30, 0xa4, 0xa8, 0x4d, 0xe9, 0xc7, 0x53, 0x33, 0x0e,
    0x92, 0xd0, 0x1f, 0x0a, 0x88, 0x21, 0x4b, 0x44, 0x64, 0x97, 0x2f, 0xd6, 0x68, 0x04, 0x9e, 0x93,
    0xe5, 0x2f, 0x2b, 0x16, 0xfa, 0xd9, 0x22, 0xfd, 0xc0, 0x58, 0x44, 0x78, 0x42, 0x8f, 0x28, 0x2b,
];

static SALT_SHA256: LazyLock<hmac::Key> =
    LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &DERIVED_SHA256));
static SALT_SHA384: LazyLock<hmac::Key> =
    LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA384, &DERIVED_SHA384));

/// A cipher suite of TLS 1.3 that can be opened (RFC 8446, appendix B.4).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    pub(crate) digest: &'static digest::Algorithm,
    salt: &'static LazyLock<hmac::Key>,
    aead: &'static aead::Algorithm,
}

impl Suite {
    /// Those with CCM are not among them: hardly a server has them, and no hello of ours offers them.
    pub(crate) fn of(cipher: u16) -> Option<Self> {
        let (digest, salt, aead) = match cipher {
            0x1301 => (&digest::SHA256, &SALT_SHA256, &aead::AES_128_GCM),
            0x1302 => (&digest::SHA384, &SALT_SHA384, &aead::AES_256_GCM),
            0x1303 => (&digest::SHA256, &SALT_SHA256, &aead::CHACHA20_POLY1305),
            _ => return None,
        };
        Some(Self { digest, salt, aead })
    }
}

/// Opens the records of a server's handshake.
#[derive(Debug)]
pub(crate) struct Opener {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    /// Of the next record.
    number: u64,
}

impl Opener {
    /// `transcript` is the hash of all messages up to the ServerHello.
    pub(crate) fn new(suite: Suite, shared_secret: &[u8], transcript: &[u8]) -> Option<Self> {
        let handshake = hmac::sign(suite.salt, shared_secret);
        let algorithm = suite.salt.algorithm();
        let handshake = hmac::Key::new(algorithm, handshake.as_ref());
        let traffic =
            expand(&handshake, b"tls13 s hs traffic", transcript, algorithm.tag_len() as u16);
        let traffic = hmac::Key::new(algorithm, traffic.as_ref());
        let key_len = suite.aead.key_len();
        let key = expand(&traffic, b"tls13 key", &[], key_len as u16);
        let iv = expand(&traffic, b"tls13 iv", &[], NONCE_LEN as u16);
        Some(Self {
            key: LessSafeKey::new(UnboundKey::new(suite.aead, key.as_ref().get(..key_len)?).ok()?),
            iv: *iv.as_ref().first_chunk()?,
            number: 0,
        })
    }

    /// Opens the fragment of the next record where it lies, and says how long the plaintext is. What does not open is left in
    /// no state to be read.
    pub(crate) fn open(&mut self, header: &[u8; HEADER_LEN], fragment: &mut [u8]) -> Option<usize> {
        let mut nonce = self.iv;
        for (octet, number) in nonce.iter_mut().rev().zip(self.number.to_le_bytes()) {
            *octet ^= number;
        }
        self.number += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self.key.open_in_place(nonce, Aad::from(header), fragment);
        opened.ok().map(|plaintext| plaintext.len())
    }
}

/// `HKDF-Expand-Label` (RFC 8446, section 7.1) of no more than one block, which all that is needed here has; `len` is what the
/// label says, and the block is given whole.
fn expand(secret: &hmac::Key, label: &[u8], context: &[u8], len: u16) -> hmac::Tag {
    let mut info = [0; LONGEST_LABEL + LONGEST_HASH + 1];
    let [high, low] = len.to_be_bytes();
    let parts: [&[u8]; 5] =
        [&[high, low, label.len() as u8], label, &[context.len() as u8], context, &[1]];
    let mut used = 0;
    for (place, octet) in info.iter_mut().zip(parts.into_iter().flatten()) {
        *place = *octet;
        used += 1;
    }
    hmac::sign(secret, info.get(..used).unwrap_or_default())
}

const _: () = assert!(LONGEST_KEY <= 32, "a key is one block of the shorter hash");

#[cfg(test)]
mod tests {
    use super::*;

    fn is_derived(algorithm: hmac::Algorithm, digest: &'static digest::Algorithm, derived: &[u8]) {
        let len = algorithm.tag_len();
        let early = hmac::sign(&hmac::Key::new(algorithm, &vec![0; len]), &vec![0; len]);
        let empty = digest::digest(digest, &[]);
        let early = hmac::Key::new(algorithm, early.as_ref());
        let tag = expand(&early, b"tls13 derived", empty.as_ref(), len as u16);
        assert_eq!(tag.as_ref(), derived);
    }

    #[test]
    fn the_constants_are_derived() {
        is_derived(hmac::HMAC_SHA256, &digest::SHA256, &DERIVED_SHA256);
        is_derived(hmac::HMAC_SHA384, &digest::SHA384, &DERIVED_SHA384);
    }
}
