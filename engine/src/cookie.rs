//! What makes a reply ours without memory: a keyed hash of the connection, carried in the sequence number.
//!
//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) over the 4-tuple, with a key that the
//! operating system gives for each scan. Never the seed of the permutation: a published seed would let anyone forge
//! answers. A forger who does not see our probes is right once in 2^32 tries.
//!
//! The low 32 bits are the sequence number. The other half is free for what should look random and need not be
//! checked: the IP identification, a flow label, a timestamp.

use std::net::{Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher24;

/// The secret of one scan, and the function it keys.
#[derive(Clone)]
pub struct Cookie {
    hasher: SipHasher24,
}

impl Cookie {
    /// A fresh key from the operating system.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give, which Linux reports only very early after boot.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        Ok(Self::from_key(&key))
    }

    /// A known key: for the simulated world, whose runs must repeat.
    pub fn from_key(key: &[u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(key) }
    }

    /// The 64 bits of the connection between `ours` and `theirs`.
    #[inline]
    pub fn v4(&self, ours: (Ipv4Addr, u16), theirs: (Ipv4Addr, u16)) -> u64 {
        let mut tuple = [0; 12];
        tuple[0..4].copy_from_slice(&theirs.0.octets());
        tuple[4..8].copy_from_slice(&ours.0.octets());
        tuple[8..10].copy_from_slice(&theirs.1.to_be_bytes());
        tuple[10..12].copy_from_slice(&ours.1.to_be_bytes());
        self.hasher.hash(&tuple)
    }

    /// [`v4`](Self::v4) for IPv6. A tuple is never one of the other family, since the hash covers the length too.
    #[inline]
    pub fn v6(&self, ours: (Ipv6Addr, u16), theirs: (Ipv6Addr, u16)) -> u64 {
        let mut tuple = [0; 36];
        tuple[0..16].copy_from_slice(&theirs.0.octets());
        tuple[16..32].copy_from_slice(&ours.0.octets());
        tuple[32..34].copy_from_slice(&theirs.1.to_be_bytes());
        tuple[34..36].copy_from_slice(&ours.1.to_be_bytes());
        self.hasher.hash(&tuple)
    }
}

impl std::fmt::Debug for Cookie {
    /// Never shows the key: a log with it would let its reader forge answers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 1), 61_000);
    const THEIRS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 19, 0, 7), 443);

    #[test]
    fn every_part_of_the_tuple_and_the_key_matter() {
        let cookie = Cookie::from_key(&[1; 16]);
        let base = cookie.v4(OURS, THEIRS);
        assert_eq!(base, cookie.v4(OURS, THEIRS));
        let others = [
            cookie.v4((OURS.0, 61_001), THEIRS),
            cookie.v4((Ipv4Addr::new(198, 18, 0, 2), OURS.1), THEIRS),
            cookie.v4(OURS, (THEIRS.0, 444)),
            cookie.v4(OURS, (Ipv4Addr::new(198, 19, 0, 8), THEIRS.1)),
            cookie.v4(THEIRS, OURS),
            Cookie::from_key(&[2; 16]).v4(OURS, THEIRS),
        ];
        for other in others {
            assert_ne!(base as u32, other as u32);
        }
    }

    #[test]
    fn every_part_of_an_ipv6_tuple_matters() {
        let addr = |last| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last);
        let (ours, theirs) = ((addr(1), 61_000), (addr(7), 443));
        let cookie = Cookie::from_key(&[1; 16]);
        let base = cookie.v6(ours, theirs);
        assert_eq!(base, cookie.v6(ours, theirs));
        for bit in 0..128 {
            let flipped = |addr: Ipv6Addr| Ipv6Addr::from_bits(addr.to_bits() ^ 1 << bit);
            assert_ne!(base as u32, cookie.v6((flipped(ours.0), ours.1), theirs) as u32);
            assert_ne!(base as u32, cookie.v6(ours, (flipped(theirs.0), theirs.1)) as u32);
        }
        assert_ne!(base as u32, cookie.v6((ours.0, 61_001), theirs) as u32);
        assert_ne!(base as u32, cookie.v6(ours, (theirs.0, 444)) as u32);
        assert_ne!(base as u32, cookie.v6(theirs, ours) as u32);
    }

    /// The vector of the SipHash paper's reference program for a message of 12 octets (key 00..0f, message 00..0b).
    #[test]
    fn is_siphash_2_4_over_the_tuple_in_network_order() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let theirs = (Ipv4Addr::new(0, 1, 2, 3), 0x0809);
        let ours = (Ipv4Addr::new(4, 5, 6, 7), 0x0a0b);
        assert_eq!(Cookie::from_key(&key).v4(ours, theirs), 0x751e_8fbc_860e_e5fb);
    }

    /// The same program's vector for 36 octets (00..23).
    #[test]
    fn is_siphash_2_4_over_an_ipv6_tuple_too() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let addr = |first: u8| Ipv6Addr::from(std::array::from_fn(|i| first + i as u8));
        let (theirs, ours) = ((addr(0), 0x2021), (addr(16), 0x2223));
        assert_eq!(Cookie::from_key(&key).v6(ours, theirs), 0x314d_ffbe_0815_a3b4);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", Cookie::from_key(&[7; 16])), "Cookie(..)");
    }
}
