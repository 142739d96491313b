//! The key shares of a scan and the secrets they give.
//!
//! ```text
//!               we send       the host sends   both have
//!  identity     G             k * G            k * G         the host's own share: nothing to compute
//!  fresh        a * G         k * G            a * k * G     one agreement a connection
//! ```
//!
//! A scan wants what the host shows to everyone, so it has nothing to keep secret. With the base point of the group as our
//! share the agreement costs nothing; whoever is on the path can read the handshake, and can tell that a scanner sent the
//! hello. Fresh keys look like anyone's; one pair a group serves the whole scan.
//!
//! Not here: what follows from a secret.

use std::fmt;

use aws_lc_rs::agreement::{
    self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, PublicKey, UnparsedPublicKey,
};

/// Numbers of groups (RFC 8446 section 4.2.7).
pub mod group {
    /// x25519.
    pub const X25519: u16 = 0x001d;
    /// secp256r1, which is P-256.
    pub const SECP256R1: u16 = 0x0017;
    /// secp384r1, which is P-384.
    pub const SECP384R1: u16 = 0x0018;
    /// secp521r1, which is P-521.
    pub const SECP521R1: u16 = 0x0019;
}

/// The groups we have shares of, the cheapest for the host first.
pub(super) const GROUPS: [u16; 4] =
    [group::X25519, group::SECP256R1, group::SECP384R1, group::SECP521R1];

/// The first octet of a point in the one form that TLS 1.3 knows (RFC 8446 section 4.2.8.2).
const UNCOMPRESSED: u8 = 0x04;

/// The key shares of a scan: one for all its connections. See the module.
#[derive(Debug)]
pub struct KeyShares(Kind);

#[derive(Debug)]
enum Kind {
    Identity,
    Fresh(Vec<Pair>),
}

#[derive(Debug)]
struct Pair {
    group: u16,
    private: PrivateKey,
    public: PublicKey,
}

/// No key pair could be made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no key pair for group {group:#06x}: the random numbers of this machine may be at fault")]
pub struct NoKeyPair {
    /// The group that it was for.
    pub group: u16,
}

impl KeyShares {
    /// The base point of each group: what a host sends back is the secret.
    pub fn identity() -> Self {
        Self(Kind::Identity)
    }

    /// Keys drawn now, for each group.
    ///
    /// # Errors
    ///
    /// When aws-lc cannot draw one.
    pub fn fresh() -> Result<Self, NoKeyPair> {
        let pair = |group| {
            let algorithm = algorithm(group).ok_or(NoKeyPair { group })?;
            let private = PrivateKey::generate(algorithm).map_err(|_| NoKeyPair { group })?;
            let public = private.compute_public_key().map_err(|_| NoKeyPair { group })?;
            Ok(Pair { group, private, public })
        };
        GROUPS.into_iter().map(pair).collect::<Result<_, _>>().map(|pairs| Self(Kind::Fresh(pairs)))
    }

    /// Keys that others drew.
    #[cfg(test)]
    pub(crate) fn known(keys: &[(u16, &[u8])]) -> Self {
        let pair = |&(group, private): &(u16, &[u8])| {
            let private = PrivateKey::from_private_key(algorithm(group).unwrap(), private).unwrap();
            let public = private.compute_public_key().unwrap();
            Pair { group, private, public }
        };
        Self(Kind::Fresh(keys.iter().map(pair).collect()))
    }

    /// Whether they are base points.
    pub fn is_identity(&self) -> bool {
        matches!(self.0, Kind::Identity)
    }

    /// What a hello sends for `group`; `None` when we have no share of it.
    pub fn public(&self, group: u16) -> Option<&[u8]> {
        match &self.0 {
            Kind::Identity => base_point(group),
            Kind::Fresh(pairs) => {
                pairs.iter().find(|pair| pair.group == group).map(|pair| pair.public.as_ref())
            }
        }
    }

    /// The secret shared with a host that sent `peer_public` for `group` (RFC 8446 section 7.4).
    ///
    /// `None` for a group we have no share of, and for what is no share of it. Under [`KeyShares::identity`] a point that
    /// is well-formed and not on the curve gives a secret too: one that opens nothing.
    pub fn shared_secret(&self, group: u16, peer_public: &[u8]) -> Option<SharedSecret> {
        match &self.0 {
            Kind::Identity => identity_secret(group, peer_public),
            Kind::Fresh(pairs) => {
                let pair = pairs.iter().find(|pair| pair.group == group)?;
                let peer = UnparsedPublicKey::new(pair.private.algorithm(), peer_public);
                if group != group::X25519 && peer_public.first() != Some(&UNCOMPRESSED) {
                    return None; // aws-lc reads compressed points too, which TLS 1.3 does not have
                }
                agreement::agree(&pair.private, peer, (), |secret| {
                    SharedSecret::new(secret).ok_or(())
                })
                .ok()
            }
        }
    }
}

/// The secret of a handshake, before anything is derived of it.
#[derive(Clone, Eq, PartialEq)]
pub struct SharedSecret {
    octets: [u8; Self::MOST],
    length: usize,
}

impl SharedSecret {
    /// The x coordinate of P-521.
    const MOST: usize = 66;

    fn new(secret: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MOST];
        octets.get_mut(..secret.len())?.copy_from_slice(secret);
        Some(Self { octets, length: secret.len() })
    }
}

impl AsRef<[u8]> for SharedSecret {
    fn as_ref(&self) -> &[u8] {
        &self.octets[..self.length] // `length` is that of what was copied there
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSecret({} octets)", self.length)
    }
}

fn algorithm(group: u16) -> Option<&'static Algorithm> {
    match group {
        group::X25519 => Some(&agreement::X25519),
        group::SECP256R1 => Some(&ECDH_P256),
        group::SECP384R1 => Some(&ECDH_P384),
        group::SECP521R1 => Some(&ECDH_P521),
        _ => None,
    }
}

fn identity_secret(group: u16, share: &[u8]) -> Option<SharedSecret> {
    if share.len() != base_point(group)?.len() {
        return None;
    }
    if group == group::X25519 {
        // RFC 8446 section 7.4.2: a point of small order gives zeros, and is refused.
        return share.iter().any(|octet| *octet != 0).then(|| SharedSecret::new(share)).flatten();
    }
    let point = share.strip_prefix(&[UNCOMPRESSED])?;
    SharedSecret::new(point.get(..point.len() / 2)?)
}

fn base_point(group: u16) -> Option<&'static [u8]> {
    match group {
        group::X25519 => Some(&X25519_BASE),
        group::SECP256R1 => Some(&P256_BASE),
        group::SECP384R1 => Some(&P384_BASE),
        group::SECP521R1 => Some(&P521_BASE),
        _ => None,
    }
}

/// RFC 7748 section 4.1.
const X25519_BASE: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};
/// SEC 2 section 2.4.2.
const P256_BASE: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40,
    0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2,
    0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e,
    0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51,
    0xf5,
];
/// SEC 2 section 2.5.1.
const P384_BASE: [u8; 97] = [
    0x04, 0xaa, 0x87, 0xca, 0x22, 0xbe, 0x8b, 0x05, 0x37, 0x8e, 0xb1, 0xc7, 0x1e, 0xf3, 0x20, 0xad,
    0x74, 0x6e, 0x1d, 0x3b, 0x62, 0x8b, 0xa7, 0x9b, 0x98, 0x59, 0xf7, 0x41, 0xe0, 0x82, 0x54, 0x2a,
    0x38, 0x55, 0x02, 0xf2, 0x5d, 0xbf, 0x55, 0x29, 0x6c, 0x3a, 0x54, 0x5e, 0x38, 0x72, 0x76, 0x0a,
    0xb7, 0x36, 0x17, 0xde, 0x4a, 0x96, 0x26, 0x2c, 0x6f, 0x5d, 0x9e, 0x98, 0xbf, 0x92, 0x92, 0xdc,
    0x29, 0xf8, 0xf4, 0x1d, 0xbd, 0x28, 0x9a, 0x14, 0x7c, 0xe9, 0xda, 0x31, 0x13, 0xb5, 0xf0, 0xb8,
    0xc0, 0x0a, 0x60, 0xb1, 0xce, 0x1d, 0x7e, 0x81, 0x9d, 0x7a, 0x43, 0x1d, 0x7c, 0x90, 0xea, 0x0e,
    0x5f,
];
/// SEC 2 section 2.6.1.
const P521_BASE: [u8; 133] = [
    0x04, 0x00, 0xc6, 0x85, 0x8e, 0x06, 0xb7, 0x04, 0x04, 0xe9, 0xcd, 0x9e, 0x3e, 0xcb, 0x66, 0x23,
    0x95, 0xb4, 0x42, 0x9c, 0x64, 0x81, 0x39, 0x05, 0x3f, 0xb5, 0x21, 0xf8, 0x28, 0xaf, 0x60, 0x6b,
    0x4d, 0x3d, 0xba, 0xa1, 0x4b, 0x5e, 0x77, 0xef, 0xe7, 0x59, 0x28, 0xfe, 0x1d, 0xc1, 0x27, 0xa2,
    0xff, 0xa8, 0xde, 0x33, 0x48, 0xb3, 0xc1, 0x85, 0x6a, 0x42, 0x9b, 0xf9, 0x7e, 0x7e, 0x31, 0xc2,
    0xe5, 0xbd, 0x66, 0x01, 0x18, 0x39, 0x29, 0x6a, 0x78, 0x9a, 0x3b, 0xc0, 0x04, 0x5c, 0x8a, 0x5f,
    0xb4, 0x2c, 0x7d, 0x1b, 0xd9, 0x98, 0xf5, 0x44, 0x49, 0x57, 0x9b, 0x44, 0x68, 0x17, 0xaf, 0xbd,
    0x17, 0x27, 0x3e, 0x66, 0x2c, 0x97, 0xee, 0x72, 0x99, 0x5e, 0xf4, 0x26, 0x40, 0xc5, 0x50, 0xb9,
    0x01, 0x3f, 0xad, 0x07, 0x61, 0x35, 0x3c, 0x70, 0x86, 0xa2, 0x72, 0xc2, 0x40, 0x88, 0xbe, 0x94,
    0x76, 0x9f, 0xd1, 0x66, 0x50,
];
