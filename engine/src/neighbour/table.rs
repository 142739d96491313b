//! From the address of a target to the hardware address its frames go to.

use std::net::{IpAddr, Ipv4Addr};

use crate::wire::MacAddr;

/// The next hop of every target, complete before the first probe.
///
/// A lookup allocates nothing. With one gateway for all it is one comparison; otherwise a binary search over a few address
/// ranges and, among hosts on the same link, one look into a hash table.
#[derive(Debug)]
pub struct NextHops(Kind);

#[derive(Debug)]
enum Kind {
    Single(MacAddr),
    Table { legs: Box<[Leg]>, hosts: Hosts },
}

/// A range of addresses with one way to send to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Leg {
    pub(super) first: u32,
    pub(super) last: u32,
    /// The gateway; `None` where each host has its own hardware address.
    pub(super) gateway: Option<MacAddr>,
}

impl NextHops {
    /// One next hop for all.
    pub fn single(mac: MacAddr) -> Self {
        Self(Kind::Single(mac))
    }

    /// Next hops by range (`legs` ascend and are disjoint) and, in the ranges without a gateway, by host.
    pub(super) fn table(
        legs: Vec<Leg>,
        hosts: impl ExactSizeIterator<Item = (Ipv4Addr, MacAddr)>,
    ) -> Self {
        debug_assert!(legs.windows(2).all(|pair| pair[0].last < pair[1].first));
        Self(Kind::Table { legs: legs.into(), hosts: Hosts::new(hosts) })
    }

    /// Where frames for `addr` go; `None` when nobody answers for it, so that there is nobody to send to.
    #[inline]
    pub fn of(&self, addr: IpAddr) -> Option<MacAddr> {
        match (&self.0, addr) {
            (Kind::Single(mac), _) => Some(*mac),
            (Kind::Table { .. }, IpAddr::V6(_)) => None,
            (Kind::Table { legs, hosts }, IpAddr::V4(addr)) => {
                let addr = addr.to_bits();
                let leg = legs.get(legs.partition_point(|leg| leg.last < addr))?;
                if addr < leg.first {
                    return None;
                }
                leg.gateway.or_else(|| hosts.of(addr))
            }
        }
    }
}

/// A hash table with open addressing and linear probing, at most half full, that is filled once. The addresses of a link
/// are mostly consecutive, which multiplicative hashing spreads well (Knuth, The Art of Computer Programming 3, 6.4).
#[derive(Debug)]
struct Hosts {
    slots: Box<[Option<(u32, MacAddr)>]>,
    /// 32 less the number of bits of a slot's number.
    shift: u32,
}

impl Hosts {
    fn new(hosts: impl ExactSizeIterator<Item = (Ipv4Addr, MacAddr)>) -> Self {
        let len = (hosts.len() * 2).next_power_of_two().max(2);
        let mut table = Self { slots: vec![None; len].into(), shift: 32 - len.ilog2() };
        for (addr, mac) in hosts {
            let at = table.place(addr.to_bits());
            table.slots[at] = Some((addr.to_bits(), mac));
        }
        table
    }

    #[inline]
    fn of(&self, addr: u32) -> Option<MacAddr> {
        self.slots[self.place(addr)].map(|(_, mac)| mac)
    }

    /// The slot that has `addr`, or the free one where it belongs. There is one, as half of the slots are free.
    #[inline]
    fn place(&self, addr: u32) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (addr.wrapping_mul(0x9e37_79b9) >> self.shift) as usize;
        while self.slots[at].is_some_and(|(other, _)| other != addr) {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);

    fn mac(low: u32) -> MacAddr {
        let [a, b, c, d] = low.to_be_bytes();
        MacAddr([2, 1, a, b, c, d])
    }

    #[test]
    fn one_gateway_is_for_all() {
        let next_hops = NextHops::single(GATEWAY);
        for addr in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::BROADCAST] {
            assert_eq!(next_hops.of(addr.into()), Some(GATEWAY));
        }
    }

    #[test]
    fn a_table_knows_the_ends_of_its_ranges() {
        let legs = vec![
            Leg { first: 0, last: 9, gateway: Some(GATEWAY) },
            Leg { first: 10, last: 19, gateway: None },
            Leg { first: u32::MAX, last: u32::MAX, gateway: None },
        ];
        let hosts = [0, 10, 19, 20, u32::MAX].map(|addr| (Ipv4Addr::from_bits(addr), mac(addr)));
        let next_hops = NextHops::table(legs, hosts.into_iter());
        let check = |addr, expected| {
            assert_eq!(next_hops.of(Ipv4Addr::from_bits(addr).into()), expected, "{addr}")
        };
        check(0, Some(GATEWAY));
        check(9, Some(GATEWAY));
        check(10, Some(mac(10)));
        check(11, None);
        check(19, Some(mac(19)));
        check(20, None); // outside of the ranges
        check(u32::MAX, Some(mac(u32::MAX)));
    }

    #[test]
    fn an_empty_table_knows_nobody() {
        let legs = vec![Leg { first: 0, last: u32::MAX, gateway: None }];
        let next_hops = NextHops::table(
            legs,
            std::iter::empty::<(Ipv4Addr, MacAddr)>().collect::<Vec<_>>().into_iter(),
        );
        assert_eq!(next_hops.of(Ipv4Addr::new(198, 18, 0, 1).into()), None);
    }

    proptest! {
        /// Every lookup, near to what is there and far from it, is what a map of all hosts says.
        #[test]
        fn a_lookup_is_that_of_a_map(
            base: u32,
            hosts in prop::collection::btree_map(0..3_000_u32, any::<u32>(), 0..600),
            far in prop::collection::btree_map(any::<u32>(), any::<u32>(), 0..60),
            questions in prop::collection::vec(any::<u32>(), 100),
        ) {
            let near = hosts.into_iter().map(|(at, low)| (base.wrapping_add(at), mac(low)));
            let map: HashMap<u32, MacAddr> = near.chain(far.into_iter().map(|(addr, low)| (addr, mac(low)))).collect();
            let legs = vec![Leg { first: 0, last: u32::MAX, gateway: None }];
            let hosts = map.iter().map(|(addr, mac)| (Ipv4Addr::from_bits(*addr), *mac)).collect::<Vec<_>>();
            let next_hops = NextHops::table(legs, hosts.into_iter());
            let all = (0..3_100).map(|at| base.wrapping_add(at)).chain(questions).chain(map.keys().copied());
            for addr in all {
                prop_assert_eq!(next_hops.of(Ipv4Addr::from_bits(addr).into()), map.get(&addr).copied());
            }
        }
    }
}
