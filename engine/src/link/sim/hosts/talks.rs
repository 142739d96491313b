//! The connections of hosts that speak, past the handshake.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{
    Emit, State, connection,
    half_open::Connection,
    question::Question,
    reply::{self, RST, Segment},
    talk::Talk,
};
use crate::time::Instant;

/// Most connections that hosts that speak hold; others are reset as soon as their handshake is complete.
pub const MAX_TALKS: usize = 1 << 16;

/// A bounded table with one timer a connection.
#[derive(Debug, Default)]
pub(super) struct Talks {
    entries: HashMap<Connection, Box<Talk>>,
    /// Exactly one element for each of `entries`, so it is bounded as they are.
    timers: BTreeSet<(Instant, Connection)>,
}

impl Talks {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn holds(&self, connection: &Connection) -> bool {
        self.entries.contains_key(connection)
    }

    pub(super) fn next_due(&self) -> Instant {
        self.timers.first().map_or(Instant::NEVER, |(due, _)| *due)
    }

    fn take(&mut self, connection: &Connection) -> Option<Box<Talk>> {
        let talk = self.entries.remove(connection)?;
        self.timers.remove(&(talk.due(), *connection));
        Some(talk)
    }

    fn put(&mut self, connection: Connection, talk: Box<Talk>) {
        if !talk.is_gone() {
            self.timers.insert((talk.due(), connection));
            self.entries.insert(connection, talk);
        }
    }
}

impl State {
    /// A handshake is complete, by a segment that may say more than that.
    pub(super) fn begin(&mut self, mut talk: Box<Talk>, question: &Question<'_>, emit: Emit<'_>) {
        if self.talks.len() >= MAX_TALKS {
            return self.refuse(question, emit);
        }
        talk.begin(self.now);
        self.hear_by(talk, question, emit);
    }

    /// A segment on a connection that is held.
    pub(super) fn hear(&mut self, question: &Question<'_>, emit: Emit<'_>) {
        if let Some(talk) = self.talks.take(&connection(question)) {
            self.hear_by(talk, question, emit);
        }
    }

    fn hear_by(&mut self, mut talk: Box<Talk>, question: &Question<'_>, emit: Emit<'_>) {
        let delivery = talk.delivery;
        let Self { now, out, random, counts, .. } = self;
        talk.hear(question, *now, counts, &mut |link, segment| {
            reply::segment_after(out, link, segment);
            delivery.send(out, random, emit);
        });
        self.talks.put(connection(question), talk);
    }

    /// Lets hosts say again what is due again.
    pub(super) fn wake_talks(&mut self, emit: Emit<'_>) {
        while let Some((due, connection)) = self.talks.timers.first().copied()
            && due <= self.now
            && let Some(mut talk) = self.talks.take(&connection)
        {
            let delivery = talk.delivery;
            let Self { now, out, random, counts, .. } = self;
            talk.wake(*now, counts, &mut |link, segment| {
                reply::segment_after(out, link, segment);
                delivery.send(out, random, emit);
            });
            self.talks.put(connection, talk);
        }
    }

    /// A segment of a connection that nobody holds: a reset of the number that it acknowledges.
    pub(super) fn refuse(&mut self, question: &Question<'_>, emit: Emit<'_>) {
        self.counts.strangers += 1;
        let segment = Segment { flags: RST, seq: question.ack, ..Segment::empty(question) };
        reply::segment_after(&mut self.out, question.link, &segment);
        emit(Duration::ZERO, &self.out);
    }
}
