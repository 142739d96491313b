//! A bare-metal worker and its slot. It knows its instance id alone; that the slot is its, the manager has written.

use mrpf_records::Timestamp;
use rusqlite::{Connection, params};

use crate::columns::Moment;

pub(super) fn live(
    connection: &Connection,
    instance: &str,
    until: Timestamp,
) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE bare_metal_slot SET state = 'live', lease_until = ?2 WHERE instance_id = ?1 AND state <> 'free'",
    )?;
    Ok(update.execute(params![instance, Moment(until)])? == 1)
}

pub(super) fn drain(connection: &Connection, instance: &str) -> rusqlite::Result<bool> {
    let mut update = connection.prepare_cached(
        "UPDATE bare_metal_slot SET state = 'draining' WHERE instance_id = ?1 AND state <> 'free'",
    )?;
    Ok(update.execute([instance])? == 1)
}
