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

mod receiving;
mod sending;

pub(super) use self::receiving::Progress;
use super::{
    End, Report, Stage,
    assembly::Assembly,
    buffers::{Buffers, Lease},
    seq::Seq,
};
use crate::{target::Target, time::Instant, wire::MacAddr};

/// How many octets we take at once, and how far ahead of what we expect a segment may lie.
const WINDOW: u32 = 65_535;
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
