//! The targets of one sender: its blocks, one after the other.
//!
//! ```text
//! ours        0 ........ 1023 | 1024 ..... 2047 | 2048 ...
//! sequence    0 ........ 1023 | 5120 ..... 6143 | 7168 ...      other senders have what lies between
//! ```

use std::collections::VecDeque;

use crate::answered::Answered;

/// Maps a sender's own count of targets to sequence numbers, as far as they are not final.
#[derive(Debug)]
pub(super) struct Lane {
    /// Which of the senders this is.
    pub(super) number: u8,
    /// How many targets were claimed so far.
    pub(super) end: u64,
    /// Where the blocks start that are not final, oldest first.
    starts: VecDeque<u64>,
    /// Blocks that are final and forgotten.
    forgotten: u64,
    shift: u32,
}

impl Lane {
    /// No targets yet; at most `blocks` blocks of `block` targets wait at once.
    pub(super) fn new(number: u8, block: u64, blocks: usize) -> Self {
        let starts = VecDeque::with_capacity(blocks + 1);
        Self { number, end: 0, starts, forgotten: 0, shift: block.ilog2() }
    }

    /// Claims one more block; false when there is none to be had.
    pub(super) fn claim(&mut self, ring: &Answered) -> bool {
        let Some(block) = ring.claim(self.number) else {
            return false;
        };
        self.starts.push_back(block.start);
        self.end += block.end - block.start;
        true
    }

    /// The sequence number of our target `at`, which was claimed and is not forgotten.
    #[inline]
    pub(super) fn sequence(&self, at: u64) -> u64 {
        let within = at & ((1 << self.shift) - 1);
        self.starts[((at >> self.shift) - self.forgotten) as usize] + within
    }

    /// As [`Self::sequence`]; `None` for a target that is forgotten.
    pub(super) fn sequence_kept(&self, at: u64) -> Option<u64> {
        (at >> self.shift >= self.forgotten).then(|| self.sequence(at))
    }

    /// Forgets blocks that lie wholly below `tail`.
    pub(super) fn forget(&mut self, tail: u64) {
        while self.forgotten < tail >> self.shift {
            self.starts.pop_front();
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answered::{Grouping, Plan};

    #[test]
    fn our_targets_are_those_of_our_blocks() {
        let plan =
            Plan { total: 300, window: 1_000, grouping: Grouping::Single, lanes: 2, block: 64 };
        let ring = Answered::new(plan).unwrap();
        let mut lanes = [0, 1].map(|number| Lane::new(number, 64, ring.blocks()));
        for lane in [0, 1, 1, 0, 0] {
            assert!(lanes[lane].claim(&ring));
        }
        assert!(!lanes[0].claim(&ring));
        let [first, second] = &mut lanes;
        assert_eq!((first.end, second.end), (64 + 64 + 44, 128));
        assert_eq!([0, 63, 64, 128, 171].map(|at| first.sequence(at)), [0, 63, 192, 256, 299]);
        assert_eq!([0, 64, 127].map(|at| second.sequence(at)), [64, 128, 191]);
        first.forget(100);
        assert_eq!((first.sequence_kept(63), first.sequence_kept(64)), (None, Some(192)));
        assert_eq!(first.sequence(130), 258);
    }
}
