//! Sequence numbers, which wrap (RFC 9293, section 3.4).

/// The number of an octet of a stream, modulo 2^32. There is no order on a circle, so two of them are compared by how far they
/// lie apart and nothing else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seq(pub(super) u32);

impl Seq {
    /// The number `n` octets on.
    #[inline]
    pub(super) fn plus(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }

    /// How many octets this lies after `origin`, or before it if negative: true for any two within 2^31 of each other.
    #[inline]
    pub(super) fn after(self, origin: Self) -> i32 {
        self.0.wrapping_sub(origin.0) as i32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn distances_are_the_same_all_around_the_circle(origin: u32, distance: i32) {
            let there = Seq(origin).plus(distance as u32);
            prop_assert_eq!(there.after(Seq(origin)), distance);
            if distance != i32::MIN {
                prop_assert_eq!(Seq(origin).after(there), -distance);
            }
        }

        #[test]
        fn going_on_adds_up(origin: u32, first in 0_u32..1 << 30, second in 0_u32..1 << 30) {
            let there = Seq(origin).plus(first).plus(second);
            prop_assert_eq!(there.after(Seq(origin)), (first + second) as i32);
            prop_assert_eq!(there.after(Seq(origin).plus(first)), second as i32);
        }
    }

    #[test]
    fn zero_is_after_the_largest_number() {
        assert_eq!(Seq(0).after(Seq(u32::MAX)), 1);
        assert_eq!(Seq(u32::MAX).after(Seq(0)), -1);
    }
}
