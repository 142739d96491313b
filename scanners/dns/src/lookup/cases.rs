//! The letters of a name as we send them: in a case that only who saw the query knows (draft-vixie-dnsext-dns0x20).
//!
//! One bit a letter, from a keyed hash of the source port and the id, so that it is known again when the answer comes and nothing
//! is kept. A resolver that does not give letters back as it got them is told apart by the pool and asked in the case of the
//! input from then on.

use siphasher::sip::SipHasher13;

/// Draws the case of letters. See the [module](self).
#[derive(Clone)]
pub(super) struct Cases {
    hash: SipHasher13,
}

impl Cases {
    pub(super) fn new(key: (u64, u64)) -> Self {
        Self { hash: SipHasher13::new_with_keys(key.0, key.1) }
    }

    /// Which letters of the query from `port` with `id` are flipped: bit `i` says it of the `i`-th, modulo 64.
    #[inline]
    pub(super) fn of(&self, port: u16, id: u16) -> u64 {
        self.hash.hash(&(u32::from(port) << 16 | u32::from(id)).to_le_bytes())
    }

    /// What a SYN from `port` to ask for `id` carries besides the id, so that its sequence number proves all of it.
    pub(super) fn of_syn(&self, port: u16, id: u16) -> u16 {
        // Of another length than the above, so of another hash.
        self.hash.hash(&(u64::from(port) << 16 | u64::from(id)).to_le_bytes()) as u16
    }
}

impl std::fmt::Debug for Cases {
    /// Never shows the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cases(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_and_id_has_bits_of_its_own() {
        let cases = Cases::new((1, 2));
        assert_eq!(cases.of(1_024, 7), cases.of(1_024, 7));
        let mut all: Vec<u64> =
            (0..1_000).flat_map(|n| [cases.of(n, 7), cases.of(9_999, n)]).collect();
        let ones: u32 = all.iter().map(|bits| bits.count_ones()).sum();
        assert!(ones.abs_diff(64_000) < 1_000, "{ones} of 128,000 letters are flipped");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2_000);
        assert_ne!(Cases::new((1, 3)).of(1_024, 7), cases.of(1_024, 7));
        assert_ne!(cases.of_syn(1_024, 7), cases.of(1_024, 7) as u16);
    }
}
