//! The targets of one address family as the numbers `0..len`.
//!
//! ```text
//! 0 ........................ grid ........................ | ........ pairs ........ len
//! (first address, first port) (first address, second port)   (address, port), those
//! ... every address of the ranges at every port               of the grid left out
//! ```

use std::hash::{Hash, Hasher};

use super::{
    error::TargetError,
    numbering::{Buckets, MAX_ENTRIES, Numbering},
    ports::Ports,
    ranges::{Address, Ranges},
    scope::{Bounds, Excluded},
};

/// The targets of one address family.
pub(super) struct Block<A> {
    /// Addresses that take every port.
    grid: Numbering<A>,
    grid_len: u128,
    /// Targets that are not in the grid, ascending.
    pairs: Vec<(A, u16)>,
    by_host: Buckets<A>,
    /// All addresses, where pairs add some to the grid's.
    hosts: Option<Ranges<A>>,
    host_count: u128,
}

impl<A: Address> Block<A> {
    /// Compiles what is left of `ranges` at `ports`, and of `pairs`, within `bounds`.
    pub(super) fn new(
        ranges: Vec<(A, A)>,
        mut pairs: Vec<(A, u16)>,
        ports: &Ports,
        bounds: &Bounds<A>,
    ) -> Result<(Self, Excluded), TargetError> {
        let mut grid = Ranges::new(ranges);
        let (hosts, excluded) = if pairs.is_empty() {
            let (left, excluded) = bounds.apply(grid);
            grid = left;
            (None, excluded)
        } else {
            pairs.sort_unstable();
            pairs.dedup();
            let paired = Ranges::new(pairs.iter().map(|(addr, _)| (*addr, *addr)).collect());
            let (hosts, excluded) = bounds.apply(grid.clone().union(paired));
            grid = grid.intersect(&hosts);
            let (mut is_left, mut is_in_grid) = (hosts.sweep(), grid.sweep());
            pairs.retain(|(addr, port)| {
                is_left(*addr) && !(is_in_grid(*addr) && ports.contains(*port))
            });
            drop((is_left, is_in_grid));
            (Some(hosts), excluded)
        };
        if grid.as_slice().len().max(pairs.len()) > MAX_ENTRIES {
            return Err(TargetError::TooMany);
        }
        let grid = Numbering::new(&grid).ok_or(TargetError::TooMany)?;
        let grid_len = grid.count().checked_mul(ports.len().into()).ok_or(TargetError::TooMany)?;
        grid_len.checked_add(pairs.len() as u128).ok_or(TargetError::TooMany)?;
        let host_count = match &hosts {
            Some(hosts) => hosts.count().ok_or(TargetError::TooMany)?,
            None => grid.count(),
        };
        pairs.shrink_to_fit();
        let by_host = Buckets::new(pairs.len(), |at| pairs[at].0);
        Ok((Self { grid, grid_len, pairs, by_host, hosts, host_count }, excluded))
    }

    /// How many targets there are.
    #[inline]
    pub(super) fn len(&self) -> u128 {
        self.grid_len + self.pairs.len() as u128
    }

    /// How many distinct addresses they have.
    pub(super) fn hosts(&self) -> u128 {
        self.host_count
    }

    /// The target of an index below [`len`](Self::len).
    #[inline]
    pub(super) fn nth(&self, index: u128, ports: &Ports) -> (A, u16) {
        if index < self.grid_len {
            let (rank, port) = ports.split(index);
            (self.grid.nth(A::narrow(rank)), port)
        } else {
            self.pairs[(index - self.grid_len) as usize]
        }
    }

    /// The index of a target, if it is one.
    #[inline]
    pub(super) fn index_of(&self, addr: A, port: u16, ports: &Ports) -> Option<u128> {
        if let Some(port_rank) = ports.rank(port)
            && let Some(rank) = self.grid.rank_of(addr)
        {
            return Some(rank.widen() * u128::from(ports.len()) + u128::from(port_rank));
        }
        let wanted = (addr, port);
        let at = self.by_host.last(addr, |at| self.pairs[at] <= wanted)?;
        (self.pairs[at] == wanted).then(|| self.grid_len + at as u128)
    }

    /// The addresses, as ranges first to last inclusive, ascending.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (A, A)> {
        let of_pairs = self.hosts.iter().flat_map(|hosts| hosts.as_slice().iter().copied());
        // Where pairs add no list, the grid has all addresses.
        of_pairs.chain(self.grid.ranges().take(if self.hosts.is_some() { 0 } else { usize::MAX }))
    }

    /// Feeds a hash with everything that decides which target an index is, but for the ports.
    pub(super) fn digest(&self, hasher: &mut impl Hasher) {
        self.grid_len.hash(hasher);
        self.pairs.hash(hasher);
        self.grid.ranges().for_each(|range| range.hash(hasher));
    }
}
