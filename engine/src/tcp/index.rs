//! From a connection to the number of its flow: a hash table with open addressing and linear probing, at most half full.
//!
//! An entry is half a hash and a number, eight to a line of the cache, so the flows themselves are looked at only where the
//! hashes agree. To remove one, later entries move up (Knuth, TAOCP 3, section 6.4, algorithm R): no tombstones, so a table that
//! saw a billion flows is as fast as a new one.

use bytemuck::allocation::try_zeroed_slice_box;

/// See the module. The zero entry is empty.
#[derive(Debug)]
pub(super) struct Index {
    entries: Box<[u64]>,
}

impl Index {
    /// A table for up to `capacity` numbers; `None` when there is not so much memory.
    pub(super) fn new(capacity: usize) -> Option<Self> {
        Some(Self { entries: try_zeroed_slice_box(Self::entries(capacity)).ok()? })
    }

    /// Octets that [`new`](Self::new) asks the system for.
    pub(super) fn memory(capacity: usize) -> usize {
        Self::entries(capacity) * size_of::<u64>()
    }

    fn entries(capacity: usize) -> usize {
        capacity.max(1).saturating_mul(2).next_power_of_two()
    }

    /// The number under `hash` that `is_it` says yes to.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let entry = self.entries[at];
            if entry == 0 {
                return None;
            }
            if hash_of(entry) == hash && is_it(number_of(entry)) {
                return Some(number_of(entry));
            }
            at = self.following(at);
        }
    }

    /// Adds `number` under `hash`. There must be room: see [`new`](Self::new).
    pub(super) fn insert(&mut self, hash: u32, number: u32) {
        let mut at = self.home(hash);
        while self.entries[at] != 0 {
            at = self.following(at);
        }
        self.entries[at] = u64::from(hash) << 32 | (u64::from(number) + 1);
    }

    /// Removes `number`, which is there under `hash`.
    pub(super) fn remove(&mut self, hash: u32, number: u32) {
        let mut gap = self.home(hash);
        while number_of(self.entries[gap]) != number {
            if self.entries[gap] == 0 {
                return;
            }
            gap = self.following(gap);
        }
        let mut at = gap;
        loop {
            at = self.following(at);
            let entry = self.entries[at];
            if entry == 0 {
                break;
            }
            // It may move up unless that is before its home.
            let mask = self.entries.len() - 1;
            let from_home = at.wrapping_sub(self.home(hash_of(entry))) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.entries[gap] = entry;
                gap = at;
            }
        }
        self.entries[gap] = 0;
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.entries.len() - 1)
    }

    fn following(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }
}

fn hash_of(entry: u64) -> u32 {
    (entry >> 32) as u32
}

fn number_of(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A map from number to hash is the model; few hashes, so that most collide and wrap around the end.
        #[test]
        fn what_is_in_is_found_and_nothing_else(
            steps in prop::collection::vec((0_u32..16, prop_oneof![0_u32..4, 28_u32..32, any::<u32>()]), 1..200),
        ) {
            let mut index = Index::new(16).unwrap();
            let mut model = HashMap::new();
            for (number, hash) in steps {
                match model.remove(&number) {
                    Some(hash) => index.remove(hash, number),
                    None => {
                        index.insert(hash, number);
                        model.insert(number, hash);
                    }
                }
                for number in 0..16 {
                    let hash = model.get(&number).copied();
                    let found = index.find(hash.unwrap_or(u32::MAX), |other| other == number);
                    prop_assert_eq!(found, hash.map(|_| number));
                }
            }
            let filled = index.entries.iter().filter(|entry| **entry != 0).count();
            prop_assert_eq!(filled, model.len());
        }
    }

    #[test]
    fn it_is_at_most_half_full() {
        assert_eq!(Index::memory(1_000_000), 8 << 21);
        assert_eq!(Index::memory(0), 16);
    }
}
