//! One connection: what is known of it, and what a segment or the time changes.
//!
//! Places in both streams are counted from their first octet, so that nothing but [`Seq`] knows that numbers wrap.
//!
//! ```text
//!  ours     0 ....... asked .. acked ..... next ...... sent .... asked + len
//!                       |  the request under way                      |
//!                                |-- unacknowledged --|
//!                                        '- what is sent next: behind `sent` only when it is sent again
//!
//!  theirs   0 .... base ..... read ...... got  ..hole..  [block]  .. fin | cap
//!                   '- the buffer begins    '- contiguous
//! ```

use std::time::Duration;

use super::{
    End, Incoming, Report, Settings, Stage,
    assembly::{Assembly, Taken},
    buffers::{Buffers, Lease},
    flows::Counts,
    seq::Seq,
};
use crate::{
    target::Target,
    time::Instant,
    wire::{
        MacAddr,
        tcp::{Flags, Segment},
    },
};

/// How many octets we take at once, and how far ahead of what we expect a segment may lie.
pub(super) const WINDOW: u32 = 65_535;
/// How long to wait for an acknowledgement before a request is sent again, each time.
const RESEND_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How long to wait for a window to open before it is asked for, the second time and later.
const PROBE_AFTER: Duration = Duration::from_secs(2);
/// Longest time that an acknowledgement is held back: hosts begin to send again after 200 ms and more.
const ACK_AFTER: Duration = Duration::from_millis(40);
/// Segments that leave before the first acknowledgement (RFC 6928).
const BURST: u32 = 10;
/// SYN-ACKs that are answered: as often as Linux repeats one.
const MOST_REPEATS: u8 = 5;
/// Challenges that are sent (RFC 5961, section 7, asks for a limit).
const MOST_CHALLENGES: u8 = 3;
/// What a full segment of ours may carry, and one of theirs: how many segments a large frame was.
const FULL: usize = 1_460;

/// What most answers that take more than a segment fit in: a chain of certificates has 2 to 5 KB.
const USUAL: usize = 8 << 10;

/// A place in no stream: there was no FIN.
const NOWHERE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The slot is nobody's.
    Free,
    Open,
    /// It ended by itself, and who asked has not closed it yet.
    Ended(End),
    /// It was closed; if the host does not know, it is told.
    Closing {
        reset: bool,
    },
}

/// What a segment brought.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    Quiet,
    Data,
    Ended(End),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) word: u64,
    opened: Instant,
    /// [`Instant::NEVER`] before there is one.
    first: Instant,
    last: Instant,
    /// Since when nothing moved on.
    quiet_since: Instant,
    resend_at: Instant,
    ack_at: Instant,
    pub(super) remote: Target,
    pub(super) next_hop: MacAddr,
    pub(super) local_port: u16,
    pub(super) label: u32,
    pub(super) hash: u32,
    pub(super) generation: u32,
    /// The next in the queue of those that have something to send, or of the free ones.
    pub(super) link: u32,
    /// The numbers of the first octets.
    ours: Seq,
    theirs: Seq,
    /// What the host takes beyond what it has acknowledged.
    window: u32,
    asked: u32,
    len: u32,
    acked: u32,
    next: u32,
    sent: u32,
    base: u32,
    read: u32,
    fin: u32,
    assembly: Assembly,
    lease: Lease,
    /// Where the octet that last arrived beyond a hole belongs.
    recent: u16,
    mss: u16,
    pub(super) request: u8,
    /// By how many bits windows of the host are shifted, and ours.
    shifts: (u8, u8),
    /// How often the request was sent again since something of it was acknowledged, and in all.
    resends: (u8, u8),
    repeats: u8,
    suspicious: u8,
    /// Segments that are not acknowledged yet.
    unacknowledged: u8,
    pub(super) state: State,
    pub(super) is_queued: bool,
    owes_ack: bool,
    owes_probe: bool,
    permits_sack: bool,
    truncated: bool,
    zero_window: bool,
}

/// What a flow is made from.
pub(super) struct Birth {
    pub(super) remote: Target,
    pub(super) next_hop: MacAddr,
    pub(super) local_port: u16,
    pub(super) label: u32,
    pub(super) word: u64,
    pub(super) hash: u32,
    pub(super) generation: u32,
    pub(super) ours: Seq,
    pub(super) theirs: Seq,
    pub(super) window: u16,
    pub(super) mss: u16,
    pub(super) shifts: (u8, u8),
    pub(super) permits_sack: bool,
    pub(super) request_len: u32,
}

/// What to send, but for the bytes.
pub(super) struct Sending {
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) sack: Option<(u32, u32)>,
    /// Which part of the request.
    pub(super) part: std::ops::Range<usize>,
}

impl Flow {
    pub(super) fn new(birth: Birth, now: Instant) -> Self {
        let Birth { remote, next_hop, local_port, label, word, hash, generation, .. } = birth;
        Self {
            word,
            opened: now,
            first: Instant::NEVER,
            last: Instant::NEVER,
            quiet_since: now,
            resend_at: Instant::NEVER,
            ack_at: Instant::NEVER,
            remote,
            next_hop,
            local_port,
            label,
            hash,
            generation,
            link: NOWHERE,
            ours: birth.ours,
            theirs: birth.theirs,
            window: birth.window.into(), // that of a SYN is never shifted
            asked: 0,
            len: birth.request_len,
            acked: 0,
            next: 0,
            sent: 0,
            base: 0,
            read: 0,
            fin: NOWHERE,
            assembly: Assembly::default(),
            lease: Lease::NONE,
            recent: 0,
            mss: birth.mss,
            request: 0,
            shifts: birth.shifts,
            resends: (0, 0),
            repeats: 0,
            suspicious: 0,
            unacknowledged: 0,
            state: State::Open,
            is_queued: false,
            owes_ack: true,
            owes_probe: false,
            permits_sack: birth.permits_sack,
            truncated: false,
            zero_window: birth.window == 0,
        }
    }

    // --- what arrives ---------------------------------------------------------------------------------------------

    /// Takes a segment of this connection.
    #[inline]
    pub(super) fn take(
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

    // --- what is read ---------------------------------------------------------------------------------------------

    /// The octets that are contiguous and not consumed.
    #[inline]
    pub(super) fn data<'b>(&self, buffers: &'b Buffers) -> &'b [u8] {
        let (from, to) = (self.read - self.base, self.assembly.got() - self.base);
        &buffers.bytes(self.lease)[from as usize..to as usize]
    }

    /// Drops the first `n` octets of [`data`](Self::data). When nothing is left, the buffer is given back.
    pub(super) fn consume(&mut self, n: usize, buffers: &mut Buffers) {
        let got = self.assembly.got();
        self.read += u32::try_from(n).map_or(got - self.read, |n| n.min(got - self.read));
        if self.read == got && !self.assembly.has_holes() {
            self.release(buffers);
            self.base = got;
        }
    }

    pub(super) fn release(&mut self, buffers: &mut Buffers) {
        buffers.give_back(std::mem::replace(&mut self.lease, Lease::NONE));
    }

    // --- what is sent ---------------------------------------------------------------------------------------------

    /// Whether the host has acknowledged all that was asked.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.acked == self.asked + self.len
    }

    /// Begins another request.
    pub(super) fn ask(&mut self, len: u32, now: Instant) {
        self.asked = self.sent;
        self.len = len;
        self.request = self.request.wrapping_add(1);
        self.quiet_since = now;
    }

    /// Whether there is something to send.
    #[inline]
    pub(super) fn has_to_send(&self) -> bool {
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
    pub(super) fn send(&mut self, now: Instant) -> Option<Sending> {
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
    pub(super) fn reset_seq(&self) -> u32 {
        self.ours.plus(self.sent).0
    }

    // --- what the time changes ------------------------------------------------------------------------------------

    /// When something is next to be done.
    #[inline]
    pub(super) fn due(&self, settings: &Settings) -> Instant {
        let ends = (self.opened + settings.deadline).min(self.quiet_since + settings.idle);
        ends.min(self.resend_at).min(self.ack_at)
    }

    /// Does what is due; returns why the flow ends now, if it does.
    pub(super) fn pass(
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

    /// Whether a packet of ours with the number `seq` was of this connection (RFC 5927, section 4.1).
    pub(super) fn has_sent(&self, seq: u32) -> bool {
        let place = Seq(seq).after(self.ours);
        place == -1 || u32::try_from(place).is_ok_and(|place| place <= self.sent)
    }

    pub(super) fn report(&self, end: End) -> Report {
        let received = self.assembly.got();
        let stage = match () {
            () if self.first != Instant::NEVER => Stage::Answering,
            () if self.acked > 0 => Stage::Acknowledged,
            () if self.sent > 0 => Stage::Requested,
            () => Stage::Opened,
        };
        let known = |at: Instant| (at != Instant::NEVER).then_some(at);
        Report {
            remote: self.remote,
            local_port: self.local_port,
            word: self.word,
            end,
            stage,
            opened: self.opened,
            first: known(self.first),
            last: known(self.last),
            received,
            truncated: self.truncated,
            zero_window: self.zero_window,
            resent: self.resends.1,
            suspicious: self.suspicious,
        }
    }
}
