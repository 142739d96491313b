//! The order in which one shard of a scan visits its targets, in both directions.
//!
//! ```text
//! sequence s  <->  position (k - 1) + n * s  <->  index  <->  target
//!        shard k of n              permutation(seed)    Targets
//! ```

use std::sync::Arc;

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
    len: u64,
}

impl Walk {
    /// The walk of `shard` over `targets` in the order of `seed`. The order depends on the compiled targets too: it is
    /// the same for all shards only where all compile the same description.
    pub fn new(targets: Arc<Targets>, seed: u64, shard: Shard) -> Self {
        let permutation = Permutation::new(targets.len(), seed);
        let len = u64::try_from(shard.len(targets.len())).unwrap_or(u64::MAX);
        Self { targets, permutation, shard, len }
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
        let position = self.shard.position(sequence.into());
        self.targets.nth(self.permutation.forward(position))
    }

    /// The sequence number of `target`; `None` when it is not a target, or another shard's.
    #[inline]
    pub fn sequence(&self, target: Target) -> Option<u64> {
        let position = self.permutation.inverse(self.targets.index_of(target)?);
        let sequence = u64::try_from(self.shard.step(position)?).ok()?;
        (sequence < self.len).then_some(sequence)
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
