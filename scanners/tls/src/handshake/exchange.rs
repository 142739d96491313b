//! One connection of which something was heard.
//!
//! ```text
//!  Hello ----------- ServerHello, <= TLS 1.2 --> Clear -- ServerHelloDone --.
//!    |  '--- ServerHello, TLS 1.3 --> Sealed -- Certificate ----------------+--> Done
//!    |  '--- HelloRetryRequest: once, back to Hello                         |
//!    '--- not TLS --> Foreign -- 64 octets, or a line ----------------------'
//! ```

mod flight;
mod records;

use mrpf_records::{TlsOutcome, TlsStage};

use super::{Cursor, Cut, Fault, LIMIT, Next, messages};
use crate::{
    capture::{Capture, FIRST_BYTES, Span},
    hello::{KeyShares, Retry},
    schedule::Opener,
};

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

/// The hello that is answered, and the key shares in it.
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
        Cut::Enough | Cut::Finished | Cut::Full => TlsOutcome::Truncated,
        Cut::Reset => TlsOutcome::Reset,
        Cut::Unreachable => TlsOutcome::Unreachable,
        Cut::Idle | Cut::Deadline => TlsOutcome::Timeout,
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
        if !matches!(self.phase, Phase::Done) {
            self.remember(data);
        }
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

    pub(super) fn asked_again(&mut self) {
        self.capture.is_retried = self.retry_len > 0;
    }

    pub(super) fn held(&self) -> usize {
        self.octets.capacity()
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
        // Captures wait for who writes rows; what a message promised and did not bring need not wait with them.
        if self.octets.capacity() / 2 > self.octets.len() {
            self.octets.shrink_to_fit();
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
