//! Certificates for servers: of each kind of key a leaf and two issuers.
//!
//! The issuer of a leaf has a key of the leaf's kind, and is itself issued by the issuer of the next kind: so each chain has
//! signatures of three kinds, and there are only two keys of a kind to make.

use std::{
    collections::BTreeMap,
    fmt,
    process::{Command, Stdio},
    sync::LazyLock,
};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// What keys are of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Kind {
    Rsa2048,
    Rsa4096,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Rsa2048, Self::Rsa4096, Self::P256, Self::P384, Self::Ed25519];

    /// Of whose kind the issuer of the issuer is.
    pub(super) fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// The kind and size of the key, and how it signs: the words of records.
    pub(super) fn words(self) -> (&'static str, u32, &'static str) {
        match self {
            Self::Rsa2048 => ("rsa", 2_048, "rsa-sha256"),
            Self::Rsa4096 => ("rsa", 4_096, "rsa-sha256"),
            Self::P256 => ("ec-p256", 256, "ecdsa-sha256"),
            Self::P384 => ("ec-p384", 384, "ecdsa-sha384"),
            Self::Ed25519 => ("ed25519", 256, "ed25519"),
        }
    }

    pub(super) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa4096)
    }

    /// The words of `openssl genpkey`.
    fn genpkey(self) -> &'static [&'static str] {
        match self {
            Self::Rsa2048 => &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Self::Rsa4096 => &["RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
            Self::P256 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::P384 => &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Self::Ed25519 => &["ED25519"],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa2048 => "rsa-2048",
            Self::Rsa4096 => "rsa-4096",
            Self::P256 => "p-256",
            Self::P384 => "p-384",
            Self::Ed25519 => "ed25519",
        })
    }
}

/// What a server shows.
pub(super) struct Identity {
    /// The leaf, its issuer, and the issuer of that.
    pub(super) chain: [Certificate; 3],
    pub(super) key_pem: String,
    pub(super) key_der: Vec<u8>,
}

/// All of them.
pub(super) struct Identities {
    pub(super) leaves: BTreeMap<Kind, Identity>,
    /// Whose certificates clients are asked for; nobody has one.
    pub(super) clients: Certificate,
}

/// Common name and subject of [`Identities::clients`].
const CLIENTS: &str = "who clients are known by";

/// The subject of [`Identities::clients`], as records have it.
pub(super) const CLIENTS_SUBJECT: &str = "CN=who clients are known by";

/// The name that a leaf is for.
pub(super) fn host(kind: Kind) -> String {
    format!("{kind}.example")
}

/// The common name of an issuer.
pub(super) fn authority(kind: Kind) -> String {
    format!("authority {kind}")
}

impl Identities {
    /// Made once.
    pub(super) fn get() -> &'static Self {
        static ALL: LazyLock<Identities> = LazyLock::new(Identities::make);
        &ALL
    }

    fn make() -> Self {
        let keys: BTreeMap<Kind, [String; 2]> =
            Kind::ALL.into_iter().map(|kind| (kind, [key(kind), key(kind)])).collect();
        let issuer = |kind: Kind, is_last: bool| {
            let (key, params) = (pair(&keys[&kind][1]), issuing(&authority(kind)));
            let certificate = if is_last {
                let root = Issuer::new(issuing("root"), pair(&keys[&Kind::P256][1]));
                params.signed_by(&key, &root)
            } else {
                let above = kind.next();
                let above = Issuer::new(issuing(&authority(above)), pair(&keys[&above][1]));
                params.signed_by(&key, &above)
            };
            (certificate.unwrap(), Issuer::new(params, key))
        };
        let leaves = Kind::ALL.into_iter().map(|kind| {
            let (above, signs) = issuer(kind, false);
            let (last, _) = issuer(kind.next(), true);
            let key_pair = pair(&keys[&kind][0]);
            let leaf = leaf(kind).signed_by(&key_pair, &signs).unwrap();
            let identity = Identity {
                chain: [leaf, above, last],
                key_pem: keys[&kind][0].clone(),
                key_der: key_pair.serialize_der(),
            };
            (kind, identity)
        });
        let clients = issuing(CLIENTS).self_signed(&pair(&keys[&Kind::P256][1])).unwrap();
        Self { leaves: leaves.collect(), clients }
    }
}

/// A key in PKCS #8, which every server reads: of Ed25519, rcgen writes another version.
fn key(kind: Kind) -> String {
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm"]).args(kind.genpkey()).stderr(Stdio::null());
    let made = command.output().expect("an openssl");
    assert!(made.status.success(), "openssl genpkey");
    String::from_utf8(made.stdout).expect("PEM is ASCII")
}

fn pair(pem: &str) -> KeyPair {
    KeyPair::from_pem(pem).expect("a key that openssl made")
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    params
}

fn issuing(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf(kind: Kind) -> CertificateParams {
    let mut params = named(&host(kind));
    params.subject_alt_names = CertificateParams::new([host(kind)]).unwrap().subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if kind.is_rsa() {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment); // RSA key exchange
    }
    params
}
