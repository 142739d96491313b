//! What the manager may do.

use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, MessageId, RunId, TaskId, WorkerClass, WorkflowId,
    message::{NewTask, Outcome},
};

use super::{
    CollectionRow, Control, EdgeRow, OutboxRow, RefusalRow, SlotRow, StoreError, TaskFilter,
    TaskRow, WorkerStore, WorkflowRow,
};

/// A store as the manager sees it. Several managers may share one.
pub trait ManagerStore: WorkerStore {
    /// Runs `work` in one transaction that sees and changes everything at once, or nothing. It is run again when others were
    /// in the way.
    ///
    /// # Errors
    ///
    /// What `work` gives, and [`StoreError`] of its own. Nothing has changed then.
    fn transaction(
        &self,
        work: &mut dyn FnMut(&mut dyn Tx) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>;
}

/// A transaction: rows in and out. Each call sees what earlier ones wrote. No call decides anything.
pub trait Tx {
    /// What holds for the platform.
    fn control(&mut self) -> Result<Control, StoreError>;
    /// Changes it.
    fn put_control(&mut self, control: Control) -> Result<(), StoreError>;

    /// A workflow.
    fn workflow(&mut self, id: WorkflowId) -> Result<Option<WorkflowRow>, StoreError>;
    /// All workflows, the newest first.
    fn workflows(&mut self) -> Result<Vec<WorkflowRow>, StoreError>;
    /// Adds or replaces a workflow.
    fn put_workflow(&mut self, row: &WorkflowRow) -> Result<(), StoreError>;

    /// A task.
    fn task(&mut self, id: TaskId) -> Result<Option<TaskRow>, StoreError>;
    /// Up to `limit` tasks.
    fn tasks(&mut self, filter: TaskFilter, limit: usize) -> Result<Vec<TaskRow>, StoreError>;
    /// The task of a workflow with this key.
    fn deduped(&mut self, workflow: WorkflowId, key: &str) -> Result<Option<TaskId>, StoreError>;
    /// Adds a task, or replaces how far one is and what it is asked. What it is stays: workflow, name, parent, collection,
    /// definition, class, source, key and time of making.
    fn put_task(&mut self, row: &TaskRow) -> Result<(), StoreError>;
    /// What waits for a task.
    fn waiting_for_task(&mut self, id: TaskId) -> Result<Vec<EdgeRow>, StoreError>;
    /// What waits for a collection.
    fn waiting_for_collection(&mut self, id: CollectionId) -> Result<Vec<EdgeRow>, StoreError>;
    /// Adds an edge; one that is there already is left as it is.
    fn put_edge(&mut self, edge: EdgeRow) -> Result<(), StoreError>;

    /// A collection.
    fn collection(&mut self, id: CollectionId) -> Result<Option<CollectionRow>, StoreError>;
    /// The collections of a workflow.
    fn collections(&mut self, workflow: WorkflowId) -> Result<Vec<CollectionRow>, StoreError>;
    /// Adds or replaces a collection.
    fn put_collection(&mut self, row: &CollectionRow) -> Result<(), StoreError>;

    /// Stores a part of a run's output on behalf of a worker without a database; one that is there stays.
    fn put_part(
        &mut self,
        task: TaskId,
        run: RunId,
        seq: u32,
        chunk: &Chunk,
    ) -> Result<(), StoreError>;
    /// How many parts a run has.
    fn parts(&mut self, task: TaskId, run: RunId) -> Result<u32, StoreError>;
    /// Keeps a task that a run makes until the run is complete; one that is there stays.
    fn put_child(
        &mut self,
        task: TaskId,
        run: RunId,
        index: u32,
        child: &NewTask,
    ) -> Result<(), StoreError>;
    /// The tasks that a run makes, in order.
    fn children(&mut self, task: TaskId, run: RunId) -> Result<Vec<(u32, NewTask)>, StoreError>;
    /// Keeps how a run said that it ended, until its parts and children are here: queues may bring them later. What a run said
    /// first stays.
    fn put_outcome(
        &mut self,
        task: TaskId,
        run: RunId,
        outcome: &Outcome,
    ) -> Result<(), StoreError>;
    /// How a run said that it ended.
    fn outcome(&mut self, task: TaskId, run: RunId) -> Result<Option<Outcome>, StoreError>;
    /// Removes the parts of every run of a task but `run`, all children and outcomes that are kept, and its checkpoint.
    fn keep_run(&mut self, task: TaskId, run: Option<RunId>) -> Result<(), StoreError>;

    /// Puts a message into the outbox.
    fn put_outbox(&mut self, class: WorkerClass, body: &str) -> Result<(), StoreError>;
    /// Up to `limit` messages that nobody is sending, hidden from other managers until `hide_until`.
    fn take_outbox(
        &mut self,
        now: Timestamp,
        hide_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, StoreError>;
    /// Says when messages that could not be sent are shown again.
    fn put_off_outbox(&mut self, ids: &[i64], until: Timestamp) -> Result<(), StoreError>;
    /// Removes messages that were sent.
    fn remove_outbox(&mut self, ids: &[i64]) -> Result<(), StoreError>;

    /// When a source may be asked next, and how many tasks that name it are out.
    fn pace(&mut self, source: &str) -> Result<(Timestamp, u32), StoreError>;
    /// Sets when a source may be asked next.
    fn put_pace(&mut self, source: &str, next: Timestamp) -> Result<(), StoreError>;

    /// All slots, by number.
    fn slots(&mut self) -> Result<Vec<SlotRow>, StoreError>;
    /// Adds or replaces a slot. None is ever removed: a generation that came a second time would name a machine of the past.
    fn put_slot(&mut self, row: &SlotRow) -> Result<(), StoreError>;

    /// Adds addresses to those that nobody is to touch.
    fn put_blocked(&mut self, range: AddressRange, now: Timestamp) -> Result<(), StoreError>;
    /// Notes something that is not touched; the same again is one.
    fn put_refusal(&mut self, row: &RefusalRow) -> Result<(), StoreError>;
    /// Keeps a message that nobody can use, with the reason, for people.
    fn put_dead_letter(
        &mut self,
        queue: &str,
        message: Option<MessageId>,
        body: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
}
