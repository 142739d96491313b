//! Connections after the SYN-ACK and before our RST or ACK.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use super::talk::Talk;
use crate::time::Instant;

/// Most connections that are remembered; SYN-ACKs beyond it are sent without state.
pub const MAX_HALF_OPEN: usize = 1 << 17;

/// What passes before each retransmission, and at last before the host gives up: 1 s, 3 s and 63 s after the SYN-ACK.
const WAITS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(60)];

#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Connection {
    pub(super) host: IpAddr,
    pub(super) host_port: u16,
    pub(super) peer: IpAddr,
    pub(super) peer_port: u16,
}

/// A bounded table with one timer a connection.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    entries: HashMap<Connection, Entry>,
    /// Exactly one element for each of `entries`, so it is bounded as they are.
    timers: BTreeSet<(Instant, Connection)>,
}

#[derive(Debug)]
struct Entry {
    isn: u32,
    /// What the SYN-ACK acknowledged.
    peer_next: u32,
    due: Instant,
    /// Index into [`WAITS`] of the wait under way.
    round: usize,
    syn_ack: Box<[u8]>,
    /// What the connection becomes when the handshake is complete; `None` at hosts that say no more.
    talk: Option<Box<Talk>>,
}

/// A handshake that is complete.
pub(super) struct Completed {
    pub(super) talk: Option<Box<Talk>>,
}

impl HalfOpen {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn next_due(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |(due, _)| *due)
    }

    /// Remembers a SYN-ACK that leaves at `sent_at`, in place of an earlier one; false when the table is full.
    pub(super) fn open(
        &mut self,
        connection: Connection,
        isn: u32,
        peer_next: u32,
        sent_at: Instant,
        syn_ack: &[u8],
        talk: Option<Box<Talk>>,
    ) -> bool {
        self.close(&connection);
        if self.entries.len() >= MAX_HALF_OPEN {
            return false;
        }
        let due = sent_at + WAITS[0];
        self.timers.insert((due, connection));
        let entry = Entry { isn, peer_next, due, round: 0, syn_ack: syn_ack.into(), talk };
        self.entries.insert(connection, entry);
        true
    }

    /// Takes a RST; true when it ends a connection, for which its number must be exactly the next (RFC 5961, section 3).
    pub(super) fn reset(&mut self, connection: &Connection, seq: u32) -> bool {
        let ends = self.entries.get(connection).is_some_and(|entry| entry.peer_next == seq);
        if ends {
            self.close(connection);
        }
        ends
    }

    /// Takes an ACK, which completes a handshake when it acknowledges the SYN-ACK and is the next in order; at a host that
    /// goes on to talk, also when it is further on and what came before it is late.
    pub(super) fn acknowledge(
        &mut self,
        connection: &Connection,
        seq: u32,
        ack: u32,
    ) -> Option<Completed> {
        let entry = self.entries.get(connection)?;
        let ahead = seq.wrapping_sub(entry.peer_next);
        let is_in_order = ahead == 0 || entry.talk.is_some() && ahead < u32::from(u16::MAX);
        if !is_in_order || entry.isn.wrapping_add(1) != ack {
            return None;
        }
        self.close(connection).map(|entry| Completed { talk: entry.talk })
    }

    /// Does what is due by `now`; returns how many SYN-ACKs were sent again and how many connections were given up.
    pub(super) fn poll(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) -> (u64, u64) {
        let (mut sent, mut expired) = (0, 0);
        while let Some((due, connection)) = self.timers.first().copied()
            && due <= now
        {
            self.timers.remove(&(due, connection));
            let Some(entry) = self.entries.get_mut(&connection) else {
                continue;
            };
            entry.round += 1;
            let Some(wait) = WAITS.get(entry.round) else {
                self.entries.remove(&connection);
                expired += 1;
                continue;
            };
            entry.due = due + *wait;
            self.timers.insert((entry.due, connection));
            send(&entry.syn_ack);
            sent += 1;
        }
        (sent, expired)
    }

    fn close(&mut self, connection: &Connection) -> Option<Entry> {
        let entry = self.entries.remove(connection)?;
        self.timers.remove(&(entry.due, *connection));
        Some(entry)
    }
}
