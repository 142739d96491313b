//! Hands and a store in memory, for tests of tasks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use mrpf_ports::{
    Finished, Hands, StoreError, WorkerStore,
    store::{Checkpoint, Claim, Cursor, Lease, ModelRow, RefusalRow, Renewal, SeenCount},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, RunId, Scope, TaskDefinition, TaskError, TaskId, Ticket,
    WorkflowId,
    catalogue::{DataRef, Model},
    chunk::Chunker,
    message::{Assignment, NewTask, Run, RunTask},
    scope::Refusal,
};
use serde_json::Value;
use uuid::Uuid;

use crate::rows::rows_of;

/// The items of a JSON array.
pub(crate) fn items(array: Value) -> Vec<Value> {
    match array {
        Value::Array(items) => items,
        other => panic!("no array: {other}"),
    }
}

/// One task's hands, with all that it finds and does.
#[derive(Debug)]
pub(crate) struct Fake {
    is_stopping: bool,
    scope: Scope,
    run: Run,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    output: Vec<Value>,
    children: Vec<NewTask>,
    told: String,
    stored: BTreeMap<TaskId, Vec<Chunk>>,
    most_chunks_read: usize,
    rows: BTreeMap<(CollectionId, String), Value>,
    recon: BTreeMap<String, ModelRow>,
    upserts: Vec<Vec<ModelRow>>,
    blocklist: Vec<AddressRange>,
    refused: Vec<(String, Refusal)>,
    noted: BTreeSet<String>,
}

impl Default for Fake {
    fn default() -> Self {
        let assignment =
            Assignment { task_id: TaskId(Uuid::from_u128(1)), attempt: 1, ticket: Ticket::fresh() };
        Self {
            is_stopping: false,
            scope: Scope::default(),
            run: Run { assignment, run_id: RunId::fresh() },
            memory: Mutex::default(),
        }
    }
}

impl Fake {
    /// With a scope in the form of a workflow file.
    pub(crate) fn with_scope(scope: Value) -> Self {
        Self { scope: serde_json::from_value(scope).unwrap(), ..Self::default() }
    }

    /// Of a task that is to stop.
    pub(crate) fn told_to_stop() -> Self {
        Self { is_stopping: true, ..Self::default() }
    }

    /// Does a task of kind `T`.
    pub(crate) fn run<T: TaskDefinition>(&self, input: Value) -> Result<Finished, TaskError> {
        let order = RunTask {
            assignment: self.run.assignment,
            workflow_id: WorkflowId::fresh(),
            definition: T::NAME.to_owned(),
            input,
            scope: self.scope.clone(),
        };
        crate::runners(5, 10_000).run(self, &order)
    }

    /// Stores items as another task's output; gives the reference that an input has.
    pub(crate) fn stored(&self, items: Vec<Value>) -> Value {
        let task = TaskId::fresh();
        let mut chunker = Chunker::default();
        // Chunks of a few hundred, so that tests cross their borders.
        let mut chunks = Vec::new();
        for (at, item) in (1..).zip(items) {
            chunks.extend(chunker.push(item));
            if at % 300 == 0 {
                chunks.extend(chunker.rest());
            }
        }
        chunks.extend(chunker.rest());
        self.memory().stored.insert(task, chunks);
        serde_json::to_value(DataRef::Task(task)).unwrap()
    }

    /// Puts rows into recon.
    pub(crate) fn know(&self, model: Model, items_: Value) {
        for item in items(items_) {
            for row in rows_of(model, &item).unwrap() {
                self.memory().recon.insert(row.key(), row);
            }
        }
    }

    pub(crate) fn block(&self, range: &str) {
        self.memory().blocklist.push(range.parse().unwrap());
    }

    pub(crate) fn output(&self) -> Vec<Value> {
        self.memory().output.clone()
    }

    pub(crate) fn children<T: TaskDefinition>(&self) -> Vec<T::Input> {
        let memory = self.memory();
        assert!(memory.children.iter().all(|child| child.definition == T::NAME));
        memory
            .children
            .iter()
            .map(|child| serde_json::from_value(child.input.clone()).unwrap())
            .collect()
    }

    /// The last that was told: a number and what it is of.
    pub(crate) fn told(&self) -> String {
        self.memory().told.clone()
    }

    pub(crate) fn most_chunks_read(&self) -> usize {
        self.memory().most_chunks_read
    }

    /// What was put into any collection under a key.
    pub(crate) fn row(&self, wanted: &str) -> Option<Value> {
        let memory = self.memory();
        let mut rows = memory.rows.iter();
        rows.find(|((_, key), _)| key == wanted).map(|(_, row)| row.clone())
    }

    pub(crate) fn upserts(&self) -> Vec<Vec<ModelRow>> {
        self.memory().upserts.clone()
    }

    pub(crate) fn refused(&self) -> Vec<(String, Refusal)> {
        self.memory().refused.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }
}

impl Hands for Fake {
    fn emit(&self, item: Value) -> Result<(), TaskError> {
        self.memory().output.push(item);
        Ok(())
    }

    fn create(&self, child: NewTask) -> Result<(), TaskError> {
        self.memory().children.push(child);
        Ok(())
    }

    fn save(&self, position: Value) -> Result<(), TaskError> {
        panic!("no task of this crate has a checkpoint: {position}")
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn progress(&self, done: u64, _: Option<u64>, note: &str) {
        self.memory().told = format!("{done}: {note}");
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    fn sleep(&self, _: Duration) {}

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(1_795_507_200_000_000)
    }

    fn store(&self) -> Option<&dyn WorkerStore> {
        Some(self)
    }

    fn class(&self) -> &'static str {
        "internal"
    }
}

/// What no task of this crate asks for.
fn not_asked<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not in this store".to_owned()))
}

impl WorkerStore for Fake {
    fn read(
        &self,
        from: DataRef,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError> {
        let DataRef::Task(task) = from else { return not_asked() };
        let mut memory = self.memory();
        memory.most_chunks_read = memory.most_chunks_read.max(limit);
        let chunks = memory.stored.get(&task).cloned().unwrap_or_default();
        let cursors = (0..).map(|seq| Cursor { task, seq });
        let rest =
            cursors.zip(chunks).filter(|(cursor, _)| after.is_none_or(|after| *cursor > after));
        Ok(rest.take(limit).collect())
    }

    fn insert_rows(
        &self,
        run: &Run,
        collection: CollectionId,
        rows: &[(String, Value)],
    ) -> Result<u64, StoreError> {
        assert_eq!(*run, self.run);
        let mut memory = self.memory();
        let before = memory.rows.len();
        for (key, row) in rows {
            memory.rows.entry((collection, key.clone())).or_insert_with(|| row.clone());
        }
        Ok((memory.rows.len() - before) as u64)
    }

    fn upsert(&self, rows: &[ModelRow], _: Timestamp) -> Result<SeenCount, StoreError> {
        let mut memory = self.memory();
        memory.upserts.push(rows.to_vec());
        let mut seen = SeenCount::default();
        for row in rows {
            match memory.recon.insert(row.key(), row.clone()) {
                None => seen.new += 1,
                Some(_) => seen.known += 1,
            }
        }
        Ok(seen)
    }

    fn list(
        &self,
        model: Model,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ModelRow>, StoreError> {
        let memory = self.memory();
        let rows = memory.recon.iter().filter(|(key, row)| {
            row.model() == model && after.is_none_or(|after| key.as_str() > after)
        });
        Ok(rows.map(|(_, row)| row.clone()).take(limit).collect())
    }

    fn known(&self, model: Model, keys: &[String]) -> Result<Vec<bool>, StoreError> {
        let memory = self.memory();
        let is_known = |key: &String| memory.recon.get(key).is_some_and(|row| row.model() == model);
        Ok(keys.iter().map(is_known).collect())
    }

    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError> {
        Ok(self.memory().blocklist.clone())
    }

    fn refuse(&self, rows: &[RefusalRow]) -> Result<(), StoreError> {
        let mut memory = self.memory();
        for row in rows {
            assert_eq!((row.task_id, row.by.as_str()), (self.run.assignment.task_id, "internal"));
            if memory.noted.insert(row.what.clone()) {
                memory.refused.push((row.what.clone(), row.why));
            }
        }
        Ok(())
    }

    fn refusals(&self, _: WorkflowId) -> Result<Vec<RefusalRow>, StoreError> {
        not_asked()
    }

    fn claim_task(&self, _: &Run, _: &Lease<'_>) -> Result<Claim, StoreError> {
        not_asked()
    }

    fn renew_task(
        &self,
        _: &Run,
        _: &Lease<'_>,
        _: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError> {
        not_asked()
    }

    fn release_task(&self, _: &Run) -> Result<(), StoreError> {
        not_asked()
    }

    fn put_part(&self, _: &Run, _: u32, _: &Chunk) -> Result<(), StoreError> {
        not_asked()
    }

    fn put_checkpoint(&self, _: &Run, _: &Checkpoint, _: Timestamp) -> Result<(), StoreError> {
        not_asked()
    }

    fn live_slot(&self, _: &str, _: Timestamp) -> Result<bool, StoreError> {
        not_asked()
    }

    fn drain_slot(&self, _: &str) -> Result<bool, StoreError> {
        not_asked()
    }
}
