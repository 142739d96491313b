//! The store in the schemas `task_manager` and `recon` of one database.
//!
//! ```text
//!  PgStore: ManagerStore   transaction() -> tx: task, progress rows, outbox, slots    SERIALIZABLE
//!         : WorkerStore    run     claim, renew, release, parts, checkpoints          SERIALIZABLE, fenced by the run
//!                          data    stored output, collections                         READ COMMITTED
//!                          recon   what was found                                     READ COMMITTED
//!                          slots   bare-metal workers                                 SERIALIZABLE, fenced by the generation
//! ```
//!
//! SERIALIZABLE is what lets decisions stand in Rust: what a transaction has read holds until it ends, or it is begun anew. Each
//! question that is asked often has an index that holds nothing else, so no primitive looks at more rows than it gives, and none is
//! in the way of another that looks at others.

mod data;
mod recon;
mod run;
mod slots;
mod task;
mod tx;

use std::sync::Arc;

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
use postgres::types::Json;
use serde_json::Value;
use uuid::Uuid;

use self::{recon::Batch, slots::Generations, tx::PgTx};
use crate::{
    connection::{Connector, Session},
    database::{CONNECTIONS, Database, Patience},
    failure::Failure,
    migrate,
};

/// A store in PostgreSQL. Clones share its connections.
#[derive(Clone, Debug)]
pub struct PgStore {
    database: Database,
    generations: Arc<Generations>,
}

impl PgStore {
    /// Opens the store in the database of `url`, `postgresql://USER:PASSWORD@HOST/DATABASE`. With `sslmode` and `sslrootcert` as
    /// libpq knows them: `?sslmode=verify-full&sslrootcert=/etc/mrpf/rds.pem`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Version`] when a later program made it, [`StoreError::Unavailable`] when an earlier one or nobody did; else
    /// [`StoreError`] as of any call. Nothing is waited for.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_with(url, CONNECTIONS)
    }

    /// As [`Self::open`], with so many connections at most: where a platform starts as many processes as there is work, as Lambda
    /// does, the sum must stay below what the server takes.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with(url: &str, connections: u32) -> Result<Self, StoreError> {
        let connector = Connector::new(url)?;
        let mut connection = connector.connection()?;
        let found = migrate::version(&mut connection).map_err(|failure| failure.told())?;
        let known = migrate::KNOWN;
        if found < known {
            return Err(StoreError::Unavailable(format!(
                "{}: its version is {found}, and this program needs {known}: start mrpf-manager of this version, which brings it up to date",
                connector.address()
            )));
        }
        if found > known {
            return Err(StoreError::Version { found, known });
        }
        Ok(Self { database: Database::new(connector, connections), generations: Arc::default() })
    }

    /// Makes what is missing of schemas, roles and rights, as the user who is to own them: the manager's. Many may do so at once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Version`] when a later program has been here; [`StoreError::Unavailable`] when the user may not. Nothing has
    /// changed then.
    pub fn migrate(url: &str) -> Result<(), StoreError> {
        let found = migrate::migrate(&Connector::new(url)?)?;
        if found > migrate::KNOWN {
            return Err(StoreError::Version { found, known: migrate::KNOWN });
        }
        Ok(())
    }

    /// The name of this store, made with it. Machines and tokens that are named after it are nobody else's.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; for all but the manager's user [`StoreError::Unavailable`].
    pub fn platform_id(&self) -> Result<String, StoreError> {
        self.database.call(Patience::Little, |connection| {
            let row = connection.row("SELECT id FROM platform", &[])?;
            Ok(row.try_get::<_, Uuid>(0)?.to_string())
        })
    }

    /// Does one thing that decides nothing.
    fn relaxed<T>(
        &self,
        patience: Patience,
        mut work: impl FnMut(&mut Session<'_>) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.database.call(patience, |connection| {
            let mut session = connection.relaxed()?;
            let done = work(&mut session)?;
            session.commit().map_err(|failure| match failure {
                // Done twice it is done once.
                Failure::Unknown(why) => Failure::Gone(why),
                failure => failure,
            })?;
            Ok(done)
        })
    }
}

impl ManagerStore for PgStore {
    fn transaction(
        &self,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.database.call(Patience::Little, |connection| {
            let mut tx = PgTx::of(connection.session()?);
            let done = work(&mut tx);
            tx.end(done)
        })
    }
}

impl WorkerStore for PgStore {
    fn claim_task(&self, run: &Run, lease: &Lease<'_>) -> Result<Claim, StoreError> {
        self.database.call(Patience::Little, |connection| run::claim(connection, run, lease))
    }

    fn renew_task(
        &self,
        run: &Run,
        lease: &Lease<'_>,
        progress: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError> {
        self.database
            .call(Patience::Little, |connection| run::renew(connection, run, lease, progress))
    }

    fn release_task(&self, run: &Run) -> Result<(), StoreError> {
        self.database.call(Patience::Little, |connection| run::release(connection, run))
    }

    fn put_part(&self, run: &Run, seq: u32, chunk: &Chunk) -> Result<(), StoreError> {
        let chunk = Json(chunk);
        self.database.call(Patience::Much, |connection| run::put_part(connection, run, seq, &chunk))
    }

    fn put_checkpoint(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.database.call(Patience::Much, |connection| {
            run::put_checkpoint(connection, run, checkpoint, now)
        })
    }

    fn read(
        &self,
        from: DataRef,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError> {
        self.relaxed(Patience::Much, |session| data::read(session, from, after, limit))
    }

    fn insert_rows(
        &self,
        run: &Run,
        collection: CollectionId,
        rows: &[(String, Value)],
    ) -> Result<u64, StoreError> {
        self.database
            .call(Patience::Much, |connection| run::insert_rows(connection, run, collection, rows))
    }

    fn upsert(&self, rows: &[ModelRow], now: Timestamp) -> Result<SeenCount, StoreError> {
        let batch = Batch::of(rows);
        self.relaxed(Patience::Much, |session| batch.put(session, now))
    }

    fn list(
        &self,
        model: Model,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ModelRow>, StoreError> {
        self.relaxed(Patience::Much, |session| recon::list(session, model, after, limit))
    }

    fn known(&self, model: Model, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        self.relaxed(Patience::Much, |session| recon::known(session, model, keys))
    }

    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError> {
        // The manager's loop asks too.
        self.relaxed(Patience::Little, recon::blocklist)
    }

    fn refuse(&self, rows: &[RefusalRow]) -> Result<(), StoreError> {
        self.relaxed(Patience::Much, |session| recon::put_refusals(session, rows))
    }

    fn refusals(&self, workflow: WorkflowId) -> Result<Vec<RefusalRow>, StoreError> {
        self.relaxed(Patience::Much, |session| recon::refusals(session, workflow))
    }

    fn live_slot(&self, instance: &str, until: Timestamp) -> Result<bool, StoreError> {
        self.database
            .call(Patience::Little, |connection| self.generations.live(connection, instance, until))
    }

    fn drain_slot(&self, instance: &str) -> Result<bool, StoreError> {
        self.database
            .call(Patience::Little, |connection| self.generations.drain(connection, instance))
    }
}
