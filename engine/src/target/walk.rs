//! The order in which one shard of a scan visits its targets, in both directions.
//!
//! ```text
//! sequence s  <->  step start + s  <->  position (k - 1) + n * step  <->  index  <->  target
//!           resumed                        shard k of n        permutation(seed)  Targets
//! ```

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use siphasher::sip::SipHasher24;

use super::{Target, Targets, permutation::Permutation, shard::Shard};

/// The walk of one shard: the sequence numbers `0..len` and their targets.
///
/// The walks of all shards of one seed visit each target exactly once between them. Neither direction allocates, and both
/// take the same time anywhere in the walk, so a scan can begin or go on at any number.
#[derive(Clone, Debug)]
pub struct Walk {
    targets: Arc<Targets>,
    permutation: Permutation,
    shard: Shard,
    start: u64,
    len: u64,
}

impl Walk {
    /// The walk of `shard` over `targets` in the order of `seed`. The order depends on the compiled targets too: it is
    /// the same for all shards only where all compile the same description.
    pub fn new(targets: Arc<Targets>, seed: u64, shard: Shard) -> Self {
        let permutation = Permutation::new(targets.len(), seed);
        let len = u64::try_from(shard.len(targets.len())).unwrap_or(u64::MAX);
        Self { targets, permutation, shard, start: 0, len }
    }

    /// What is left of this walk from number `start` on, which becomes number 0: a scan that goes on where it was
    /// interrupted. Nothing, when `start` lies behind the end.
    #[must_use]
    pub fn starting_at(mut self, start: u64) -> Self {
        let start = start.min(self.len);
        (self.start, self.len) = (self.start + start, self.len - start);
        self
    }

    /// How many targets before its first it leaves out.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// How many targets this shard has.
    ///
    /// It stops at 2^64 - 1, which takes 58,000 years at 10 million a second: a walk of more targets ends there, and the
    /// targets beyond have no sequence number.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none: there may be fewer targets than shards.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The target at `sequence`.
    ///
    /// # Panics
    ///
    /// When `sequence >= self.len()`.
    #[inline]
    pub fn target(&self, sequence: u64) -> Target {
        assert!(sequence < self.len, "sequence number {sequence} of a walk of {}", self.len);
        let position = self.shard.position((self.start + sequence).into());
        self.targets.nth(self.permutation.forward(position))
    }

    /// The sequence number of `target`; `None` when it is not a target, or another shard's.
    #[inline]
    pub fn sequence(&self, target: Target) -> Option<u64> {
        let position = self.permutation.inverse(self.targets.index_of(target)?);
        let sequence = u64::try_from(self.shard.step(position)?).ok()?.checked_sub(self.start)?;
        (sequence < self.len).then_some(sequence)
    }

    /// A number that tells walks apart: those with the same number visit the same targets in the same order, wherever they
    /// start. Two walks that differ share it by a chance of 1 in 2^64.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = SipHasher24::new();
        self.targets.digest(&mut hasher);
        self.permutation.keys().hash(&mut hasher);
        (self.shard.k(), self.shard.n()).hash(&mut hasher);
        hasher.finish()
    }

    /// The targets walked over.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Which part of them is visited.
    pub fn shard(&self) -> Shard {
        self.shard
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn targets(specs: &str, ports: &str) -> Arc<Targets> {
        Arc::new(Targets::builder().spec(specs).ports(ports).allow_reserved(true).build().unwrap())
    }

    #[test]
    fn more_shards_than_targets_leave_some_without_any() {
        let targets = targets("198.18.0.1-2", "80");
        let lens =
            [1, 2, 3].map(|k| Walk::new(Arc::clone(&targets), 7, Shard::new(k, 3).unwrap()).len());
        assert_eq!(lens, [1, 1, 0]);
    }

    #[test]
    fn what_is_left_of_a_walk_is_its_end() {
        let targets = targets("198.18.0.0/24", "80,443");
        let whole = Walk::new(Arc::clone(&targets), 7, Shard::new(2, 3).unwrap());
        for start in [0, 1, 100, whole.len()] {
            let rest = whole.clone().starting_at(start);
            assert_eq!((rest.start(), rest.len()), (start, whole.len() - start));
            assert!((0..rest.len()).all(|s| rest.target(s) == whole.target(start + s)));
            for sequence in 0..whole.len() {
                let expected = sequence.checked_sub(start);
                assert_eq!(rest.sequence(whole.target(sequence)), expected);
            }
        }
        assert!(whole.clone().starting_at(u64::MAX).is_empty());
        let twice = whole.clone().starting_at(40).starting_at(2);
        assert_eq!(twice.target(0), whole.target(42));
    }

    #[test]
    fn a_fingerprint_tells_walks_apart_and_does_not_depend_on_the_start() {
        let walk = |specs, ports, seed, k, n| {
            Walk::new(targets(specs, ports), seed, Shard::new(k, n).unwrap())
        };
        let base = walk("198.18.0.0/24,198.18.7.7:80", "80,443", 7, 1, 2);
        let same = walk("198.18.0.0/25,198.18.0.128-198.18.0.255,198.18.7.7:80", "443,80", 7, 1, 2);
        assert_eq!(base.fingerprint(), same.fingerprint());
        assert_eq!(base.fingerprint(), base.clone().starting_at(9).fingerprint());
        let others = [
            walk("198.18.0.0/24,198.18.7.7:81", "80,443", 7, 1, 2),
            walk("198.18.0.0/24,198.18.7.8:80", "80,443", 7, 1, 2),
            walk("198.18.0.0/24,198.18.7.7", "80,443", 7, 1, 2),
            walk("198.18.0.0/24,198.18.7.7:80", "80,444", 7, 1, 2),
            walk("198.18.0.0/24,198.18.7.7:80", "80,443", 8, 1, 2),
            walk("198.18.0.0/24,198.18.7.7:80", "80,443", 7, 2, 2),
            walk("198.18.0.0/24,198.18.7.7:80", "80,443", 7, 1, 3),
            walk("198.18.0.0/24,[2001:db8::7]:80", "80,443", 7, 1, 2),
        ];
        let mut all: Vec<_> = others.iter().map(Walk::fingerprint).collect();
        all.push(base.fingerprint());
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_walk_ends_where_its_numbers_do() {
        let targets = targets("2001:db8::/32", "80,443");
        let walk = Walk::new(Arc::clone(&targets), 7, Shard::default());
        assert_eq!(walk.len(), u64::MAX);
        let last = walk.target(u64::MAX - 1);
        assert_eq!(walk.sequence(last), Some(u64::MAX - 1));
        // The target at position 2^64 is one of the scan and has no number.
        let beyond = targets.nth(Permutation::new(targets.len(), 7).forward(1 << 64));
        assert_eq!(walk.sequence(beyond), None);
        // Position 2^64 - 1 is the first that the saturated length leaves out.
        let first_beyond = targets.nth(Permutation::new(targets.len(), 7).forward((1 << 64) - 1));
        assert_eq!(walk.sequence(first_beyond), None);
    }

    #[test]
    #[should_panic(expected = "sequence number 2 of a walk of 2")]
    fn there_is_no_target_after_the_last() {
        Walk::new(targets("198.18.0.1-2", "80"), 7, Shard::default()).target(2);
    }

    #[test]
    fn strangers_have_no_number() {
        let walk = Walk::new(targets("198.18.0.1-2", "80"), 7, Shard::default());
        for (addr, port) in [([198, 18, 0, 3], 80), ([198, 18, 0, 1], 81), ([198, 18, 0, 0], 80)] {
            assert_eq!(walk.sequence(Target { addr: addr.into(), port }), None);
        }
    }

    #[test]
    fn neither_direction_allocates() {
        let targets =
            targets("198.18.0.0/16 198.19.0.7:22 2001:db8::/64 [2001:db8:1::1]:53", "80,443");
        let walk = Walk::new(targets, 7, Shard::new(2, 3).unwrap());
        let step = walk.len() / 1_000;
        let found = |walk: &Walk| {
            (0..1_000).filter(|at| walk.sequence(walk.target(at * step)) == Some(at * step)).count()
        };
        let mut count = 0;
        let allocations = allocation_counter::measure(|| count = found(&walk));
        assert_eq!((count, allocations.count_total), (1_000, 0));
    }

    proptest! {
        #[test]
        fn the_shards_of_a_seed_partition_the_targets(
            hosts in 1..300_u32,
            pairs in prop::collection::btree_set((0..400_u32, 1..4_u16), 0..40),
            n in 1..9_u32,
            seed: u64,
        ) {
            let host = |at: u32| std::net::Ipv4Addr::from(0xc612_0000 + at);
            let mut specs = format!("{}-{}", host(0), host(hosts - 1));
            let mut expected: BTreeSet<Target> =
                (0..hosts).flat_map(|at| [1, 2].map(|port| Target { addr: host(at).into(), port })).collect();
            for (at, port) in pairs {
                specs += &format!(" {}:{port}", host(at));
                expected.insert(Target { addr: host(at).into(), port });
            }
            let targets = targets(&specs, "1,2");
            let mut visited = BTreeSet::new();
            let walks: Vec<Walk> =
                (1..=n).map(|k| Walk::new(Arc::clone(&targets), seed, Shard::new(k, n).unwrap())).collect();
            for walk in &walks {
                for sequence in 0..walk.len() {
                    let target = walk.target(sequence);
                    prop_assert!(visited.insert(target), "{:?} again", target);
                    for other in &walks {
                        let expected = (other.shard() == walk.shard()).then_some(sequence);
                        prop_assert_eq!(other.sequence(target), expected);
                    }
                }
            }
            prop_assert_eq!(visited, expected);
        }
    }
}
