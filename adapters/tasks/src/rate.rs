//! How many a second, as people write it.

use std::{num::NonZeroU64, str::FromStr};

/// So many a second; never none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PerSecond(pub NonZeroU64);

/// A number that could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a number of frames a second: give one such as 500 or 10k")]
pub struct PerSecondError(String);

/// More than any machine sends.
const MOST: u64 = 1_000_000_000;
/// Digits of a number, and of its fraction: their product with any unit is far from overflow.
const DIGITS: usize = 9;

impl FromStr for PerSecond {
    type Err = PerSecondError;

    /// `500`, `10k` or `1.5M`: times 1,000 and 1,000,000.
    fn from_str(text: &str) -> Result<Self, PerSecondError> {
        read(text).map(Self).ok_or_else(|| PerSecondError(text.chars().take(40).collect()))
    }
}

fn read(text: &str) -> Option<NonZeroU64> {
    let (digits, unit) = match text.char_indices().next_back()? {
        (at, 'k' | 'K') => (&text[..at], 1_000),
        (at, 'm' | 'M') => (&text[..at], 1_000_000),
        _ => (text, 1),
    };
    let whole_and_part = match digits.split_once('.') {
        None => number(digits)? * unit,
        Some((whole, part)) => {
            let tenths =
                10_u64.pow(u32::try_from(part.len()).ok().filter(|_| part.len() <= DIGITS)?);
            // What is less than one is dropped.
            number(whole)? * unit + number(part)? * unit / tenths
        }
    };
    NonZeroU64::new(whole_and_part).filter(|rate| rate.get() <= MOST)
}

fn number(digits: &str) -> Option<u64> {
    let is_plain = digits.len() <= DIGITS && digits.bytes().all(|octet| octet.is_ascii_digit());
    digits.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        for (text, rate) in
            [("500", 500), ("10k", 10_000), ("1.5M", 1_500_000), ("0.5K", 500), ("1000m", MOST)]
        {
            assert_eq!(text.parse(), Ok(PerSecond(NonZeroU64::new(rate).unwrap())), "{text}");
        }
        for wrong in [
            "",
            "0",
            "k",
            "-1",
            "+1",
            "1.",
            ".5k",
            "1e3",
            "10kk",
            "max",
            "1 k",
            "1.0000000001k",
            "0.0001",
            "9999999999",
            "1001M",
            "10\u{212a}",
        ] {
            assert!(wrong.parse::<PerSecond>().is_err(), "{wrong:?}");
        }
    }
}
