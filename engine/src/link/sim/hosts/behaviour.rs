//! What a host does when it is asked.

use std::{net::IpAddr, time::Duration};

use super::{service::Service, speaker::Speaker};

/// How a port answers a SYN or, where it [serves](Self::Serves), a datagram.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A host that still holds a connection of ours (RFC 5961, section 4): for each peer, the source port of the first SYN
    /// is taken for that old connection, and every SYN from it gets a bare ACK of numbers that have nothing to do with
    /// it, until a RST with exactly the acknowledged number ends the connection. Any other source port finds it open.
    Challenge(OpenHost),
    /// RST and ACK.
    Closed {
        /// The TTL of the answer as it arrives.
        ttl: u8,
        /// Which number it acknowledges.
        ack: RstAck,
    },
    /// Every reply comes so many times; 1 changes nothing, 0 silences.
    Duplicate(u8, Box<Self>),
    /// So many of a hundred SYNs, or datagrams, are lost before they reach the host. RSTs and ACKs are not.
    Lossy {
        /// 0 to 100.
        percent: u8,
        /// What the others meet.
        of: Box<Self>,
    },
    /// An answer that is wrong or rare in one way.
    Odd(Odd),
    /// SYN and ACK.
    Open(OpenHost),
    /// Each reply waits up to this longer, drawn evenly, so that later ones overtake it.
    Reorder(Duration, Box<Self>),
    /// A host that answers datagrams, and no SYNs: another rule for the same address and port may.
    Serves(Service),
    /// No answer at all.
    Silent,
    /// Each reply waits so long.
    Slow(Duration, Box<Self>),
    /// A host that takes the connection and answers what it is asked on it.
    Speaks(Speaker),
    /// ICMP destination unreachable (type 3), or that of ICMPv6 (type 1).
    Unreachable {
        /// For IPv4, 0 network, 1 host, 3 port, 13 administratively prohibited: RFC 792 and RFC 1812, section 5.2.7.1. For
        /// IPv6, 0 no route, 1 administratively prohibited, 3 address, 4 port: RFC 4443, section 3.1.
        code: u8,
        /// The router that says so; `None`, and one of the other family, for the host itself.
        responder: Option<IpAddr>,
        /// How much of our packet it returns.
        quote: Quote,
    },
}

impl Behaviour {
    /// A Linux host with an open port.
    pub fn open() -> Self {
        Self::Open(OpenHost::linux())
    }

    /// A Linux host with a closed port.
    pub fn closed() -> Self {
        Self::Closed { ttl: 64, ack: RstAck::SeqPlusOne }
    }

    /// Whether a connection can be had that is talked on.
    pub(super) fn is_speaking(&self) -> bool {
        match self {
            Self::Speaks(_) => true,
            Self::Duplicate(_, inner)
            | Self::Lossy { of: inner, .. }
            | Self::Reorder(_, inner)
            | Self::Slow(_, inner) => inner.is_speaking(),
            _ => false,
        }
    }

    /// Whether it answers datagrams; if not, it answers SYNs.
    pub(super) fn serves(&self) -> bool {
        match self {
            Self::Serves(_) => true,
            Self::Duplicate(_, inner)
            | Self::Lossy { of: inner, .. }
            | Self::Reorder(_, inner)
            | Self::Slow(_, inner) => inner.serves(),
            _ => false,
        }
    }

    /// This behaviour, `by` later.
    #[must_use]
    pub fn slow(self, by: Duration) -> Self {
        Self::Slow(by, Box::new(self))
    }
}

/// What an open port says of its system.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenHost {
    /// The TTL of its packets as they arrive.
    pub ttl: u8,
    /// The window of its SYN-ACK.
    pub window: u16,
    /// The TCP options of its SYN-ACK as they lie in the segment: cut after 40 octets and padded with zeros to a
    /// multiple of 4.
    pub options: Vec<u8>,
}

impl OpenHost {
    /// As Linux 6 answers a SYN without timestamps.
    pub fn linux() -> Self {
        Self { ttl: 64, window: 64_240, options: vec![2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7] }
    }

    /// As Windows 10 answers.
    pub fn windows() -> Self {
        Self { ttl: 128, window: 65_535, options: vec![2, 4, 5, 180, 1, 3, 3, 8, 1, 1, 4, 2] }
    }

    /// As FreeBSD 14 answers a SYN without timestamps.
    pub fn bsd() -> Self {
        Self { ttl: 64, window: 65_535, options: vec![2, 4, 5, 180, 1, 3, 3, 6, 4, 2, 0, 0] }
    }
}

/// What the RST of a closed port acknowledges.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RstAck {
    /// The SYN, which takes one sequence number: RFC 9293, section 3.5.2.
    SeqPlusOne,
    /// The number of the SYN itself, as some middleboxes have it.
    Seq,
}

/// How much of a packet an ICMP error returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quote {
    /// The IP header and 8 octets: all that RFC 792 promises.
    Minimum,
    /// As much as fits into 576 octets of IPv4 (RFC 1812, section 4.3.2.3) or 1,280 of IPv6 (RFC 4443, section 3.1).
    Full,
}

/// Ways in which an answer can be strange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Odd {
    /// A SYN-ACK whose header claims so many 32-bit words: below 5 is impossible, above what the packet holds a lie.
    BadDataOffset(u8),
    /// An ICMP error that quotes a packet which nobody sent: our addresses and ports, another sequence number.
    ForeignQuote,
    /// A later fragment of a SYN-ACK: offset 8 octets, so it has no ports.
    Fragment,
    /// A SYN-ACK with an option of length 0, on which a careless reader never moves on.
    LoopingOptions,
    /// A SYN-ACK from the neighbouring port.
    OtherPort,
    /// A SYN-ACK in a frame that goes on for so many octets after the IP packet ends.
    Padded(u16),
    /// A RST without ACK, which says nothing about who is meant.
    RstWithoutAck,
    /// The first 12 octets of a SYN-ACK, in an IP packet of that length.
    TruncatedTcp,
    /// A SYN-ACK in a further VLAN tag with this VID (12 bits); without an Ethernet header, a plain one.
    VlanTagged(u16),
    /// A SYN-ACK of a number that we did not send.
    WrongAck,
}

impl Odd {
    /// One of each.
    pub const ALL: [Self; 10] = [
        Self::BadDataOffset(4),
        Self::ForeignQuote,
        Self::Fragment,
        Self::LoopingOptions,
        Self::OtherPort,
        Self::Padded(1_000),
        Self::RstWithoutAck,
        Self::TruncatedTcp,
        Self::VlanTagged(7),
        Self::WrongAck,
    ];

    /// Whether the answer, however strange, is a SYN-ACK to our SYN: the port is open. The others must be counted as
    /// invalid and leave the port unanswered.
    pub fn is_open(self) -> bool {
        matches!(self, Self::LoopingOptions | Self::Padded(_) | Self::VlanTagged(_))
    }
}
