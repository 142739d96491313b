//! A range of addresses, as routes have them.

use std::{fmt, net::Ipv4Addr};

/// An IPv4 prefix: the addresses that share their first bits.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Prefix {
    addr: Ipv4Addr,
    len: u8,
}

impl Prefix {
    /// The addresses that share the first `len` bits of `addr`.
    ///
    /// # Panics
    ///
    /// When `len > 32`: prefixes of a lab are constants of a program, not input.
    pub const fn new(addr: [u8; 4], len: u8) -> Self {
        assert!(len <= 32, "a prefix has at most 32 bits");
        let bits = u32::from_be_bytes(addr) & Self::mask(len);
        Self { addr: Ipv4Addr::from_bits(bits), len }
    }

    /// The lowest address.
    pub const fn first(self) -> Ipv4Addr {
        self.addr
    }

    /// The highest address.
    pub const fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.addr.to_bits() | !Self::mask(self.len))
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
    pub const fn contains(self, addr: Ipv4Addr) -> bool {
        addr.to_bits() & Self::mask(self.len) == self.addr.to_bits()
    }

    /// Whether all of `other` lie inside.
    pub const fn covers(self, other: Self) -> bool {
        self.len <= other.len && self.contains(other.addr)
    }

    const fn mask(len: u8) -> u32 {
        match len {
            0 => 0,
            len => u32::MAX << (32 - len),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: Prefix, first: [u8; 4], last: [u8; 4]) {
        assert_eq!((prefix.first(), prefix.last()), (first.into(), last.into()));
        assert!(prefix.contains(prefix.first()) && prefix.contains(prefix.last()));
    }

    #[test]
    fn ends_follow_from_the_length() {
        check(Prefix::new([198, 19, 7, 9], 24), [198, 19, 7, 0], [198, 19, 7, 255]);
        check(Prefix::new([198, 19, 7, 9], 32), [198, 19, 7, 9], [198, 19, 7, 9]);
        check(Prefix::new([198, 19, 7, 9], 0), [0; 4], [255; 4]);
        assert!(!Prefix::new([198, 19, 7, 0], 24).contains([198, 19, 8, 0].into()));
    }

    #[test]
    fn a_prefix_covers_longer_ones_inside_it() {
        let lab = Prefix::new([198, 19, 0, 0], 16);
        assert!(lab.covers(lab) && lab.covers(Prefix::new([198, 19, 255, 0], 24)));
        assert!(!lab.covers(Prefix::new([198, 18, 0, 0], 15)));
        assert!(!lab.covers(Prefix::new([198, 18, 255, 0], 24)));
    }
}
