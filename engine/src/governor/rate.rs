//! How many frames a second, as people write it.

use std::{fmt, num::NonZeroU64, str::FromStr};

/// Frames a second, all classes together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rate {
    /// As fast as the link takes them.
    Max,
    /// At most this many.
    PerSecond(NonZeroU64),
}

impl Rate {
    /// The lower of this rate and `limit` a second.
    #[must_use]
    pub fn capped(self, limit: NonZeroU64) -> Self {
        match self {
            Self::Max => Self::PerSecond(limit),
            Self::PerSecond(rate) => Self::PerSecond(rate.min(limit)),
        }
    }

    /// The number of frames a second, `None` for [`Rate::Max`].
    pub fn per_second(self) -> Option<NonZeroU64> {
        match self {
            Self::Max => None,
            Self::PerSecond(rate) => Some(rate),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::PerSecond(rate) => rate.fmt(f),
        }
    }
}

/// A rate that could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a rate: give frames a second such as 500, 10k or 1.5M, or max")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    /// `500`, `10k`, `1.5M` (times 1,000 and 1,000,000) or `max`.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.to_owned());
        if text.eq_ignore_ascii_case("max") {
            return Ok(Self::Max);
        }
        let (digits, unit) = match text.char_indices().next_back() {
            Some((at, 'k' | 'K')) => (&text[..at], 1_000),
            Some((at, 'm' | 'M')) => (&text[..at], 1_000_000),
            _ => (text, 1),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let number = |s: &str| match s {
            s if s.bytes().all(|b| b.is_ascii_digit()) && s.len() <= 9 => {
                s.parse::<u64>().map_err(|_| error())
            }
            _ => Err(error()),
        };
        let fraction = match part {
            "" if digits.ends_with('.') => return Err(error()),
            "" => 0,
            part => number(part)? * unit / 10_u64.pow(part.len() as u32),
        };
        NonZeroU64::new(number(whole)? * unit + fraction)
            .filter(|rate| rate.get() <= MAX_RATE)
            .map(Self::PerSecond)
            .ok_or_else(error)
    }
}

/// The highest rate that can be asked for: above it a frame would be due every fraction of a nanosecond.
const MAX_RATE: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_people_write_them() {
        let per_second = |n| Ok(Rate::PerSecond(NonZeroU64::new(n).unwrap()));
        assert_eq!("500".parse(), per_second(500));
        assert_eq!("10k".parse(), per_second(10_000));
        assert_eq!("1.5M".parse(), per_second(1_500_000));
        assert_eq!("0.5k".parse(), per_second(500));
        assert_eq!("MAX".parse(), Ok(Rate::Max));
        for wrong in [
            "",
            "0",
            "k",
            "-1",
            "1.",
            "1e3",
            "10kk",
            "fast",
            "1.0000000001k",
            "9999999999",
            "2000M",
        ] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
    }
}
