//! What the program takes, and how that is told to it.
//!
//! ```text
//! Take  ->  Words: one constant of receive.bpf.c, `take`, written before it is loaded
//! ```
//!
//! The verifier then knows which branches are never taken, and leaves them out: a scan pays for what it asks for alone.

use std::{fmt, net::Ipv6Addr};

use crate::{cookie::Cookie, sources::Sources};

/// Most receivers that share what an interface takes. More would take no more: this is the number of receive queues of a fast
/// device, each of which a CPU serves.
pub const MAX_RECEIVERS: u8 = 16;

/// What is ours of what arrives: TCP and UDP to our ports, and ICMP errors that quote what was sent from them.
#[derive(Clone, Debug)]
pub struct Take {
    /// Our addresses.
    pub sources: Sources,
    /// The ports of all receivers, both included.
    pub ports: (u16, u16),
    /// Which receiver gets what.
    pub deal: Deal,
    /// What proves itself in the kernel; `None` hands everything up.
    pub screen: Option<Screen>,
}

/// Which receiver gets an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Deal {
    /// One of so many, by a hash of its remote address and port and of its local port. Always the same for a flow, and for the
    /// ICMP errors about it.
    Hash(u8),
    /// The one of the range that the local port is in, both ends included; the first where it is in none.
    Ports(Vec<(u16, u16)>),
}

/// TCP that the kernel proves: for SYN scans, where a segment without the right cookie is nobody's.
///
/// The rules are those of the SYN scanner: a SYN-ACK acknowledges the cookie and one, a RST that or the cookie itself. A RST
/// without an acknowledgement proves nothing, other acknowledgements are of other connections, and the rest is no answer.
#[derive(Clone, Debug)]
pub struct Screen {
    /// What the sequence numbers of the SYNs are.
    pub cookie: Cookie,
    /// Whether IPv4 answers are shown as [`Digest`](crate::link::Digest)s. Without that, and over IPv6, they are shown whole.
    pub digests: bool,
    /// Whether SYN-ACKs are answered by a RST of ours.
    pub resets: bool,
    /// Which bits of the flow label of such a RST over IPv6 are those of the cookie's upper half, as in the SYN.
    pub label_mask: u32,
}

// The flags of receive.bpf.c.
const V4: u32 = 0x01;
const V6: u32 = 0x02;
const SCREEN: u32 = 0x04;
const DIGESTS: u32 = 0x08;
const RESETS: u32 = 0x10;
const BY_PORTS: u32 = 0x20;

/// All receivers together have `1 << DIGEST_BITS` digests: 100 ms of them at five million a second.
const DIGEST_BITS: u32 = 19;

/// Octets of the program's constant.
const LEN: usize = 32 + 4 + 16 + 6 * 4 + 4 * MAX_RECEIVERS as usize + 4;

/// The constant `take` of the program, little-endian as the program is.
#[derive(Clone)]
pub(super) struct Words([u8; LEN]);

impl Words {
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Words {
    /// Never shows the key, from which the first of them are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Words(..)")
    }
}

impl Take {
    /// How many receivers there are.
    pub(super) fn receivers(&self) -> usize {
        match &self.deal {
            Deal::Hash(receivers) => usize::from(*receivers),
            Deal::Ports(ranges) => ranges.len(),
        }
    }

    /// Each receiver has `1 << bits` digests; `None` where there are none.
    pub(super) fn digest_bits(&self) -> Option<u32> {
        let has_digests = self.screen.as_ref().is_some_and(|screen| screen.digests);
        let shares = self.receivers().next_power_of_two().ilog2();
        has_digests.then(|| DIGEST_BITS.saturating_sub(shares))
    }

    /// What the program is told; `None` when that is for no receiver, or for more than there can be.
    pub(super) fn words(&self) -> Option<Words> {
        let receivers = u8::try_from(self.receivers()).ok()?;
        if !(1..=MAX_RECEIVERS).contains(&receivers) {
            return None;
        }
        let mut ranges = [0; MAX_RECEIVERS as usize];
        if let Deal::Ports(dealt) = &self.deal {
            for (word, (first, last)) in ranges.iter_mut().zip(dealt) {
                *word = u32::from(*first) << 16 | u32::from(*last);
            }
        }
        let state = self.screen.as_ref().map_or([0; 4], |screen| screen.cookie.state());
        let mut words = Vec::with_capacity(LEN);
        words.extend(state.into_iter().flat_map(u64::to_le_bytes));
        // Addresses lie as in a header.
        words.extend(self.sources.v4.map_or([0; 4], |addr| addr.octets()));
        words.extend(self.sources.v6.unwrap_or(Ipv6Addr::UNSPECIFIED).octets());
        let numbers = [
            self.flags(),
            self.ports.0.into(),
            self.ports.1.into(),
            receivers.into(),
            self.screen.as_ref().map_or(0, |screen| screen.label_mask),
            self.digest_bits().unwrap_or_default(),
        ];
        words.extend(numbers.into_iter().chain(ranges).chain([0]).flat_map(u32::to_le_bytes));
        words.try_into().ok().map(Words)
    }

    fn flags(&self) -> u32 {
        let screen = self.screen.as_ref();
        let flags = [
            (V4, self.sources.v4.is_some()),
            (V6, self.sources.v6.is_some()),
            (SCREEN, screen.is_some()),
            (DIGESTS, self.digest_bits().is_some()),
            (RESETS, screen.is_some_and(|screen| screen.resets)),
            (BY_PORTS, matches!(self.deal, Deal::Ports(_))),
        ];
        flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn take(deal: Deal) -> Take {
        let sources = Ipv4Addr::new(198, 18, 0, 1).into();
        Take { sources, ports: (61_000, 61_003), deal, screen: None }
    }

    #[test]
    fn receivers_are_one_to_sixteen() {
        for (count, is_possible) in [(0, false), (1, true), (16, true), (17, false), (255, false)] {
            assert_eq!(take(Deal::Hash(count)).words().is_some(), is_possible, "{count}");
            let ranges = vec![(1, 2); usize::from(count)];
            assert_eq!(take(Deal::Ports(ranges)).words().is_some(), is_possible, "{count}");
        }
        assert!(take(Deal::Ports(vec![(1, 2); 257])).words().is_none(), "256 more are not one");
    }

    #[test]
    fn the_words_lie_as_the_program_reads_them() {
        let mut take = take(Deal::Ports(vec![(61_000, 61_001), (61_002, 61_003)]));
        let cookie = Cookie::from_key(&[7; 16]);
        let state = cookie.state();
        take.screen = Some(Screen { cookie, digests: true, resets: false, label_mask: 0xf_ffff });
        let words = take.words().unwrap().0;
        let word = |at: usize| u32::from_le_bytes(words[at..at + 4].try_into().unwrap());
        assert_eq!(words[8..16], state[1].to_le_bytes());
        assert_eq!(words[32..36], [198, 18, 0, 1]);
        assert_eq!(words[36..52], [0; 16]);
        assert_eq!(word(52), V4 | SCREEN | DIGESTS | BY_PORTS);
        assert_eq!([word(56), word(60), word(64), word(68)], [61_000, 61_003, 2, 0xf_ffff]);
        assert_eq!(word(72), 18);
        assert_eq!(
            [word(76), word(80), word(84)],
            [61_000 << 16 | 61_001, 61_002 << 16 | 61_003, 0]
        );
    }

    #[test]
    fn receivers_share_the_digests() {
        for (receivers, bits) in [(1, 19), (2, 18), (3, 17), (4, 17), (5, 16), (16, 15)] {
            let mut take = take(Deal::Hash(receivers));
            assert_eq!(take.digest_bits(), None);
            let cookie = Cookie::from_key(&[7; 16]);
            take.screen = Some(Screen { cookie, digests: true, resets: true, label_mask: 0 });
            assert_eq!(take.digest_bits(), Some(bits), "{receivers}");
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let mut take = take(Deal::Hash(1));
        let cookie = Cookie::from_key(&[7; 16]);
        take.screen = Some(Screen { cookie, digests: true, resets: true, label_mask: 0 });
        assert_eq!(format!("{:?}", take.words().unwrap()), "Words(..)");
        assert!(format!("{take:?}").contains("Cookie(..)"));
    }
}
