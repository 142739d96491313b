use std::{borrow::Cow, fmt, net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{CertificateRecord, Timestamp};

/// What one TLS connection to one port of one host told.
///
/// Every connection that was tried ends in exactly one of these, and everything that was learnt before the end is in it:
/// a host that asks for a client certificate and then refuses us has shown its own.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TlsRecord {
    /// When the connection ended.
    pub ts: Timestamp,
    /// The host that was asked.
    pub ip: IpAddr,
    /// The port that was asked.
    pub port: u16,
    /// The name that the hello asked for (RFC 6066, section 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// How the connection ended.
    pub outcome: TlsOutcome,
    /// How far it came.
    pub stage: TlsStage,
    /// What the host chose: `TLSv1.3`, `TLSv1.2`, `TLSv1.1`, `TLSv1.0` or `SSLv3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// The cipher suite's IANA name, or its number as `0x1234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Cow<'static, str>>,
    /// The group of the key exchange: `x25519`, `secp256r1`; or its number as `0x1234`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Cow<'static, str>>,
    /// The protocol that the host chose (RFC 7301); control characters and backslashes as in RFC 4514.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpn: Option<String>,
    /// The certificates as they were sent, the host's own first; 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Arc<CertificateRecord>>,
    /// What the certificates are worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Trust>,
    /// The host asked for a certificate of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<bool>,
    /// The issuers that it would accept, as RFC 4514 strings; 64 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_cas: Vec<String>,
    /// An OCSP response came with the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp_stapled: Option<bool>,
    /// How many signed certificate timestamps came in the handshake (RFC 6962).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scts: Option<u32>,
    /// JA3S, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja3s: Option<String>,
    /// JARM, 62 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jarm: Option<String>,
    /// The alert that the host sent, by its name in RFC 8446, section 6, with underscores; others as their number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert: Option<Cow<'static, str>>,
    /// The first octets that are no TLS, in hex, 64 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_bytes: Option<String>,
    /// The protocol that those octets are of: `http`, `ssh`, `smtp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Cow<'static, str>>,
    /// The host asked for another hello (HelloRetryRequest, RFC 8446, section 4.1.4), and got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retried: Option<bool>,
    /// How many SYNs were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u8>,
    /// When things happened, counted from the SYN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

impl TlsRecord {
    /// A record with nothing that is optional.
    pub fn new(ts: Timestamp, ip: IpAddr, port: u16, outcome: TlsOutcome, stage: TlsStage) -> Self {
        Self {
            ts,
            ip,
            port,
            sni: None,
            outcome,
            stage,
            version: None,
            cipher: None,
            group: None,
            alpn: None,
            certificates: Vec::new(),
            trust: None,
            client_auth: None,
            client_cas: Vec::new(),
            ocsp_stapled: None,
            scts: None,
            ja3s: None,
            jarm: None,
            alert: None,
            first_bytes: None,
            service: None,
            retried: None,
            attempts: None,
            timings: None,
        }
    }
}

/// When things happened on a connection, in microseconds from the SYN that was answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Timings {
    /// The SYN-ACK.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syn_ack_us: Option<u64>,
    /// The first octet of the answer to the hello.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// The end of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_us: Option<u64>,
}

/// What the certificates of a host are worth.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trust {
    /// The host's certificate is for the name that was asked (RFC 9525). Where no name was, true when it is for the address
    /// that answered, and else left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_match: Option<bool>,
    /// The host's certificate is within its dates; left out when they cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_now: Option<bool>,
    /// Whether the certificates lead to a root; left out when that was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<ChainTrust>,
}

/// Declares a closed set of words: one list, so that no variant is left out of a word, of `ALL` or of the tests.
macro_rules! words {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that records use.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How a connection ended.
    TlsOutcome {
        /// The host said all that a hello can make it say.
        Ok = "ok",
        /// The host refused the hello, or us, by an alert.
        Alert = "alert",
        /// The host answered with something that is no TLS.
        NotTls = "not-tls",
        /// A RST answered the SYN.
        Refused = "refused",
        /// ICMP says that the host or port cannot be reached, or nobody answers for it on our link.
        Unreachable = "unreachable",
        /// The host, or something on the way, reset the connection before all was said.
        Reset = "reset",
        /// Silence, in any stage.
        Timeout = "timeout",
        /// The host closed the connection before all was said, or wanted more of us than we have: room for what it says, or a
        /// second hello that cannot be sent.
        Truncated = "truncated",
        /// It began as TLS and then broke its rules.
        Malformed = "malformed",
    }
}

words! {
    /// How far a connection came; each stage says that all before it are behind us.
    TlsStage {
        /// A SYN was sent.
        Syn = "syn",
        /// It was answered by a SYN-ACK.
        Connected = "connected",
        /// The host has our hello: it acknowledged it or answered it.
        Hello = "hello",
        /// A ServerHello was read.
        ServerHello = "server-hello",
        /// The certificates were read.
        Certificate = "certificate",
        /// Nothing more can be learnt from this hello.
        Done = "done",
    }
}

words! {
    /// Whether certificates lead to a root that is trusted, and if not, what is in the way.
    ///
    /// Names are no part of it: see [`Trust::name_match`]. Where several things are in the way, dates are named last, so
    /// `expired` says that nothing else is wrong.
    ChainTrust {
        /// They do.
        Trusted = "trusted",
        /// They would, but for a certificate that is past its end.
        Expired = "expired",
        /// They would, but for a certificate that has not begun.
        NotYetValid = "not-yet-valid",
        /// No path from the host's certificate to a root, with the certificates that it sent.
        UntrustedIssuer = "untrusted-issuer",
        /// The host's certificate is signed with its own key, and is no root.
        SelfSigned = "self-signed",
        /// A signature on the way does not fit the key that should have made it.
        BadSignature = "bad-signature",
        /// A certificate on the way may not issue others.
        NotACa = "not-a-ca",
        /// The host's certificate is that of an issuer.
        CaAsLeaf = "ca-as-leaf",
        /// More certificates are on the way than an issuer allows, or than are followed.
        PathTooLong = "path-too-long",
        /// An issuer may not issue for a name in the host's certificate (RFC 5280, section 4.2.1.10).
        NameNotPermitted = "name-not-permitted",
        /// A certificate on the way is not for TLS servers (RFC 5280, section 4.2.1.12).
        WrongPurpose = "wrong-purpose",
        /// A version, an algorithm, a key or a critical extension that is not known, or is too weak to count.
        Unsupported = "unsupported",
        /// The host's certificate cannot be read.
        Malformed = "malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Copy + fmt::Display + Serialize>(all: &[T]) {
        for word in all {
            let text = word.to_string();
            assert_eq!(serde_json::to_string(word).unwrap(), format!("\"{text}\""));
            assert!(
                text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'-'),
                "{text}"
            );
        }
    }

    #[test]
    fn words_are_those_of_the_records() {
        check(TlsOutcome::ALL);
        check(TlsStage::ALL);
        check(ChainTrust::ALL);
    }

    #[test]
    fn stages_are_in_order() {
        assert!(TlsStage::ALL.is_sorted());
        assert!(TlsStage::Hello < TlsStage::Certificate);
    }
}
