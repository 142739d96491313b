//! A range of IPv6 addresses, as routes have them.

use std::{fmt, net::Ipv6Addr};

/// An IPv6 prefix: the addresses that share their first bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix6 {
    addr: Ipv6Addr,
    len: u8,
}

impl Prefix6 {
    /// The addresses that share the first `len` bits of `addr`.
    ///
    /// # Panics
    ///
    /// When `len > 128`: prefixes of a lab are constants of a program, not input.
    pub const fn new(addr: [u16; 8], len: u8) -> Self {
        assert!(len <= 128, "an IPv6 prefix has at most 128 bits");
        let [a, b, c, d, e, f, g, h] = addr;
        let bits = Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits() & Self::mask(len);
        Self { addr: Ipv6Addr::from_bits(bits), len }
    }

    /// The lowest address.
    pub const fn first(self) -> Ipv6Addr {
        self.addr
    }

    /// The highest address.
    pub const fn last(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.addr.to_bits() | !Self::mask(self.len))
    }

    /// How many leading bits the addresses share.
    #[expect(
        clippy::len_without_is_empty,
        reason = "the length of a prefix in bits: none is empty"
    )]
    pub const fn len(self) -> u8 {
        self.len
    }

    /// Whether `addr` is one of them.
    pub const fn contains(self, addr: Ipv6Addr) -> bool {
        addr.to_bits() & Self::mask(self.len) == self.addr.to_bits()
    }

    /// Whether all of `other` lie inside.
    pub const fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.addr)
    }

    const fn mask(len: u8) -> u128 {
        match len {
            0 => 0,
            len => u128::MAX << (128 - len),
        }
    }
}

impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAB: [u16; 8] = [0x2001, 0xdb8, 1, 0, 7, 0, 0, 9];

    #[test]
    fn ends_follow_from_the_length() {
        for (len, first, last) in [
            (64, "2001:db8:1::", "2001:db8:1:0:ffff:ffff:ffff:ffff"),
            (80, "2001:db8:1:0:7::", "2001:db8:1:0:7:ffff:ffff:ffff"),
            (128, "2001:db8:1:0:7::9", "2001:db8:1:0:7::9"),
            (0, "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            let prefix = Prefix6::new(LAB, len);
            assert_eq!(
                (prefix.first().to_string(), prefix.last().to_string()),
                (first.into(), last.into())
            );
            assert!(prefix.contains(prefix.first()) && prefix.contains(prefix.last()));
        }
        assert_eq!(Prefix6::new(LAB, 80).to_string(), "2001:db8:1:0:7::/80");
    }

    #[test]
    fn a_prefix_covers_longer_ones_inside_it() {
        let (wide, narrow) = (Prefix6::new(LAB, 64), Prefix6::new(LAB, 80));
        assert!(wide.covers(wide) && wide.covers(narrow) && !narrow.covers(wide));
        assert!(!wide.covers(Prefix6::new([0x2001, 0xdb8, 2, 0, 0, 0, 0, 0], 80)));
    }
}
