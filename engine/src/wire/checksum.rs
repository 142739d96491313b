//! The checksum of IPv4, ICMP, UDP and TCP (RFC 1071).
//!
//! It is a sum of 16-bit words in ones' complement: order does not matter, so a constant part is summed once and what
//! changes is added to it (RFC 1071, section 2, point 4).

/// A sum under way. It holds 65,536 words without an overflow, more than any packet has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sum(u32);

impl Sum {
    /// The sum of `bytes`, the last of an odd number as the high half of a word.
    pub fn of(bytes: &[u8]) -> Self {
        let (words, odd) = bytes.as_chunks::<2>();
        let sum = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>();
        Self(sum + odd.first().map_or(0, |octet| u32::from(*octet) << 8))
    }

    /// This and one word.
    #[inline]
    #[must_use]
    pub fn word(self, word: u16) -> Self {
        Self(self.0 + u32::from(word))
    }

    /// This and the two words of `words`.
    #[inline]
    #[must_use]
    pub fn words(self, words: u32) -> Self {
        Self(self.0 + (words >> 16) + (words & 0xffff))
    }

    /// This and `other`.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// What stands in the header: the complement of the folded sum.
    #[inline]
    pub fn checksum(self) -> u16 {
        let folded = (self.0 >> 16) + (self.0 & 0xffff);
        !((folded + (folded >> 16)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_rfc_holds() {
        // RFC 1071, section 3: the sum is ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).checksum(), !0xddf2);
    }

    proptest! {
        #[test]
        fn etherparse_sums_alike(bytes in prop::collection::vec(any::<u8>(), 0..1_600)) {
            let theirs = etherparse::checksum::Sum16BitWords::new().add_slice(&bytes).ones_complement().to_be();
            prop_assert_eq!(Sum::of(&bytes).checksum(), theirs);
        }

        #[test]
        fn parts_sum_to_the_whole(head in prop::collection::vec(any::<[u8; 2]>(), 0..40), word: u16, words: u32) {
            let head = head.concat();
            let whole = [&head[..], &word.to_be_bytes(), &words.to_be_bytes()].concat();
            prop_assert_eq!(Sum::of(&head).word(word).words(words).checksum(), Sum::of(&whole).checksum());
            prop_assert_eq!(Sum::of(&head).and(Sum::of(&whole[head.len()..])).checksum(), Sum::of(&whole).checksum());
        }
    }
}
