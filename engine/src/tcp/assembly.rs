//! Octets that come in any order, put together in place.
//!
//! ```text
//!  0            got        first..last     first..last          cap
//!  |-------------|..hole....|==block==|....|==block==|...........|
//!   contiguous               at most 8, in order, never touching
//! ```
//!
//! # What holds
//!
//! - The first to write an octet wins: what overlaps is left as it was, so a peer that says two things is heard once.
//! - `got` only grows, and all before it was written.
//! - A ninth block is refused as a whole; its sender says it again.

/// Most blocks beyond the contiguous octets: more holes than a burst of ten segments can have, twice.
pub(super) const MOST_BLOCKS: usize = 8;
/// Most octets: the numbers of all of them fit in 16 bits.
pub(super) const MOST: u32 = 1 << 16;

/// Octets that arrived beyond a hole, both ends included.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Block {
    first: u16,
    last: u16,
}

impl Block {
    fn first(self) -> u32 {
        self.first.into()
    }

    fn end(self) -> u32 {
        u32::from(self.last) + 1
    }
}

/// What came of some octets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Taken {
    /// More is contiguous than before.
    Contiguous,
    /// They are kept beyond a hole.
    Beyond,
    /// All of them were there.
    Known,
    /// There are too many holes.
    Refused,
}

/// Which octets have arrived. See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assembly {
    got: u32,
    blocks: [Block; MOST_BLOCKS],
    count: u8,
}

impl Assembly {
    /// How many octets are contiguous from the first on.
    #[inline]
    pub(super) fn got(&self) -> u32 {
        self.got
    }

    /// Whether something arrived beyond a hole.
    #[inline]
    pub(super) fn has_holes(&self) -> bool {
        self.count > 0
    }

    /// The end of what has arrived.
    pub(super) fn reach(&self) -> u32 {
        self.blocks().last().map_or(self.got, |block| block.end())
    }

    /// The block that holds the octet `at`.
    pub(super) fn block_of(&self, at: u32) -> Option<(u32, u32)> {
        let mut blocks = self.blocks().iter().map(|block| (block.first(), block.end()));
        blocks.find(|(first, end)| (*first..*end).contains(&at))
    }

    /// What [`take`](Self::take) would do with the octets `first..end`.
    #[inline]
    pub(super) fn judge(&self, first: u32, end: u32) -> Taken {
        if first <= self.got {
            return if end > self.got { Taken::Contiguous } else { Taken::Known };
        }
        let mut touching =
            self.blocks().iter().filter(|block| block.first() <= end && first <= block.end());
        match touching.next() {
            Some(block) if block.first() <= first && end <= block.end() => Taken::Known,
            Some(_) => Taken::Beyond,
            None if self.blocks().len() < MOST_BLOCKS => Taken::Beyond,
            None => Taken::Refused,
        }
    }

    /// Writes those of the octets from `first` on that are new into `buffer`, which holds those from `base` on; all of them must
    /// lie in it and before [`MOST`].
    #[inline]
    pub(super) fn take(
        &mut self,
        first: u32,
        octets: &[u8],
        buffer: &mut [u8],
        base: u32,
    ) -> Taken {
        let end = first + octets.len() as u32;
        let taken = self.judge(first, end);
        if matches!(taken, Taken::Known | Taken::Refused) {
            return taken;
        }
        let mut write = |from: u32, to: u32| {
            if from < to {
                let new = &octets[(from - first) as usize..(to - first) as usize];
                buffer[(from - base) as usize..(to - base) as usize].copy_from_slice(new);
            }
        };
        let mut at = first.max(self.got);
        for block in self.blocks() {
            if block.first() >= end {
                break;
            }
            write(at, block.first().min(end));
            at = at.max(block.end());
        }
        write(at, end);
        if taken == Taken::Contiguous {
            self.got = end;
            self.join();
        } else {
            self.add(first, end);
        }
        taken
    }

    fn blocks(&self) -> &[Block] {
        &self.blocks[..usize::from(self.count)]
    }

    /// Takes the blocks that are contiguous now off the list.
    fn join(&mut self) {
        let got = self.got;
        let joined = self.blocks().iter().take_while(|block| block.first() <= got).count();
        if let Some(last) = joined.checked_sub(1) {
            self.got = got.max(self.blocks[last].end());
            self.replace(0, joined, None);
        }
    }

    /// Adds `first..end` to the list, as one with the blocks that it touches.
    fn add(&mut self, first: u32, end: u32) {
        let from = self.blocks().iter().take_while(|block| block.end() < first).count();
        let touching =
            self.blocks()[from..].iter().take_while(|block| block.first() <= end).count();
        let (mut low, mut high) = (first, end);
        for block in &self.blocks[from..from + touching] {
            low = low.min(block.first());
            high = high.max(block.end());
        }
        let block = Block { first: low as u16, last: (high - 1) as u16 };
        self.replace(from, touching, Some(block));
    }

    /// Puts `block`, if any, in place of the `n` from `from` on.
    fn replace(&mut self, from: usize, n: usize, block: Option<Block>) {
        let count = usize::from(self.count);
        let new = usize::from(block.is_some());
        self.blocks.copy_within(from + n..count, from + new);
        if let Some(block) = block {
            self.blocks[from] = block;
        }
        self.count = (count - n + new) as u8;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEN: usize = 200;

    proptest! {
        /// An array of what was first written to each octet is the model.
        #[test]
        fn the_first_to_write_wins(pieces in prop::collection::vec((0..LEN as u32, 1..60_usize), 1..60)) {
            let (mut assembly, mut buffer) = (Assembly::default(), [0; LEN]);
            let mut model = [None; LEN];
            for (name, (first, len)) in (1_u8..).zip(pieces) {
                let octets = &vec![name; len.min(LEN - first as usize)];
                let range = first as usize..first as usize + octets.len();
                let judged = assembly.judge(first, range.end as u32);
                let before = assembly.got();
                let taken = assembly.take(first, octets, &mut buffer, 0);
                prop_assert_eq!(taken, judged);
                if taken != Taken::Refused {
                    model[range.clone()].iter_mut().for_each(|octet| { octet.get_or_insert(name); });
                }
                let got = model.iter().take_while(|octet| octet.is_some()).count();
                prop_assert_eq!(assembly.got() as usize, got);
                prop_assert_eq!(taken == Taken::Contiguous, assembly.got() > before);
                for (at, octet) in model.iter().enumerate() {
                    let block = assembly.block_of(at as u32);
                    prop_assert_eq!(at < got || block.is_some(), octet.is_some());
                    prop_assert!(octet.is_none_or(|octet| octet == buffer[at]));
                }
                let reach = model.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
                prop_assert_eq!(assembly.reach() as usize, reach);
                // In order, apart, and no more than said.
                let blocks = assembly.blocks();
                prop_assert!(blocks.is_sorted_by(|a, b| a.end() < b.first()));
                prop_assert!(blocks.first().is_none_or(|block| block.first() > assembly.got()));
            }
        }
    }

    #[test]
    fn a_ninth_block_is_refused_until_a_hole_is_filled() {
        let (mut assembly, mut buffer) = (Assembly::default(), [0; LEN]);
        for n in 1..=8 {
            assert_eq!(assembly.take(n * 10, b"x", &mut buffer, 0), Taken::Beyond);
        }
        assert_eq!(assembly.take(150, b"x", &mut buffer, 0), Taken::Refused);
        assert_eq!(assembly.take(81, b"y", &mut buffer, 0), Taken::Beyond); // touches the last
        assert_eq!(assembly.take(0, &[b'z'; 10], &mut buffer, 0), Taken::Contiguous);
        assert_eq!(assembly.got(), 11);
        assert_eq!(assembly.take(150, b"x", &mut buffer, 0), Taken::Beyond);
    }

    #[test]
    fn the_last_octet_of_all_has_a_number() {
        let mut buffer = vec![0; MOST as usize];
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(MOST - 1, b"x", &mut buffer, 0), Taken::Beyond);
        assert_eq!(assembly.reach(), MOST);
        let rest = vec![1; MOST as usize - 1];
        assert_eq!(assembly.take(0, &rest, &mut buffer, 0), Taken::Contiguous);
        assert_eq!((assembly.got(), assembly.has_holes()), (MOST, false));
    }

    #[test]
    fn a_buffer_may_begin_later() {
        let (mut assembly, mut buffer) = (Assembly::default(), [0; 4]);
        assembly.take(0, b"abcd", &mut buffer, 0);
        assert_eq!(assembly.take(2, b"XXef", &mut buffer, 4), Taken::Contiguous);
        assert_eq!(&buffer[..2], b"ef");
    }
}
