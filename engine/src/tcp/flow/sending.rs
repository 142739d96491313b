//! What a flow says and when: requests, acknowledgements, questions for a window.

use std::{ops::Range, time::Duration};

use super::{Flow, WINDOW};
use crate::{
    tcp::{End, Settings, flows::Counts, seq::Seq},
    time::Instant,
    wire::tcp::Flags,
};

/// How long to wait for an acknowledgement before a request is sent again, each time.
pub(super) const RESEND_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How long to wait for a window to open before it is asked for, the second time and later.
const PROBE_AFTER: Duration = Duration::from_secs(2);
/// Segments that leave before the first acknowledgement (RFC 6928).
const BURST: u32 = 10;

/// What to send, but for the bytes.
pub(in crate::tcp) struct Sending {
    pub(in crate::tcp) seq: Seq,
    pub(in crate::tcp) ack: Seq,
    pub(in crate::tcp) flags: Flags,
    pub(in crate::tcp) window: u16,
    pub(in crate::tcp) sack: Option<(u32, u32)>,
    /// Which part of the request.
    pub(in crate::tcp) part: Range<usize>,
}

impl Flow {
    /// Whether the host has acknowledged all that was asked.
    pub(in crate::tcp) fn is_acknowledged(&self) -> bool {
        self.acked == self.asked + self.len
    }

    /// Begins another request.
    pub(in crate::tcp) fn ask(&mut self, len: u32, now: Instant) {
        self.asked = self.sent;
        self.len = len;
        self.request = self.request.wrapping_add(1);
        self.quiet_since = now;
    }

    /// Whether there is something to send.
    #[inline]
    pub(in crate::tcp) fn has_to_send(&self) -> bool {
        self.owes_ack || self.owes_probe || self.sendable() > 0
    }

    /// How much of the request may leave in the next segment.
    #[inline]
    fn sendable(&self) -> u32 {
        let mss = u32::from(self.mss);
        let allowed = self.acked + self.window.min(BURST * mss);
        let rest = self.asked + self.len - self.next;
        rest.min(mss).min(allowed.saturating_sub(self.next))
    }

    /// The next segment, if one is due.
    #[inline]
    pub(in crate::tcp) fn send(&mut self, now: Instant) -> Option<Sending> {
        let n = self.sendable();
        let mut sending = Sending {
            seq: self.ours.plus(self.sent),
            ack: self.theirs.plus(self.assembly.got()),
            flags: Flags::ACK,
            window: (WINDOW >> self.shifts.1) as u16,
            sack: None,
            part: 0..0,
        };
        if n > 0 {
            let from = self.next - self.asked;
            sending.seq = self.ours.plus(self.next);
            sending.part = from as usize..(from + n) as usize;
            if from + n == self.len {
                sending.flags = Flags::ACK | Flags::PSH;
            }
            self.next += n;
            self.sent = self.sent.max(self.next);
            self.quiet_since = now;
            let wait = RESEND_AFTER.get(usize::from(self.resends.0));
            self.resend_at = wait.map_or(Instant::NEVER, |wait| now + *wait);
        } else if self.owes_probe {
            // A number that the host has had makes it say what it takes, and means nothing else.
            sending.seq = self.ours.plus(self.acked.wrapping_sub(1));
            self.quiet_since = now;
            self.resend_at = now + PROBE_AFTER;
        } else if self.owes_ack {
            if self.permits_sack && self.assembly.has_holes() {
                let block = self.assembly.block_of(self.recent.into());
                let number = |at| self.theirs.plus(at).0;
                sending.sack = block.map(|(first, end)| (number(first), number(end)));
            }
            if self.resend_at == Instant::NEVER && self.next < self.asked + self.len {
                self.resend_at = now + RESEND_AFTER[0]; // to ask whether the window is open
            }
        } else {
            return None;
        }
        self.owes_ack = false;
        self.owes_probe = false;
        self.unacknowledged = 0;
        self.ack_at = Instant::NEVER;
        Some(sending)
    }

    /// The number of our reset: what the host expects next, or it would challenge it.
    pub(in crate::tcp) fn reset_seq(&self) -> u32 {
        self.ours.plus(self.sent).0
    }

    /// When something is next to be done.
    #[inline]
    pub(in crate::tcp) fn due(&self, settings: &Settings) -> Instant {
        let ends = (self.opened + settings.deadline).min(self.quiet_since + settings.idle);
        ends.min(self.resend_at).min(self.ack_at)
    }

    /// Does what is due; returns why the flow ends now, if it does.
    pub(in crate::tcp) fn pass(
        &mut self,
        now: Instant,
        settings: &Settings,
        counts: &mut Counts,
    ) -> Option<End> {
        if now >= self.opened + settings.deadline {
            return Some(End::Deadline);
        }
        if now >= self.quiet_since + settings.idle {
            return Some(End::Idle);
        }
        if now >= self.ack_at {
            self.ack_at = Instant::NEVER;
            self.owes_ack = true;
        }
        if now >= self.resend_at {
            self.resend_at = Instant::NEVER;
            if self.window == 0 {
                self.owes_probe = !self.is_acknowledged();
            } else if self.acked < self.sent && usize::from(self.resends.0) < RESEND_AFTER.len() {
                self.resends.0 += 1;
                self.resends.1 = self.resends.1.saturating_add(1);
                counts.resent += 1;
                self.next = self.acked;
            }
        }
        None
    }
}
