//! What each kind of message says.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{RunId, Ticket};
use crate::{Chunk, Scope, TaskError, TaskId, WorkflowId};

/// A task as the manager gave it out once.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Assignment {
    /// The task.
    pub task_id: TaskId,
    /// Which giving-out, from 1.
    pub attempt: u32,
    /// Known to the manager and to whom it gave the task.
    pub ticket: Ticket,
}

/// One worker's try at an [`Assignment`]. A message that is delivered twice makes two runs of one attempt, and one of them
/// counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Run {
    /// What was given out.
    #[serde(flatten)]
    pub assignment: Assignment,
    /// The try.
    pub run_id: RunId,
}

/// Do this.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RunTask {
    /// The task.
    #[serde(flatten)]
    pub assignment: Assignment,
    /// Its workflow.
    pub workflow_id: WorkflowId,
    /// The kind of task.
    pub definition: String,
    /// What its definition takes.
    pub input: Value,
    /// What the workflow may touch.
    pub scope: Scope,
}

/// A task that a running task makes. It comes to life when the run that made it is complete; then all of that run's do.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CreateTask {
    /// Who makes it.
    #[serde(flatten)]
    pub run: Run,
    /// Which of the run's children, from 0.
    pub index: u32,
    /// What it is.
    pub task: NewTask,
}

/// A task to be.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct NewTask {
    /// The kind of task.
    pub definition: String,
    /// What its definition takes.
    pub input: Value,
}

/// A task is over, or a part of its output is here.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CompleteTask {
    /// Whose.
    #[serde(flatten)]
    pub run: Run,
    /// How it ended, the same in every part.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// A part, where the worker cannot write to the store itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// How a run ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it was asked. The run counts once all its parts and children are here.
    Succeeded {
        /// Chunks of its output.
        parts: u32,
        /// Tasks it made.
        #[serde(default, skip_serializing_if = "is_zero")]
        created: u32,
        /// The verdict of a condition.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        branch: Option<bool>,
        /// There was more than the source gives.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
    },
    /// It did not.
    Failed {
        /// Why.
        error: TaskError,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A chunk of a task's output.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Part {
    /// Which, from 0.
    pub index: u32,
    /// The chunk.
    pub chunk: Chunk,
}

/// How far a run is. It also says that the run lives.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TaskProgress {
    /// Whose.
    #[serde(flatten)]
    pub run: Run,
    /// Steps done.
    pub done: u64,
    /// Steps in all, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is being done, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}
