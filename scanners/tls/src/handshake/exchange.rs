//! One connection of which something was heard.
//!
//! ```text
//!  Hello ----------- ServerHello, <= TLS 1.2 --> Clear -- ServerHelloDone --.
//!    |  '--- ServerHello, TLS 1.3 --> Sealed -- Certificate ----------------+--> Done
//!    |  '--- HelloRetryRequest: once, back to Hello                         |
//!    '--- not TLS --> Foreign -- 64 octets, or a line ----------------------'
//! ```

use aws_lc_rs::digest;
use mrpf_records::{TlsOutcome, TlsStage};

use super::{Cursor, Cut, Fault, LIMIT, Next, messages};
use crate::{
    capture::{Alert, Capture, FIRST_BYTES, Span},
    hello::{KeyShares, Retry},
    record::{self, Header},
    schedule::{LONGEST_HASH, Opener, Suite},
};

const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

#[derive(Debug)]
enum Phase {
    /// A ServerHello is awaited.
    Hello,
    /// Up to TLS 1.2: the rest is in clear.
    Clear,
    /// TLS 1.3: the rest is protected.
    Sealed(Box<Opener>),
    /// It is not TLS.
    Foreign,
    Done,
}

/// What of a record in clear is still to come.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    kind: u8,
    len: usize,
}

/// Whom a hello was sent by, and what it was.
#[derive(Clone, Copy)]
struct Ours<'a> {
    sent: &'a [u8],
    shares: &'a KeyShares,
}

/// What came of some octets.
enum Step {
    /// More are needed than there are.
    Wait,
    /// So many are consumed.
    Took(usize),
    /// So many are consumed, and another hello is to be sent.
    Retry(usize, Retry),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Exchange {
    phase: Phase,
    /// Its octets are apart, so that it can be written to while they are read.
    capture: Capture,
    /// Messages of the handshake, one behind the other.
    octets: Vec<u8>,
    /// Where in them the message under way begins.
    parsed: usize,
    /// How many of them stand before the ServerHello in the hash of all messages: those of a HelloRetryRequest.
    retry_len: usize,
    rest: Rest,
    first: [u8; FIRST_BYTES],
    first_len: usize,
    /// Octets of the connection that were consumed, and those that were looked at.
    consumed: usize,
    looked_at: usize,
}

/// The host said nothing.
pub(super) fn nothing(cut: Cut) -> Capture {
    Capture { outcome: outcome(cut), ..Capture::empty() }
}

/// How a connection ended that was not done.
fn outcome(cut: Cut) -> TlsOutcome {
    match cut {
        Cut::Finished | Cut::Full => TlsOutcome::Truncated,
        Cut::Reset => TlsOutcome::Reset,
        Cut::Unreachable => TlsOutcome::Unreachable,
        Cut::Enough | Cut::Idle | Cut::Deadline => TlsOutcome::Timeout,
    }
}

impl Exchange {
    /// `len` octets are expected at first.
    pub(super) fn new(len: usize) -> Self {
        Self {
            phase: Phase::Hello,
            capture: Capture { stage: TlsStage::Hello, ..Capture::empty() },
            octets: Vec::with_capacity(len.min(LIMIT)),
            parsed: 0,
            retry_len: 0,
            rest: Rest::default(),
            first: [0; FIRST_BYTES],
            first_len: 0,
            consumed: 0,
            looked_at: 0,
        }
    }

    pub(super) fn read(&mut self, sent: &[u8], shares: &KeyShares, data: &[u8]) -> (usize, Next) {
        self.remember(data);
        let ours = Ours { sent, shares };
        let mut rest = data;
        let next = loop {
            let step = match self.phase {
                Phase::Done => return (data.len(), Next::Enough),
                Phase::Foreign => self.foreign(rest),
                Phase::Hello | Phase::Clear | Phase::Sealed(_) => self.record(ours, rest),
            };
            let (len, next) = match step {
                Ok(Step::Wait) => (0, Some(Next::More)),
                Ok(Step::Took(len)) => (len, None),
                Ok(Step::Retry(len, retry)) => (len, Some(Next::Retry(retry))),
                Err(fault) => {
                    self.fail(fault);
                    continue;
                }
            };
            rest = rest.get(len..).unwrap_or_default();
            self.consumed += len;
            if let Some(next) = next {
                break next;
            }
        };
        (data.len() - rest.len(), next)
    }

    /// Keeps the first octets, however they come.
    fn remember(&mut self, data: &[u8]) {
        let (known, room) = self.first.split_at_mut(self.first_len);
        let new = data.get(known.len().saturating_sub(self.consumed)..).unwrap_or_default();
        for (place, octet) in room.iter_mut().zip(new) {
            *place = *octet;
            self.first_len += 1;
        }
    }

    // --- records --------------------------------------------------------------------------------------------------

    fn record(&mut self, ours: Ours<'_>, data: &[u8]) -> Result<Step, Fault> {
        if self.rest.len > 0 {
            return self.go_on(ours, data);
        }
        if self.consumed == 0 && !record::may_be_tls(data) {
            self.phase = Phase::Foreign;
            return Ok(Step::Took(0));
        }
        let longest = match self.phase {
            Phase::Sealed(_) => record::LONGEST_SEALED,
            _ => record::LONGEST_CLEAR,
        };
        self.looked_at = self.consumed + record::HEADER_LEN;
        let Some(header) = Header::read(data, longest)? else { return Ok(Step::Wait) };
        let behind = data.get(record::HEADER_LEN..).unwrap_or_default();
        match (header.kind, &mut self.phase) {
            (record::ALERT, _) if header.len != 2 => Err(Fault::Alert),
            (record::ALERT, _) => {
                let Some(&alert) = behind.first_chunk() else { return Ok(Step::Wait) };
                self.alert(alert, false);
                Ok(Step::Took(record::HEADER_LEN + alert.len()))
            }
            // For middleboxes, anywhere (RFC 8446, section 5).
            (record::CHANGE_CIPHER_SPEC, _) | (record::HANDSHAKE, Phase::Hello | Phase::Clear) => {
                self.rest = Rest { kind: header.kind, len: header.len };
                Ok(Step::Took(record::HEADER_LEN))
            }
            (record::APPLICATION_DATA, Phase::Sealed(opener)) => {
                let Some(fragment) = behind.get(..header.len) else { return Ok(Step::Wait) };
                let at = self.octets.len();
                self.octets.extend_from_slice(fragment);
                let opened =
                    opener.open(&header.octets, self.octets.get_mut(at..).unwrap_or_default());
                self.opened(ours, at, opened)?;
                Ok(Step::Took(record::HEADER_LEN + header.len))
            }
            (kind, _) => Err(Fault::RecordType(kind)),
        }
    }

    /// Goes on with a record in clear: takes no more than what the message under way lacks.
    fn go_on(&mut self, ours: Ours<'_>, data: &[u8]) -> Result<Step, Fault> {
        let is_handshake = self.rest.kind == record::HANDSHAKE;
        let wanted = if is_handshake { self.rest.len.min(self.lacking()) } else { self.rest.len };
        let part = data.get(..wanted).unwrap_or(data);
        if part.is_empty() {
            return Ok(Step::Wait);
        }
        self.rest.len -= part.len();
        self.looked_at = self.consumed + part.len();
        if is_handshake {
            self.octets.extend_from_slice(part);
            if let Some(retry) = self.messages(ours)? {
                return Ok(Step::Retry(part.len(), retry));
            }
        }
        Ok(Step::Took(part.len()))
    }

    /// A record of which `octets[at..]` is what was opened of it: content, its type, padding, and room where its tag was.
    fn opened(&mut self, ours: Ours<'_>, at: usize, opened: Option<usize>) -> Result<(), Fault> {
        let Some(len) = opened else {
            self.octets.truncate(at);
            return Err(self.not_opened(ours));
        };
        self.octets.truncate(at + len);
        let inner = self.octets.get(at..).unwrap_or_default();
        let Some(len) = inner.iter().rposition(|octet| *octet != 0) else {
            self.octets.truncate(at);
            return Err(Fault::Padding);
        };
        let (content, kind) = (inner.get(..len).unwrap_or_default(), inner.get(len).copied());
        let alert = content.first_chunk().copied().filter(|_| len == 2);
        let kept = if kind == Some(record::HANDSHAKE) { at + len } else { at };
        self.octets.truncate(kept);
        match (kind, alert) {
            (Some(record::HANDSHAKE), _) if len <= record::LONGEST_CLEAR => {
                self.messages(ours).map(|_| ())
            }
            (Some(record::HANDSHAKE), _) => Err(Fault::RecordLength(len as u16)),
            (Some(record::ALERT), Some(alert)) => {
                self.alert(alert, true);
                Ok(())
            }
            (Some(record::ALERT), None) => Err(Fault::Alert),
            (kind, _) => Err(Fault::RecordType(kind.unwrap_or_default())),
        }
    }

    /// Whose fault it is that a record does not open: a hello may have been sent whose shares are not ours.
    fn not_opened(&self, ours: Ours<'_>) -> Fault {
        let share = self.capture.group.and_then(|group| ours.shares.public(group));
        let is_ours =
            share.is_some_and(|share| ours.sent.windows(share.len()).any(|part| part == share));
        if is_ours { Fault::Sealed } else { Fault::NoKeys }
    }

    fn alert(&mut self, [level, description]: [u8; 2], is_sealed: bool) {
        self.capture.alert = Some(Alert { level, description });
        // In TLS 1.3 the level says nothing (RFC 8446, section 6).
        let goes_on = description == USER_CANCELED || (level == WARNING && !is_sealed);
        if description == CLOSE_NOTIFY || !goes_on {
            self.end(TlsOutcome::Alert);
        }
    }

    /// What is no TLS: a line of it is enough, unless it is the first of an answer of HTTP, whose headers say more.
    fn foreign(&mut self, data: &[u8]) -> Result<Step, Fault> {
        let first = self.first.get(..self.first_len).unwrap_or_default();
        let line =
            first.iter().position(|octet| *octet == b'\n').filter(|_| !first.starts_with(b"HTTP/"));
        if let Some(end) = line {
            self.first_len = end + 1;
        }
        if line.is_some() || self.first_len == FIRST_BYTES {
            self.end(TlsOutcome::NotTls);
        } else if data.is_empty() {
            return Ok(Step::Wait);
        }
        Ok(Step::Took(data.len()))
    }

    // --- messages -------------------------------------------------------------------------------------------------

    /// The type of the message under way, and where it ends; of less than its header, nothing.
    fn under_way(&self) -> Option<(u8, usize)> {
        let &[kind, a, b, c] = self.octets.get(self.parsed..)?.first_chunk()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        Some((kind, self.parsed + messages::HEADER_LEN + len))
    }

    /// How many octets the message under way lacks, or its header.
    fn lacking(&self) -> usize {
        let end = match self.under_way() {
            Some((_, end)) => end.min(LIMIT),
            None => self.parsed + messages::HEADER_LEN,
        };
        end.saturating_sub(self.octets.len())
    }

    /// Takes all messages that are whole.
    fn messages(&mut self, ours: Ours<'_>) -> Result<Option<Retry>, Fault> {
        while let Some((kind, end)) = self.under_way() {
            self.is_expected(kind)?;
            let begin = self.parsed;
            if end - begin > LIMIT && kind != messages::CERTIFICATE {
                return Err(Fault::MessageLength(kind));
            }
            if end > self.octets.len() {
                break;
            }
            self.parsed = end;
            let span = Span { at: begin as u32, len: (end - begin) as u32 };
            if kind == messages::SERVER_HELLO {
                let retry = self.server_hello(ours, span)?;
                if retry.is_some() {
                    return Ok(retry);
                }
            } else {
                self.message(kind, span)?;
            }
            if matches!(self.phase, Phase::Done) {
                self.octets.truncate(end);
                return Ok(None);
            }
        }
        if self.octets.len() >= LIMIT {
            self.end(TlsOutcome::Truncated);
        }
        Ok(None)
    }

    /// Says at its first octets whether a message may come now, so that nobody waits for what it pretends to be.
    fn is_expected(&self, kind: u8) -> Result<(), Fault> {
        use messages::*;
        let has_certificate = self.capture.stage >= TlsStage::Certificate;
        let is_expected = match self.phase {
            Phase::Hello => matches!(kind, SERVER_HELLO | HELLO_REQUEST),
            Phase::Clear => match kind {
                CERTIFICATE => !has_certificate,
                HELLO_REQUEST | CERTIFICATE_STATUS | SERVER_KEY_EXCHANGE | CERTIFICATE_REQUEST
                | SERVER_HELLO_DONE | SUPPLEMENTAL_DATA | NEW_SESSION_TICKET => true,
                _ => false,
            },
            Phase::Sealed(_) => {
                matches!(kind, ENCRYPTED_EXTENSIONS | CERTIFICATE_REQUEST | CERTIFICATE | FINISHED)
            }
            Phase::Foreign | Phase::Done => true,
        };
        if is_expected { Ok(()) } else { Err(Fault::Unexpected(kind)) }
    }

    /// Takes a message behind the ServerHello.
    fn message(&mut self, kind: u8, span: Span) -> Result<(), Fault> {
        let body = body(&self.octets, span);
        let capture = &mut self.capture;
        let taken = match kind {
            messages::ENCRYPTED_EXTENSIONS => messages::encrypted_extensions(body, capture),
            messages::CERTIFICATE_REQUEST => messages::certificate_request(body, capture),
            messages::CERTIFICATE => messages::certificate(body, capture),
            messages::CERTIFICATE_STATUS => messages::certificate_status(body, capture),
            messages::SERVER_KEY_EXCHANGE => {
                capture.group = messages::group(body, capture.version);
                Some(())
            }
            _ => Some(()),
        };
        taken.ok_or(Fault::Message(kind))?;
        match (kind, &self.phase) {
            (messages::SERVER_HELLO_DONE | messages::FINISHED, _)
            | (messages::CERTIFICATE, Phase::Sealed(_)) => self.done(), // what follows is signatures
            (messages::CERTIFICATE, _) => self.capture.stage = TlsStage::Certificate,
            _ => {}
        }
        Ok(())
    }

    fn server_hello(&mut self, ours: Ours<'_>, span: Span) -> Result<Option<Retry>, Fault> {
        let hello = messages::server_hello(body(&self.octets, span))
            .ok_or(Fault::Message(messages::SERVER_HELLO))?;
        self.capture.version = Some(hello.version);
        self.capture.cipher = Some(hello.cipher);
        self.capture.group = hello.group;
        let is_old = (0x0300..=messages::TLS12).contains(&hello.version);
        if !is_old && hello.version != messages::TLS13 {
            return Err(Fault::Version(hello.version));
        }
        if !is_old && self.rest.len > 0 {
            return Err(Fault::KeyChange);
        }
        if hello.is_retry {
            let retry = Retry {
                group: hello.group,
                cookie: Cursor::new(&self.octets, hello.cookie).rest().to_vec(),
            };
            return self.retry(ours, retry, span, hello.cipher).map(Some);
        }
        self.capture.stage = TlsStage::ServerHello;
        self.capture.server_hello = Some(span);
        self.capture.alpn = hello.alpn;
        self.capture.scts = hello.scts;
        if is_old {
            self.phase = Phase::Clear;
            return Ok(None);
        }
        self.capture.has_extensions = true;
        let group = hello.group.ok_or(Fault::Message(messages::SERVER_HELLO))?;
        let suite = Suite::of(hello.cipher).ok_or(Fault::NoKeys)?;
        ours.shares.public(group).ok_or(Fault::NoKeys)?;
        let share = Cursor::new(&self.octets, hello.share).rest();
        let secret = ours.shares.shared_secret(group, share).ok_or(Fault::Share(group))?;
        let mut transcript = digest::Context::new(suite.digest);
        transcript.update(self.octets.get(..self.retry_len).unwrap_or_default());
        record::fragments(ours.sent).for_each(|part| transcript.update(part));
        transcript.update(Cursor::new(&self.octets, span).rest());
        let opener = Opener::new(suite, secret.as_ref(), transcript.finish().as_ref());
        self.phase = Phase::Sealed(Box::new(opener.ok_or(Fault::NoKeys)?));
        Ok(None)
    }

    /// A HelloRetryRequest. It stays in the octets, behind a hash of the first hello, for the hash of all messages (RFC 8446,
    /// section 4.4.1).
    fn retry(
        &mut self,
        ours: Ours<'_>,
        retry: Retry,
        span: Span,
        cipher: u16,
    ) -> Result<Retry, Fault> {
        let can_answer = retry.group.is_none_or(|group| ours.shares.public(group).is_some());
        if std::mem::replace(&mut self.capture.is_retried, true) || !can_answer {
            return Err(Fault::Retry);
        }
        let suite = Suite::of(cipher).ok_or(Fault::NoKeys)?;
        let mut first = digest::Context::new(suite.digest);
        record::fragments(ours.sent).for_each(|part| first.update(part));
        let first = first.finish();
        let hash = first.as_ref();
        let mut octets =
            Vec::with_capacity(messages::HEADER_LEN + LONGEST_HASH + span.len as usize);
        octets.extend_from_slice(&[messages::MESSAGE_HASH, 0, 0, hash.len() as u8]);
        octets.extend_from_slice(hash);
        octets.extend_from_slice(Cursor::new(&self.octets, span).rest());
        self.retry_len = octets.len();
        self.parsed = octets.len();
        self.octets = octets;
        Ok(retry)
    }

    // --- the end --------------------------------------------------------------------------------------------------

    fn done(&mut self) {
        self.capture.stage = TlsStage::Done;
        self.end(TlsOutcome::Ok);
    }

    fn fail(&mut self, fault: Fault) {
        self.capture.fault = Some(fault);
        self.first_len = self.first_len.min(self.looked_at);
        let is_ours = fault == Fault::NoKeys;
        self.end(if is_ours { TlsOutcome::Ok } else { TlsOutcome::Malformed });
    }

    fn end(&mut self, outcome: TlsOutcome) {
        self.capture.outcome = outcome;
        self.phase = Phase::Done;
    }

    pub(super) fn finish(mut self, cut: Cut) -> Capture {
        match self.phase {
            Phase::Done => {}
            Phase::Foreign => self.capture.outcome = TlsOutcome::NotTls,
            // A warning, and then nothing more, is a refusal, too.
            _ if cut == Cut::Finished && self.capture.alert.is_some() => {
                self.capture.outcome = TlsOutcome::Alert;
            }
            _ => self.capture.outcome = outcome(cut),
        }
        let has_certificates = self.capture.certificates.len > 0;
        if self.capture.stage == TlsStage::ServerHello && !has_certificates {
            self.salvage();
        }
        let mut capture = self.capture;
        if capture.server_hello.is_none() && capture.alert.is_none() {
            let first = self.first.get(..self.first_len).unwrap_or_default();
            capture.first = Span { at: self.octets.len() as u32, len: first.len() as u32 };
            self.octets.extend_from_slice(first);
        }
        capture.octets = self.octets;
        capture
    }

    /// Of a certificate message that did not arrive whole, takes what did.
    fn salvage(&mut self) {
        let at = self.parsed as u32;
        let mut part = Cursor::new(&self.octets, Span { at, len: u32::MAX });
        if part.u8() == Some(messages::CERTIFICATE) && part.u24().is_some() {
            messages::certificate(part, &mut self.capture);
        }
    }
}

/// A message without its header.
fn body(octets: &[u8], message: Span) -> Cursor<'_> {
    let mut message = Cursor::new(octets, message);
    message.take(messages::HEADER_LEN);
    message
}
