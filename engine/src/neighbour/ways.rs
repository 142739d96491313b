//! Which way each target goes, found by asking once for all addresses that must go the same way.
//!
//! Routes and rules speak of prefixes. The first and the last addresses of all prefixes of all tables cut the addresses into
//! cells, and within a cell no lookup can tell one address from another. So the kernel's own answer for one target of a cell
//! is its answer for all of them, whatever rules, tables, metrics and next hops led to it: nothing of that is done over here.
//!
//! ```text
//!  routes      |-------------- 0/0 --------------------------|
//!                    |--- /16 ---|        |- to a rule -|
//!                       |/24|
//!  cells       |  1  |2 | 3 | 4  |   5    |     6       | 7  |
//!  targets       x        x x                  xxxx               asked for: 1, 3, 6
//! ```

use super::address::Address;

/// What becomes of a packet to some address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way<A> {
    /// No route leads there.
    None,
    /// The host is on the link of this interface.
    OnLink(u32),
    /// An interface and the gateway on its link.
    Via(u32, A),
    /// As [`Way::Via`], for IPv4 with a gateway that has an IPv6 address.
    ViaV6(u32),
    /// The address is this machine's.
    Own,
    /// Not one host: broadcast, multicast, anycast of ours.
    Group,
    /// A route that says no: the kernel's word for its type.
    Refused(&'static str),
}

impl<A> Way<A> {
    /// The interface, where there is one.
    pub(super) fn interface(&self) -> Option<u32> {
        match self {
            Self::OnLink(interface) | Self::Via(interface, _) | Self::ViaV6(interface) => {
                Some(*interface)
            }
            Self::None | Self::Own | Self::Group | Self::Refused(_) => None,
        }
    }
}

/// Addresses, first to last, that go the same way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span<A> {
    pub(super) first: A,
    pub(super) last: A,
    pub(super) way: Way<A>,
}

/// All addresses, cut where the answer of a lookup may change.
#[derive(Clone, Debug)]
pub(super) struct Cells<A> {
    /// The first address of each, ascending; the first of all is one.
    firsts: Vec<A>,
}

impl<A: Address> Cells<A> {
    /// The cells between the ends of `prefixes`, in any order.
    pub(super) fn between(prefixes: impl Iterator<Item = (A, A)>) -> Self {
        let mut firsts = vec![A::FIRST];
        for (first, last) in prefixes.chain(A::GROUPS.iter().copied()) {
            firsts.push(first);
            firsts.extend(last.next());
        }
        firsts.sort_unstable();
        firsts.dedup();
        Self { firsts }
    }

    /// These cells, cut at the ends of `prefixes` too.
    pub(super) fn cut_at(&self, prefixes: impl Iterator<Item = (A, A)>) -> Self {
        let ends = prefixes.flat_map(|(first, last)| [Some(first), last.next()]);
        let mut firsts = self.firsts.iter().copied().chain(ends.flatten()).collect::<Vec<_>>();
        firsts.sort_unstable();
        firsts.dedup();
        Self { firsts }
    }

    /// The last address of the cell at `at`.
    fn last(&self, at: usize) -> A {
        self.firsts.get(at + 1).map_or(A::LAST, |next| A::narrow(next.widen() - 1))
    }
}

/// The ways of the targets, as ascending and disjoint spans that have all of them inside.
#[derive(Clone, Debug)]
pub(super) struct Ways<A>(Vec<Span<A>>);

impl<A: Address> Ways<A> {
    /// The ways of `ranges`, which are ascending and disjoint, by asking for each cell that has a target. `ask` is given two
    /// targets of the cell: the ends of its first range, which are the same when that is one address.
    pub(super) fn of<E>(
        ranges: impl Iterator<Item = (A, A)>,
        cells: &Cells<A>,
        mut ask: impl FnMut(A, A) -> Result<Way<A>, E>,
    ) -> Result<Self, E> {
        let mut spans = Vec::<Span<A>>::new();
        let mut at = 0;
        for (first, last) in ranges {
            at += cells.firsts[at..].partition_point(|cell| *cell <= first) - 1;
            loop {
                let (cell_first, cell_last) = (cells.firsts[at], cells.last(at));
                if spans.last().is_none_or(|span| span.last < cell_last) {
                    let way = ask(first.max(cell_first), last.min(cell_last))?;
                    match spans.last_mut() {
                        Some(span) if span.way == way && span.last.next() == Some(cell_first) => {
                            span.last = cell_last;
                        }
                        _ => spans.push(Span { first: cell_first, last: cell_last, way }),
                    }
                }
                if last <= cell_last {
                    break;
                }
                at += 1;
            }
        }
        Ok(Self(spans))
    }

    /// The spans.
    pub(super) fn spans(&self) -> &[Span<A>] {
        &self.0
    }

    /// Ranges (ascending and disjoint) cut where the way changes.
    pub(super) fn meet(
        &self,
        ranges: impl Iterator<Item = (A, A)>,
    ) -> impl Iterator<Item = Span<A>> {
        let mut left = &self.0[..];
        ranges.flat_map(move |(first, last)| {
            let passed = left.iter().take_while(|span| span.last < first).count();
            left = &left[passed..];
            let spans = left.iter().take_while(move |span| span.first <= last);
            spans.map(move |span| Span {
                first: span.first.max(first),
                last: span.last.min(last),
                way: span.way,
            })
        })
    }
}

#[cfg(test)]
mod tests;
