use serde::{Deserialize, Serialize};

/// What stands in one certificate.
///
/// Certificates in the wild break every rule there is; what cannot be read is left out, [`Self::parse_error`] says what
/// that was, and the hash names the certificate all the same.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateRecord {
    /// The SHA-256 of the whole certificate, in hex.
    pub sha256: String,
    /// Whom it is for, as an RFC 4514 string; empty when the certificate names nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who made it, as an RFC 4514 string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The serial number in hex, an even number of digits, with a minus when it is negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// From when it is good: RFC 3339, whole seconds, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Until when it is good: RFC 3339, whole seconds, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// What else it is for: DNS names and addresses as they are, others behind their kind (`email:`, `uri:`, `dir:`,
    /// `other:`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sans: Vec<String>,
    /// The kind of its key: `rsa`, `ec-p256`, `ed25519`; an object identifier when it has no name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    /// The size of its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_bits: Option<u32>,
    /// How it is signed: `rsa-sha256`, `ecdsa-sha384`, `ed25519`; an object identifier when it has no name here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature_algorithm: Option<String>,
    /// It is signed with its own key: the signature was verified. Left out when it may be and no verifier of ours takes its
    /// algorithm or its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_signed: Option<bool>,
    /// Subject and issuer are the same name, which alone proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_issued: Option<bool>,
    /// It says that it may issue others (RFC 5280, section 4.2.1.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<bool>,
    /// Its X.509 version: 1, 2 or 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The SHA-256 of its SubjectPublicKeyInfo, in hex: the same key in another certificate has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spki_sha256: Option<String>,
    /// What could not be read, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parse_error: Option<String>,
    /// The whole certificate in base64: when it was asked for, or could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub der: Option<String>,
}
