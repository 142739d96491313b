//! What routes and neighbours need of the addresses of either family.

use std::{
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_route::AddressFamily;

use crate::{link::interface::Interface, target::Targets};

/// An address as a number: `u32` of IPv4, `u128` of IPv6.
pub(super) trait Address: Copy + fmt::Debug + Hash + Ord + 'static {
    /// The lowest.
    const FIRST: Self;
    /// The highest.
    const LAST: Self;
    /// How many bits it has.
    const BITS: u8;
    const FAMILY: AddressFamily;
    /// The family in the words of an error.
    const NAME: &'static str;
    /// Addresses, first to last, that mean no single host whatever the tables say.
    const GROUPS: &'static [(Self, Self)];

    fn widen(self) -> u128;
    /// The lowest bits of a number.
    fn narrow(wide: u128) -> Self;
    /// The address; `None` for one of the other family.
    fn of(ip: IpAddr) -> Option<Self>;
    fn ip(self) -> IpAddr;
    /// The addresses of the targets, ascending and disjoint.
    fn ranges(targets: &Targets) -> Box<dyn Iterator<Item = (Self, Self)> + '_>;
    /// The addresses of an interface that may be sent from.
    fn all_of(interface: &Interface) -> Vec<Self>;
    /// The one of them that suits `to` best.
    fn best_of(interface: &Interface, to: Self) -> Option<Self>;
    /// Prefixes at whose ends the kernel's choice among the addresses of an interface may change, though the route does not.
    fn source_bounds(interface: &Interface) -> Vec<(Self, Self)>;
    /// A number whose highest bits differ between addresses that are alike.
    fn scatter(self) -> u64;

    fn is_group(self) -> bool {
        Self::GROUPS.iter().any(|(first, last)| (*first..=*last).contains(&self))
    }

    /// The first and the last address of the prefix of `len` bits that has `addr` in it.
    fn prefix(addr: Self, len: u8) -> (Self, Self) {
        let host_bits = Self::LAST.widen().checked_shr(len.into()).unwrap_or(0);
        (Self::narrow(addr.widen() & !host_bits), Self::narrow(addr.widen() | host_bits))
    }

    /// The address behind this one.
    fn next(self) -> Option<Self> {
        (self < Self::LAST).then(|| Self::narrow(self.widen() + 1))
    }
}

/// 2^64 less its golden section: odd, and its multiples spread well (Knuth, The Art of Computer Programming 3, 6.4).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Address for u32 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;
    const BITS: u8 = 32;
    const FAMILY: AddressFamily = AddressFamily::Inet;
    const NAME: &'static str = "IPv4";
    /// RFC 1122, section 3.2.1.3; RFC 5771.
    const GROUPS: &'static [(Self, Self)] =
        &[(0, 0), (0xe000_0000, 0xefff_ffff), (Self::MAX, Self::MAX)];

    #[inline]
    fn widen(self) -> u128 {
        self.into()
    }

    #[inline]
    fn narrow(wide: u128) -> Self {
        wide as Self
    }

    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(addr) => Some(addr.to_bits()),
            IpAddr::V6(_) => None,
        }
    }

    fn ip(self) -> IpAddr {
        Ipv4Addr::from_bits(self).into()
    }

    fn ranges(targets: &Targets) -> Box<dyn Iterator<Item = (Self, Self)> + '_> {
        Box::new(targets.v4_ranges().map(|(first, last)| (first.to_bits(), last.to_bits())))
    }

    fn all_of(interface: &Interface) -> Vec<Self> {
        interface.v4().iter().map(|(addr, _)| addr.to_bits()).collect()
    }

    fn best_of(interface: &Interface, _: Self) -> Option<Self> {
        interface.v4().first().map(|(addr, _)| addr.to_bits())
    }

    /// It follows from the route alone.
    fn source_bounds(_: &Interface) -> Vec<(Self, Self)> {
        Vec::new()
    }

    #[inline]
    fn scatter(self) -> u64 {
        u64::from(self).wrapping_mul(GOLDEN)
    }
}

/// Prefixes with a scope (RFC 4291, section 2.5.6; RFC 3879) or a label (RFC 6724, section 2.1) of their own.
const SCOPES_AND_LABELS: [(u128, u8); 10] = [
    (1, 128),
    (0, 96),
    (0xffff << 32, 96),
    (0x2001 << 112, 32),
    (0x2001_0010 << 96, 28),
    (0x2002 << 112, 16),
    (0x3ffe << 112, 16),
    (0xfc << 120, 7),
    (0xfe80 << 112, 10),
    (0xfec0 << 112, 10),
];

impl Address for u128 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;
    const BITS: u8 = 128;
    const FAMILY: AddressFamily = AddressFamily::Inet6;
    const NAME: &'static str = "IPv6";
    /// RFC 4291, sections 2.5.2 and 2.7.
    const GROUPS: &'static [(Self, Self)] = &[(0, 0), (0xff << 120, Self::MAX)];

    #[inline]
    fn widen(self) -> u128 {
        self
    }

    #[inline]
    fn narrow(wide: u128) -> Self {
        wide
    }

    fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(addr) => Some(addr.to_bits()),
        }
    }

    fn ip(self) -> IpAddr {
        Ipv6Addr::from_bits(self).into()
    }

    fn ranges(targets: &Targets) -> Box<dyn Iterator<Item = (Self, Self)> + '_> {
        Box::new(targets.v6_ranges().map(|(first, last)| (first.to_bits(), last.to_bits())))
    }

    fn all_of(interface: &Interface) -> Vec<Self> {
        interface.v6().iter().map(|(addr, _)| addr.to_bits()).collect()
    }

    fn best_of(interface: &Interface, to: Self) -> Option<Self> {
        interface.source_v6(Ipv6Addr::from_bits(to)).map(Ipv6Addr::to_bits)
    }

    /// It follows from the destination's scope, label and common prefix with each address (RFC 6724, section 5), of which the
    /// kernel compares no more than the network's. Labels are those of section 2.1; `ip addrlabel` may add some.
    fn source_bounds(interface: &Interface) -> Vec<(Self, Self)> {
        let lens = interface
            .v6()
            .iter()
            .flat_map(|(addr, len)| (1..=*len).map(|len| Self::prefix(addr.to_bits(), len)));
        lens.chain(SCOPES_AND_LABELS.iter().map(|(addr, len)| Self::prefix(*addr, *len))).collect()
    }

    /// Networks differ in the upper half and hosts in the lower, so neither may cancel the other out.
    #[inline]
    fn scatter(self) -> u64 {
        let both = (self as u64) ^ ((self >> 64) as u64).wrapping_mul(GOLDEN);
        (both ^ both >> 32).wrapping_mul(GOLDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_their_ends() {
        let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap().to_bits();
        assert_eq!(u32::prefix(v4("198.18.7.9"), 24), (v4("198.18.7.0"), v4("198.18.7.255")));
        assert_eq!(u32::prefix(v4("198.18.7.9"), 32), (v4("198.18.7.9"), v4("198.18.7.9")));
        assert_eq!(u32::prefix(v4("198.18.7.9"), 0), (0, u32::MAX));
        let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap().to_bits();
        assert_eq!(u128::prefix(v6("2001:db8::9"), 127), (v6("2001:db8::8"), v6("2001:db8::9")));
        assert_eq!(u128::prefix(v6("2001:db8::9"), 128), (v6("2001:db8::9"), v6("2001:db8::9")));
        assert_eq!(u128::prefix(v6("2001:db8::9"), 0), (0, u128::MAX));
        assert_eq!(u32::prefix(7, 99), (7, 7), "a length that cannot be is all bits");
    }

    #[test]
    fn groups_are_no_hosts() {
        for group in ["0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            assert!(u32::of(group.parse().unwrap()).unwrap().is_group(), "{group}");
        }
        for group in ["::", "ff02::1", "ff0e::1"] {
            assert!(u128::of(group.parse().unwrap()).unwrap().is_group(), "{group}");
        }
        for host in ["0.0.0.1", "223.255.255.255", "240.0.0.0"] {
            assert!(!u32::of(host.parse().unwrap()).unwrap().is_group(), "{host}");
        }
        for host in ["::1", "fe80::1", "2001:db8::"] {
            assert!(!u128::of(host.parse().unwrap()).unwrap().is_group(), "{host}");
        }
        assert_eq!(
            (u32::of("::1".parse().unwrap()), u128::of([198, 18, 0, 1].into())),
            (None, None)
        );
    }
}
