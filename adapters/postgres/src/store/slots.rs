//! A bare-metal worker and its slot. It knows its instance id alone; that the slot is its, the manager has written. With its
//! first sign of life it learns of which generation its slot is, and what it does later is fenced by that.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use mrpf_records::Timestamp;

use crate::{columns::moment, connection::Connection, failure::Failure};

/// Which generation of a slot each machine here has.
#[derive(Debug, Default)]
pub(super) struct Generations(Mutex<HashMap<String, i64>>);

impl Generations {
    pub(super) fn live(
        &self,
        connection: &mut Connection,
        instance: &str,
        until: Timestamp,
    ) -> Result<bool, Failure> {
        let row = connection.row("SELECT live_slot($1, $2)", &[&instance, &moment(until)])?;
        let generation: Option<i64> = row.try_get(0)?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match generation {
            Some(generation) => known.insert(instance.to_owned(), generation),
            None => known.remove(instance),
        };
        Ok(generation.is_some())
    }

    pub(super) fn drain(
        &self,
        connection: &mut Connection,
        instance: &str,
    ) -> Result<bool, Failure> {
        let Some(generation) = self.of(instance) else { return Ok(false) };
        let row = connection.row("SELECT drain_slot($1, $2)", &[&instance, &generation])?;
        Ok(row.try_get(0)?)
    }

    fn of(&self, instance: &str) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(instance).copied()
    }
}
