//! What was sent lately and what was answered, in memory that does not grow with the scan.
//!
//! Targets are walked in a fixed order, so a target is a *sequence number*, and the ones that can still be answered are
//! the ones sent within the last `retries x spacing + cooldown`: a window over the sequence. For each number in it the ring
//! holds one bit, and for each *group* of numbers a send time: a group is one number up to 100 k/s and 64 above.
//!
//! ```text
//!      tail                 pass 2        pass 1            head = pass 0
//! -------|--------------------|-------------|------------------|--------->  sequence
//!  final |  waiting, cooldown |  sent twice |    sent once     |  not sent
//! ```
//!
//! From this come at most `1 + r` probes a target, none after an answer, no second record, the round-trip time and
//! the number of attempts. Retries and deduplication are one thing: both ask "was this number answered?".
//!
//! # Who writes
//!
//! The sender moves the marks and stamps times; receivers set bits. A slot is cleared by the sender when the head
//! comes to it again, at least one word after the tail has left it. A receiver that was stalled for that long between its look at the tail
//! and its mark would mark a stranger; [`Answered::mark`] looks again afterwards and takes such a mark back.

use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use bytemuck::allocation::try_zeroed_slice_box;
use crossbeam_utils::CachePadded;

use crate::time::Instant;

/// Most retries that a scan can ask for: the source ports are cut into `1 + retries` parts.
pub const MAX_RETRIES: u8 = 15;

/// Numbers in a word of bits. A group of [`Grouping::Block`] is one word.
const PER_WORD: u64 = 64;

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

/// The ring and its marks. See the module.
pub struct Answered {
    /// One bit a number: it has an outcome.
    words: Box<[AtomicU64]>,
    /// Wrapped microseconds of the last send, one a group.
    times: Box<[AtomicU32]>,
    /// Capacity less one; the capacity is a power of two and at least 128.
    mask: u64,
    grouping: Grouping,
    /// `passes[a]`: numbers below it have had attempt `a`; `passes[0]` is the head.
    passes: CachePadded<[AtomicU64; MAX_RETRIES as usize + 1]>,
    /// Numbers below it are final.
    tail: CachePadded<AtomicU64>,
}

impl Answered {
    /// A ring for a window of at least `window` numbers, `None` when the system has no memory for it. Its memory is touched
    /// only as far as numbers come by.
    pub fn new(window: u64, grouping: Grouping) -> Option<Self> {
        let capacity = window.checked_add(2 * PER_WORD)?.checked_next_power_of_two()?;
        let groups = usize::try_from(capacity >> grouping.shift()).ok()?;
        Some(Self {
            words: try_zeroed_slice_box((capacity / PER_WORD) as usize).ok()?,
            times: try_zeroed_slice_box(groups).ok()?,
            mask: capacity - 1,
            grouping,
            passes: CachePadded::new([const { AtomicU64::new(0) }; MAX_RETRIES as usize + 1]),
            tail: CachePadded::new(AtomicU64::new(0)),
        })
    }

    /// How many numbers share one send time.
    pub fn grouping(&self) -> Grouping {
        self.grouping
    }

    /// The first number not sent yet.
    pub fn head(&self) -> u64 {
        self.pass(0)
    }

    /// The first number that has not had attempt `attempt`.
    pub fn pass(&self, attempt: u8) -> u64 {
        self.passes[usize::from(attempt)].load(Acquire)
    }

    /// The first number that is not final.
    pub fn tail(&self) -> u64 {
        self.tail.load(Acquire)
    }

    /// How many numbers the head may still advance before it waits for the tail.
    pub fn room(&self) -> u64 {
        // One whole word stays free, so that the word and the group under the head are nobody's.
        (self.mask + 1 - PER_WORD).saturating_sub(self.head() - self.tail())
    }

    /// How many attempts `sequence` has had.
    pub fn attempts(&self, sequence: u64) -> u8 {
        (0..=MAX_RETRIES).take_while(|&attempt| self.pass(attempt) > sequence).count() as u8
    }

    /// Sender: `sequence` is about to be sent; takes its time and, for a first attempt, its slot.
    #[inline]
    pub fn stamp(&self, sequence: u64, attempt: u8, now: Instant) {
        if attempt == 0 && sequence.is_multiple_of(PER_WORD) {
            self.word(sequence).store(0, Relaxed);
        }
        self.times[((sequence & self.mask) >> self.grouping.shift()) as usize]
            .store(now.as_wrapped_micros(), Release);
    }

    /// Sender: `sequence` left at `now` and not when it was [stamped](Self::stamp), as the link was busy.
    pub fn restamp(&self, sequence: u64, now: Instant) {
        self.times[((sequence & self.mask) >> self.grouping.shift()) as usize]
            .store(now.as_wrapped_micros(), Release);
    }

    /// Sender: everything below `sequence` has had attempt `attempt`. To be called before the frames leave, so that no answer
    /// can come to a number that counts as not sent.
    pub fn set_pass(&self, attempt: u8, sequence: u64) {
        self.passes[usize::from(attempt)].store(sequence, Release);
    }

    /// Sender: everything below `sequence` is final.
    pub fn set_tail(&self, sequence: u64) {
        self.tail.store(sequence, Release);
    }

    /// Whether `sequence` can be answered: sent, and not yet final.
    pub fn is_live(&self, sequence: u64) -> bool {
        sequence >= self.tail() && sequence < self.head()
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
        if sequence < self.tail() {
            // It became final in between, so the slot may be another's by now: what we set goes, what was set stays.
            if !before {
                self.unmark(sequence);
            }
            return None;
        }
        Some(before)
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

    /// The first number after the group of `sequence`: a pass enters a group only when the pass before has left it,
    /// as the group has one time.
    pub fn group_end(&self, sequence: u64) -> u64 {
        ((sequence >> self.grouping.shift()) + 1) << self.grouping.shift()
    }

    /// Octets of memory when every slot has been touched.
    pub fn footprint(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.times)
    }

    #[inline]
    fn word(&self, sequence: u64) -> &AtomicU64 {
        &self.words[((sequence & self.mask) / PER_WORD) as usize]
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
            .field("tail", &self.tail())
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn sent(ring: &Answered, upto: u64, now: Instant) {
        for sequence in ring.head()..upto {
            ring.stamp(sequence, 0, now);
        }
        ring.set_pass(0, upto);
    }

    #[test]
    fn only_the_first_mark_is_first() {
        let ring = Answered::new(100, Grouping::Single).unwrap();
        sent(&ring, 40, Instant::START);
        assert_eq!(ring.mark(33), Some(false));
        assert_eq!(ring.mark(33), Some(true));
        assert!(ring.is_answered(33) && !ring.is_answered(32) && !ring.is_answered(34));
        ring.unmark(33);
        assert_eq!(ring.mark(33), Some(false));
    }

    #[test]
    fn numbers_not_sent_and_final_ones_cannot_be_marked() {
        let ring = Answered::new(100, Grouping::Single).unwrap();
        sent(&ring, 10, Instant::START);
        assert_eq!(ring.mark(10), None);
        ring.set_tail(4);
        assert_eq!(ring.mark(3), None);
        assert_eq!(ring.mark(4), Some(false));
    }

    #[test]
    fn times_are_per_number_or_per_block() {
        let later = Instant::START + Duration::from_micros(700);
        let now = Instant::START + Duration::from_micros(1_000);
        for (grouping, first) in [(Grouping::Single, 1_000), (Grouping::Block, 300)] {
            let ring = Answered::new(200, grouping).unwrap();
            ring.stamp(0, 0, Instant::START);
            ring.stamp(63, 0, later);
            assert_eq!(ring.since_sent(0, now), first, "{grouping:?}");
            assert_eq!(ring.since_sent(63, now), 300);
        }
        assert_eq!(Answered::new(1, Grouping::Block).unwrap().group_end(63), 64);
        assert_eq!(Answered::new(1, Grouping::Single).unwrap().group_end(63), 64);
    }

    #[test]
    fn attempts_are_counted_by_the_passes() {
        let ring = Answered::new(100, Grouping::Single).unwrap();
        sent(&ring, 30, Instant::START);
        ring.set_pass(1, 20);
        ring.set_pass(2, 10);
        assert_eq!([5, 15, 25, 35].map(|s| ring.attempts(s)), [3, 2, 1, 0]);
    }

    #[test]
    fn ten_million_a_second_fit_in_25_megabytes() {
        let window = 10_000_000 * (3 + 8);
        assert!(Answered::new(window, Grouping::Block).unwrap().footprint() <= 25 << 20);
    }

    proptest! {
        /// Random sends, marks and tails against a map that never forgets.
        #[test]
        fn agrees_with_a_map(steps in proptest::collection::vec((0..3_u8, 0..200_u64), 1..400)) {
            let ring = Answered::new(128, Grouping::Single).unwrap();
            let mut model: BTreeMap<u64, bool> = BTreeMap::new();
            for (step, n) in steps {
                match step {
                    0 => {
                        let upto = ring.head() + n.min(ring.room());
                        model.extend((ring.head()..upto).map(|s| (s, false)));
                        sent(&ring, upto, Instant::START);
                    }
                    1 => {
                        let sequence = (ring.tail() + n).saturating_sub(40);
                        let live = sequence >= ring.tail() && sequence < ring.head();
                        let expected = live.then(|| model[&sequence]);
                        prop_assert_eq!(ring.mark(sequence), expected);
                        if live { model.insert(sequence, true); }
                    }
                    _ => ring.set_tail((ring.tail() + n).min(ring.head())),
                }
                for sequence in ring.tail()..ring.head() {
                    prop_assert_eq!(ring.is_answered(sequence), model[&sequence]);
                }
            }
        }
    }
}
