//! Division by a number that stays the same, without the division instruction.

/// A divisor with its reciprocal.
///
/// With `m = floor((2^64 - 1) / d)`, which is at least `(2^64 - d) / d`, the high half of `x * m` is at most `x / d` and more
/// than `x / d - 2`: it is the quotient or one less, and one comparison of the remainder tells which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    divisor: u64,
    reciprocal: u64,
}

impl Divisor {
    /// Divides by `divisor`; by 1 when it is 0, so that an empty set of ports divides nothing by zero.
    pub(super) const fn new(divisor: u64) -> Self {
        let divisor = if divisor == 0 { 1 } else { divisor };
        Self { divisor, reciprocal: u64::MAX / divisor }
    }

    /// The number divided by.
    pub(super) const fn get(self) -> u64 {
        self.divisor
    }

    /// Quotient and remainder.
    #[inline]
    pub(super) const fn div_rem(self, x: u64) -> (u64, u64) {
        let quotient = ((x as u128 * self.reciprocal as u128) >> 64) as u64;
        let remainder = x - quotient * self.divisor;
        if remainder >= self.divisor {
            (quotient + 1, remainder - self.divisor)
        } else {
            (quotient, remainder)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(x: u64, divisor: u64) {
        let expected = (x / divisor, x % divisor);
        assert_eq!(Divisor::new(divisor).div_rem(x), expected, "{x} / {divisor}");
    }

    #[test]
    fn it_agrees_with_the_instruction_around_every_edge() {
        let edges = [1, 2, 3, 0xffff, 0x1_0000, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX];
        for divisor in edges {
            for times in [0, 1, 2, u64::MAX / divisor / 2, u64::MAX / divisor] {
                let multiple = divisor.saturating_mul(times);
                for x in [multiple.wrapping_sub(1), multiple, multiple.saturating_add(1), u64::MAX]
                {
                    check(x, divisor);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_instruction(x: u64, divisor in 1..=u64::MAX, shift in 0..64_u32) {
            check(x, (divisor >> shift).max(1));
        }
    }
}
