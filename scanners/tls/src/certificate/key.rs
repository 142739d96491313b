use std::borrow::Cow;

use x509_parser::{
    der_parser::{Oid, oid},
    prelude::FromDer,
    x509::{AlgorithmIdentifier, SubjectPublicKeyInfo},
};

use super::der::{self, Reader};

pub(crate) static RSA: Oid<'static> = oid!(1.2.840.113549.1.1.1);
static RSA_PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
pub(crate) static EC: Oid<'static> = oid!(1.2.840.10045.2.1);
static DSA: Oid<'static> = oid!(1.2.840.10040.4.1);

/// The kind of a public key and its size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Key<'a> {
    /// `rsa`, `ec-p256`, `ed25519`; an object identifier when it has no name here.
    pub(crate) kind: Cow<'static, str>,
    pub(crate) bits: Option<u32>,
    /// What a verifier takes.
    pub(crate) public: &'a [u8],
    /// The public exponent of an RSA key, without zeros in front.
    pub(crate) exponent: &'a [u8],
}

impl<'a> Key<'a> {
    /// Of a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7).
    pub(crate) fn of(info: &'a [u8]) -> Option<Self> {
        let public = public(info)?;
        let (_, info) = SubjectPublicKeyInfo::from_der(info).ok()?;
        let id = &info.algorithm.algorithm;
        let mut key = Self { kind: Cow::Borrowed(""), bits: None, public, exponent: &[] };
        if *id == RSA || *id == RSA_PSS {
            key.kind = if *id == RSA { "rsa" } else { "rsa-pss" }.into();
            if let Some((modulus, exponent)) = rsa(public) {
                key.bits = bits(modulus);
                key.exponent = exponent;
            }
        } else if *id == EC {
            (key.kind, key.bits) = curve(&info.algorithm);
        } else if *id == DSA {
            key.kind = "dsa".into();
            key.bits = info.algorithm.parameters.as_ref().and_then(|parameters| {
                let prime = Reader::new(parameters.data).expect(der::INTEGER).ok()?;
                bits(unsigned(prime.value))
            });
        } else if let Some((_, name, size)) = FIXED.iter().find(|(known, ..)| known == id) {
            key.kind = (*name).into();
            key.bits = *size;
        } else {
            key.kind = id.to_id_string().into();
        }
        Some(key)
    }
}

/// Kinds whose name says all.
static FIXED: [(Oid<'static>, &str, Option<u32>); 11] = [
    (oid!(1.3.101.110), "x25519", Some(256)),
    (oid!(1.3.101.111), "x448", Some(448)),
    (oid!(1.3.101.112), "ed25519", Some(256)),
    (oid!(1.3.101.113), "ed448", Some(456)),
    (oid!(2.16.840.1.101.3.4.3.17), "ml-dsa-44", None),
    (oid!(2.16.840.1.101.3.4.3.18), "ml-dsa-65", None),
    (oid!(2.16.840.1.101.3.4.3.19), "ml-dsa-87", None),
    (oid!(1.2.643.2.2.19), "gost-2001", Some(256)),
    (oid!(1.2.643.7.1.1.1.1), "gost-2012-256", Some(256)),
    (oid!(1.2.643.7.1.1.1.2), "gost-2012-512", Some(512)),
    (oid!(1.2.840.113549.1.3.1), "dh", None),
];

/// The name and size of the curve (RFC 5480, section 2.1.1); curves given by their numbers have no name.
fn curve(algorithm: &AlgorithmIdentifier<'_>) -> (Cow<'static, str>, Option<u32>) {
    static CURVES: [(Oid<'static>, &str, u32); 10] = [
        (oid!(1.2.840.10045.3.1.7), "ec-p256", 256),
        (oid!(1.3.132.0.34), "ec-p384", 384),
        (oid!(1.3.132.0.35), "ec-p521", 521),
        (oid!(1.3.132.0.10), "ec-secp256k1", 256),
        (oid!(1.3.132.0.33), "ec-p224", 224),
        (oid!(1.2.840.10045.3.1.1), "ec-p192", 192),
        (oid!(1.3.36.3.3.2.8.1.1.7), "ec-brainpoolP256r1", 256),
        (oid!(1.3.36.3.3.2.8.1.1.11), "ec-brainpoolP384r1", 384),
        (oid!(1.3.36.3.3.2.8.1.1.13), "ec-brainpoolP512r1", 512),
        (oid!(1.2.156.10197.1.301), "ec-sm2", 256),
    ];
    let named = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match named {
        Some(id) => match CURVES.iter().find(|(known, ..)| *known == id) {
            Some((_, name, bits)) => ((*name).into(), Some(*bits)),
            None => (format!("ec-{}", id.to_id_string()).into(), None),
        },
        None => ("ec".into(), None),
    }
}

/// The octets of the BIT STRING in a SubjectPublicKeyInfo.
fn public(info: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(der::only(info, der::SEQUENCE).ok()?.value);
    fields.expect(der::SEQUENCE).ok()?;
    super::fields::bits(fields.expect(der::BIT_STRING).ok()?.value)
}

/// Modulus and exponent of an RSAPublicKey (RFC 8017, section A.1.1), without zeros in front.
fn rsa(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = Reader::new(der::only(key, der::SEQUENCE).ok()?.value);
    let modulus = fields.expect(der::INTEGER).ok()?.value;
    Some((unsigned(modulus), unsigned(fields.expect(der::INTEGER).ok()?.value)))
}

fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The size of a number without zeros in front.
fn bits(number: &[u8]) -> Option<u32> {
    let first = number.first()?;
    u32::try_from(number.len()).ok()?.checked_mul(8)?.checked_sub(first.leading_zeros())
}
