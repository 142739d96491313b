//! What an internal or bare-metal worker may do.

use std::fmt;

use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, TaskId, WorkflowId,
    catalogue::{DataRef, Model},
    message::Run,
};
use serde_json::Value;

use super::{ModelRow, RefusalRow, SeenCount, StoreError};

/// A store as a worker sees it. Each call is a transaction of its own. What a run writes is fenced: a run that does not hold
/// its task any more gets [`StoreError::Fenced`] and changes nothing.
pub trait WorkerStore: fmt::Debug + Send + Sync {
    /// Takes a task for a run, if no other run's lease lives. A run that follows one with a [`Checkpoint`] takes over the
    /// parts that the checkpoint covers; all other parts of earlier runs are removed.
    fn claim_task(&self, run: &Run, lease: &Lease<'_>) -> Result<Claim, StoreError>;
    /// Says that a run lives, and how far it is. A task of a workflow that was cancelled, or of a platform that was stopped,
    /// is not renewed.
    fn renew_task(
        &self,
        run: &Run,
        lease: &Lease<'_>,
        progress: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError>;
    /// Lets go of a task before it is over: the next run may claim it at once.
    fn release_task(&self, run: &Run) -> Result<(), StoreError>;

    /// Stores a part of the run's output; one that is there stays.
    fn put_part(&self, run: &Run, seq: u32, chunk: &Chunk) -> Result<(), StoreError>;
    /// Stores a checkpoint: everything up to `position` is in the parts below `parts`.
    fn put_checkpoint(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Up to `limit` chunks of stored output after `after`, in order; each with where it stands. Of a task that has
    /// succeeded, and of those members of a collection that have.
    fn read(
        &self,
        from: DataRef,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError>;
    /// Puts items into a collection by key; gives how many were new.
    fn insert_rows(
        &self,
        run: &Run,
        collection: CollectionId,
        rows: &[(String, Value)],
    ) -> Result<u64, StoreError>;

    /// Adds rows to recon, or says that they were seen again, at `now`.
    fn upsert(&self, rows: &[ModelRow], now: Timestamp) -> Result<SeenCount, StoreError>;
    /// Up to `limit` rows of a table whose keys follow `after`, in the order of their keys.
    fn list(
        &self,
        model: Model,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ModelRow>, StoreError>;
    /// Which of `keys` a table has: see [`ModelRow::key`].
    fn known(&self, model: Model, keys: &[String]) -> Result<Vec<bool>, StoreError>;
    /// What nobody is to touch.
    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError>;
    /// Notes things that are not touched; the same again is one.
    fn refuse(&self, rows: &[RefusalRow]) -> Result<(), StoreError>;
    /// What was not touched for a workflow.
    fn refusals(&self, workflow: WorkflowId) -> Result<Vec<RefusalRow>, StoreError>;

    /// Says that a bare-metal worker is up, or still is, and takes tasks. `false` when no slot is its: it is to wait, or to go.
    fn live_slot(&self, instance: &str, until: Timestamp) -> Result<bool, StoreError>;
    /// Says that a bare-metal worker takes no more tasks, and looks for a message a last time at most. `false` when no slot is its.
    /// The slot stays its machine's until the manager sees that this is gone.
    fn drain_slot(&self, instance: &str) -> Result<bool, StoreError>;
}

/// Where a chunk stands among those of a [`DataRef`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor {
    /// Of which task; nil for rows of a collection.
    pub task: TaskId,
    /// Which chunk of it, or row.
    pub seq: u64,
}

/// For how long a run holds its task.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// Who it is, for people.
    pub worker: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Until then, unless it is renewed.
    pub until: Timestamp,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// The run holds the task.
    Held {
        /// Where an earlier run was.
        checkpoint: Option<Checkpoint>,
    },
    /// Another run holds it and lives, or the platform is stopped: give the message back.
    Busy,
    /// The task is over, was given out anew, or never was: the message has had its day.
    Stale,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Renewal {
    /// The run holds its task.
    Held,
    /// Another run does, or nobody any more: whatever this run does is in vain.
    Lost,
    /// Somebody wants it to stop: it is to save what it has and let go.
    Stop,
}

/// Where a run was.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// In the task's own terms.
    pub position: Value,
    /// How many parts of its output hold what lies before.
    pub parts: u32,
}
