//! From the address of a target to the hardware address its frames go to.

use std::net::IpAddr;

use super::address::Address;
use crate::wire::MacAddr;

/// The next hop of every target, complete before the first probe.
///
/// A lookup allocates nothing. With one gateway for all of a family it is one comparison; otherwise a binary search over a few
/// address ranges and, among hosts on the same link, one look into a hash table.
#[derive(Debug)]
pub struct NextHops {
    v4: Hops<u32>,
    v6: Hops<u128>,
}

/// The next hops of one family.
#[derive(Debug)]
pub(super) enum Hops<A> {
    /// There are no targets of it.
    None,
    /// One for all.
    Single(MacAddr),
    /// By range, and in the ranges without a gateway by host.
    Table { legs: Box<[Leg<A>]>, hosts: Hosts<A> },
}

/// A range of addresses with one way to send to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Leg<A> {
    pub(super) first: A,
    pub(super) last: A,
    /// The gateway; `None` where each host has its own hardware address.
    pub(super) gateway: Option<MacAddr>,
}

impl NextHops {
    /// One next hop for all.
    pub fn single(mac: MacAddr) -> Self {
        Self { v4: Hops::Single(mac), v6: Hops::Single(mac) }
    }

    pub(super) fn new(v4: Hops<u32>, v6: Hops<u128>) -> Self {
        Self { v4, v6 }
    }

    /// Where frames for `addr` go; `None` when nobody answers for it, so that there is nobody to send to.
    #[inline]
    pub fn of(&self, addr: IpAddr) -> Option<MacAddr> {
        match addr {
            IpAddr::V4(addr) => self.v4.of(addr.to_bits()),
            IpAddr::V6(addr) => self.v6.of(addr.to_bits()),
        }
    }
}

impl<A: Address> Hops<A> {
    /// `legs` ascend and are disjoint.
    pub(super) fn table(
        legs: Vec<Leg<A>>,
        hosts: impl ExactSizeIterator<Item = (A, MacAddr)>,
    ) -> Self {
        debug_assert!(legs.windows(2).all(|pair| pair[0].last < pair[1].first));
        Self::Table { legs: legs.into(), hosts: Hosts::new(hosts) }
    }

    #[inline]
    fn of(&self, addr: A) -> Option<MacAddr> {
        match self {
            Self::None => None,
            Self::Single(mac) => Some(*mac),
            Self::Table { legs, hosts } => {
                let leg = legs.get(legs.partition_point(|leg| leg.last < addr))?;
                if addr < leg.first {
                    return None;
                }
                leg.gateway.or_else(|| hosts.of(addr))
            }
        }
    }
}

/// A hash table with open addressing and linear probing, at most half full, that is filled once.
#[derive(Debug)]
pub(super) struct Hosts<A> {
    slots: Box<[Option<(A, MacAddr)>]>,
    /// 64 less the number of bits of a slot's number.
    shift: u32,
}

impl<A: Address> Hosts<A> {
    fn new(hosts: impl ExactSizeIterator<Item = (A, MacAddr)>) -> Self {
        let len = (hosts.len() * 2).next_power_of_two().max(2);
        let mut table = Self { slots: vec![None; len].into(), shift: 64 - len.ilog2() };
        for (addr, mac) in hosts {
            let at = table.place(addr);
            table.slots[at] = Some((addr, mac));
        }
        table
    }

    #[inline]
    fn of(&self, addr: A) -> Option<MacAddr> {
        self.slots[self.place(addr)].map(|(_, mac)| mac)
    }

    /// The slot that has `addr`, or the free one where it belongs. There is one, as half of the slots are free.
    #[inline]
    fn place(&self, addr: A) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = (addr.scatter() >> self.shift) as usize;
        while self.slots[at].is_some_and(|(other, _)| other != addr) {
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        net::{Ipv4Addr, Ipv6Addr},
    };

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
        assert_eq!(next_hops.of(Ipv6Addr::LOCALHOST.into()), Some(GATEWAY));
    }

    #[test]
    fn families_have_next_hops_of_their_own() {
        let other = mac(7);
        let next_hops = NextHops::new(Hops::Single(GATEWAY), Hops::Single(other));
        assert_eq!(next_hops.of(Ipv4Addr::LOCALHOST.into()), Some(GATEWAY));
        assert_eq!(next_hops.of(Ipv6Addr::LOCALHOST.into()), Some(other));
        let next_hops = NextHops::new(Hops::None, Hops::Single(other));
        assert_eq!(next_hops.of(Ipv4Addr::LOCALHOST.into()), None);
    }

    fn check_ends<A: Address>(number: impl Fn(u32) -> A) {
        let legs = vec![
            Leg { first: number(0), last: number(9), gateway: Some(GATEWAY) },
            Leg { first: number(10), last: number(19), gateway: None },
            Leg { first: A::LAST, last: A::LAST, gateway: None },
        ];
        let known = [number(0), number(10), number(19), number(20), A::LAST];
        let hosts = known.map(|addr| (addr, mac(addr.widen() as u32)));
        let hops = Hops::table(legs, hosts.into_iter());
        assert_eq!(hops.of(number(0)), Some(GATEWAY));
        assert_eq!(hops.of(number(9)), Some(GATEWAY));
        assert_eq!(hops.of(number(10)), Some(mac(10)));
        assert_eq!(hops.of(number(11)), None);
        assert_eq!(hops.of(number(19)), Some(mac(19)));
        assert_eq!(hops.of(number(20)), None, "outside of the ranges");
        assert_eq!(hops.of(A::LAST), Some(mac(u32::MAX)));
    }

    #[test]
    fn a_table_knows_the_ends_of_its_ranges() {
        check_ends(|low| low);
        check_ends(u128::from);
    }

    #[test]
    fn an_empty_table_knows_nobody() {
        let legs = vec![Leg { first: 0, last: u32::MAX, gateway: None }];
        let hops = Hops::table(legs, Vec::new().into_iter());
        assert_eq!(hops.of(Ipv4Addr::new(198, 18, 0, 1).to_bits()), None);
    }

    /// Every lookup is what a map of all hosts says.
    fn check_map<A: Address>(map: &HashMap<A, MacAddr>, questions: impl Iterator<Item = A>) {
        let legs = vec![Leg { first: A::FIRST, last: A::LAST, gateway: None }];
        let hosts = map.iter().map(|(addr, mac)| (*addr, *mac)).collect::<Vec<_>>();
        let hops = Hops::table(legs, hosts.into_iter());
        for addr in questions.chain(map.keys().copied()) {
            assert_eq!(hops.of(addr), map.get(&addr).copied(), "{addr:?}");
        }
    }

    /// How far the fullest run of slots goes, which is what the slowest lookup costs.
    fn longest_run<A: Address>(hosts: impl Iterator<Item = A>) -> usize {
        let hosts = hosts.map(|addr| (addr, GATEWAY)).collect::<Vec<_>>();
        let table = Hosts::new(hosts.into_iter());
        table.slots.split(Option::is_none).map(<[_]>::len).max().unwrap_or(0)
    }

    /// The ways in which networks number their hosts: in the lowest bits, one host in each of many networks, by EUI-64.
    #[test]
    fn hosts_that_are_alike_are_spread() {
        let net = 0x2001_0db8_u128 << 96;
        let count = 1 << 14;
        assert!(longest_run((0..count).map(|at| net + at)) < 64);
        assert!(longest_run((0..count).map(|at| net + (at << 64) + 1)) < 64);
        assert!(longest_run((0..count).map(|at| net + (at << 80) + 1)) < 64);
        assert!(longest_run((0..count).map(|at| net + 0x0200_00ff_fe00_0000 + at)) < 64);
        assert!(longest_run((0..count).map(|at| net + (at << 48) + (at >> 7 << 64))) < 64);
        assert!(longest_run((0..1_u32 << 14).map(|at| 0xc612_0000 + at)) < 64);
    }

    proptest! {
        /// Near to what is there and far from it.
        #[test]
        fn a_lookup_is_that_of_a_map(
            base: u128,
            hosts in prop::collection::btree_map(0..3_000_u32, any::<u32>(), 0..600),
            far in prop::collection::btree_map(any::<u128>(), any::<u32>(), 0..60),
            questions in prop::collection::vec(any::<u128>(), 100),
        ) {
            let near = hosts.into_iter().map(|(at, low)| (base.wrapping_add(at.into()), mac(low)));
            let map: HashMap<u128, MacAddr> = near.chain(far.into_iter().map(|(addr, low)| (addr, mac(low)))).collect();
            let all = (0..3_100).map(|at| base.wrapping_add(at)).chain(questions).collect::<Vec<_>>();
            check_map(&map, all.iter().copied());
            let map = map.into_iter().map(|(addr, mac)| (addr as u32, mac)).collect();
            check_map(&map, all.into_iter().map(|addr| addr as u32));
        }
    }
}
