//! Authorities of the table, and certificates of theirs that break rules.

use std::ops::Range;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    SignatureAlgorithm, SigningKey as _,
};
use time::OffsetDateTime;

use crate::certificate::der::{self, Reader};

/// When all of the table is judged: 2027-06-01T00:00:00Z.
pub(super) const NOW: i64 = 1_811_808_000;
pub(super) const DAY: i64 = 86_400;

/// The fields of what is signed, in their order; those of a certificate of version 3.
pub(super) struct Tbs(pub(super) Vec<Vec<u8>>);

impl Tbs {
    pub(super) const VERSION: usize = 0;
    pub(super) const SERIAL: usize = 1;
    pub(super) const ISSUER: usize = 3;
    pub(super) const VALIDITY: usize = 4;
    pub(super) const SUBJECT: usize = 5;
    pub(super) const EXTENSIONS: usize = 7;
}

/// A tag, a length and a value.
pub(super) fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    let len = value.len();
    let mut whole = vec![tag];
    match len {
        0..=0x7f => whole.push(len as u8),
        0x80..=0xff => whole.extend([0x81, len as u8]),
        _ => whole.extend([0x82, (len >> 8) as u8, len as u8]),
    }
    whole.extend(value);
    whole
}

/// What is good for `days`, counted from [`NOW`].
pub(super) fn params(cn: &str, sans: &[&str], days: Range<i64>) -> CertificateParams {
    let sans: Vec<String> = sans.iter().map(|san| (*san).to_owned()).collect();
    let mut params = CertificateParams::new(sans).unwrap();
    params.distinguished_name.push(DnType::CommonName, cn);
    params.not_before = OffsetDateTime::from_unix_timestamp(NOW + days.start * DAY).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(NOW + days.end * DAY).unwrap();
    params
}

/// What an issuer has.
pub(super) fn issuing(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

/// Someone who signs.
pub(super) struct Authority {
    pub(super) der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn root(cn: &str) -> Self {
        Self::own(issuing(params(cn, &[], -1_000..10_000)), key())
    }

    /// One that signs itself.
    pub(super) fn own(params: CertificateParams, key: KeyPair) -> Self {
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// One that this signs.
    pub(super) fn sub(&self, params: CertificateParams) -> Self {
        self.sub_with(params, key())
    }

    pub(super) fn sub_with(&self, params: CertificateParams, key: KeyPair) -> Self {
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { der, issuer: Issuer::new(params, key) }
    }

    /// As `sub`, with fields that rcgen does not write.
    pub(super) fn patched(&self, params: CertificateParams, patch: impl Fn(&mut Tbs)) -> Self {
        let mut sub = self.sub(params);
        sub.der = patched(&sub.der, self.issuer.key(), patch);
        sub
    }

    pub(super) fn issue(&self, params: CertificateParams) -> Vec<u8> {
        self.sub(params).der
    }

    pub(super) fn issue_for(
        &self,
        params: CertificateParams,
        algorithm: &'static SignatureAlgorithm,
    ) -> Vec<u8> {
        self.sub_with(params, KeyPair::generate_for(algorithm).unwrap()).der
    }

    pub(super) fn issue_patched(
        &self,
        params: CertificateParams,
        patch: impl Fn(&mut Tbs),
    ) -> Vec<u8> {
        self.patched(params, patch).der
    }

    /// Its own certificate with other fields, signed by itself.
    pub(super) fn own_patched(&self, patch: impl Fn(&mut Tbs)) -> Vec<u8> {
        patched(&self.der, self.issuer.key(), patch)
    }

    pub(super) fn key(&self) -> KeyPair {
        KeyPair::try_from(self.issuer.key().serialized_der()).unwrap()
    }
}

fn patched(certificate: &[u8], key: &KeyPair, patch: impl Fn(&mut Tbs)) -> Vec<u8> {
    let mut outer = Reader::new(der::only(certificate, der::SEQUENCE).unwrap().value);
    let mut inner = Reader::new(outer.expect(der::SEQUENCE).unwrap().value);
    let algorithm = outer.expect(der::SEQUENCE).unwrap().whole;
    let mut tbs = Tbs(Vec::new());
    while !inner.is_empty() {
        tbs.0.push(inner.next().unwrap().whole.to_vec());
    }
    patch(&mut tbs);
    let tbs = wrap(der::SEQUENCE, &tbs.0.concat());
    let signature = wrap(der::BIT_STRING, &[&[0], &key.sign(&tbs).unwrap()[..]].concat());
    wrap(der::SEQUENCE, &[&tbs[..], algorithm, &signature].concat())
}
