//! The rows that the manager decides over.

use mrpf_records::Timestamp;
use mrpf_tasks::{CollectionId, RunId, Scope, TaskError, TaskId, Ticket, WorkerClass, WorkflowId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A plan that was submitted.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRow {
    /// Which.
    pub id: WorkflowId,
    /// As its file says.
    pub name: String,
    /// How far it is.
    pub state: WorkflowState,
    /// What it may touch.
    pub scope: Scope,
    /// Tasks that have not ended.
    pub open: u32,
    /// Tasks that failed.
    pub failed: u32,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When its last task ended.
    pub finished_at: Option<Timestamp>,
}

/// How far a workflow is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// Tasks are to be done.
    Running,
    /// All ended, none failed.
    Succeeded,
    /// All ended, some failed.
    Failed,
    /// Somebody ended it.
    Cancelled,
}

impl WorkflowState {
    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Which.
    pub id: TaskId,
    /// Of which workflow.
    pub workflow_id: WorkflowId,
    /// As the workflow's file says; what a task makes has none.
    pub name: Option<String>,
    /// Who made it.
    pub parent_id: Option<TaskId>,
    /// The collection that waits for it.
    pub member_of: Option<CollectionId>,
    /// The collection that the tasks it makes go to.
    pub feeds: Option<CollectionId>,
    /// The kind of task.
    pub definition: String,
    /// Where it runs.
    pub class: WorkerClass,
    /// The name of the public service it asks, whose pace is kept.
    pub source: Option<String>,
    /// What its definition takes.
    pub input: Value,
    /// Two tasks of a workflow with the same key are one.
    pub dedupe_key: Option<String>,
    /// How far it is.
    pub state: TaskState,
    /// Dependencies that are not met yet.
    pub waits_for: u32,
    /// How often it was given out.
    pub attempt: u32,
    /// Known to whom it was given last.
    pub ticket: Option<Ticket>,
    /// How often it failed, lost workers included.
    pub tries: u32,
    /// How often it may.
    pub max_tries: u32,
    /// Not given out before.
    pub not_before: Timestamp,
    /// While given out: until when its worker is believed to live.
    pub lease_until: Option<Timestamp>,
    /// The run that holds it, or that ended it.
    pub run_id: Option<RunId>,
    /// Who runs it, for people.
    pub worker: Option<String>,
    /// Chunks of its output.
    pub parts: u32,
    /// The verdict of a condition.
    pub branch: Option<bool>,
    /// There was more than the source gives.
    pub truncated: bool,
    /// Why it failed, the last time.
    pub error: Option<TaskError>,
    /// Steps done, as its run said last.
    pub done: u64,
    /// Steps in all.
    pub total: Option<u64>,
    /// What is being done.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl TaskRow {
    /// A task that is ready at `now`, waits for nothing, has never been given out, and fails with its first try.
    pub fn new(
        id: TaskId,
        workflow_id: WorkflowId,
        definition: &str,
        class: WorkerClass,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            workflow_id,
            name: None,
            parent_id: None,
            member_of: None,
            feeds: None,
            definition: definition.to_owned(),
            class,
            source: None,
            input: Value::Null,
            dedupe_key: None,
            state: TaskState::Ready,
            waits_for: 0,
            attempt: 0,
            ticket: None,
            tries: 0,
            max_tries: 1,
            not_before: now,
            lease_until: None,
            run_id: None,
            worker: None,
            parts: 0,
            branch: None,
            truncated: false,
            error: None,
            done: 0,
            total: None,
            note: String::new(),
            created_at: now,
            finished_at: None,
        }
    }
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for others.
    Blocked,
    /// It can be given out.
    Ready,
    /// It was given out, and nobody has said that it runs.
    Dispatched,
    /// A run holds it.
    Running,
    /// Done.
    Succeeded,
    /// Given up.
    Failed,
    /// What it waits for cannot happen any more.
    Skipped,
    /// Somebody ended it.
    Cancelled,
}

impl TaskState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Ready,
        Self::Dispatched,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// Whether nothing follows it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled)
    }

    /// Whether somebody may be at it.
    pub fn is_out(self) -> bool {
        matches!(self, Self::Dispatched | Self::Running)
    }

    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Dispatched => "dispatched",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Tasks that are waited for together. It is complete when its feeders have ended and so have its members.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CollectionRow {
    /// Which.
    pub id: CollectionId,
    /// Of which workflow.
    pub workflow_id: WorkflowId,
    /// As the workflow's file says.
    pub name: String,
    /// Tasks that may still add members.
    pub feeders: u32,
    /// Members.
    pub total: u32,
    /// Members that have ended.
    pub done: u32,
    /// Members that ended otherwise than well.
    pub failed: u32,
    /// When it was complete. Set once: what waits for it was told then.
    pub completed_at: Option<Timestamp>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EdgeRow {
    /// Who waits.
    pub task_id: TaskId,
    /// For what.
    pub dependency: Dependency,
}

/// Something that can be waited for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Dependency {
    /// A task, and how it must end.
    Task(TaskId, On),
    /// That a collection is complete.
    Collection(CollectionId),
}

pub use mrpf_tasks::workflow::On;

/// A message that is to be sent, written in the transaction that decided so.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OutboxRow {
    /// Where in the outbox.
    pub id: i64,
    /// To which class's queue.
    pub class: WorkerClass,
    /// The message.
    pub body: String,
}

/// Room for one bare-metal worker: there are as many rows as there may be workers, those that are surplus not counted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlotRow {
    /// Which, from 1.
    pub slot: u32,
    /// How often it was taken.
    pub generation: u32,
    /// How far its worker is.
    pub state: SlotState,
    /// Which machine.
    pub instance_id: Option<String>,
    /// Until when a launch, or a worker that has been silent, is believed in. Of a free slot: not taken before.
    pub lease_until: Option<Timestamp>,
    /// Whether it is not to be taken any more: there are to be fewer.
    pub is_surplus: bool,
}

/// How far the worker of a slot is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotState {
    /// There is none.
    Free,
    /// Its machine is being launched.
    Launching,
    /// It takes tasks.
    Live,
    /// It looks for a message a last time: no capacity.
    Draining,
}

impl SlotState {
    /// The word that tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Launching => "launching",
            Self::Live => "live",
            Self::Draining => "draining",
        }
    }
}

/// What holds for the whole platform.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Control {
    /// Nothing is given out, and what runs is given back.
    pub is_stopped: bool,
}

/// Which tasks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TaskFilter {
    /// [`TaskState::Ready`] and due, the oldest first.
    Due(Timestamp),
    /// Given out, with a lease that ended before.
    Expired(Timestamp),
    /// Bare-metal tasks that are ready and due, or out.
    RawUnfinished(Timestamp),
    /// Of a workflow and not ended.
    Open(WorkflowId),
    /// Of a workflow.
    Of(WorkflowId),
}
