//! The addresses of a set as the numbers `0..count`, looked up in either direction.
//!
//! ```text
//!  ranges     first=10.0.0.0       first=10.0.9.0    first=11.0.0.0     a span is its first address and the rank of it,
//!             rank=0               rank=256          rank=512           so 8 octets for IPv4
//!  by_rank    | 0 | 0 | 1 | 1 | 2 | ...   bucket of a rank    -> spans that begin there
//!  by_first   | 0 | 2 | 2 | 3 | 3 | ...   bucket of an address -> spans that begin there
//! ```
//!
//! A bucket holds two spans on average, so a lookup reads one bucket and a span or two. Where spans crowd into few buckets
//! it is a binary search among those: logarithmic at worst.

use super::ranges::{Address, Ranges};

/// A set of addresses with their ranks.
pub(super) struct Numbering<A> {
    spans: Vec<Span<A>>,
    by_rank: Buckets<A>,
    by_first: Buckets<A>,
    /// The last address of the last span.
    last: A,
    count: u128,
}

/// A range without its end, which follows from the rank of the next.
#[derive(Clone, Copy)]
struct Span<A> {
    first: A,
    rank: A,
}

impl<A: Address> Numbering<A> {
    /// Numbers the addresses of `ranges` in ascending order; `None` for all 2^128 of IPv6, which no integer counts.
    pub(super) fn new(ranges: &Ranges<A>) -> Option<Self> {
        let count = ranges.count()?;
        let mut rank = 0;
        let spans: Vec<Span<A>> = ranges
            .as_slice()
            .iter()
            .map(|(first, last)| {
                // The ranks of first addresses are at most those addresses, so they fit where they do.
                let span = Span { first: *first, rank: A::narrow(rank) };
                rank += (*last - *first).widen() + 1;
                span
            })
            .collect();
        let by_rank = Buckets::new(spans.len(), |at| spans[at].rank);
        let by_first = Buckets::new(spans.len(), |at| spans[at].first);
        let last = ranges.as_slice().last().map_or(A::MAX, |(_, last)| *last);
        Some(Self { spans, by_rank, by_first, last, count })
    }

    /// How many addresses there are.
    pub(super) fn count(&self) -> u128 {
        self.count
    }

    /// The address of a rank below [`count`](Self::count).
    #[inline]
    pub(super) fn nth(&self, rank: A) -> A {
        let at = self
            .by_rank
            .last(rank, |at| self.spans[at].rank <= rank)
            .expect("rank 0 begins a span");
        let span = self.spans[at];
        span.first + (rank - span.rank)
    }

    /// The rank of an address, if it is in the set.
    #[inline]
    pub(super) fn rank_of(&self, address: A) -> Option<A> {
        let at = self.by_first.last(address, |at| self.spans[at].first <= address)?;
        let span = self.spans[at];
        let rank = span.rank + (address - span.first);
        let is_inside = match self.spans.get(at + 1) {
            Some(next) => rank < next.rank,
            None => address <= self.last,
        };
        is_inside.then_some(rank)
    }

    /// The ranges again, first to last inclusive, ascending.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (A, A)> {
        self.spans.iter().enumerate().map(|(at, span)| {
            let last = match self.spans.get(at + 1) {
                Some(next) => span.first + (next.rank - span.rank - A::ONE),
                None => self.last,
            };
            (span.first, last)
        })
    }
}

/// Most entries that a table can tell apart.
pub(super) const MAX_ENTRIES: usize = u32::MAX as usize;

/// Where to look in a list of ascending keys.
pub(super) struct Buckets<A> {
    /// The first key.
    origin: A,
    /// A key `k` is in bucket `(k - origin) >> shift`.
    shift: u32,
    /// `starts[b]`: how many keys are in buckets below `b`. One more than there are buckets.
    starts: Box<[u32]>,
}

impl<A: Address> Buckets<A> {
    /// A table over `len <= MAX_ENTRIES` keys, ascending; equal ones may repeat.
    pub(super) fn new(len: usize, key: impl Fn(usize) -> A) -> Self {
        assert!(len <= MAX_ENTRIES, "the builder refuses longer lists");
        let Some(last) = len.checked_sub(1) else {
            return Self { origin: A::MAX, shift: 0, starts: Box::default() };
        };
        let (origin, width) = (key(0), key(last) - key(0));
        let table_bits = (len.next_power_of_two() / 2).max(1).ilog2();
        // A shift by all bits is no shift at all to the processor: keep one bit of the bucket number then.
        let shift = width.bits().saturating_sub(table_bits).min(size_of::<A>() as u32 * 8 - 1);
        let buckets = (width >> shift).widen() as usize + 1;
        let mut starts = Vec::with_capacity(buckets + 1);
        for at in 0..len {
            let bucket = ((key(at) - origin) >> shift).widen() as usize;
            while starts.len() <= bucket {
                starts.push(at as u32);
            }
        }
        starts.push(len as u32);
        Self { origin, shift, starts: starts.into() }
    }

    /// The last place for which `is_upto` holds. It must hold wherever the key is below `wanted` and nowhere that it is
    /// above, and must not hold again after it has not.
    #[inline]
    pub(super) fn last(&self, wanted: A, is_upto: impl Fn(usize) -> bool) -> Option<usize> {
        if wanted < self.origin {
            return None;
        }
        let bucket = ((wanted - self.origin) >> self.shift).widen();
        let buckets = self.starts.len().checked_sub(1)?;
        // Beyond the last bucket, the last key is the answer, and that bucket ends with it.
        let bucket = if bucket < buckets as u128 { bucket as usize } else { buckets - 1 };
        let (mut low, mut high) = (self.starts[bucket] as usize, self.starts[bucket + 1] as usize);
        while low < high {
            let middle = low.midpoint(high);
            if is_upto(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each address of `ranges` has its place in ascending order as its rank, and the addresses around have none.
    #[track_caller]
    fn check<A: Address>(ranges: Vec<(A, A)>) {
        let ranges = Ranges::new(ranges);
        let numbering = Numbering::new(&ranges).unwrap();
        assert!(numbering.ranges().eq(ranges.as_slice().iter().copied()));
        let mut rank = 0;
        for (first, last) in ranges.as_slice() {
            let width = (*last - *first).widen();
            for offset in [0, width / 2, width] {
                let (at, address) = (A::narrow(rank + offset), *first + A::narrow(offset));
                assert_eq!(numbering.nth(at), address, "rank {at:?} of {ranges:?}");
                assert_eq!(numbering.rank_of(address), Some(at), "{address:?} in {ranges:?}");
            }
            if *last != A::MAX {
                assert_eq!(numbering.rank_of(*last + A::ONE), None, "after {last:?} in {ranges:?}");
            }
            if first.widen() > 0 {
                assert_eq!(
                    numbering.rank_of(*first - A::ONE),
                    None,
                    "before {first:?} in {ranges:?}"
                );
            }
            rank += width + 1;
        }
        assert_eq!(numbering.count(), rank);
    }

    #[test]
    fn sets_at_the_ends_of_the_number_line() {
        check::<u32>(vec![]);
        check(vec![(0, u32::MAX)]);
        check(vec![(0, 0), (u32::MAX, u32::MAX)]);
        check(vec![(u32::MAX, u32::MAX)]);
        check(vec![(0, u128::MAX - 1)]);
        check(vec![(1, u128::MAX)]);
        check(vec![(0, 0), (u128::MAX, u128::MAX)]);
        check(vec![(0, 0), (2, 2), (u128::MAX, u128::MAX)]);
    }

    #[test]
    fn an_empty_set_has_no_ranks() {
        let numbering = Numbering::new(&Ranges::<u32>::new(vec![])).unwrap();
        assert_eq!([0, 7, u32::MAX].map(|address| numbering.rank_of(address)), [None; 3]);
        let numbering = Numbering::new(&Ranges::<u128>::new(vec![])).unwrap();
        assert_eq!([0, 7, u128::MAX].map(|address| numbering.rank_of(address)), [None; 3]);
    }

    #[test]
    fn all_of_ipv6_has_no_count() {
        assert!(Numbering::new(&Ranges::new(vec![(0, u128::MAX)])).is_none());
    }

    #[test]
    fn spans_that_crowd_into_one_bucket() {
        let crowd = (0..1_000).map(|at| (at * 3, at * 3 + 1));
        check::<u32>(crowd.clone().chain([(u32::MAX - 9, u32::MAX)]).collect());
        check::<u128>(
            crowd.map(|(a, b)| (a.into(), b.into())).chain([(1 << 127, u128::MAX)]).collect(),
        );
    }

    proptest! {
        #[test]
        fn ranks_are_places_v4(ranges in prop::collection::vec((any::<u32>(), 0..32_u32, any::<u32>()), 0..200)) {
            check(ranges.into_iter().map(|(at, shift, more)| (at, at.saturating_add(more >> shift))).collect());
        }

        #[test]
        fn ranks_are_places_v6(ranges in prop::collection::vec((1..=u128::MAX, 0..128_u32, any::<u128>()), 0..200)) {
            check(ranges.into_iter().map(|(at, shift, more)| (at, at.saturating_add(more >> shift))).collect());
        }
    }
}
