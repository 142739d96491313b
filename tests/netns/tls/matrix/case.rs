//! A server as it was set up, and what its record must say.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use mrpf_records::{CertificateRecord, TlsOutcome, TlsRecord, TlsStage};
use mrpf_tls::{KeyShare, hello::Profile};

use super::{
    FIRST_PORT,
    identities::{CLIENTS_SUBJECT, Kind, authority, host},
    reference::Shown,
};

/// Versions, in their order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Version {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}

impl Version {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Tls10 => "TLSv1.0",
            Self::Tls11 => "TLSv1.1",
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }
}

/// By what a server is asked.
pub(super) struct Asked {
    pub(super) profile: Profile,
    pub(super) key_share: KeyShare,
}

impl Asked {
    fn newest(&self) -> Version {
        match self.profile {
            Profile::Modern => Version::Tls13,
            Profile::Tls12 => Version::Tls12,
            _ => Version::Tls11,
        }
    }

    /// Whether the hello has a share of this group at once.
    fn has_share(&self, group: &str) -> bool {
        match self.key_share {
            KeyShare::Identity => matches!(group, "x25519" | "secp256r1" | "secp384r1"),
            KeyShare::Fresh => group == "x25519",
        }
    }
}

/// What a server chooses in one version.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Answer {
    pub(super) version: Version,
    pub(super) cipher: String,
    /// `None` without a group: RSA key exchange, and DHE.
    pub(super) group: Option<&'static str>,
}

impl Answer {
    pub(super) fn new(
        version: Version,
        cipher: &str,
        group: impl Into<Option<&'static str>>,
    ) -> Self {
        Self { version, cipher: format!("TLS_{cipher}"), group: group.into() }
    }

    /// What those choose that follow our hello: AES-128 and X25519.
    pub(super) fn usual(version: Version, kind: Kind) -> Self {
        let signed = if kind.is_rsa() { "RSA" } else { "ECDSA" };
        let cipher = match version {
            Version::Tls13 => "AES_128_GCM_SHA256".to_owned(),
            Version::Tls12 => format!("ECDHE_{signed}_WITH_AES_128_GCM_SHA256"),
            _ => format!("ECDHE_{signed}_WITH_AES_128_CBC_SHA"),
        };
        Self::new(version, &cipher, "x25519")
    }
}

/// What a record must say first of all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Expected<'a> {
    Answer(&'a Answer),
    Alert(&'static str),
}

impl fmt::Display for Expected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(Answer { version, cipher, group }) => {
                write!(f, "{} {cipher} {}", version.as_str(), group.unwrap_or("no group"))
            }
            Self::Alert(alert) => write!(f, "alert {alert}"),
        }
    }
}

/// See the [module](self).
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) what: String,
    pub(super) port: u16,
    /// Whose certificate it shows.
    pub(super) kind: Kind,
    /// How many certificates that is.
    pub(super) shown: usize,
    /// The name that it is asked for.
    pub(super) name: Option<&'static str>,
    /// One for each of its versions; a hello gets the newest that it offers.
    pub(super) answers: Vec<Answer>,
    /// The alert by which it refuses a hello whose newest version is this one.
    pub(super) refusal: fn(Version) -> &'static str,
    pub(super) alpn: Option<&'static str>,
    pub(super) asks_clients: bool,
    pub(super) staples: bool,
    pub(super) scts: Option<u32>,
}

impl Case {
    /// A server with the chain of `kind` that speaks one version, and chooses the usual.
    pub(super) fn new(what: impl Into<String>, kind: Kind, version: Version) -> Self {
        Self {
            what: what.into(),
            port: 0,
            kind,
            shown: 3,
            name: None,
            answers: vec![Answer::usual(version, kind)],
            refusal: |_| "protocol_version",
            alpn: None,
            asks_clients: false,
            staples: false,
            scts: None,
        }
    }

    /// In place of what it was set up to choose.
    pub(super) fn chooses(self, cipher: &str, group: impl Into<Option<&'static str>>) -> Self {
        let answers = vec![Answer::new(self.newest(), cipher, group)];
        Self { answers, ..self }
    }

    /// It has this version besides.
    pub(super) fn and(mut self, version: Version) -> Self {
        self.answers.push(Answer::usual(version, self.kind));
        self
    }

    /// The newest of its versions.
    pub(super) fn newest(&self) -> Version {
        self.answers.iter().map(|answer| answer.version).max().unwrap_or(Version::Tls13)
    }

    /// A port for each.
    pub(super) fn number(cases: &mut [Self]) {
        for (case, port) in cases.iter_mut().zip(FIRST_PORT..) {
            case.port = port;
        }
    }

    /// Where the scan finds it: names are asked for by address, so each has its own.
    pub(super) fn host(&self) -> IpAddr {
        let number = u32::from(self.port.saturating_sub(FIRST_PORT));
        IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(198, 19, 0, 1).to_bits() + number))
    }

    pub(super) fn expected(&self, asked: &Asked) -> Expected<'_> {
        let offered = self.answers.iter().filter(|answer| answer.version <= asked.newest());
        match offered.max_by_key(|answer| answer.version) {
            Some(answer) => Expected::Answer(answer),
            None => Expected::Alert((self.refusal)(asked.newest())),
        }
    }

    /// All in which a record is not what it must be.
    pub(super) fn differences(&self, asked: &Asked, row: &TlsRecord, shown: &Shown) -> Vec<String> {
        let mut found = Differences(Vec::new());
        match self.expected(asked) {
            Expected::Alert(alert) => {
                found.compare("outcome", row.outcome, TlsOutcome::Alert);
                found.compare("alert", row.alert.as_deref(), Some(alert));
                found.compare("certificates", row.certificates.len(), 0);
            }
            Expected::Answer(answer) => {
                self.compare_answer(&mut found, asked, row, answer);
                self.compare_chain(&mut found, row, shown);
            }
        }
        if !found.0.is_empty() {
            found.0.push(format!("the record was {}", brief(row)));
        }
        found.0
    }

    fn compare_answer(
        &self,
        found: &mut Differences,
        asked: &Asked,
        row: &TlsRecord,
        answer: &Answer,
    ) {
        let is_13 = answer.version == Version::Tls13;
        let retried = answer.group.is_some_and(|group| is_13 && !asked.has_share(group));
        // The legacy hello offers and asks for nothing of the kind.
        let is_asked = asked.profile != Profile::Legacy;
        let clients = if self.asks_clients { vec![CLIENTS_SUBJECT.to_owned()] } else { Vec::new() };
        found.compare("outcome", row.outcome, TlsOutcome::Ok);
        found.compare("stage", row.stage, TlsStage::Done);
        found.compare("sni", row.sni.as_deref(), self.name);
        found.compare("version", row.version.as_deref(), Some(answer.version.as_str()));
        found.compare("cipher", row.cipher.as_deref(), Some(&*answer.cipher));
        found.compare("group", row.group.as_deref(), answer.group);
        found.compare("retried", row.retried, retried.then_some(true));
        found.compare("alpn", row.alpn.as_deref(), self.alpn.filter(|_| is_asked));
        found.compare("client_auth", row.client_auth, self.asks_clients.then_some(true));
        found.compare("client_cas", &row.client_cas, &clients);
        found.compare("ocsp_stapled", row.ocsp_stapled, (self.staples && is_asked).then_some(true));
        found.compare("scts", row.scts, self.scts.filter(|_| is_asked));
        found.compare("alert", row.alert.as_deref(), None);
        found.compare("first_bytes", row.first_bytes.as_deref(), None);
        found.compare("ja3s", row.ja3s.as_deref().map(str::len), Some(32));
        let trust = row.trust.map(|trust| (trust.valid_now, trust.name_match, trust.chain));
        let name_match = self.name.map(|name| name == host(self.kind));
        found.compare("trust", trust, Some((Some(true), name_match, None)));
    }

    /// The certificates are those that another client was shown, and say what they were made to say.
    fn compare_chain(&self, found: &mut Differences, row: &TlsRecord, shown: &Shown) {
        let der: Vec<&str> =
            row.certificates.iter().filter_map(|shown| shown.der.as_deref()).collect();
        if der != shown.certificates {
            let (ours, theirs) = (row.certificates.len(), shown.certificates.len());
            let said = if theirs == 0 { &*shown.said } else { "" };
            found.0.push(format!("{ours} certificates, and s_client has other {theirs}; {said}"));
        }
        found.compare("certificates", row.certificates.len(), self.shown);
        let kinds = [self.kind, self.kind, self.kind.next()];
        for ((certificate, place), kind) in row.certificates.iter().zip(0..).zip(kinds) {
            let (key, bits, _) = kind.words();
            let subject = if place == 0 { host(kind) } else { authority(kind) };
            let (issuer, issuers) = match place {
                0 => (authority(kind), kind),
                1 => (authority(kind.next()), kind.next()),
                _ => ("root".to_owned(), Kind::P256),
            };
            let names = if place == 0 { vec![host(kind)] } else { Vec::new() };
            let CertificateRecord { key_type, key_bits, signature_algorithm, .. } = &**certificate;
            found.compare("key_type", key_type.as_deref(), Some(key));
            found.compare("key_bits", *key_bits, Some(bits));
            found.compare(
                "signature_algorithm",
                signature_algorithm.as_deref(),
                Some(issuers.words().2),
            );
            found.compare("subject", certificate.subject.clone(), Some(format!("CN={subject}")));
            found.compare("issuer", certificate.issuer.clone(), Some(format!("CN={issuer}")));
            found.compare("sans", &certificate.sans, &names);
            found.compare("ca", certificate.ca, Some(place > 0));
            found.compare("self_signed", certificate.self_signed, Some(false));
            found.compare(
                "not_before",
                certificate.not_before.as_deref(),
                Some("2020-01-01T00:00:00Z"),
            );
            found.compare(
                "not_after",
                certificate.not_after.as_deref(),
                Some("2045-01-01T00:00:00Z"),
            );
            found.compare("parse_error", certificate.parse_error.as_deref(), None);
        }
    }
}

/// A record without its certificates.
fn brief(row: &TlsRecord) -> String {
    format!("{:?}", TlsRecord { certificates: Vec::new(), ..row.clone() })
}

struct Differences(Vec<String>);

impl Differences {
    fn compare<T: fmt::Debug + PartialEq>(&mut self, field: &str, is: T, must_be: T) {
        if is != must_be {
            self.0.push(format!("{field} is {is:?} and must be {must_be:?}"));
        }
    }
}
