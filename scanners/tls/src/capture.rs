//! What one connection told: the octets worth keeping in one buffer, and where in it everything lies.
//!
//! ```text
//!  octets  | ServerHello | EncryptedExtensions | Certificate ..................................... |
//!            '-server_hello       '-alpn           '-ocsp   '-certificates: walked, never listed
//! ```
//!
//! Nothing is judged here, and nothing is decoded beyond TLS: certificates, OCSP responses, timestamps and names of issuers
//! stay the octets that the host sent.

use mrpf_records::{TlsOutcome, TlsStage};

use crate::handshake::{Cursor, Fault};

/// So many of the first octets are kept of what is not understood.
pub const FIRST_BYTES: usize = 64;

/// An alert (RFC 8446, section 6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Alert {
    /// 1 is a warning, 2 is fatal.
    pub level: u8,
    /// What is the matter, by its number.
    pub description: u8,
}

/// A place in the octets of a capture.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// What one connection told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Capture {
    pub(crate) octets: Vec<u8>,
    pub(crate) outcome: TlsOutcome,
    pub(crate) stage: TlsStage,
    pub(crate) fault: Option<Fault>,
    pub(crate) alert: Option<Alert>,
    pub(crate) version: Option<u16>,
    pub(crate) cipher: Option<u16>,
    pub(crate) group: Option<u16>,
    pub(crate) is_retried: bool,
    pub(crate) has_client_auth: bool,
    /// Certificates are followed by extensions, as in TLS 1.3.
    pub(crate) has_extensions: bool,
    pub(crate) server_hello: Option<Span>,
    pub(crate) alpn: Option<Span>,
    pub(crate) certificates: Span,
    pub(crate) ocsp: Option<Span>,
    pub(crate) scts: Span,
    pub(crate) client_cas: Span,
    pub(crate) first: Span,
}

impl Capture {
    /// Nothing was said.
    pub(crate) fn empty() -> Self {
        Self {
            octets: Vec::new(),
            outcome: TlsOutcome::Timeout,
            stage: TlsStage::Connected,
            fault: None,
            alert: None,
            version: None,
            cipher: None,
            group: None,
            is_retried: false,
            has_client_auth: false,
            has_extensions: false,
            server_hello: None,
            alpn: None,
            certificates: Span::default(),
            ocsp: None,
            scts: Span::default(),
            client_cas: Span::default(),
            first: Span::default(),
        }
    }

    fn get(&self, span: Span) -> &[u8] {
        Cursor::new(&self.octets, span).rest()
    }

    /// How it ended. Never [`TlsOutcome::Refused`]: there was a connection.
    pub fn outcome(&self) -> TlsOutcome {
        self.outcome
    }

    /// How far it came: [`TlsStage::Connected`] when the host said nothing at all.
    pub fn stage(&self) -> TlsStage {
        self.stage
    }

    /// What was wrong, when the outcome is [`TlsOutcome::Malformed`]; or why what follows a ServerHello cannot be read.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The version that the host chose, by its number: 0x0304 is TLS 1.3.
    pub fn version(&self) -> Option<u16> {
        self.version
    }

    /// The cipher suite that the host chose, by its number.
    pub fn cipher(&self) -> Option<u16> {
        self.cipher
    }

    /// The group of the key exchange, by its number, if it has one.
    pub fn group(&self) -> Option<u16> {
        self.group
    }

    /// The protocol that the host chose (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.alpn.map(|span| self.get(span))
    }

    /// The certificates in DER as they were sent, the host's own first. Of a message that did not arrive whole they are those
    /// that did, and of a list that is not well-formed those before its fault.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut list = Cursor::new(&self.octets, self.certificates);
        std::iter::repeat_with(move || {
            let certificate = list.vec24().filter(|certificate| !certificate.is_empty())?;
            if self.has_extensions && list.vec16().is_none() {
                list = Cursor::new(&[], Span::default()); // what follows did not arrive whole
            }
            Some(certificate.rest())
        })
        .map_while(|certificate| certificate)
    }

    /// The OCSP response that was stapled for the host's own certificate, in DER.
    pub fn ocsp(&self) -> Option<&[u8]> {
        self.ocsp.map(|span| self.get(span))
    }

    /// The signed certificate timestamps that came in the handshake for the host's own certificate (RFC 6962).
    pub fn scts(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.list16(self.scts)
    }

    /// Whether the host asked for a certificate of ours.
    pub fn client_auth(&self) -> bool {
        self.has_client_auth
    }

    /// The names of the issuers that it would accept, in DER.
    pub fn client_cas(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.list16(self.client_cas)
    }

    /// The last alert that the host sent.
    pub fn alert(&self) -> Option<Alert> {
        self.alert
    }

    /// The ServerHello, its header included.
    pub fn server_hello(&self) -> Option<&[u8]> {
        self.server_hello.map(|span| self.get(span))
    }

    /// The first octets, [`FIRST_BYTES`] at most, when neither a ServerHello nor an alert was found in what the host said.
    pub fn first_bytes(&self) -> &[u8] {
        self.get(self.first)
    }

    /// Whether there was a HelloRetryRequest (RFC 8446, section 4.1.4), and a second hello went out.
    pub fn retried(&self) -> bool {
        self.is_retried
    }

    fn list16(&self, span: Span) -> impl Iterator<Item = &[u8]> + Clone {
        let mut list = Cursor::new(&self.octets, span);
        std::iter::repeat_with(move || Some(list.vec16()?.rest())).map_while(|entry| entry)
    }
}
