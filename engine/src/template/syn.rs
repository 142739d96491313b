//! SYNs, dressed as those of a real system.

use std::{fmt, str::FromStr};

use super::{
    Address, Ends,
    address::FLOW_LABEL,
    frame::{Frame, IpFields, tcp_sum},
};
use crate::wire::{
    MacAddr,
    checksum::Sum,
    tcp::{self, Flags},
};

/// Whose SYN ours looks like. Hosts and middleboxes answer a SYN without options less often, and the options of a SYN
/// decide which options the answer has.
///
/// | profile | TTL | window | options | octets of a frame |
/// |---|---|---|---|---|
/// | windows | 128 | 64240 | MSS 1460, NOP, WS 8, NOP, NOP, SACK | 66 |
/// | linux | 64 | 64240 | MSS 1460, SACK, TS, NOP, WS 7 | 74 |
/// | bsd | 64 | 65535 | MSS 1460, NOP, WS 6, SACK, TS | 74 |
/// | bare | 64 | 1024 | MSS 1460 | 58 |
///
/// Over IPv6 the MSS is 1440, a frame is 20 octets longer, and all but bare label each flow (RFC 6437).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TcpProfile {
    /// Windows 10 and later: no timestamps, and the shortest that answers like a desktop.
    #[default]
    Windows,
    /// Linux 5 and later.
    Linux,
    /// FreeBSD 13 and later.
    Bsd,
    /// The least that works: for the highest rates.
    Bare,
}

impl TcpProfile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Windows, Self::Linux, Self::Bsd, Self::Bare];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Bsd => "bsd",
            Self::Bare => "bare",
        }
    }

    pub(super) fn ttl(self) -> u8 {
        if self == Self::Windows { 128 } else { 64 }
    }

    /// Which bits of a random number make the flow label of an IPv6 packet: all 20, or none where the system leaves it 0.
    pub fn flow_label_mask(self) -> u32 {
        if self == Self::Bare { 0 } else { FLOW_LABEL }
    }

    /// By how many bits windows are shifted where the host shifts its own too (RFC 7323, section 2.2); `None` where the SYN
    /// does not offer it.
    pub fn window_scale(self) -> Option<u8> {
        match self {
            Self::Windows => Some(8),
            Self::Linux => Some(7),
            Self::Bsd => Some(6),
            Self::Bare => None,
        }
    }

    /// Whether the SYN permits selective acknowledgements (RFC 2018).
    pub fn permits_sack(self) -> bool {
        self != Self::Bare
    }

    /// Whether the SYN offers timestamps, which every later segment must then have (RFC 7323, section 3.2).
    pub fn offers_timestamps(self) -> bool {
        self.timestamp_at().is_some()
    }

    fn window(self) -> u16 {
        match self {
            Self::Windows | Self::Linux => 64_240,
            Self::Bsd => 65_535,
            Self::Bare => 1_024,
        }
    }

    /// The options, in whole words of 32 bits; the timestamp's value is zero. All begin with the MSS, of IPv4.
    fn options(self) -> &'static [u8] {
        match self {
            Self::Windows => &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
            Self::Linux => &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7],
            Self::Bsd => &[2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Bare => &[2, 4, 5, 0xb4],
        }
    }

    /// Where in the segment the value of the timestamp is.
    fn timestamp_at(self) -> Option<usize> {
        match self {
            Self::Linux => Some(tcp::MIN_LEN + 8),
            Self::Bsd => Some(tcp::MIN_LEN + 12),
            Self::Windows | Self::Bare => None,
        }
    }
}

impl fmt::Display for TcpProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no TCP profile: give windows, linux, bsd or bare")]
pub struct ProfileError(String);

impl FromStr for TcpProfile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or_else(|| ProfileError(text.to_owned()))
    }
}

/// What changes from one SYN to the next.
#[derive(Clone, Copy, Debug)]
pub struct SynFields<A> {
    /// The hardware address to send to; ignored on links without one.
    pub next_hop: MacAddr,
    /// Whom to ask.
    pub destination: A,
    /// Which port.
    pub destination_port: u16,
    /// From which port.
    pub source_port: u16,
    /// The sequence number: the cookie.
    pub seq: u32,
    /// The identification of an IPv4 packet, its low 16 bits; the flow label of an IPv6 packet, its low 20 bits.
    pub ip_id: u32,
    /// The value of the timestamp, in profiles that have one.
    pub ts_val: u32,
}

/// Frames of a SYN. See the [module](super).
#[derive(Clone, Debug)]
pub struct SynTemplate<A> {
    frame: Frame<A>,
    sum: Sum,
    timestamp_at: Option<usize>,
}

impl<A: Address> SynTemplate<A> {
    /// SYNs from `ends`, dressed as `profile`; `None` when it has no address of this version.
    pub fn new(ends: &Ends, profile: TcpProfile) -> Option<Self> {
        let source = A::ours(&ends.sources)?;
        let options = profile.options();
        let len = tcp::MIN_LEN + options.len();
        let mut segment = [0; 60];
        let segment = &mut segment[..len];
        segment[12] = (len as u8 / 4) << 4;
        segment[13] = Flags::SYN.0;
        segment[14..16].copy_from_slice(&profile.window().to_be_bytes());
        segment[tcp::MIN_LEN..].copy_from_slice(options);
        segment[tcp::MIN_LEN + 2..tcp::MIN_LEN + 4].copy_from_slice(&A::MAX_SEGMENT.to_be_bytes());
        let ip = IpFields { hop_limit: profile.ttl(), protocol: tcp::PROTOCOL };
        let frame = Frame::new(ends, source, ip, segment);
        let sum = tcp_sum(source, segment);
        Some(Self { frame, sum, timestamp_at: profile.timestamp_at() })
    }

    /// The length of every frame, in octets.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// Writes what [`patch`](Self::patch) leaves alone.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than [`frame_len`](Self::frame_len).
    pub fn prepare(&self, slot: &mut [u8]) {
        self.frame.prepare(slot);
    }

    /// Writes one SYN into a prepared slot.
    ///
    /// # Panics
    ///
    /// As [`prepare`](Self::prepare).
    #[inline]
    pub fn patch(&self, slot: &mut [u8], fields: &SynFields<A>) {
        let segment = self.frame.patch(slot, fields.next_hop, fields.destination, fields.ip_id);
        let ports = u32::from(fields.source_port) << 16 | u32::from(fields.destination_port);
        let mut sum = self.sum.and(fields.destination.sum()).words(ports).words(fields.seq);
        if let Some(at) = self.timestamp_at {
            sum = sum.words(fields.ts_val);
            segment[at..at + 4].copy_from_slice(&fields.ts_val.to_be_bytes());
        }
        segment[..4].copy_from_slice(&ports.to_be_bytes());
        segment[4..8].copy_from_slice(&fields.seq.to_be_bytes());
        segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
