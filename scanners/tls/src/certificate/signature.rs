use std::borrow::Cow;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::{
    der_parser::{Oid, oid},
    prelude::FromDer,
    signature_algorithm::RsaSsaPssParams,
    x509::AlgorithmIdentifier,
};

use super::{fields::Fields, key::Key};

/// How a certificate is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Scheme {
    Rsa(Hash),
    Pss(Hash),
    Ecdsa(Hash),
    Dsa(Hash),
    Named(&'static str),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hash {
    Md2,
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    Other,
}

impl Hash {
    fn as_str(self) -> &'static str {
        match self {
            Self::Md2 => "md2",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Other => "other",
        }
    }
}

static SCHEMES: [(Oid<'static>, Scheme); 22] = [
    (oid!(1.2.840.113549.1.1.11), Scheme::Rsa(Hash::Sha256)),
    (oid!(1.2.840.10045.4.3.2), Scheme::Ecdsa(Hash::Sha256)),
    (oid!(1.2.840.10045.4.3.3), Scheme::Ecdsa(Hash::Sha384)),
    (oid!(1.2.840.113549.1.1.12), Scheme::Rsa(Hash::Sha384)),
    (oid!(1.2.840.113549.1.1.13), Scheme::Rsa(Hash::Sha512)),
    (oid!(1.2.840.113549.1.1.5), Scheme::Rsa(Hash::Sha1)),
    (oid!(1.3.14.3.2.29), Scheme::Rsa(Hash::Sha1)), // sha1WithRSASignature, of OIW
    (oid!(1.2.840.113549.1.1.14), Scheme::Rsa(Hash::Sha224)),
    (oid!(1.2.840.113549.1.1.4), Scheme::Rsa(Hash::Md5)),
    (oid!(1.2.840.113549.1.1.2), Scheme::Rsa(Hash::Md2)),
    (oid!(1.2.840.10045.4.3.4), Scheme::Ecdsa(Hash::Sha512)),
    (oid!(1.2.840.10045.4.3.1), Scheme::Ecdsa(Hash::Sha224)),
    (oid!(1.2.840.10045.4.1), Scheme::Ecdsa(Hash::Sha1)),
    (oid!(1.2.840.10040.4.3), Scheme::Dsa(Hash::Sha1)),
    (oid!(2.16.840.1.101.3.4.3.1), Scheme::Dsa(Hash::Sha224)),
    (oid!(2.16.840.1.101.3.4.3.2), Scheme::Dsa(Hash::Sha256)),
    (oid!(1.3.101.112), Scheme::Named("ed25519")),
    (oid!(1.3.101.113), Scheme::Named("ed448")),
    (oid!(2.16.840.1.101.3.4.3.17), Scheme::Named("ml-dsa-44")),
    (oid!(2.16.840.1.101.3.4.3.18), Scheme::Named("ml-dsa-65")),
    (oid!(2.16.840.1.101.3.4.3.19), Scheme::Named("ml-dsa-87")),
    (oid!(1.2.156.10197.1.501), Scheme::Named("sm2-sm3")),
];

fn scheme(algorithm: &AlgorithmIdentifier<'_>) -> Option<Scheme> {
    static PSS: Oid<'static> = oid!(1.2.840.113549.1.1.10);
    if algorithm.algorithm == PSS {
        return Some(Scheme::Pss(pss_hash(algorithm)));
    }
    SCHEMES.iter().find(|(known, _)| *known == algorithm.algorithm).map(|(_, scheme)| *scheme)
}

/// The hash that the parameters of RSASSA-PSS name (RFC 4055, section 3.1); SHA-1 when they name none.
fn pss_hash(algorithm: &AlgorithmIdentifier<'_>) -> Hash {
    static HASHES: [(Oid<'static>, Hash); 5] = [
        (oid!(2.16.840.1.101.3.4.2.1), Hash::Sha256),
        (oid!(2.16.840.1.101.3.4.2.2), Hash::Sha384),
        (oid!(2.16.840.1.101.3.4.2.3), Hash::Sha512),
        (oid!(2.16.840.1.101.3.4.2.4), Hash::Sha224),
        (oid!(1.3.14.3.2.26), Hash::Sha1),
    ];
    let parameters =
        algorithm.parameters.as_ref().and_then(|any| RsaSsaPssParams::try_from(any).ok());
    let Some(parameters) = parameters else { return Hash::Other };
    let id = parameters.hash_algorithm_oid();
    HASHES.iter().find(|(known, _)| known == id).map_or(Hash::Other, |(_, hash)| *hash)
}

/// The name of a signature's AlgorithmIdentifier; its object identifier when it has no name here.
pub(crate) fn name(algorithm: &[u8]) -> Option<Cow<'static, str>> {
    let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm).ok()?;
    Some(match scheme(&algorithm) {
        Some(Scheme::Rsa(hash)) => format!("rsa-{}", hash.as_str()).into(),
        Some(Scheme::Pss(hash)) => format!("rsa-pss-{}", hash.as_str()).into(),
        Some(Scheme::Ecdsa(hash)) => format!("ecdsa-{}", hash.as_str()).into(),
        Some(Scheme::Dsa(hash)) => format!("dsa-{}", hash.as_str()).into(),
        Some(Scheme::Named(name)) => name.into(),
        None => algorithm.algorithm.to_id_string().into(),
    })
}

/// The certificate is signed with its own key. A missing key identifier, or a missing alternative name, says nothing about
/// it; nor do equal names, without which it is not asked: the verification costs more than all other fields together.
///
/// `None` where it may be and no verifier of ours takes the algorithm or the key.
pub(crate) fn is_self_signed(fields: &Fields<'_>) -> Option<bool> {
    if !fields.is_self_issued()? {
        return Some(false);
    }
    let key = Key::of(fields.key?)?;
    let (_, algorithm) = AlgorithmIdentifier::from_der(fields.algorithm?).ok()?;
    let verifier = verifier(scheme(&algorithm)?, &key)?;
    let verified =
        UnparsedPublicKey::new(verifier, key.public).verify(fields.tbs?, fields.signature?);
    Some(verified.is_ok())
}

/// Who can verify signatures of this scheme by this key. Weak keys and SHA-1 included: it is about who signed, and not about
/// what that is worth.
fn verifier(scheme: Scheme, key: &Key<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    // What AWS-LC takes; a key beyond says nothing about the signature.
    const RSA_BITS: std::ops::RangeInclusive<u32> = 1_024..=8_192;
    const RSA_BITS_NOT_LEGACY: u32 = 2_048;
    const RSA_EXPONENT: std::ops::RangeInclusive<usize> = 1..=4;
    let is_rsa = matches!(&*key.kind, "rsa" | "rsa-pss")
        && RSA_EXPONENT.contains(&key.exponent.len())
        && key.bits.is_some_and(|bits| RSA_BITS.contains(&bits));
    let is_long = is_rsa && key.bits.is_some_and(|bits| bits >= RSA_BITS_NOT_LEGACY);
    Some(match (scheme, &*key.kind) {
        (Scheme::Rsa(Hash::Sha1), _) if is_rsa => {
            &signature::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY
        }
        (Scheme::Rsa(Hash::Sha256), _) if is_rsa => {
            &signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY
        }
        (Scheme::Rsa(Hash::Sha512), _) if is_rsa => {
            &signature::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY
        }
        (Scheme::Rsa(Hash::Sha384), _) if is_long => &signature::RSA_PKCS1_2048_8192_SHA384,
        (Scheme::Pss(Hash::Sha256), _) if is_long => &signature::RSA_PSS_2048_8192_SHA256,
        (Scheme::Pss(Hash::Sha384), _) if is_long => &signature::RSA_PSS_2048_8192_SHA384,
        (Scheme::Pss(Hash::Sha512), _) if is_long => &signature::RSA_PSS_2048_8192_SHA512,
        (Scheme::Ecdsa(Hash::Sha1), "ec-p256") => &signature::ECDSA_P256_SHA1_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), "ec-p256") => &signature::ECDSA_P256_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), "ec-p256") => &signature::ECDSA_P256_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), "ec-p256") => &signature::ECDSA_P256_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), "ec-p384") => &signature::ECDSA_P384_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), "ec-p384") => &signature::ECDSA_P384_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), "ec-p384") => &signature::ECDSA_P384_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha1), "ec-p521") => &signature::ECDSA_P521_SHA1_ASN1,
        (Scheme::Ecdsa(Hash::Sha224), "ec-p521") => &signature::ECDSA_P521_SHA224_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), "ec-p521") => &signature::ECDSA_P521_SHA256_ASN1,
        (Scheme::Ecdsa(Hash::Sha384), "ec-p521") => &signature::ECDSA_P521_SHA384_ASN1,
        (Scheme::Ecdsa(Hash::Sha512), "ec-p521") => &signature::ECDSA_P521_SHA512_ASN1,
        (Scheme::Ecdsa(Hash::Sha256), "ec-secp256k1") => &signature::ECDSA_P256K1_SHA256_ASN1,
        (Scheme::Named("ed25519"), "ed25519") => &signature::ED25519,
        (Scheme::Named("ml-dsa-44"), "ml-dsa-44") => &signature::ML_DSA_44,
        (Scheme::Named("ml-dsa-65"), "ml-dsa-65") => &signature::ML_DSA_65,
        (Scheme::Named("ml-dsa-87"), "ml-dsa-87") => &signature::ML_DSA_87,
        _ => return None,
    })
}
