//! From octets to records, and what is in them.

use mrpf_records::TlsOutcome;

use super::{Exchange, Ours, Phase, Rest, Step};
use crate::{
    capture::Alert,
    handshake::Fault,
    record::{self, Header},
};

const WARNING: u8 = 1;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;

impl Exchange {
    pub(super) fn record(&mut self, ours: Ours<'_>, data: &[u8]) -> Result<Step, Fault> {
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
}
