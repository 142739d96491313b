//! The certificates of the hosts: who has which follows from the address alone.

use std::net::IpAddr;

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
};

use crate::{LabError, error::asking};

/// How many leaves [`Leaves::make`] makes.
pub const LEAVES: usize = 1_000;
/// Names in each of these.
const NAMES: usize = 16;
const MAKING: &str = "making certificates for the lab";

/// Leaf certificates and the intermediate one that signed them, all with one key.
#[derive(Debug)]
pub struct Leaves {
    leaves: Vec<Box<[u8]>>,
    intermediate: Box<[u8]>,
    key_pem: String,
}

impl Leaves {
    /// Makes [`LEAVES`] of them with a P-256 key, anew each time, which takes some tenths of a second.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when no certificate can be made.
    pub fn make() -> Result<Self, LabError> {
        let make =
            || Self::signed((0..LEAVES).map(names), KeyPair::generate()?, KeyPair::generate()?);
        make().map_err(std::io::Error::other).map_err(asking(MAKING))
    }

    /// Makes one for each list of names, the same each time: their keys are known to everybody, and Ed25519 draws nothing when it
    /// signs (RFC 8032, section 5.1.6).
    pub(crate) fn known(names: impl Iterator<Item = Vec<String>>) -> Result<Self, LabError> {
        let make = || Self::signed(names, known_key(1)?, known_key(2)?);
        make().map_err(std::io::Error::other).map_err(asking(MAKING))
    }

    fn signed(
        names: impl Iterator<Item = Vec<String>>,
        key: KeyPair,
        root: KeyPair,
    ) -> Result<Self, rcgen::Error> {
        let root = Issuer::new(authority("mrpf lab root"), root);
        let mut params = authority("mrpf lab intermediate");
        params.custom_extensions = vec![timestamps(0)];
        let intermediate = params.signed_by(&key, &root)?;
        let issuer = Issuer::from_params(&params, &key);
        let leaves = (0..).zip(names).map(|(number, names)| {
            let leaf = leaf(number, &names)?.signed_by(&key, &issuer)?;
            Ok(leaf.der().as_ref().into())
        });
        Ok(Self {
            leaves: leaves.collect::<Result<_, rcgen::Error>>()?,
            intermediate: intermediate.der().as_ref().into(),
            key_pem: key.serialize_pem(),
        })
    }

    /// How many leaves there are.
    pub(crate) fn count(&self) -> usize {
        self.leaves.len()
    }

    /// Which of [`LEAVES`] the host `addr` of a [`TlsResponder`](super::TlsResponder) has.
    pub fn number_of(addr: IpAddr) -> usize {
        let low = match addr {
            IpAddr::V4(addr) => u64::from(addr.to_bits()),
            IpAddr::V6(addr) => addr.to_bits() as u64,
        };
        (low % LEAVES as u64) as usize
    }

    /// The leaf certificate of that host, DER.
    pub fn leaf_of(&self, addr: IpAddr) -> &[u8] {
        self.leaf(Self::number_of(addr))
    }

    /// The SHA-256 of the DER of one leaf, in hex.
    pub fn sha256(&self, number: usize) -> String {
        sha256(self.leaf(number))
    }

    /// That of the certificate that follows every leaf.
    pub fn intermediate_sha256(&self) -> String {
        sha256(&self.intermediate)
    }

    /// The certificate that follows every leaf, DER.
    pub fn intermediate(&self) -> &[u8] {
        &self.intermediate
    }

    /// One leaf and the intermediate certificate, as a server's configuration has them.
    pub fn chain_pem(&self, number: usize) -> String {
        pem(self.leaf(number)) + &pem(&self.intermediate)
    }

    /// The key of every leaf, PKCS #8.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// Leaf `number` modulo how many there are.
    pub(super) fn leaf(&self, number: usize) -> &[u8] {
        &self.leaves[number % self.leaves.len()]
    }
}

/// A key that is no secret: PKCS #8 (RFC 8410, section 7) around 32 octets of `seed`.
fn known_key(seed: u8) -> Result<KeyPair, rcgen::Error> {
    const BEFORE: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    KeyPair::try_from([&BEFORE[..], &[seed; 32]].concat().as_slice())
}

fn sha256(der: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = named(name, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Those of leaf `number` of [`Leaves::make`].
fn names(number: usize) -> Vec<String> {
    let host = format!("host-{number:03}.mrpf-lab.example");
    let name = |n| if n == 0 { host.clone() } else { format!("alt-{n}.{host}") };
    (0..NAMES).map(name).collect()
}

fn leaf(number: u64, names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let host = names.first().map(String::as_str).unwrap_or_default();
    let mut params = named(host, 1_000 + number);
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.custom_extensions = vec![timestamps(number)];
    Ok(params)
}

fn named(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "mrpf lab");
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    params
}

/// Two signed certificate timestamps (RFC 6962, section 3.3) that nobody signed: what any certificate of the Web has, so that
/// these are about as long.
fn timestamps(seed: u64) -> CustomExtension {
    const OID: [u64; 10] = [1, 3, 6, 1, 4, 1, 11_129, 2, 4, 2];
    const SIGNATURE: usize = 71;
    const OCTET_STRING: u8 = 4;
    let mut list = Vec::new();
    for log in 1..=2 {
        let mut timestamp = vec![0]; // version 1
        timestamp.extend([log; 32]);
        timestamp.extend((1_767_225_600_000 + seed).to_be_bytes());
        timestamp.extend([0, 0]); // no extensions
        timestamp.extend([4, 3, 0, SIGNATURE as u8]); // SHA-256, ECDSA
        timestamp.extend([log; SIGNATURE]);
        list.extend((timestamp.len() as u16).to_be_bytes());
        list.extend(timestamp);
    }
    let mut content = vec![OCTET_STRING, 0x81, list.len() as u8 + 2];
    content.extend((list.len() as u16).to_be_bytes());
    content.extend(list);
    CustomExtension::from_oid_content(&OID, content)
}

/// RFC 7468.
fn pem(der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet));
            let bits = bits << (8 * (3 - group.len()));
            for at in 0..4 {
                let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
                text.push(if at <= group.len() { digit.into() } else { '=' });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_is_another_and_neighbours_differ() {
        let leaves = Leaves::make().unwrap();
        let mut all: Vec<_> = (0..LEAVES).map(|number| leaves.leaf(number)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), LEAVES);
        let of = |last| leaves.leaf_of(IpAddr::from([198, 19, 0, last]));
        assert_ne!(of(1), of(2));
        // What a server of the Web sends.
        let chain = leaves.leaf(7).len() + leaves.intermediate().len();
        assert!((1_800..2_600).contains(&chain), "{chain}");
    }

    #[test]
    fn known_ones_are_the_same_each_time() {
        let make = || Leaves::known((0..2).map(names)).unwrap();
        let (first, second) = (make(), make());
        assert_eq!(first.count(), 2);
        for number in 0..2 {
            assert_eq!(first.leaf(number), second.leaf(number));
        }
        assert_eq!(first.intermediate(), second.intermediate());
        assert_ne!(first.sha256(0), first.sha256(1));
    }

    #[test]
    fn pem_is_base64() {
        // RFC 4648, section 10.
        for (der, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            let expected =
                format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
            assert_eq!(pem(der.as_bytes()), expected);
        }
    }
}
