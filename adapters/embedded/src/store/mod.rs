//! The store in one SQLite file, `store.db`.
//!
//! ```text
//!  SqliteStore: ManagerStore   transaction() -> tx: task, progress rows, outbox, slots    one thread and process at a time
//!             : WorkerStore    run     claim, renew, release, parts, checkpoints          the same, fenced by the run
//!                              data    stored output, collections                         readers, beside the writer
//!                              recon   what was found
//!                              slots   bare-metal workers
//! ```
//!
//! `synchronous=FULL`: what was committed survives the machine too, so a task that was reported done stays done. That is an fsync
//! a commit, and what limits how many claims a second there can be.
//!
//! The schema stands in `migrations/store`. Each question that is asked often has an index that holds nothing else, so no
//! primitive looks at more rows than it gives, however many tasks have ended. No decision stands here, but for the guards of a
//! run that its port asks for.

mod data;
mod recon;
mod run;
mod slots;
mod task;
mod tx;

use std::path::Path;

use mrpf_ports::{
    ManagerStore, StoreError, WorkerStore,
    store::{Checkpoint, Claim, Cursor, Lease, ModelRow, RefusalRow, Renewal, SeenCount, Tx},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, WorkflowId,
    catalogue::{DataRef, Model},
    message::Run,
};
use rusqlite::{Connection, ErrorCode};
use serde_json::Value;

use self::tx::SqliteTx;
use crate::database::{Database, Kind, OpenError, is_busy};

static STORE: Kind = Kind {
    synchronous: "FULL",
    migrations: &[
        include_str!("../../migrations/store/0001_task_manager.sql"),
        include_str!("../../migrations/store/0002_recon.sql"),
        include_str!("../../migrations/store/0003_certificates.sql"),
        include_str!("../../migrations/store/0004_domain_records.sql"),
    ],
};

/// How often a transaction is begun while others are in the way; each waits for some seconds.
const TRIES: u32 = 3;

/// A store in a SQLite file, which several processes may have open.
#[derive(Debug)]
pub struct SqliteStore {
    database: Database,
}

impl SqliteStore {
    /// Opens the store in `path`; makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Version`] when a later program made it; else [`StoreError`] as of any call.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        match Database::open(path.as_ref(), &STORE) {
            Ok(database) => Ok(Self { database }),
            Err(OpenError::Version { found, known, .. }) => {
                Err(StoreError::Version { found, known })
            }
            Err(error) => Err(StoreError::Unavailable(error.to_string())),
        }
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database.write(|error| error, work).map_err(failed)
    }

    /// As [`write`](Self::write) for work that gives `None` when its run does not hold its task any more.
    fn write_fenced<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<Option<T>>,
    ) -> Result<T, StoreError> {
        self.write(work)?.ok_or(StoreError::Fenced)
    }

    fn look<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.database.read(work).map_err(failed)
    }
}

/// What an error of SQLite means to the caller.
#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn failed(error: rusqlite::Error) -> StoreError {
    use rusqlite::Error as E;
    match error {
        _ if is_busy(&error) => StoreError::Busy(error.to_string()),
        E::FromSqlConversionFailure(..)
        | E::IntegralValueOutOfRange(..)
        | E::InvalidColumnType(..) => StoreError::Corrupt(error.to_string()),
        _ => match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt(error.to_string())
            }
            _ => StoreError::Unavailable(error.to_string()),
        },
    }
}

impl ManagerStore for SqliteStore {
    fn transaction(
        &self,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.database.write(failed, |connection| work(&mut SqliteTx(connection))) {
                Err(StoreError::Busy(why)) if tries < TRIES => {
                    tracing::debug!(tries, why, "store: others are in the way");
                }
                done => return done,
            }
        }
    }
}

impl WorkerStore for SqliteStore {
    fn claim_task(&self, run: &Run, lease: &Lease<'_>) -> Result<Claim, StoreError> {
        self.write(|connection| run::claim(connection, run, lease))
    }

    fn renew_task(
        &self,
        run: &Run,
        lease: &Lease<'_>,
        progress: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError> {
        self.write(|connection| run::renew(connection, run, lease, progress))
    }

    fn release_task(&self, run: &Run) -> Result<(), StoreError> {
        self.write_fenced(|connection| run::release(connection, run))
    }

    fn put_part(&self, run: &Run, seq: u32, chunk: &Chunk) -> Result<(), StoreError> {
        // Written out before the write lock is taken: a chunk may have half a megabyte.
        let text = serde_json::to_string(chunk)
            .map_err(|error| StoreError::Unavailable(format!("a chunk is no JSON: {error}")))?;
        self.write_fenced(|connection| run::put_part(connection, run, seq, &text))
    }

    fn put_checkpoint(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_fenced(|connection| run::put_checkpoint(connection, run, checkpoint, now))
    }

    fn read(
        &self,
        from: DataRef,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError> {
        self.look(|connection| data::read(connection, from, after, limit))
    }

    fn insert_rows(
        &self,
        run: &Run,
        collection: CollectionId,
        rows: &[(String, Value)],
    ) -> Result<u64, StoreError> {
        self.write_fenced(|connection| data::insert_rows(connection, run, collection, rows))
    }

    fn upsert(&self, rows: &[ModelRow], now: Timestamp) -> Result<SeenCount, StoreError> {
        let rows = recon::merged(rows);
        self.write(|connection| recon::upsert(connection, &rows, now))
    }

    fn list(
        &self,
        model: Model,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ModelRow>, StoreError> {
        self.look(|connection| recon::list(connection, model, after, limit))
    }

    fn known(&self, model: Model, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        self.look(|connection| recon::known(connection, model, keys))
    }

    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError> {
        self.look(recon::blocklist)
    }

    fn refuse(&self, rows: &[RefusalRow]) -> Result<(), StoreError> {
        self.write(|connection| rows.iter().try_for_each(|row| recon::put_refusal(connection, row)))
    }

    fn refusals(&self, workflow: WorkflowId) -> Result<Vec<RefusalRow>, StoreError> {
        self.look(|connection| recon::refusals(connection, workflow))
    }

    fn live_slot(&self, instance: &str, until: Timestamp) -> Result<bool, StoreError> {
        self.write(|connection| slots::live(connection, instance, until))
    }

    fn drain_slot(&self, instance: &str) -> Result<bool, StoreError> {
        self.write(|connection| slots::drain(connection, instance))
    }
}
