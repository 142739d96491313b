//! Every target once, in an order that looks random, without a list of the ones already done.
//!
//! The targets of a scan are the numbers `0..n`: addresses times ports, and single pairs of both, less what is excluded.
//! A [`Permutation`] of the numbers is drawn from a seed, and a [`Shard`] takes every `m`-th of its positions. Each step can
//! be undone, so a reply finds the place of its probe without a table.
//!
//! ```text
//!  arguments, files, stdin           reserved      exclusions       scope
//!         | spec, source, resolve       |              |              |
//!         v                             v              v              v
//!      ranges, pairs, names  --------- minus -------- minus ------- within ----.
//!                                                                              | builder
//!  0 ....... IPv4 ranges x ports ....... | IPv4 pairs | IPv6 ranges x ports | IPv6 pairs .. n      Targets
//!                                        ^
//!                                        | index
//!  sequence  <-- Shard k of m -->  position  <-- Permutation(seed) -->                             Walk
//! ```
//!
//! # What holds
//!
//! - `targets.index_of(targets.nth(i)) == Some(i)` for every `i < targets.len()`, and nothing else has an index.
//! - An address that is reserved, excluded or out of scope has no index, so no later step needs to ask.
//! - For one seed the shards partition the targets, whatever the numbers of either.
//! - After [`TargetsBuilder::build`] nothing allocates, and a lookup takes the same time anywhere.
//!
//! Why the permutation meets every number once is argued at the head of `permutation.rs`. Not here: rates, packets, and
//! names once [`TargetsBuilder::build`] has returned.

mod block;
mod builder;
mod error;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
mod numbering;
mod permutation;
mod ports;
mod ranges;
mod reciprocal;
mod reserved;
mod resolve;
mod scope;
mod shard;
mod source;
mod spec;
mod walk;

use std::{
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use self::block::Block;
pub use self::{
    builder::TargetsBuilder,
    error::TargetError,
    permutation::Permutation,
    ports::{Ports, PortsError},
    scope::Excluded,
    shard::{Shard, ShardError},
    spec::{Malformed, Origin, Spec, SpecError},
    walk::Walk,
};

/// One address and port to probe.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// The host.
    pub addr: IpAddr,
    /// The TCP or UDP port; 0 where the protocol has none.
    pub port: u16,
}

/// The targets of a scan, compiled: the numbers `0..len`, each a [`Target`]. Immutable, and never empty.
pub struct Targets {
    v4: Block<u32>,
    v6: Block<u128>,
    /// Of both blocks.
    len: u128,
    ports: Ports,
    excluded: Excluded,
    /// What host names stood for, in the order in which they were given.
    named: Vec<(IpAddr, Arc<str>)>,
}

impl Targets {
    /// An empty description.
    pub fn builder() -> TargetsBuilder {
        TargetsBuilder::default()
    }

    /// How many targets there are: combinations of address and port, each counted once however often it was named.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a description without targets does not compile"
    )]
    pub fn len(&self) -> u128 {
        self.len
    }

    /// The addresses that host names stood for, in the order in which the names were given; exclusions are not taken off.
    pub fn named(&self) -> &[(IpAddr, Arc<str>)] {
        &self.named
    }

    /// How many of them are IPv6. Theirs are the last indices.
    pub fn v6_len(&self) -> u128 {
        self.v6.len()
    }

    /// How many distinct addresses there are; `u128::MAX` where that is too few to hold it.
    pub fn hosts(&self) -> u128 {
        self.v4.hosts().saturating_add(self.v6.hosts())
    }

    /// The target of an index.
    ///
    /// # Panics
    ///
    /// When `index >= self.len()`.
    #[inline]
    pub fn nth(&self, index: u128) -> Target {
        assert!(index < self.len, "target {index} of {}", self.len);
        match index.checked_sub(self.v4.len()) {
            None => {
                let (addr, port) = self.v4.nth(index, &self.ports);
                Target { addr: Ipv4Addr::from_bits(addr).into(), port }
            }
            Some(index) => {
                let (addr, port) = self.v6.nth(index, &self.ports);
                Target { addr: Ipv6Addr::from_bits(addr).into(), port }
            }
        }
    }

    /// The index of a target; `None` when it is not one of these.
    #[inline]
    pub fn index_of(&self, target: Target) -> Option<u128> {
        match target.addr {
            IpAddr::V4(addr) => self.v4.index_of(addr.to_bits(), target.port, &self.ports),
            IpAddr::V6(addr) => {
                let index = self.v6.index_of(addr.to_bits(), target.port, &self.ports)?;
                Some(self.v4.len() + index)
            }
        }
    }

    /// All IPv4 addresses, as ranges first to last inclusive, ascending and disjoint: what has to be routed.
    pub fn v4_ranges(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Addr)> {
        self.v4.ranges().map(|(first, last)| (first.into(), last.into()))
    }

    /// All IPv6 addresses, as [`v4_ranges`](Self::v4_ranges).
    pub fn v6_ranges(&self) -> impl Iterator<Item = (Ipv6Addr, Ipv6Addr)> {
        self.v6.ranges().map(|(first, last)| (first.into(), last.into()))
    }

    /// Feeds a hash with everything that decides which target an index is.
    fn digest(&self, hasher: &mut impl Hasher) {
        self.ports.len().hash(hasher);
        self.v4.digest(hasher);
        self.v6.digest(hasher);
        self.ports.iter().for_each(|port| port.hash(hasher));
    }

    /// How many addresses were left out, and why.
    pub fn excluded(&self) -> Excluded {
        self.excluded
    }

    /// The ports of the targets that name none.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }
}

impl fmt::Debug for Targets {
    /// The counts alone: a list may have millions of ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets")
            .field("len", &self.len)
            .field("hosts", &self.hosts())
            .field("ports", &self.ports)
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A network of 256 addresses, seen from both families: address `at` of either.
    fn addr(v6: bool, at: u32) -> IpAddr {
        if v6 {
            Ipv6Addr::from_bits((0x2001_0db8 << 96) + u128::from(at)).into()
        } else {
            Ipv4Addr::from_bits(0xc612_0000 + at).into()
        }
    }

    #[derive(Clone, Copy, Debug)]
    struct Range {
        v6: bool,
        first: u32,
        last: u32,
    }

    impl Range {
        fn hosts(self) -> impl Iterator<Item = IpAddr> {
            (self.first..=self.last).map(move |at| addr(self.v6, at))
        }

        fn spec(self) -> String {
            format!("{}-{}", addr(self.v6, self.first), addr(self.v6, self.last))
        }
    }

    fn range() -> impl Strategy<Value = Range> {
        (any::<bool>(), 0..200_u32, 0..40_u32).prop_map(|(v6, first, more)| Range {
            v6,
            first,
            last: first + more,
        })
    }

    fn ranges(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Range>> {
        prop::collection::vec(range(), count)
    }

    fn hosts(ranges: &[Range]) -> BTreeSet<IpAddr> {
        ranges.iter().flat_map(|range| range.hosts()).collect()
    }

    proptest! {
        /// The compiled targets against sets of addresses and pairs, by the definition of each word.
        #[test]
        fn a_compiled_description_is_what_its_words_say(
            included in ranges(0..8),
            excluded in ranges(0..8),
            scope in prop::option::of(ranges(0..8)),
            ports in prop::collection::btree_set(0..70_u16, 1..6),
            pairs in prop::collection::vec((any::<bool>(), 0..240_u32, 0..70_u16), 0..30),
        ) {
            let mut builder = Targets::builder().allow_reserved(true);
            for port in &ports {
                builder = builder.ports(port.to_string());
            }
            for range in &included {
                builder = builder.spec(range.spec());
            }
            for range in &excluded {
                builder = builder.exclude(range.spec());
            }
            for (v6, at, port) in &pairs {
                builder = builder.spec(std::net::SocketAddr::new(addr(*v6, *at), *port).to_string());
            }
            if let Some(scope) = &scope {
                builder = builder.scope("");
                for range in scope {
                    builder = builder.scope(range.spec());
                }
            }

            let named: BTreeSet<IpAddr> =
                hosts(&included).into_iter().chain(pairs.iter().map(|(v6, at, _)| addr(*v6, *at))).collect();
            let unlisted = &named - &hosts(&excluded);
            let left = scope.as_ref().map_or_else(|| unlisted.clone(), |scope| &unlisted & &hosts(scope));
            let grid = &hosts(&included) & &left;
            let mut expected: BTreeSet<Target> =
                grid.iter().flat_map(|addr| ports.iter().map(|port| Target { addr: *addr, port: *port })).collect();
            let of_pairs = pairs.iter().map(|(v6, at, port)| Target { addr: addr(*v6, *at), port: *port });
            expected.extend(of_pairs.filter(|pair| left.contains(&pair.addr)));

            let targets = match builder.build() {
                Ok(targets) => targets,
                Err(TargetError::NoTargets) => {
                    prop_assert!(included.is_empty() && pairs.is_empty());
                    return Ok(());
                }
                Err(TargetError::Empty { excluded, .. }) => {
                    prop_assert!(expected.is_empty());
                    prop_assert_eq!(excluded.total(), named.len() as u128);
                    return Ok(());
                }
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            };

            prop_assert_eq!(targets.len(), expected.len() as u128);
            prop_assert_eq!(targets.hosts(), left.len() as u128);
            let counts = Excluded {
                reserved: 0,
                listed: (named.len() - unlisted.len()) as u128,
                out_of_scope: (unlisted.len() - left.len()) as u128,
            };
            prop_assert_eq!(targets.excluded(), counts);
            let all: Vec<Target> = (0..targets.len()).map(|index| targets.nth(index)).collect();
            prop_assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), expected.clone());
            prop_assert!(all.iter().skip((targets.len() - targets.v6_len()) as usize).all(|target| target.addr.is_ipv6()));
            prop_assert_eq!(all.iter().filter(|target| target.addr.is_ipv6()).count() as u128, targets.v6_len());
            for (index, target) in all.iter().enumerate() {
                prop_assert_eq!(targets.index_of(*target), Some(index as u128));
            }
            for v6 in [false, true] {
                for (at, port) in (0..256).flat_map(|at| (0..72).step_by(3).map(move |port| (at, port))) {
                    let target = Target { addr: addr(v6, at), port };
                    prop_assert_eq!(targets.index_of(target).is_some(), expected.contains(&target), "{:?}", target);
                }
            }
            let routed_v4 = targets.v4_ranges().flat_map(|(a, b)| (a.to_bits()..=b.to_bits()).map(|addr| IpAddr::V4(addr.into())));
            let routed_v6 = targets.v6_ranges().flat_map(|(a, b)| (a.to_bits()..=b.to_bits()).map(|addr| IpAddr::V6(addr.into())));
            prop_assert!(routed_v4.chain(routed_v6).eq(left.iter().copied()));
        }
    }

    #[test]
    #[should_panic(expected = "target 2 of 2")]
    fn there_is_no_target_after_the_last() {
        Targets::builder()
            .spec("198.18.0.1-2")
            .ports("80")
            .allow_reserved(true)
            .build()
            .unwrap()
            .nth(2);
    }

    #[test]
    fn the_debug_form_of_a_long_list_is_short() {
        let list: String = (0..10_000).map(|at| format!("{}\n", addr(false, at * 2))).collect();
        let targets =
            Targets::builder().spec(list).ports("80").allow_reserved(true).build().unwrap();
        assert_eq!(targets.len(), 10_000);
        assert!(format!("{targets:?}").len() < 200);
    }

    #[test]
    fn the_plan_can_be_shared() {
        fn is_shared<T: Send + Sync + 'static>() {}
        is_shared::<Targets>();
        is_shared::<Walk>();
    }
}
