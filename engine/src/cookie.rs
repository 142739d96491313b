//! What makes a reply ours without memory: a keyed hash of the connection, carried in the sequence number.
//!
//! SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) over the 4-tuple, with a key that the
//! operating system gives for each scan. Never the seed of the permutation: a published seed would let anyone forge
//! answers. A forger who does not see our probes is right once in 2^32 tries.
//!
//! The low 32 bits are the sequence number. The other half is free for what should look random and need not be
//! checked: the IP identification, a flow label, a timestamp.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The secret of one scan, and the function it keys.
#[derive(Clone)]
pub struct Cookie {
    /// The initial state: the key, and the constants of the algorithm.
    state: [u64; 4],
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
        let [k0, k1] = [word(&key[..8]), word(&key[8..])];
        let [v0, v1] = [k0 ^ 0x736f_6d65_7073_6575, k1 ^ 0x646f_7261_6e64_6f6d];
        Self { state: [v0, v1, k0 ^ 0x6c79_6765_6e65_7261, k1 ^ 0x7465_6462_7974_6573] }
    }

    /// The initial state, for a program of the kernel that computes the same.
    pub(crate) fn state(&self) -> [u64; 4] {
        self.state
    }

    /// The 64 bits of the connection between `ours` and `theirs`.
    #[inline]
    pub fn v4(&self, ours: (Ipv4Addr, u16), theirs: (Ipv4Addr, u16)) -> u64 {
        let mut tuple = [0; 12];
        tuple[0..4].copy_from_slice(&theirs.0.octets());
        tuple[4..8].copy_from_slice(&ours.0.octets());
        tuple[8..10].copy_from_slice(&theirs.1.to_be_bytes());
        tuple[10..12].copy_from_slice(&ours.1.to_be_bytes());
        self.hash(&tuple)
    }

    /// [`v4`](Self::v4) for IPv6. A tuple is never one of the other family, since the hash covers the length too.
    #[inline]
    pub fn v6(&self, ours: (Ipv6Addr, u16), theirs: (Ipv6Addr, u16)) -> u64 {
        let mut tuple = [0; 36];
        tuple[0..16].copy_from_slice(&theirs.0.octets());
        tuple[16..32].copy_from_slice(&ours.0.octets());
        tuple[32..34].copy_from_slice(&theirs.1.to_be_bytes());
        tuple[34..36].copy_from_slice(&ours.1.to_be_bytes());
        self.hash(&tuple)
    }

    /// SipHash-2-4 of an input whose length is known when this is compiled: one word after the other without a branch, which
    /// takes half the time of a hasher that takes its input in parts.
    #[inline]
    fn hash<const N: usize>(&self, input: &[u8; N]) -> u64 {
        let mut v = self.state;
        let (words, rest) = input.as_chunks::<8>();
        for bytes in words {
            compress(&mut v, u64::from_le_bytes(*bytes));
        }
        compress(&mut v, word(rest) | (N as u64) << 56);
        v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

/// At most eight octets as a number, the first the lowest.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[inline]
fn compress(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

/// SipRound, figure 2.1 of the paper.
#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[2] = v[2].wrapping_add(v[3]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].rotate_left(32).wrapping_add(v[3]);
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].rotate_left(32);
}

impl std::fmt::Debug for Cookie {
    /// Never shows the key: a log with it would let its reader forge answers.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookie(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use siphasher::sip::SipHasher24;

    use super::*;

    const OURS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 1), 61_000);
    const THEIRS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 19, 0, 7), 443);

    proptest! {
        /// The crate that does it for inputs of any length is the oracle.
        #[test]
        fn it_is_siphash_2_4(key: [u8; 16], ours: (Ipv4Addr, u16), theirs: (Ipv4Addr, u16)) {
            let (cookie, oracle) = (Cookie::from_key(&key), SipHasher24::new_with_key(&key));
            let octets = |addr: Ipv4Addr| addr.to_ipv6_mapped().octets();
            let ports = [theirs.1.to_be_bytes(), ours.1.to_be_bytes()].concat();
            let v4 = [&theirs.0.octets()[..], &ours.0.octets(), &ports].concat();
            prop_assert_eq!(cookie.v4(ours, theirs), oracle.hash(&v4));
            let v6 = [&octets(theirs.0)[..], &octets(ours.0), &ports].concat();
            let mapped = |(addr, port): (Ipv4Addr, u16)| (addr.to_ipv6_mapped(), port);
            prop_assert_eq!(cookie.v6(mapped(ours), mapped(theirs)), oracle.hash(&v6));
        }
    }

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
