//! The statements on messages.

use std::time::Duration;

use mrpf_ports::{Delivery, Handle, clock::after, queue::Depth};
use mrpf_records::Timestamp;
use rusqlite::{Connection, params};

use super::Faults;
use crate::columns::{Count, Moment};

/// Messages that a disordered receive shuffles.
const SHUFFLED: usize = 256;

/// Which delivery of which message.
#[derive(Clone, Copy)]
pub(super) struct Number {
    id: i64,
    receives: u32,
}

impl Number {
    /// What a handle names; `None` when it is none of ours.
    pub(super) fn of(handle: &Handle) -> Option<Self> {
        let (id, receives) = handle.0.split_once('.')?;
        Some(Self { id: id.parse().ok()?, receives: receives.parse().ok()? })
    }

    fn handle(self) -> Handle {
        Handle(format!("{}.{}", self.id, self.receives))
    }
}

pub(super) fn put(
    connection: &Connection,
    queue: &str,
    bodies: &[String],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut insert = connection
        .prepare_cached("INSERT INTO message (queue, visible_at, body) VALUES (?1, ?2, ?3)")?;
    bodies.iter().try_for_each(|body| insert.execute(params![queue, Moment(now), body]).map(drop))
}

/// Whether there is anything to take.
pub(super) fn is_due(
    connection: &Connection,
    queue: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM message WHERE queue = ?1 AND visible_at <= ?2 LIMIT 1")?
        .exists(params![queue, Moment(now)])
}

/// A receive.
pub(super) struct Take<'a> {
    pub(super) queue: &'a str,
    pub(super) max: usize,
    pub(super) now: Timestamp,
    pub(super) visibility: Duration,
    /// Where messages go that were received so often.
    pub(super) grave: Option<(&'a str, u32)>,
    pub(super) faults: Faults,
}

impl Take<'_> {
    /// Gives what it took, and whether any became dead letters.
    pub(super) fn run(&self, connection: &Connection) -> rusqlite::Result<(Vec<Delivery>, bool)> {
        let mut has_buried = false;
        let mut due = loop {
            let (spent, due): (Vec<_>, Vec<_>) =
                self.due(connection)?.into_iter().partition(|(number, _)| self.is_spent(*number));
            if spent.is_empty() {
                break due;
            }
            spent.iter().try_for_each(|(number, _)| self.bury(connection, *number))?;
            has_buried = true;
        };
        due.sort_by_key(|(number, _)| self.faults.place(number.id, number.receives));
        due.truncate(self.max);
        let deliver = |(number, body)| self.deliver(connection, number, body);
        Ok((due.into_iter().map(deliver).collect::<Result<_, _>>()?, has_buried))
    }

    fn is_spent(&self, number: Number) -> bool {
        self.grave.is_some_and(|(_, max_receives)| number.receives >= max_receives)
    }

    fn bury(&self, connection: &Connection, number: Number) -> rusqlite::Result<()> {
        let Some((grave, _)) = self.grave else { return Ok(()) };
        connection
            .prepare_cached(
                "UPDATE message SET queue = ?2, visible_at = ?3, receives = 0 WHERE id = ?1",
            )?
            .execute(params![number.id, grave, Moment(self.now)])
            .map(drop)
    }

    fn due(&self, connection: &Connection) -> rusqlite::Result<Vec<(Number, String)>> {
        let limit = if self.faults.is_disordered { self.max.max(SHUFFLED) } else { self.max };
        let mut find = connection.prepare_cached(
            "SELECT id, receives, body FROM message WHERE queue = ?1 AND visible_at <= ?2
             ORDER BY visible_at, id LIMIT ?3",
        )?;
        let limit = Count(u64::try_from(limit).unwrap_or(u64::MAX));
        let due = find.query_map(params![self.queue, Moment(self.now), limit], |row| {
            Ok((Number { id: row.get(0)?, receives: row.get(1)? }, row.get(2)?))
        })?;
        due.collect()
    }

    fn deliver(
        &self,
        connection: &Connection,
        number: Number,
        body: String,
    ) -> rusqlite::Result<Delivery> {
        let Number { id, receives } = number;
        let number = Number { id, receives: receives.saturating_add(1) };
        let until = if self.faults.is_stale(id, receives) {
            self.now
        } else {
            after(self.now, self.visibility)
        };
        connection
            .prepare_cached("UPDATE message SET visible_at = ?2, receives = ?3 WHERE id = ?1")?
            .execute(params![id, Moment(until), number.receives])?;
        if self.faults.is_duplicate(id, receives) {
            put(connection, self.queue, std::slice::from_ref(&body), self.now)?;
        }
        Ok(Delivery { handle: number.handle(), body, receive_count: number.receives })
    }
}

/// Gives whether the message was still its receiver's.
pub(super) fn extend(
    connection: &Connection,
    queue: &str,
    number: Number,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE message SET visible_at = ?5
             WHERE id = ?1 AND receives = ?2 AND queue = ?3 AND visible_at > ?4",
        )?
        .execute(params![number.id, number.receives, queue, Moment(now), Moment(until)])?;
    Ok(changed == 1)
}

pub(super) fn delete(
    connection: &Connection,
    queue: &str,
    numbers: &[Number],
) -> rusqlite::Result<()> {
    let mut delete = connection
        .prepare_cached("DELETE FROM message WHERE id = ?1 AND receives = ?2 AND queue = ?3")?;
    numbers
        .iter()
        .try_for_each(|number| delete.execute(params![number.id, number.receives, queue]).map(drop))
}

pub(super) fn depth(
    connection: &Connection,
    queue: &str,
    now: Timestamp,
) -> rusqlite::Result<Depth> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE visible_at <= ?2), count(*) FILTER (WHERE visible_at > ?2)
             FROM message WHERE queue = ?1",
        )?
        .query_row(params![queue, Moment(now)], |row| {
            let count = |at| row.get::<_, Count>(at).map(|count| count.0);
            Ok(Depth { visible: count(0)?, in_flight: count(1)? })
        })
}
