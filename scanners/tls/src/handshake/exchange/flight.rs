//! From records to messages, and what they change.

use aws_lc_rs::digest;
use mrpf_records::{TlsOutcome, TlsStage};

use super::{Exchange, Ours, Phase};
use crate::{
    capture::Span,
    handshake::{Cursor, Fault, LIMIT, messages},
    hello::{Offer, Retry},
    record,
    schedule::{LONGEST_HASH, Opener, Suite},
};

impl Exchange {
    /// The type of the message under way, and where it ends; of less than its header, nothing.
    fn under_way(&self) -> Option<(u8, usize)> {
        let &[kind, a, b, c] = self.octets.get(self.parsed..)?.first_chunk()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        Some((kind, self.parsed + messages::HEADER_LEN + len))
    }

    /// How many octets the message under way lacks, or its header.
    pub(super) fn lacking(&self) -> usize {
        let end = match self.under_way() {
            Some((_, end)) => end.min(LIMIT),
            None => self.parsed + messages::HEADER_LEN,
        };
        end.saturating_sub(self.octets.len())
    }

    /// Takes all messages that are whole.
    pub(super) fn messages(&mut self, ours: Ours<'_>) -> Result<Option<Retry>, Fault> {
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
        let is_new = hello.version == messages::TLS13 && hello.is_in_extension;
        if !is_old && !is_new {
            return Err(Fault::Version(hello.version));
        }
        if is_new && self.rest.len > 0 {
            return Err(Fault::KeyChange);
        }
        let sent: Vec<u8> = record::fragments(ours.sent).flatten().copied().collect();
        let offer = Offer::of(&sent);
        // Up to TLS 1.2 all is in clear, and a host that picks what it likes shows its certificate all the same.
        if is_new && !offer.has_version(hello.version) {
            return Err(Fault::Version(hello.version));
        }
        if is_new && !offer.has_suite(hello.cipher) {
            return Err(Fault::Suite(hello.cipher));
        }
        if hello.is_retry {
            let retry = Retry {
                group: hello.group,
                cookie: Cursor::new(&self.octets, hello.cookie).rest().to_vec(),
            };
            return self.retry(ours, &offer, retry, span, hello.cipher).map(Some);
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
        if !offer.has_share(group) {
            return Err(Fault::Group(group));
        }
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
        offer: &Offer<'_>,
        retry: Retry,
        span: Span,
        cipher: u16,
    ) -> Result<Retry, Fault> {
        let may_ask = match retry.group {
            Some(group) => offer.has_group(group) && !offer.has_share(group),
            None => !retry.cookie.is_empty(), // or nothing would change
        };
        if self.retry_len > 0 || !may_ask {
            return Err(Fault::Retry);
        }
        if retry.group.is_some_and(|group| ours.shares.public(group).is_none()) {
            return Err(Fault::NoKeys);
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
}

/// A message without its header.
fn body(octets: &[u8], message: Span) -> Cursor<'_> {
    let mut message = Cursor::new(octets, message);
    message.take(messages::HEADER_LEN);
    message
}
