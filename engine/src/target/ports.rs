//! The ports of a scan as a set with ranks.

use std::{fmt, str::FromStr};

use super::reciprocal::Divisor;

/// A set of ports, ascending. Port and rank are found from each other in constant time.
#[derive(Clone)]
pub struct Ports {
    list: Vec<u16>,
    /// A bit for each port, or nothing where there is none.
    bits: Box<[u64]>,
    /// How many ports are in the words before each.
    before: Box<[u16]>,
    divisor: Divisor,
}

const WORDS: usize = 1 << 10;

impl Ports {
    /// The set of these ports; duplicates count once.
    fn new(mut list: Vec<u16>) -> Self {
        list.sort_unstable();
        list.dedup();
        let mut bits = vec![0; WORDS].into_boxed_slice();
        for port in &list {
            bits[usize::from(port >> 6)] |= 1 << (port & 63);
        }
        let before = bits
            .iter()
            .scan(0_u32, |sum, word: &u64| {
                let before = *sum as u16; // at most 65,536 - 64 stand before the last word
                *sum += word.count_ones();
                Some(before)
            })
            .collect();
        let divisor = Divisor::new(list.len() as u64);
        Self { list, bits, before, divisor }
    }

    /// How many there are, at most 65,536.
    pub fn len(&self) -> u32 {
        self.list.len() as u32
    }

    /// Whether there are none: every target names its own port then.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The ports, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = u16> {
        self.list.iter().copied()
    }

    /// Whether `port` is one of them.
    pub fn contains(&self, port: u16) -> bool {
        self.rank(port).is_some()
    }

    /// How many ports of the set are below `port`, if `port` is in it.
    #[inline]
    pub(super) fn rank(&self, port: u16) -> Option<u32> {
        let (word, bit) = (usize::from(port >> 6), 1 << (port & 63));
        let bits = self.bits[word];
        (bits & bit != 0).then(|| u32::from(self.before[word]) + (bits & (bit - 1)).count_ones())
    }

    /// Cuts an index of addresses times ports: the rank of the address, and the port.
    #[inline]
    pub(super) fn split(&self, index: u128) -> (u128, u16) {
        let (rank, port) = match u64::try_from(index) {
            Ok(index) => {
                let (rank, port) = self.divisor.div_rem(index);
                (rank.into(), port)
            }
            Err(_) => {
                let count = u128::from(self.divisor.get());
                (index / count, (index % count) as u64)
            }
        };
        (rank, self.list[port as usize])
    }
}

impl Default for Ports {
    /// No ports.
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ports({self})")
    }
}

impl fmt::Display for Ports {
    /// As it can be read again, runs as ranges: `22,80-82,443`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, run) in self.list.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match run {
                // A range may not begin with 0, which has to be named.
                [0, first, .., last] => write!(f, "{comma}0,{first}-{last}")?,
                [0, rest @ ..] => {
                    rest.iter().try_fold(write!(f, "{comma}0")?, |(), port| write!(f, ",{port}"))?
                }
                [only] => write!(f, "{comma}{only}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl Eq for Ports {}

impl PartialEq for Ports {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl FromStr for Ports {
    type Err = PortsError;

    /// A comma list of ports and ranges, or `-` for all from 1 to 65535. Duplicates count once.
    ///
    /// Port 0 is reserved (RFC 6335, section 6) and more often a slip than meant, so it counts only where it is named by
    /// itself: `0` and `0,80` are taken, `0-80` is refused, `-` leaves it out.
    fn from_str(text: &str) -> Result<Self, PortsError> {
        let mut list = Vec::new();
        for word in text.split(',').map(str::trim) {
            let wrong = |reason| PortsError { text: word.chars().take(60).collect(), reason };
            let (first, last) = match word.split_once('-') {
                None => number(word)
                    .map(|port| (port, port))
                    .ok_or_else(|| wrong("is not a port from 0 to 65535"))?,
                Some(("", "")) => (1, u16::MAX),
                Some((first, last)) => {
                    let both = number(first).zip(number(last));
                    both.ok_or_else(|| wrong("is not a range FIRST-LAST of ports up to 65535"))?
                }
            };
            if first > last {
                return Err(wrong("is a range that ends before it starts"));
            }
            if first == 0 && last > 0 {
                return Err(wrong(
                    "begins with the reserved port 0, which counts only where it is named by itself",
                ));
            }
            list.extend(first..=last);
        }
        Ok(Self::new(list))
    }
}

impl Ports {
    /// The ports of both.
    pub(super) fn union(mut self, other: Self) -> Self {
        self.list.extend(other.list);
        Self::new(self.list)
    }
}

/// A decimal number up to 65,535 and nothing around it: `parse` alone would take a sign.
pub(super) fn number(digits: &str) -> Option<u16> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A list of ports that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("ports: {text:?} {reason}: give a list like 80,443,8000-8100, or - for all")]
pub struct PortsError {
    text: String,
    reason: &'static str,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[u16]) {
        assert_eq!(text.parse::<Ports>().unwrap().list, expected, "{text}");
    }

    #[track_caller]
    fn check_wrong(text: &str, expected: &str) {
        let error = text.parse::<Ports>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn lists_and_ranges() {
        check("80", &[80]);
        check("443,80", &[80, 443]);
        check("80, 443", &[80, 443]);
        check("80,80,79-81", &[79, 80, 81]);
        check("65535", &[65_535]);
        check("-", &(1..=65_535).collect::<Vec<_>>());
    }

    #[test]
    fn port_0_counts_only_where_it_is_named() {
        check("0", &[0]);
        check("0,80", &[0, 80]);
        check("0-0", &[0]);
        check("0,-", &(0..=65_535).collect::<Vec<_>>());
        check_wrong("0-80", "reserved port 0");
    }

    #[test]
    fn errors_name_the_word_and_the_mend() {
        check_wrong("80,http", "\"http\" is not a port");
        check_wrong("80-70", "\"80-70\" is a range that ends before");
        for text in ["", "80,", "65536", "+80", "80:90", "-1", "1-", "1-2-3", "--", "99999999999"] {
            check_wrong(text, "give a list like 80,443");
        }
    }

    #[test]
    fn the_empty_set_divides_nothing_by_zero() {
        let none = Ports::default();
        assert_eq!(
            (none.len(), none.is_empty(), none.contains(0), none.to_string()),
            (0, true, false, String::new())
        );
    }

    proptest! {
        #[test]
        fn ranks_are_places(list in prop::collection::vec(any::<u16>(), 1..300), rank in 0..u128::MAX >> 17) {
            let ports = Ports::new(list.clone());
            for (at, port) in ports.iter().enumerate() {
                prop_assert_eq!(ports.rank(port), Some(at as u32));
                for rank in [rank, rank >> 70] {
                    let index = rank * u128::from(ports.len()) + at as u128;
                    prop_assert_eq!(ports.split(index), (rank, port));
                }
            }
            for port in 0..=u16::MAX {
                prop_assert_eq!(ports.contains(port), list.contains(&port));
            }
        }

        #[test]
        fn what_is_shown_is_read_again(list in prop::collection::vec(prop_oneof![0..20_u16, any::<u16>()], 1..40)) {
            let ports = Ports::new(list);
            prop_assert_eq!(ports.to_string().parse::<Ports>(), Ok(ports));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,20}|[0-9,-]{0,20}") {
            let _ = text.parse::<Ports>();
        }
    }
}
