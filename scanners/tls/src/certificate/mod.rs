//! What stands in a certificate, whoever wrote it.
//!
//! ```text
//!   DER --- sha256 --- seen before? --- yes ---------------------> the same record
//!                           |
//!                           no: Fields::of     cut by tags and lengths alone
//!                                  |           each field is then read for itself (x509-parser)
//!                                  v
//!              names  serial  dates  sans  key  signature --------> a record, and what could not be read
//! ```
//!
//! # What holds
//!
//! - Every sequence of octets gets a record with its SHA-256; nothing panics and nothing fails.
//! - A field that cannot be read is left out, `parse_error` says which was the first, and the others are there: a negative
//!   serial number or a date that never was hides no name.
//! - Memory is bounded in octets, whatever is sent.
//!
//! Nothing here says whether a certificate is to be trusted: see [`trust`](crate::trust).

mod alternatives;
pub(crate) mod der;
mod fields;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
mod key;
mod moment;
mod name;
mod signature;
#[cfg(test)]
mod tests;

use std::{fmt::Write as _, sync::Arc};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use mrpf_records::CertificateRecord;
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use x509_parser::{extensions::BasicConstraints, prelude::FromDer as _};

pub use self::name::distinguished_name;
pub(crate) use self::{
    alternatives::{Alternative, read as read_alternatives},
    fields::{Fields, SUBJECT_ALT_NAME},
    key::Key,
    moment::read as read_moment,
    name::escaped,
    signature::is_self_signed,
};
use crate::cache::{Cache, Digest, sha256};

/// Describes certificates, each of them once.
///
/// In most networks a few certificates stand on many hosts, and intermediates on nearly all: the second time costs a SHA-256
/// and a look-up.
pub struct Describer {
    known: Cache<Arc<CertificateRecord>>,
    keeps_der: bool,
}

impl Describer {
    /// What is remembered at most, in octets of records: 40,000 certificates and more.
    pub const MEMORY: usize = 64 << 20;

    /// With `keeps_der`, records hold the whole certificate; those of certificates that cannot be read always do.
    pub fn new(keeps_der: bool) -> Self {
        Self { known: Cache::new(Self::MEMORY), keeps_der }
    }

    /// The record of a certificate.
    pub fn describe(&mut self, der: &[u8]) -> Arc<CertificateRecord> {
        let digest = sha256(&[der]);
        if let Some(record) = self.known.get(&digest) {
            return record;
        }
        self.keep(digest, describe(der, &digest, self.keeps_der))
    }

    /// The records of many certificates, in their order; those that are new are described on all cores.
    ///
    /// Worth it where most are new, as among devices that sign their own: a certificate whose own signature is verified
    /// costs far more than a place in a batch.
    pub fn describe_all(&mut self, ders: &[&[u8]]) -> Vec<Arc<CertificateRecord>> {
        let digests: Vec<Digest> = ders.iter().map(|der| sha256(&[der])).collect();
        let found: Vec<_> = digests.iter().map(|digest| self.known.get(digest)).collect();
        let mut new: Vec<(&Digest, &[u8])> = digests
            .iter()
            .zip(ders)
            .zip(&found)
            .filter_map(|((digest, der), found)| found.is_none().then_some((digest, *der)))
            .collect();
        new.sort_unstable_by_key(|(digest, _)| *digest);
        new.dedup_by_key(|(digest, _)| *digest);
        let described: Vec<_> = new
            .par_iter()
            .map(|(digest, der)| Arc::new(describe(der, digest, self.keeps_der)))
            .collect();
        for ((digest, _), record) in new.iter().zip(&described) {
            self.known.insert(**digest, Arc::clone(record), weight(record));
        }
        let mut records = Vec::with_capacity(ders.len());
        for (digest, found) in digests.iter().zip(found) {
            // What was found may be forgotten by now, and what is new may be too: neither is asked for again.
            let record = found.or_else(|| {
                let at = new.binary_search_by_key(&digest, |(digest, _)| *digest).ok()?;
                described.get(at).cloned()
            });
            records.extend(record);
        }
        records
    }

    fn keep(&mut self, digest: Digest, record: CertificateRecord) -> Arc<CertificateRecord> {
        let record = Arc::new(record);
        self.known.insert(digest, Arc::clone(&record), weight(&record));
        record
    }
}

/// Octets that a record takes, about.
fn weight(record: &CertificateRecord) -> usize {
    let texts = [
        &record.subject,
        &record.issuer,
        &record.serial,
        &record.not_before,
        &record.not_after,
        &record.key_type,
        &record.signature_algorithm,
        &record.spki_sha256,
        &record.parse_error,
        &record.der,
    ];
    let texts: usize = texts.into_iter().flatten().map(String::len).sum();
    let sans: usize = record.sans.iter().map(|san| size_of::<String>() + san.len()).sum();
    size_of::<CertificateRecord>() + record.sha256.len() + texts + sans
}

/// Reads every field that can be read.
fn describe(der: &[u8], digest: &Digest, keeps_der: bool) -> CertificateRecord {
    let fields = Fields::of(der);
    let mut errors = Errors(fields.error.map(|(field, error)| format!("{field}: {error}")));
    let mut record = CertificateRecord {
        sha256: hex(digest),
        subject: fields.subject.map(|name| errors.name("subject", name)),
        issuer: fields.issuer.map(|name| errors.name("issuer", name)),
        serial: fields.serial.map(serial),
        version: fields.version,
        spki_sha256: fields.key.map(|key| hex(&sha256(&[key]))),
        self_issued: fields.is_self_issued(),
        self_signed: is_self_signed(&fields),
        ..CertificateRecord::default()
    };
    let mut date = |field, item: Option<_>| {
        let at = item.and_then(|item| read_moment(&item).ok());
        let was_reached = fields.issuer.is_some();
        if at.is_none() && was_reached {
            errors.note(|| format!("{field}: is no time that there is"));
        }
        at.map(moment::rfc3339)
    };
    record.not_before = date("not_before", fields.not_before);
    record.not_after = date("not_after", fields.not_after);
    if let Some(info) = fields.key {
        match Key::of(info) {
            Some(key) => {
                record.key_type = Some(key.kind.into_owned());
                record.key_bits = key.bits;
            }
            None => errors.note(|| "key: is no SubjectPublicKeyInfo".to_owned()),
        }
    }
    if let Some(algorithm) = fields.algorithm {
        record.signature_algorithm = signature::name(algorithm).map(Into::into);
        if record.signature_algorithm.is_none() {
            errors.note(|| "signature_algorithm: has no object identifier".to_owned());
        }
    }
    match fields.extension(SUBJECT_ALT_NAME) {
        Ok(Some(extension)) => {
            for found in read_alternatives(extension) {
                match found {
                    Ok(found) => record.sans.push(found.text()),
                    Err(error) => errors.note(|| format!("sans: {error}")),
                }
            }
        }
        Ok(None) => {}
        Err(error) => errors.note(|| format!("extensions: {error}")),
    }
    record.ca = match fields.extension(fields::BASIC_CONSTRAINTS) {
        Ok(Some(extension)) => match BasicConstraints::from_der(extension) {
            Ok((_, constraints)) => Some(constraints.ca),
            Err(_) => {
                errors.note(|| "ca: is no BasicConstraints".to_owned());
                None
            }
        },
        Ok(None) => fields.key.map(|_| false),
        Err(error) => {
            errors.note(|| format!("extensions: {error}"));
            None
        }
    };
    record.parse_error = errors.0;
    if keeps_der || record.parse_error.is_some() {
        record.der = Some(BASE64_STANDARD.encode(der));
    }
    record
}

/// The first thing that could not be read.
struct Errors(Option<String>);

impl Errors {
    fn note(&mut self, error: impl FnOnce() -> String) {
        self.0.get_or_insert_with(error);
    }

    /// A name, as hex if it is none.
    fn name(&mut self, field: &str, name: &[u8]) -> String {
        name::read(name).unwrap_or_else(|| {
            self.note(|| format!("{field}: is no distinguished name"));
            name::encoded(name)
        })
    }
}

/// An INTEGER in hex (X.690, section 8.3), which may be negative though RFC 5280 forbids it.
fn serial(number: &[u8]) -> String {
    let is_negative = number.first().is_some_and(|octet| octet & 0x80 != 0);
    let mut magnitude = number.to_vec();
    if is_negative {
        // Two's complement: all bits the other way, and one more.
        let mut carry = true;
        for octet in magnitude.iter_mut().rev() {
            (*octet, carry) = (!*octet).overflowing_add(u8::from(carry));
        }
    }
    let zeros = magnitude.iter().take_while(|octet| **octet == 0).count();
    let digits = magnitude.get(zeros.min(magnitude.len().saturating_sub(1))..).unwrap_or_default();
    format!("{}{}", if is_negative { "-" } else { "" }, hex(digits))
}

/// The content of a SEQUENCE that is all of `whole`.
pub(crate) fn sequence(whole: &[u8]) -> Option<&[u8]> {
    der::only(whole, der::SEQUENCE).ok().map(|item| item.value)
}

/// Lower case, two digits an octet.
pub(crate) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len() * 2);
    for octet in octets {
        // A string takes every write.
        let _ = write!(text, "{octet:02x}");
    }
    text
}
