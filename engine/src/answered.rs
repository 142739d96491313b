//! What was sent lately and what was answered, in memory that does not grow with the scan.
//!
//! Targets are walked in a fixed order, so a target is a *sequence number*, and the ones that can still be answered are
//! the ones sent within the last `retries x spacing + cooldown`: a window over the sequence. For each number in it the ring
//! holds one bit, and for each *group* of numbers a send time: a group is one number up to 100 k/s and 64 above.
//!
//! Senders share the window by *blocks*: each claims the next one, sends all attempts on its targets and calls them final.
//! So a sender has a *lane*: its blocks in ascending order, and marks on them.
//!
//! ```text
//!      tail                 pass 2        pass 1            head = pass 0     reached
//! -------|--------------------|-------------|------------------|----------------|--> sequence
//!  final |  waiting, cooldown |  sent twice |    sent once     |    not sent    |  not claimed
//!
//! blocks   ..[ lane 0 ][ lane 1 ][ lane 0 ][ lane 0 ][ lane 1 ]|     each lane has a tail, passes and a head of its own
//! ```
//!
//! From this come at most `1 + r` probes a target, none after an answer, no second record, the round-trip time and
//! the number of attempts. Retries and deduplication are one thing: both ask "was this number answered?".
//!
//! # Who writes
//!
//! A sender moves the marks of its lane and stamps times; receivers set bits. The bits of a block are cleared when it is
//! claimed, at least one block after the last tail has left them. A receiver that was stalled for that long between its look
//! at the tail and its mark would mark a stranger; [`Answered::mark`] looks again afterwards and takes such a mark back.

use std::{
    ops::Range,
    sync::atomic::{
        AtomicU8, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    },
};

use bytemuck::allocation::try_zeroed_slice_box;
use crossbeam_utils::CachePadded;

use crate::time::Instant;

/// Most retries that a scan can ask for: the source ports are cut into `1 + retries` parts.
pub const MAX_RETRIES: u8 = 15;
/// Most senders that can share a window.
pub const MAX_LANES: u8 = 64;
/// The longest block that a sender claims at once.
pub const MAX_BLOCK: u64 = 1_024;

/// Numbers in a group of [`Grouping::Block`], which is one word of bits.
pub const GROUP: u64 = 64;
const PER_WORD: u64 = GROUP;

/// How many sequence numbers share one send time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grouping {
    /// Each has its own: exact round-trip times.
    Single,
    /// 64 share one, that of the last of them sent: at these rates they leave within a fraction of a millisecond.
    Block,
}

impl Grouping {
    const fn shift(self) -> u32 {
        match self {
            Self::Single => 0,
            Self::Block => 6,
        }
    }
}

/// What a window is made for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// All sequence numbers of the scan.
    pub total: u64,
    /// How many of them may be waiting at once, at least.
    pub window: u64,
    /// How send times are kept.
    pub grouping: Grouping,
    /// How many senders share it, 1 to [`MAX_LANES`].
    pub lanes: u8,
    /// How many numbers a sender claims at once: a power of two from 64 to [`MAX_BLOCK`].
    pub block: u64,
}

/// The marks of one sender.
struct Lane {
    /// `passes[a]`: its numbers below it have had attempt `a`; `passes[0]` is the head.
    passes: [AtomicU64; MAX_RETRIES as usize + 1],
    /// Its numbers below it are final; [`IDLE`] when all are.
    tail: AtomicU64,
    /// How many targets have had their first attempt.
    started: AtomicU64,
}

/// The tail of a lane that has nothing to wait for.
const IDLE: u64 = u64::MAX;

/// The ring and its marks. See the module.
pub struct Answered {
    /// One bit a number: it has an outcome.
    words: Box<[AtomicU64]>,
    /// Wrapped microseconds of the last send, one a group.
    times: Box<[AtomicU32]>,
    /// The lane of each block.
    owners: Box<[AtomicU8]>,
    /// Capacity less one; the capacity is a power of two and at least two blocks.
    mask: u64,
    grouping: Grouping,
    block_shift: u32,
    total: u64,
    /// The first number that nobody has claimed.
    reached: CachePadded<AtomicU64>,
    lanes: Box<[CachePadded<Lane>]>,
}

impl Answered {
    /// A ring for `plan`, `None` when the system has no memory for it. Its memory is touched only as far as numbers come by.
    ///
    /// # Panics
    ///
    /// On lanes or blocks outside the limits of [`Plan`].
    pub fn new(plan: Plan) -> Option<Self> {
        let Plan { total, window, grouping, lanes, block } = plan;
        assert!((1..=MAX_LANES).contains(&lanes), "{lanes} lanes");
        assert!(block.is_power_of_two() && (PER_WORD..=MAX_BLOCK).contains(&block), "{block}");
        // A block under way a lane, and one that stays free.
        let spare = block * (u64::from(lanes) + 1);
        let capacity = window.checked_add(spare)?.checked_next_power_of_two()?;
        let groups = usize::try_from(capacity >> grouping.shift()).ok()?;
        let lane = || {
            CachePadded::new(Lane {
                passes: [const { AtomicU64::new(0) }; MAX_RETRIES as usize + 1],
                tail: AtomicU64::new(IDLE),
                started: AtomicU64::new(0),
            })
        };
        Some(Self {
            words: try_zeroed_slice_box((capacity / PER_WORD) as usize).ok()?,
            times: try_zeroed_slice_box(groups).ok()?,
            owners: try_zeroed_slice_box((capacity / block) as usize).ok()?,
            mask: capacity - 1,
            grouping,
            block_shift: block.ilog2(),
            total,
            reached: CachePadded::new(AtomicU64::new(0)),
            lanes: (0..lanes).map(|_| lane()).collect(),
        })
    }

    /// How many numbers share one send time.
    pub fn grouping(&self) -> Grouping {
        self.grouping
    }

    /// How many senders share it.
    pub fn lanes(&self) -> u8 {
        self.lanes.len() as u8
    }

    /// The length of all blocks but the last.
    pub fn block(&self) -> u64 {
        1 << self.block_shift
    }

    /// How many blocks can be waiting at once.
    pub fn blocks(&self) -> usize {
        self.owners.len()
    }

    /// The first number that nobody has claimed: nothing from it on was sent.
    pub fn reached(&self) -> u64 {
        self.reached.load(SeqCst).min(self.total)
    }

    /// Whether every number was claimed.
    pub fn is_exhausted(&self) -> bool {
        self.reached() == self.total
    }

    /// How many numbers have had their first attempt.
    pub fn started(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.started.load(Relaxed)).sum()
    }

    /// The first number that is not final; what lies below is, in every lane.
    pub fn tail(&self) -> u64 {
        // First what was claimed, then the tails: a block claimed in between lies behind the first.
        let reached = self.reached();
        self.lanes.iter().map(|lane| lane.tail.load(SeqCst)).min().unwrap_or(IDLE).min(reached)
    }

    /// Sender of `lane`: claims the next block. `None` when none is left, or none whose place in the ring is free.
    pub fn claim(&self, lane: u8) -> Option<Range<u64>> {
        let own = &self.lanes[usize::from(lane)].tail;
        let is_idle = own.load(Relaxed) == IDLE;
        loop {
            let start = self.reached.load(SeqCst);
            if start >= self.total {
                if is_idle {
                    own.store(IDLE, SeqCst);
                }
                return None;
            }
            // What is claimed lies at or behind it, and whoever sees the claim sees this too.
            if is_idle {
                own.store(start, SeqCst);
            }
            let end = start + self.block();
            // One more stays free, so that the place that is taken was left a while ago.
            let is_free = end + self.block() - self.tail() <= self.mask + 1;
            if is_free && self.reached.compare_exchange(start, end, SeqCst, SeqCst).is_ok() {
                let first = ((start & self.mask) / PER_WORD) as usize;
                for word in &self.words[first..][..(self.block() / PER_WORD) as usize] {
                    word.store(0, Relaxed);
                }
                self.owner(start).store(lane, Release);
                return Some(start..end.min(self.total));
            }
            if !is_free {
                if is_idle {
                    own.store(IDLE, SeqCst);
                }
                return None;
            }
        }
    }

    /// How many attempts `sequence` has had.
    pub fn attempts(&self, sequence: u64) -> u8 {
        let lane = self.lane_of(sequence);
        lane.passes.iter().take_while(|pass| pass.load(Acquire) > sequence).count() as u8
    }

    /// Sender: `sequence`, which is of a block of its own, is about to be sent, or was just now.
    #[inline]
    pub fn stamp(&self, sequence: u64, now: Instant) {
        self.times[((sequence & self.mask) >> self.grouping.shift()) as usize]
            .store(now.as_wrapped_micros(), Release);
    }

    /// Sender of `lane`: its numbers below `sequence` have had attempt `attempt`. To be called before the frames leave, so that
    /// no answer can come to a number that counts as not sent.
    pub fn set_pass(&self, lane: u8, attempt: u8, sequence: u64) {
        self.lanes[usize::from(lane)].passes[usize::from(attempt)].store(sequence, Release);
    }

    /// Sender of `lane`: so many of its numbers have had their first attempt.
    pub fn set_started(&self, lane: u8, started: u64) {
        self.lanes[usize::from(lane)].started.store(started, Relaxed);
    }

    /// Sender of `lane`: its numbers below `sequence` are final; all that it has claimed, with `None`.
    pub fn set_tail(&self, lane: u8, sequence: Option<u64>) {
        self.lanes[usize::from(lane)].tail.store(sequence.unwrap_or(IDLE), SeqCst);
    }

    /// Whether `sequence` can be answered: sent, and not yet final.
    pub fn is_live(&self, sequence: u64) -> bool {
        sequence < self.reached() && {
            let lane = self.lane_of(sequence);
            sequence >= lane.tail.load(Acquire) && sequence < lane.passes[0].load(Acquire)
        }
    }

    /// Whether a live number has an outcome.
    #[inline]
    pub fn is_answered(&self, sequence: u64) -> bool {
        self.word(sequence).load(Relaxed) & bit(sequence) != 0
    }

    /// Gives `sequence` an outcome and returns whether it had one before; `None` when the number is not live. Of all who
    /// ask, one is told `false`.
    pub fn mark(&self, sequence: u64) -> Option<bool> {
        if !self.is_live(sequence) {
            return None;
        }
        let before = self.word(sequence).fetch_or(bit(sequence), AcqRel) & bit(sequence) != 0;
        // If it became final in between, then because its sender saw this very mark: the outcome is ours to tell. Unless its
        // place was taken over meanwhile, and the bit is another's: what we set goes, what was set stays.
        let block = sequence & !(self.block() - 1);
        if self.reached.load(SeqCst) > block + self.mask + 1 {
            if !before {
                self.unmark(sequence);
            }
            return None;
        }
        Some(before)
    }

    /// Sender: gives the [`GROUP`] numbers from `first` on, which are its own and live, an outcome, and returns how many of them
    /// had none. `first` is a multiple of [`GROUP`].
    pub fn mark_group(&self, first: u64) -> u32 {
        debug_assert!(first.is_multiple_of(GROUP), "{first} begins no group");
        self.word(first).swap(u64::MAX, AcqRel).count_zeros()
    }

    /// Takes a [mark](Self::mark) back: for whoever was told `false` and could not pass the outcome on.
    pub fn unmark(&self, sequence: u64) {
        self.word(sequence).fetch_and(!bit(sequence), AcqRel);
    }

    /// Microseconds from the last send of the group of `sequence` to `now`. Ambiguous beyond 71 minutes, where it wraps.
    #[inline]
    pub fn since_sent(&self, sequence: u64, now: Instant) -> u32 {
        let sent =
            self.times[((sequence & self.mask) >> self.grouping.shift()) as usize].load(Acquire);
        now.as_wrapped_micros().wrapping_sub(sent)
    }

    /// How many numbers from `sequence` to the end of its group: a pass enters a group only when the pass before has left it,
    /// as the group has one time.
    pub fn left_in_group(&self, sequence: u64) -> u64 {
        (((sequence >> self.grouping.shift()) + 1) << self.grouping.shift()) - sequence
    }

    /// Octets of memory when every slot has been touched.
    pub fn footprint(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.times) + size_of_val(&*self.owners)
    }

    #[inline]
    fn word(&self, sequence: u64) -> &AtomicU64 {
        &self.words[((sequence & self.mask) / PER_WORD) as usize]
    }

    #[inline]
    fn owner(&self, sequence: u64) -> &AtomicU8 {
        &self.owners[((sequence & self.mask) >> self.block_shift) as usize]
    }

    /// The lane that claimed the block of `sequence`. For a block whose place another has taken since it is that one's, whose
    /// tail lies behind all that the place held before.
    #[inline]
    fn lane_of(&self, sequence: u64) -> &Lane {
        &self.lanes[usize::from(self.owner(sequence).load(Acquire))]
    }
}

const fn bit(sequence: u64) -> u64 {
    1 << (sequence % PER_WORD)
}

impl std::fmt::Debug for Answered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answered")
            .field("capacity", &(self.mask + 1))
            .field("grouping", &self.grouping)
            .field("lanes", &self.lanes.len())
            .field("tail", &self.tail())
            .field("reached", &self.reached())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
