//! The hellos we make up ourselves: modern, tls12, legacy.
//!
//! | | versions | for |
//! |---|---|---|
//! | modern | 1.3 .. 1.0 | every server that speaks a TLS of this century |
//! | tls12 | 1.2 and below | a certificate in clear |
//! | legacy | 1.1 and below, at SSLv3's door | devices that fail on extensions they do not know |
//!
//! The choice is what a certificate needs, not what is safe: nothing is ever sent under these keys. Suites without a
//! certificate, without encryption and of export strength are left out: their servers have better ones, or no certificate. Fewer
//! than 64 suites, all that some old Windows servers look at; what is weak comes last.

use super::{
    key_shares::{GROUPS, KeyShares, group},
    template::{Draft, Template, extension},
};

/// TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256: those whose AEAD we open.
const TLS13: [u16; 3] = [0x1301, 0x1302, 0x1303];

/// ECDHE with ECDSA or RSA: GCM, ChaCha20, then CBC.
const ECDHE: [u16; 14] = [
    0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, // AEAD
    0xc023, 0xc027, 0xc024, 0xc028, // CBC with SHA-2
    0xc009, 0xc013, 0xc00a, 0xc014, // CBC with SHA-1
];

/// RSA key exchange: GCM, then CBC.
const RSA: [u16; 6] = [0x009c, 0x009d, 0x003c, 0x003d, 0x002f, 0x0035];

/// DHE with RSA: GCM, ChaCha20, then CBC. Behind RSA, since the host pays for it.
const DHE: [u16; 7] = [0x009e, 0x009f, 0xccaa, 0x0067, 0x006b, 0x0033, 0x0039];

/// What servers have that know nothing better: 3DES and RC4, the latter with SHA-1 and MD5.
const WEAK: [u16; 6] = [0xc012, 0x0016, 0x000a, 0xc011, 0x0005, 0x0004];

/// Camellia, SEED, IDEA, DES, and certificates of DSA.
const OLD: [u16; 15] = [
    0x0041, 0x0084, 0x0045, 0x0088, 0x0096, 0x009a, 0x0007, // RSA and DHE-RSA
    0x0032, 0x0038, 0x0044, 0x0087, 0x0099, 0x0013, // DHE-DSS
    0x0009, 0x0015, // DES
];

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 section 3.3): the extension for servers that fail on extensions.
const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// Schemes of RFC 8446 section 4.2.3: all that certificates are signed with, SHA-1 at the end.
const SIGNATURES: [u16; 16] = [
    0x0403, 0x0503, 0x0603, // ECDSA
    0x0807, 0x0808, // Ed25519, Ed448
    0x0804, 0x0805, 0x0806, // PSS with ordinary RSA keys
    0x0809, 0x080a, 0x080b, // PSS with keys for nothing else
    0x0401, 0x0501, 0x0601, // PKCS #1
    0x0203, 0x0201, // SHA-1
];

/// DSA with SHA-256 and SHA-1 (RFC 5246 section 7.4.1.4.1), which TLS 1.3 does not have.
const DSA: [u16; 2] = [0x0402, 0x0202];

pub(super) fn modern(shares: &KeyShares) -> Template {
    // What costs nothing is sent at once and saves a HelloRetryRequest.
    let offered: &[u16] = if shares.is_identity() {
        &[group::X25519, group::SECP256R1, group::SECP384R1]
    } else {
        &[group::X25519]
    };
    let suites = [&TLS13[..], &ECDHE, &RSA, &DHE, &WEAK].concat();
    let draft = Draft::new(0x0301, 0x0303, 32).suites(false, suites);
    before_signatures(draft)
        .extension(13, |e| e.list16(|list| list.u16s(&SIGNATURES)))
        .extension(18, |e| e) // signed_certificate_timestamp
        .extension(extension::KEY_SHARE, |e| {
            e.list16(|list| {
                offered
                    .iter()
                    .filter_map(|group| Some((*group, shares.public(*group)?)))
                    .fold(list, |list, (group, share)| list.u16(group).list16(|e| e.octets(share)))
            })
        })
        .extension(45, |e| e.list8(|list| list.octets(&[1]))) // psk_key_exchange_modes: psk_dhe_ke
        .extension(extension::SUPPORTED_VERSIONS, |e| {
            e.list8(|list| list.u16s(&[0x0304, 0x0303, 0x0302, 0x0301]))
        })
        .finish(true)
}

pub(super) fn tls12() -> Template {
    let suites = [&ECDHE[..], &RSA, &DHE, &WEAK, &OLD].concat();
    before_signatures(Draft::new(0x0301, 0x0303, 0).suites(false, suites))
        .extension(18, |e| e) // signed_certificate_timestamp
        .extension(13, |e| e.list16(|list| list.u16s(&SIGNATURES).u16s(&DSA)))
        .finish(true)
}

pub(super) fn legacy() -> Template {
    // What TLS 1.1 has of the lists above: CBC with SHA-1, and RC4.
    let suites = [
        &[0xc009, 0xc013, 0xc00a, 0xc014, 0x002f, 0x0035, 0x0033, 0x0039],
        &WEAK[..],
        &OLD,
        &[0xc007, 0xc008, RENEGOTIATION_SCSV],
    ]
    .concat();
    groups(Draft::new(0x0301, 0x0302, 0).suites(false, suites)).finish(true)
}

/// Extensions of TLS 1.2 and of 1.3 alike.
fn before_signatures(draft: Draft) -> Draft {
    let draft = draft
        .extension(23, |e| e) // extended_master_secret
        .extension(0xff01, |e| e.octets(&[0])); // renegotiation_info
    groups(draft)
        .extension(16, |e| {
            let protocol = |list: Draft, name: &[u8]| list.list8(|e| e.octets(name));
            e.list16(|list| protocol(protocol(list, b"h2"), b"http/1.1"))
        })
        .extension(5, |e| e.octets(&[1, 0, 0, 0, 0])) // status_request: OCSP, from anyone
}

/// supported_groups, and the one point format (RFC 8422 section 5.1).
fn groups(draft: Draft) -> Draft {
    draft
        .extension(extension::SUPPORTED_GROUPS, |e| e.list16(|list| list.u16s(&GROUPS)))
        .extension(11, |e| e.list8(|list| list.octets(&[0])))
}
