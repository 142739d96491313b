//! Answers that wait for the word whether a wildcard made them.
//!
//! Each keeps its message until then, so they are bounded: when there are many, no new question is taken. What is under way may
//! still bring some, which are kept too.

use std::{net::SocketAddr, time::Duration};

use mrpf_engine::time::Instant;

use super::ends::Protocol;
use crate::message::Kind;

/// Octets of messages above which no new question is taken.
const MOST_OCTETS: usize = 8 << 20;
/// A buffer that was given back keeps so many octets.
const KEPT: usize = 2_048;

/// What is known of an answer besides its question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) server: SocketAddr,
    pub(super) protocol: Protocol,
    pub(super) rtt: Option<Duration>,
    pub(super) at: Instant,
}

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) slot: u32,
    pub(super) kind: Kind,
    pub(super) told: Told,
    pub(super) message: Vec<u8>,
}

/// All that wait, by ticket.
#[derive(Debug)]
pub(super) struct Held {
    answers: Vec<Option<Answer>>,
    free: Vec<u32>,
    buffers: Vec<Vec<u8>>,
    octets: usize,
    most: usize,
}

impl Held {
    /// None yet; with `most` of them there are many.
    pub(super) fn new(most: u32) -> Self {
        Self {
            answers: Vec::new(),
            free: Vec::new(),
            buffers: Vec::new(),
            octets: 0,
            most: most as usize,
        }
    }

    /// The ticket that the next answer gets.
    pub(super) fn next_ticket(&self) -> u32 {
        self.free.last().copied().unwrap_or(self.answers.len() as u32)
    }

    /// Keeps an answer under [that](Self::next_ticket) ticket.
    pub(super) fn keep(&mut self, slot: u32, kind: Kind, told: Told, message: &[u8]) {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.extend_from_slice(message);
        self.octets += message.len();
        let answer = Some(Answer { slot, kind, told, message: buffer });
        match self.free.pop().and_then(|ticket| self.answers.get_mut(ticket as usize)) {
            Some(place) => *place = answer,
            None => self.answers.push(answer),
        }
    }

    /// Takes the answer of a ticket, whose message is to be [given back](Self::give_back).
    pub(super) fn take(&mut self, ticket: u32) -> Option<Answer> {
        let answer = self.answers.get_mut(ticket as usize)?.take()?;
        self.octets -= answer.message.len();
        self.free.push(ticket);
        Some(answer)
    }

    pub(super) fn give_back(&mut self, mut message: Vec<u8>) {
        message.clear();
        message.shrink_to(KEPT);
        self.buffers.push(message);
    }

    /// Whether there are so many that no new question is to be asked.
    pub(super) fn is_full(&self) -> bool {
        self.octets >= MOST_OCTETS || self.answers.len() - self.free.len() >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_gives_its_answer_once() {
        let told = Told {
            server: ([198, 18, 0, 1], 53).into(),
            protocol: Protocol::Udp,
            rtt: None,
            at: Instant::START,
        };
        let mut held = Held::new(3);
        let mut tickets = Vec::new();
        for slot in 0..3 {
            assert!(!held.is_full());
            tickets.push(held.next_ticket());
            held.keep(slot, Kind::Answer, told, &[slot as u8; 4]);
        }
        assert!(held.is_full());
        let answer = held.take(tickets[1]).unwrap();
        assert_eq!((answer.slot, &answer.message[..]), (1, &[1; 4][..]));
        held.give_back(answer.message);
        assert!(held.take(tickets[1]).is_none() && held.take(77).is_none());
        assert_eq!(held.next_ticket(), tickets[1]);
        held.keep(9, Kind::Answer, told, b"new");
        assert_eq!(held.take(tickets[1]).unwrap().message, b"new");
        held.keep(9, Kind::Answer, told, &vec![0; MOST_OCTETS]);
        assert!(held.is_full());
    }
}
