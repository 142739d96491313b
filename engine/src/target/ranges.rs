//! Sets of addresses as sorted, disjoint ranges, and the algebra on them.
//!
//! Every operation is one pass over both lists. No two ranges of a set touch, so a set has one form and equality is
//! equality of sets.

use std::{
    fmt::Debug,
    hash::Hash,
    ops::{Add, Shr, Sub},
};

use rayon::slice::ParallelSliceMut;

/// An address as a number: `u32` for IPv4, `u128` for IPv6. Private to this module tree, so nobody else adds a third.
pub(super) trait Address:
    Copy
    + Debug
    + Hash
    + Ord
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Shr<u32, Output = Self>
{
    /// The difference of two neighbours.
    const ONE: Self;
    /// The last address there is.
    const MAX: Self;

    /// The number without its type.
    fn widen(self) -> u128;
    /// The number `wide`, which the caller knows to fit.
    fn narrow(wide: u128) -> Self;
    /// How many bits the number needs: 0 for 0.
    fn bits(self) -> u32;
}

impl Address for u32 {
    const ONE: Self = 1;
    const MAX: Self = Self::MAX;

    fn widen(self) -> u128 {
        self.into()
    }

    fn narrow(wide: u128) -> Self {
        wide as Self
    }

    fn bits(self) -> u32 {
        Self::BITS - self.leading_zeros()
    }
}

impl Address for u128 {
    const ONE: Self = 1;
    const MAX: Self = Self::MAX;

    fn widen(self) -> u128 {
        self
    }

    fn narrow(wide: u128) -> Self {
        wide
    }

    fn bits(self) -> u32 {
        Self::BITS - self.leading_zeros()
    }
}

/// Longer lists are sorted on all cores: below, waking them costs more than it saves.
const SORT_ALONE_UPTO: usize = 1 << 16;

/// A set of addresses: inclusive ranges, ascending, no two of which overlap or touch.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ranges<A>(Vec<(A, A)>);

impl<A: Address> Ranges<A> {
    /// The union of `ranges`, each first to last inclusive, in any order.
    pub(super) fn new(mut ranges: Vec<(A, A)>) -> Self {
        debug_assert!(ranges.iter().all(|(first, last)| first <= last));
        if ranges.len() > SORT_ALONE_UPTO {
            ranges.par_sort_unstable();
        } else {
            ranges.sort_unstable();
        }
        ranges.dedup_by(|next, kept| {
            let touches = kept.1 == A::MAX || next.0 <= kept.1 + A::ONE;
            if touches {
                kept.1 = kept.1.max(next.1);
            }
            touches
        });
        ranges.shrink_to_fit();
        Self(ranges)
    }

    /// How many addresses there are; `None` for all 2^128 of IPv6, the one count that no integer holds.
    pub(super) fn count(&self) -> Option<u128> {
        // Ranges are disjoint, so only the set of all addresses can overflow: in its one range or nowhere.
        self.0.iter().try_fold(0, |sum: u128, (first, last)| {
            sum.checked_add((*last - *first).widen())?.checked_add(1)
        })
    }

    /// Whether there is no address in it.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses of both.
    pub(super) fn union(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        Self::new(self.0)
    }

    /// The addresses that are not in `other`.
    pub(super) fn subtract(self, other: &Self) -> Self {
        if other.is_empty() {
            return self;
        }
        let mut left = Vec::with_capacity(self.0.len());
        let mut holes = other.0.iter().copied().peekable();
        for (mut first, last) in self.0 {
            while holes.next_if(|hole| hole.1 < first).is_some() {}
            loop {
                let Some((hole_first, hole_last)) = holes.peek().copied().filter(|h| h.0 <= last)
                else {
                    left.push((first, last));
                    break;
                };
                if first < hole_first {
                    left.push((first, hole_first - A::ONE));
                }
                // The hole may reach into the next range, so it stays at the head.
                if hole_last >= last {
                    break;
                }
                first = hole_last + A::ONE;
                holes.next();
            }
        }
        left.shrink_to_fit();
        Self(left)
    }

    /// The addresses that are in `other` too.
    pub(super) fn intersect(self, other: &Self) -> Self {
        let mut both = Vec::with_capacity(self.0.len());
        let mut theirs = other.0.as_slice();
        for (first, last) in self.0 {
            while let [(their_first, their_last), rest @ ..] = theirs
                && *their_first <= last
            {
                if first <= *their_last {
                    both.push((first.max(*their_first), last.min(*their_last)));
                }
                // It may reach into our next range, so it stays at the head.
                if *their_last >= last {
                    break;
                }
                theirs = rest;
            }
        }
        both.shrink_to_fit();
        Self(both)
    }

    /// A test of membership for addresses that are asked in ascending order: one pass over both lists.
    pub(super) fn sweep(&self) -> impl FnMut(A) -> bool {
        let mut rest = self.0.as_slice();
        move |address| {
            while let [(_, last), tail @ ..] = rest
                && *last < address
            {
                rest = tail;
            }
            rest.first().is_some_and(|(first, _)| *first <= address)
        }
    }

    /// The ranges, first to last inclusive, ascending.
    pub(super) fn as_slice(&self) -> &[(A, A)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const TOP: u32 = u32::MAX;

    fn set(ranges: &[(u32, u32)]) -> Ranges<u32> {
        Ranges::new(ranges.to_vec())
    }

    #[track_caller]
    fn check(got: Ranges<u32>, expected: &[(u32, u32)]) {
        assert_eq!(got.as_slice(), expected);
    }

    #[test]
    fn what_touches_or_overlaps_becomes_one() {
        check(set(&[(5, 9), (1, 4)]), &[(1, 9)]);
        check(set(&[(1, 9), (2, 3)]), &[(1, 9)]);
        check(set(&[(1, 4), (6, 9)]), &[(1, 4), (6, 9)]);
        check(set(&[(TOP, TOP), (0, 0), (TOP - 1, TOP)]), &[(0, 0), (TOP - 1, TOP)]);
        check(set(&[(0, TOP), (7, 7)]), &[(0, TOP)]);
    }

    #[test]
    fn subtraction_cuts_at_both_ends_of_the_number_line() {
        check(set(&[(0, TOP)]).subtract(&set(&[(0, 0), (TOP, TOP)])), &[(1, TOP - 1)]);
        check(set(&[(0, TOP)]).subtract(&set(&[(0, TOP)])), &[]);
        check(set(&[(1, 9)]).subtract(&set(&[(4, 5)])), &[(1, 3), (6, 9)]);
        check(set(&[(1, 3), (5, 9)]).subtract(&set(&[(2, 6)])), &[(1, 1), (7, 9)]);
        check(set(&[(1, 3)]).subtract(&set(&[])), &[(1, 3)]);
    }

    #[test]
    fn intersection_keeps_what_both_have() {
        check(set(&[(0, TOP)]).intersect(&set(&[(3, 4), (9, TOP)])), &[(3, 4), (9, TOP)]);
        check(set(&[(1, 3), (5, 9)]).intersect(&set(&[(2, 6)])), &[(2, 3), (5, 6)]);
        check(set(&[(1, 3)]).intersect(&set(&[(4, 9)])), &[]);
    }

    #[test]
    fn the_count_of_everything_is_told_from_the_count_of_nothing() {
        assert_eq!(set(&[(0, TOP)]).count(), Some(1 << 32));
        assert_eq!(Ranges::<u128>::new(vec![(0, u128::MAX)]).count(), None);
        assert_eq!(Ranges::<u128>::new(vec![(1, u128::MAX)]).count(), Some(u128::MAX));
        assert_eq!(Ranges::<u128>::new(vec![]).count(), Some(0));
    }

    fn members(ranges: &Ranges<u32>) -> BTreeSet<u32> {
        ranges.as_slice().iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    fn few() -> impl Strategy<Value = Ranges<u32>> {
        let range = (0..60_u32, 0..9_u32).prop_map(|(first, more)| (first, first + more));
        prop::collection::vec(range, 0..12).prop_map(Ranges::new)
    }

    proptest! {
        #[test]
        fn the_algebra_agrees_with_sets_of_numbers(a in few(), b in few()) {
            let (left, right) = (members(&a), members(&b));
            for (got, expected) in [
                (a.clone().union(b.clone()), &left | &right),
                (a.clone().subtract(&b), &left - &right),
                (a.clone().intersect(&b), &left & &right),
            ] {
                prop_assert_eq!(members(&got), expected.clone());
                prop_assert_eq!(got.count(), Some(expected.len() as u128));
                let is_apart = |pair: &[(u32, u32)]| pair[0].1 + 1 < pair[1].0;
                prop_assert!(got.as_slice().windows(2).all(is_apart), "{:?}", got);
                let mut sweep = got.sweep();
                for address in 0..80 {
                    prop_assert_eq!(sweep(address), expected.contains(&address));
                }
            }
        }
    }
}
