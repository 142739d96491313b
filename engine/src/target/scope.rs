//! What may be probed at all: outside it no address gets a number, so no packet can be made for it.
//!
//! ```text
//! all addresses  -  reserved  -  exclusions  within  scope  =  what is left
//!                   counted      counted     counted
//! ```
//!
//! A scope is a list of ranges and host names; several scope files are one scope of all they list. A scope that is given
//! and lists nothing permits nothing.

use super::ranges::{Address, Ranges};

/// How many addresses each step took, in this order; an address counts once, at the first step that takes it. A count
/// of 2^128, which is all of IPv6, is told as 2^128 - 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Excluded {
    /// Special-purpose and multicast addresses: see `reserved.rs` for the list.
    pub reserved: u128,
    /// Addresses of `exclude` and `exclude_file`.
    pub listed: u128,
    /// Addresses that no scope lists.
    pub out_of_scope: u128,
}

impl Excluded {
    /// All steps together.
    pub const fn total(&self) -> u128 {
        self.reserved.saturating_add(self.listed).saturating_add(self.out_of_scope)
    }

    /// What was taken of two sets that share no address.
    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            reserved: self.reserved.saturating_add(other.reserved),
            listed: self.listed.saturating_add(other.listed),
            out_of_scope: self.out_of_scope.saturating_add(other.out_of_scope),
        }
    }
}

/// The limits of one address family.
#[derive(Debug)]
pub(super) struct Bounds<A> {
    /// Left out first.
    pub(super) reserved: Ranges<A>,
    /// Left out next.
    pub(super) listed: Ranges<A>,
    /// Where given, only its addresses stay.
    pub(super) scope: Option<Ranges<A>>,
}

impl<A: Address> Bounds<A> {
    /// What is left of `all`, and what was taken.
    pub(super) fn apply(&self, all: Ranges<A>) -> (Ranges<A>, Excluded) {
        let before = all.count();
        let all = all.subtract(&self.reserved);
        let unreserved = all.count();
        let all = all.subtract(&self.listed);
        let unlisted = all.count();
        let all = match &self.scope {
            Some(scope) => all.intersect(scope),
            None => all,
        };
        let excluded = Excluded {
            reserved: taken(before, unreserved),
            listed: taken(unreserved, unlisted),
            out_of_scope: taken(unlisted, all.count()),
        };
        (all, excluded)
    }
}

/// The difference of two counts, where `None` is 2^128: see [`Ranges::count`].
fn taken(before: Option<u128>, after: Option<u128>) -> u128 {
    match (before, after) {
        (Some(before), Some(after)) => before - after,
        (None, Some(after)) => (u128::MAX - after).saturating_add(1),
        (_, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        bounds: &Bounds<u128>,
        all: &[(u128, u128)],
        left: &[(u128, u128)],
        excluded: [u128; 3],
    ) {
        let (got, counts) = bounds.apply(Ranges::new(all.to_vec()));
        assert_eq!(got.as_slice(), left);
        let [reserved, listed, out_of_scope] = excluded;
        assert_eq!(counts, Excluded { reserved, listed, out_of_scope });
    }

    fn set(ranges: &[(u128, u128)]) -> Ranges<u128> {
        Ranges::new(ranges.to_vec())
    }

    const MAX: u128 = u128::MAX;

    #[test]
    fn an_address_counts_at_the_first_step_that_takes_it() {
        let bounds = Bounds {
            reserved: set(&[(0, 9)]),
            listed: set(&[(5, 14)]),
            scope: Some(set(&[(0, 19)])),
        };
        check(&bounds, &[(0, 24)], &[(15, 19)], [10, 5, 5]);
        check(&bounds, &[(15, 19)], &[(15, 19)], [0; 3]);
        check(&bounds, &[(0, 3), (12, 12), (30, 30)], &[], [4, 1, 1]);
    }

    #[test]
    fn an_empty_scope_permits_nothing_and_no_scope_everything() {
        let mut bounds = Bounds { reserved: set(&[]), listed: set(&[]), scope: Some(set(&[])) };
        check(&bounds, &[(0, 9)], &[], [0, 0, 10]);
        bounds.scope = None;
        check(&bounds, &[(0, 9)], &[(0, 9)], [0; 3]);
    }

    #[test]
    fn counts_of_everything_do_not_overflow() {
        let mut bounds = Bounds { reserved: set(&[(0, 0)]), listed: set(&[]), scope: None };
        check(&bounds, &[(0, MAX)], &[(1, MAX)], [1, 0, 0]);
        bounds.reserved = set(&[]);
        check(&bounds, &[(0, MAX)], &[(0, MAX)], [0; 3]);
        bounds.listed = set(&[(0, MAX)]);
        check(&bounds, &[(0, MAX)], &[], [0, MAX, 0]);
    }
}
