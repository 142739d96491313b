//! How a flow ended.

use crate::{target::Target, time::Instant};

/// Why a flow ended. Each ends once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// We closed it: who asked had what it needed.
    Closed,
    /// The host has no more to say, and all that it said is here.
    Finished,
    /// The host reset it.
    Reset,
    /// A router or the host says that nothing arrives there.
    Unreachable,
    /// The host says more than is kept, and all that is kept is here.
    Full,
    /// Nothing new for too long.
    Idle,
    /// It took too long altogether.
    Deadline,
}

/// How far a flow came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Stage {
    /// Nothing was sent but the acknowledgement that opens it.
    Opened,
    /// Some of the request was sent.
    Requested,
    /// The host acknowledged some of it.
    Acknowledged,
    /// The host answered.
    Answering,
}

/// What remains of a flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// With whom it was.
    pub remote: Target,
    /// From which port of ours.
    pub local_port: u16,
    /// What was given with [`Opening::word`](super::Opening::word).
    pub word: u64,
    /// Why it ended.
    pub end: End,
    /// How far it came.
    pub stage: Stage,
    /// When its SYN-ACK arrived.
    pub opened: Instant,
    /// When the first octet of an answer arrived.
    pub first: Option<Instant>,
    /// When something new last arrived.
    pub last: Option<Instant>,
    /// How many octets arrived without a gap.
    pub received: u32,
    /// Whether the host said more than was kept.
    pub truncated: bool,
    /// Whether the SYN-ACK took no data: of those that do, most never will.
    pub zero_window: bool,
    /// How often a request was sent again because nobody acknowledged it.
    pub resent: u8,
    /// Segments that only somebody who guesses would send, or a host that has lost its memory: resets with a number that is
    /// near, SYNs in mid-connection.
    pub suspicious: u8,
}
