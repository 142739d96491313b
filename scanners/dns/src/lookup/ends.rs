//! How lookups ended, many at a time.

use std::{net::SocketAddr, time::Duration};

use mrpf_engine::time::Instant;

use crate::message::{Qclass, Qtype};

/// A batch is full when it has so many ends,
pub(super) const ENDS: usize = 512;
/// or so many octets,
pub(super) const OCTETS: usize = 128 << 10;

/// How a lookup ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A message says it: an answer, that there is none, or a failure that is the last word.
    Message,
    /// Nothing came in time, the last time that it was asked.
    Timeout,
    /// Nothing arrives at the resolver, says who should know.
    Unreachable,
    /// The answer is longer than a datagram, and TCP did not bring it.
    Truncated,
    /// What came from the resolver is no message.
    Malformed,
    /// The input is no name, and nothing was asked.
    Invalid,
}

/// What an answer came over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// One datagram.
    Udp,
    /// A connection, since the datagram had no room.
    Tcp,
}

/// How one lookup ended, and what there is to show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct End<'a> {
    /// Of its question.
    pub number: u64,
    /// What was asked for: the name in wire form, in the case of the input; the text of an [invalid](Outcome::Invalid) one.
    pub name: &'a [u8],
    /// Its type.
    pub qtype: Qtype,
    /// Its class.
    pub qclass: Qclass,
    /// What came of it.
    pub outcome: Outcome,
    /// Who said so, or who was asked last; nobody was if there was nobody to ask.
    pub resolver: Option<SocketAddr>,
    /// How it came.
    pub protocol: Protocol,
    /// How many resolvers were asked, one after the other.
    pub attempts: u8,
    /// From the query to its answer.
    pub rtt: Option<Duration>,
    /// When it was known.
    pub at: Instant,
    /// Whether a wildcard of its parent made the answer; `None` if nobody asked.
    pub wildcard: Option<bool>,
    /// The message, with the question as it was sent; empty without one.
    pub message: &'a [u8],
}

/// Part of a [`Batch`].
#[derive(Clone, Copy, Debug)]
struct Ended {
    number: u64,
    at: Instant,
    resolver: Option<SocketAddr>,
    rtt: Option<Duration>,
    qtype: Qtype,
    qclass: Qclass,
    outcome: Outcome,
    protocol: Protocol,
    attempts: u8,
    wildcard: Option<bool>,
    /// Where in the octets name and message begin and end.
    name_at: u32,
    message_at: u32,
    message_end: u32,
}

/// Ends of lookups, in the order in which they were known.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) octets: Vec<u8>,
    ends: Vec<Ended>,
}

impl Batch {
    /// How many ends there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The end at `at`, `None` behind the last.
    pub fn get(&self, at: usize) -> Option<End<'_>> {
        let ended = self.ends.get(at)?;
        let octets = |from: u32, to: u32| self.octets.get(from as usize..to as usize);
        Some(End {
            number: ended.number,
            name: octets(ended.name_at, ended.message_at)?,
            qtype: ended.qtype,
            qclass: ended.qclass,
            outcome: ended.outcome,
            resolver: ended.resolver,
            protocol: ended.protocol,
            attempts: ended.attempts,
            rtt: ended.rtt,
            at: ended.at,
            wildcard: ended.wildcard,
            message: octets(ended.message_at, ended.message_end)?,
        })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = End<'_>> {
        (0..self.len()).map_while(|at| self.get(at))
    }

    pub(super) fn push(&mut self, end: &End<'_>) {
        let name_at = self.octets.len() as u32;
        self.octets.extend_from_slice(end.name);
        let message_at = self.octets.len() as u32;
        self.octets.extend_from_slice(end.message);
        self.ends.push(Ended {
            number: end.number,
            at: end.at,
            resolver: end.resolver,
            rtt: end.rtt,
            qtype: end.qtype,
            qclass: end.qclass,
            outcome: end.outcome,
            protocol: end.protocol,
            attempts: end.attempts,
            wildcard: end.wildcard,
            name_at,
            message_at,
            message_end: self.octets.len() as u32,
        });
    }

    /// Whether it is to leave.
    pub(super) fn is_full(&self) -> bool {
        self.ends.len() >= ENDS || self.octets.len() >= OCTETS
    }

    pub(super) fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
        // One answer of 64 KiB is no reason to keep room for many.
        self.octets.shrink_to(4 * OCTETS);
        self.ends.shrink_to(4 * ENDS);
    }
}
