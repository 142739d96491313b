//! Where received octets are put together: buffers of 4, 8, 16, 32 or 64 KiB out of one block of memory that is bounded from
//! the start.
//!
//! Buddies (Knuth, TAOCP 1, section 2.5): a buffer that is needed smaller than those there are is cut into halves, and two halves
//! that are free again become one. So a block that was full of small buffers takes large ones later. The one given back last
//! is leased first: it is still in the caches. Memory that was never leased was never touched, so it is not there.

use bytemuck::allocation::try_zeroed_slice_box;

/// The smallest buffer.
const PAGE: usize = 4 << 10;
/// How often the largest can be halved.
const ORDERS: usize = 5;
const PAGES_OF_LARGEST: u32 = 1 << (ORDERS - 1);
const NONE: u32 = u32::MAX;
/// The largest buffer.
pub(super) const LARGEST: usize = PAGE << (ORDERS - 1);

/// A buffer that is somebody's: its first page, and its order in the lowest three bits. Two of them never share an octet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lease(u32);

impl Lease {
    /// The lease of a flow that has no data.
    pub(super) const NONE: Self = Self(NONE);
    /// Pages that have a number.
    const MOST_PAGES: usize = 1 << 28;

    fn new(page: u32, order: usize) -> Self {
        Self(page << 3 | order as u32)
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// How many octets it holds; none if it is none.
    pub(super) fn len(self) -> usize {
        if self.is_none() { 0 } else { PAGE << self.order() }
    }

    fn page(self) -> u32 {
        self.0 >> 3
    }

    fn order(self) -> usize {
        self.0 as usize & 7
    }

    /// Where it lies in the memory.
    fn at(self) -> usize {
        self.page() as usize * PAGE
    }
}

/// All buffers. See the module.
pub(super) struct Buffers {
    memory: Box<[u8]>,
    pages: Box<[Page]>,
    /// The first free buffer of each order, by its first page.
    free: [u32; ORDERS],
    leased: usize,
}

/// What is known of the buffer that begins at a page.
#[derive(Clone, Copy, Debug)]
struct Page {
    previous: u32,
    next: u32,
    /// Its order if it is free; [`NOT_FREE`] if it is leased, or no buffer begins here.
    free: u8,
}

const NOT_FREE: u8 = u8::MAX;

impl Buffers {
    /// `len` octets in all, rounded up to whole buffers of the largest size; `None` when there is not so much memory.
    pub(super) fn new(len: usize) -> Option<Self> {
        let len = len.max(1).checked_next_multiple_of(LARGEST)?;
        let count = Some(len / PAGE).filter(|count| *count <= Lease::MOST_PAGES)? as u32;
        let memory = try_zeroed_slice_box(len).ok()?;
        let mut pages = Vec::new();
        pages.try_reserve_exact(count as usize).ok()?;
        pages.resize(count as usize, Page { previous: NONE, next: NONE, free: NOT_FREE });
        let mut buffers = Self { memory, pages: pages.into(), free: [NONE; ORDERS], leased: 0 };
        for page in (0..count).step_by(PAGES_OF_LARGEST as usize).rev() {
            buffers.put(page, ORDERS - 1);
        }
        Some(buffers)
    }

    /// Octets that [`new`](Self::new) asks the system for.
    pub(super) fn memory(len: usize) -> usize {
        let len = len.max(1).next_multiple_of(LARGEST);
        len + len / PAGE * size_of::<Page>()
    }

    /// A buffer of at least `len` octets, which hold anything; `None` when all are leased, or none is so large.
    pub(super) fn lease(&mut self, len: usize) -> Option<Lease> {
        let order = len.div_ceil(PAGE).max(1).next_power_of_two().trailing_zeros() as usize;
        let found = (order..ORDERS).find(|order| self.free[*order] != NONE)?;
        let page = self.free[found];
        self.take(page, found);
        for half in (order..found).rev() {
            self.put(page + (1 << half), half);
        }
        self.leased += PAGE << order;
        Some(Lease::new(page, order))
    }

    /// A buffer of at least `len` octets in place of `lease`, of which the first `kept` go along.
    pub(super) fn grow(&mut self, lease: Lease, len: usize, kept: usize) -> Option<Lease> {
        let larger = self.lease(len)?;
        self.memory.copy_within(lease.at()..lease.at() + kept.min(lease.len()), larger.at());
        self.give_back(lease);
        Some(larger)
    }

    /// Ends a lease.
    pub(super) fn give_back(&mut self, lease: Lease) {
        if lease.is_none() {
            return;
        }
        self.leased -= lease.len();
        let (mut page, mut order) = (lease.page(), lease.order());
        while order < ORDERS - 1 {
            let buddy = page ^ 1 << order;
            if usize::from(self.pages[buddy as usize].free) != order {
                break;
            }
            self.take(buddy, order);
            page &= !(1 << order);
            order += 1;
        }
        self.put(page, order);
    }

    /// The octets of a buffer.
    #[inline]
    pub(super) fn bytes(&self, lease: Lease) -> &[u8] {
        if lease.is_none() {
            return &[];
        }
        &self.memory[lease.at()..][..lease.len()]
    }

    /// The octets of a buffer, to be written.
    #[inline]
    pub(super) fn bytes_mut(&mut self, lease: Lease) -> &mut [u8] {
        if lease.is_none() {
            return &mut [];
        }
        &mut self.memory[lease.at()..][..lease.len()]
    }

    /// How many octets are leased.
    pub(super) fn leased(&self) -> usize {
        self.leased
    }

    /// Adds a buffer to the free ones of its order.
    fn put(&mut self, page: u32, order: usize) {
        let next = std::mem::replace(&mut self.free[order], page);
        if let Some(next) = self.pages.get_mut(next as usize) {
            next.previous = page;
        }
        self.pages[page as usize] = Page { previous: NONE, next, free: order as u8 };
    }

    /// Takes a buffer from the free ones of its order.
    fn take(&mut self, page: u32, order: usize) {
        let Page { previous, next, .. } = self.pages[page as usize];
        match self.pages.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.free[order] = next,
        }
        if let Some(next) = self.pages.get_mut(next as usize) {
            next.previous = previous;
        }
        self.pages[page as usize].free = NOT_FREE;
    }
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { memory, leased, .. } = self;
        f.debug_struct("Buffers").field("len", &memory.len()).field("leased", leased).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Each lease is filled with its own octet; whatever is leased, grown and given back, nobody writes over another.
        #[test]
        fn leases_never_share_an_octet(
            steps in prop::collection::vec((any::<prop::sample::Index>(), 1..=LARGEST, 0..3_u8), 1..120),
        ) {
            let mut buffers = Buffers::new(4 * LARGEST).unwrap();
            let mut leases: Vec<(Lease, u8)> = Vec::new();
            let mut name = 0_u8;
            for (which, len, what) in steps {
                name = name.wrapping_add(1);
                if what == 0 && !leases.is_empty() {
                    let (lease, _) = leases.swap_remove(which.index(leases.len()));
                    buffers.give_back(lease);
                } else if what == 1 && !leases.is_empty() {
                    let at = which.index(leases.len());
                    let (lease, octet) = leases[at];
                    let kept = lease.len();
                    if len > kept && let Some(larger) = buffers.grow(lease, len, kept) {
                        prop_assert!(buffers.bytes(larger)[..kept].iter().all(|byte| *byte == octet));
                        buffers.bytes_mut(larger).fill(octet);
                        leases[at].0 = larger;
                    }
                } else if let Some(lease) = buffers.lease(len) {
                    prop_assert!(lease.len() >= len && (lease.len() == PAGE || lease.len() < 2 * len));
                    buffers.bytes_mut(lease).fill(name);
                    leases.push((lease, name));
                }
                for (lease, octet) in &leases {
                    prop_assert!(buffers.bytes(*lease).iter().all(|byte| byte == octet));
                }
                let held: usize = leases.iter().map(|(lease, _)| lease.len()).sum();
                prop_assert_eq!(buffers.leased(), held);
            }
            for (lease, _) in leases {
                buffers.give_back(lease);
            }
            // All halves have found each other again.
            let whole: Vec<_> = (0..4).map(|_| buffers.lease(LARGEST)).collect();
            prop_assert!(whole.iter().all(Option::is_some));
            prop_assert_eq!(buffers.lease(1), None);
        }
    }

    #[test]
    fn the_memory_is_as_bounded_as_it_was_said_to_be() {
        let mut buffers = Buffers::new(LARGEST + 1).unwrap();
        assert_eq!((0..100).filter_map(|_| buffers.lease(1)).count(), 32);
        assert_eq!(buffers.leased(), 2 * LARGEST);
        assert_eq!(Buffers::memory(LARGEST + 1), 2 * LARGEST + 32 * size_of::<Page>());
        assert_eq!(Buffers::new(usize::MAX).map(drop), None);
    }

    #[test]
    fn no_lease_has_no_octets() {
        let mut buffers = Buffers::new(1).unwrap();
        assert!(buffers.bytes(Lease::NONE).is_empty() && buffers.bytes_mut(Lease::NONE).is_empty());
        buffers.give_back(Lease::NONE);
        assert_eq!(buffers.leased(), 0);
        assert_eq!(buffers.lease(LARGEST + 1), None);
    }
}
