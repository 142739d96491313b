//! One part of a scan: every `n`-th position of the permuted order.
//!
//! The parts of one order are the residue classes of its positions, so they are disjoint and together the whole, for any
//! number of targets and parts. Workers share a scan by agreeing on a seed and two small numbers.

use std::{fmt, str::FromStr};

/// Part `k` of `n`, with `k` from 1 to `n`. The default is part 1 of 1, the whole.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Shard {
    k: u32,
    n: u32,
}

impl Shard {
    /// Part `k` of `n`.
    ///
    /// # Errors
    ///
    /// [`ShardError`] unless `1 <= k <= n`.
    pub fn new(k: u32, n: u32) -> Result<Self, ShardError> {
        if (1..=n).contains(&k) { Ok(Self { k, n }) } else { Err(ShardError(format!("{k}/{n}"))) }
    }

    /// Which part, from 1.
    pub const fn k(self) -> u32 {
        self.k
    }

    /// Of how many parts, at least 1.
    pub const fn n(self) -> u32 {
        self.n
    }

    /// How many of `total` positions are in this part. The parts differ by one at most.
    pub const fn len(self, total: u128) -> u128 {
        let before = (self.k - 1) as u128;
        if total <= before { 0 } else { (total - before).div_ceil(self.n as u128) }
    }

    /// The position at step `j` of this part, for `j < self.len(total)`: `(k - 1) + n * j`.
    #[inline]
    pub const fn position(self, j: u128) -> u128 {
        (self.k - 1) as u128 + self.n as u128 * j
    }

    /// The step at which this part comes to `position`; `None` when another part does.
    #[inline]
    pub const fn step(self, position: u128) -> Option<u128> {
        if self.n == 1 {
            return Some(position);
        }
        let Some(past) = position.checked_sub((self.k - 1) as u128) else { return None };
        let (step, rest) = if past >> 64 == 0 {
            let (past, n) = (past as u64, self.n as u64);
            ((past / n) as u128, past % n)
        } else {
            (past / self.n as u128, (past % self.n as u128) as u64)
        };
        if rest == 0 { Some(step) } else { None }
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { k: 1, n: 1 }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.k, self.n)
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    /// `k/n`, as in `--shard 2/5`.
    fn from_str(text: &str) -> Result<Self, ShardError> {
        let wrong = || ShardError(text.to_owned());
        let number = |digits: &str| {
            // `parse` alone would take a sign.
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let (k, n) = text.split_once('/').ok_or_else(wrong)?;
        Self::new(number(k).ok_or_else(wrong)?, number(n).ok_or_else(wrong)?)
    }
}

/// A part that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no shard: give k/n with k from 1 to n, as in 2/5")]
pub struct ShardError(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(u32, u32)>) {
        let got: Result<Shard, ShardError> = text.parse();
        assert_eq!(got.as_ref().ok().map(|shard| (shard.k(), shard.n())), expected, "{got:?}");
        if let Ok(shard) = got {
            assert_eq!(shard.to_string(), text);
        }
    }

    #[test]
    fn k_of_n_is_read_and_nothing_else() {
        check("1/1", Some((1, 1)));
        check("5/5", Some((5, 5)));
        check("4294967295/4294967295", Some((u32::MAX, u32::MAX)));
        for text in [
            "",
            "/",
            "1",
            "0/5",
            "6/5",
            "0/0",
            "1/0",
            "+1/5",
            "1/+5",
            "-1/5",
            "1/2/3",
            " 1/2",
            "1/4294967296",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn the_largest_domain_does_not_overflow() {
        for shard in
            [Shard::default(), Shard::new(7, 7).unwrap(), Shard::new(u32::MAX, u32::MAX).unwrap()]
        {
            let last = shard.len(u128::MAX) - 1;
            assert_eq!(shard.step(shard.position(last)), Some(last), "{shard}");
        }
    }

    proptest! {
        #[test]
        fn every_position_is_in_exactly_one_shard(total in 0..3_000_u128, n in 1..70_u32) {
            let shards: Vec<Shard> = (1..=n).map(|k| Shard::new(k, n).unwrap()).collect();
            prop_assert_eq!(shards.iter().map(|shard| shard.len(total)).sum::<u128>(), total);
            for position in 0..total {
                let owners: Vec<_> = shards.iter().filter_map(|shard| Some((shard, shard.step(position)?))).collect();
                prop_assert_eq!(owners.len(), 1);
                let (shard, step) = owners[0];
                prop_assert!(step < shard.len(total));
                prop_assert_eq!(shard.position(step), position);
            }
        }

        #[test]
        fn steps_and_positions_undo_each_other(position: u128, narrow: u64, n in 1..=u32::MAX) {
            for position in [position, narrow.into()] {
                let k = (position % u128::from(n)) as u32 + 1;
                let shard = Shard::new(k, n).unwrap();
                let step = shard.step(position);
                prop_assert_eq!(step.map(|step| shard.position(step)), Some(position));
                if n > 1 {
                    prop_assert_eq!(Shard::new(k % n + 1, n).unwrap().step(position), None);
                }
            }
        }
    }
}
