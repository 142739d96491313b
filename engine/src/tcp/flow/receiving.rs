//! What a segment changes: which are believed, where their octets go, which are acknowledged at once.

use std::time::Duration;

use super::{Flow, NOWHERE, WINDOW, sending::RESEND_AFTER};
use crate::{
    tcp::{End, Incoming, Settings, assembly::Taken, buffers::Buffers, flows::Counts, seq::Seq},
    time::Instant,
    wire::tcp::{Flags, Segment},
};

/// Longest time that an acknowledgement is held back: hosts begin to send again after 200 ms and more.
const ACK_AFTER: Duration = Duration::from_millis(40);
/// SYN-ACKs that are answered: as often as Linux repeats one.
const MOST_REPEATS: u8 = 5;
/// Challenges that are sent (RFC 5961, section 7, asks for a limit).
const MOST_CHALLENGES: u8 = 3;
/// What a full segment of ours may carry, and one of theirs: how many segments a large frame was.
const FULL: usize = 1_460;
/// What most answers that take more than a segment fit in: a chain of certificates has 2 to 5 KB.
const USUAL: usize = 8 << 10;

/// What a segment brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum Progress {
    Quiet,
    Data,
    Ended(End),
}

impl Flow {
    /// Takes a segment of this connection.
    #[inline]
    pub(in crate::tcp) fn take(
        &mut self,
        incoming: &Incoming<'_>,
        now: Instant,
        settings: &Settings,
        buffers: &mut Buffers,
        counts: &mut Counts,
    ) -> Progress {
        let segment = &incoming.segment;
        let flags = segment.flags();
        let ahead = Seq(segment.seq()).after(self.theirs.plus(self.assembly.got()));
        if flags.contains(Flags::RST) {
            return self.take_reset(ahead, counts);
        }
        if flags.contains(Flags::SYN) {
            self.take_syn(segment, counts);
            return Progress::Quiet;
        }
        let acked = u32::try_from(Seq(segment.ack()).after(self.ours)).ok();
        let acked = acked.filter(|acked| flags.contains(Flags::ACK) && *acked <= self.sent);
        let len = segment.payload().len() as i32 + i32::from(flags.contains(Flags::FIN));
        let is_far = ahead >= WINDOW as i32 + i32::from(len == 0);
        let Some(acked) = acked.filter(|_| !is_far) else {
            counts.ignored += 1;
            return Progress::Quiet;
        };
        // Wholly old: said again because our acknowledgement was lost, or one octet back to ask whether we live.
        if ahead < 0 && ahead + len <= 0 {
            self.owes_ack |= len > 0 || ahead == -1;
            return Progress::Quiet;
        }
        self.take_ack(acked, ahead, segment.window(), now);
        if len == 0 {
            return Progress::Quiet;
        }
        self.take_data(incoming, ahead, now, settings, buffers, counts)
    }

    /// A reset is believed with the number that we expect and no other (RFC 5961, section 3.2): one who does not see the
    /// connection would have to guess it. A host that did reset answers the challenge with the right number.
    fn take_reset(&mut self, ahead: i32, counts: &mut Counts) -> Progress {
        if ahead == 0 {
            return Progress::Ended(End::Reset);
        }
        if (1..WINDOW as i32).contains(&ahead) {
            self.suspect(counts);
        } else {
            counts.ignored += 1;
        }
        Progress::Quiet
    }

    /// The SYN-ACK again: our acknowledgement was lost, and with it the request.
    fn take_syn(&mut self, segment: &Segment<'_>, counts: &mut Counts) {
        let is_repeat = segment.flags().contains(Flags::ACK)
            && Seq(segment.seq()).plus(1) == self.theirs
            && Seq(segment.ack()) == self.ours;
        if !is_repeat {
            return self.suspect(counts);
        }
        if self.repeats == MOST_REPEATS {
            counts.ignored += 1;
            return;
        }
        self.repeats += 1;
        self.owes_ack = true;
        if self.acked == 0 {
            self.next = 0;
        }
    }

    fn suspect(&mut self, counts: &mut Counts) {
        counts.suspicious += 1;
        self.owes_ack |= self.suspicious < MOST_CHALLENGES;
        self.suspicious = self.suspicious.saturating_add(1);
    }

    #[inline]
    fn take_ack(&mut self, acked: u32, ahead: i32, window: u16, now: Instant) {
        if acked > self.acked {
            self.acked = acked;
            self.next = self.next.max(acked);
            self.resends.0 = 0;
            self.quiet_since = now;
            let is_done = acked == self.asked + self.len;
            self.resend_at = if is_done { Instant::NEVER } else { now + RESEND_AFTER[0] };
        }
        if acked == self.acked && ahead >= 0 {
            self.window = u32::from(window) << self.shifts.0;
        }
    }

    fn take_data(
        &mut self,
        incoming: &Incoming<'_>,
        ahead: i32,
        now: Instant,
        settings: &Settings,
        buffers: &mut Buffers,
        counts: &mut Counts,
    ) -> Progress {
        let flags = incoming.segment.flags();
        let mut payload = incoming.segment.payload();
        let got = self.assembly.got();
        // What lies before the contiguous octets ends behind them, since the segment is not wholly old.
        let old = usize::try_from(-ahead).unwrap_or(0).min(payload.len());
        payload = &payload[old..];
        let first = got + u32::try_from(ahead).unwrap_or(0);
        let end = first + payload.len() as u32;
        if flags.contains(Flags::FIN)
            && !incoming.is_cut
            && self.fin == NOWHERE
            && end >= self.assembly.reach()
        {
            self.fin = end;
        }
        self.truncated |= end.min(self.fin) > settings.cap;
        let limit = settings.cap.min(self.fin);
        let kept = limit.saturating_sub(first).min(payload.len() as u32);
        let had_holes = self.assembly.has_holes();
        let taken = self.put(first, &payload[..kept as usize], flags, buffers, counts);
        if matches!(taken, Taken::Contiguous | Taken::Beyond) {
            self.quiet_since = now;
            self.last = now;
            self.first = self.first.min(now);
        }
        if taken == Taken::Beyond {
            self.recent = first as u16;
        }
        let segments = payload.len().div_ceil(FULL).clamp(1, 2) as u8;
        self.unacknowledged = self.unacknowledged.saturating_add(segments);
        let at_once = taken != Taken::Contiguous
            || had_holes
            || flags.0 & (Flags::PSH | Flags::FIN).0 != 0
            || self.unacknowledged >= 2;
        if at_once {
            self.owes_ack = true;
        } else {
            self.ack_at = self.ack_at.min(now + ACK_AFTER);
        }
        match self.assembly.got() {
            all if all == self.fin => Progress::Ended(End::Finished),
            all if all == settings.cap && self.truncated => Progress::Ended(End::Full),
            _ if taken == Taken::Contiguous => Progress::Data,
            _ => Progress::Quiet,
        }
    }

    /// Puts octets where they belong, in a buffer that has room for them.
    #[inline]
    fn put(
        &mut self,
        first: u32,
        octets: &[u8],
        flags: Flags,
        buffers: &mut Buffers,
        counts: &mut Counts,
    ) -> Taken {
        let end = first + octets.len() as u32;
        match self.assembly.judge(first, end) {
            _ if octets.is_empty() => return Taken::Known,
            Taken::Known => return Taken::Known,
            Taken::Refused => {
                counts.too_many_holes += 1;
                return Taken::Refused;
            }
            Taken::Contiguous | Taken::Beyond => {}
        }
        let needed = (end - self.base) as usize;
        if needed > self.lease.len() {
            let lease = if self.lease.is_none() {
                // Without PSH more follows at once: room for it now saves a copy then.
                let follows = !flags.contains(Flags::PSH);
                let more = if follows { (needed * 2).max(USUAL) } else { needed };
                buffers.lease(more).or_else(|| buffers.lease(needed))
            } else {
                counts.moved += 1;
                let kept = (self.assembly.reach() - self.base) as usize;
                buffers.grow(self.lease, needed, kept)
            };
            let Some(lease) = lease else {
                counts.no_buffer += 1;
                return Taken::Refused;
            };
            self.lease = lease;
        }
        self.assembly.take(first, octets, buffers.bytes_mut(self.lease), self.base)
    }
}
