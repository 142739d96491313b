//! A workflow that can be submitted: everything it names exists, and nothing waits for itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CollectionId, Scope, TaskId, WorkerClass, WorkflowId};

/// A checked workflow with ids.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Its id.
    pub id: WorkflowId,
    /// What its file calls it.
    pub name: String,
    /// What it may touch; never empty.
    pub scope: Scope,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<PlannedTask>,
    /// Who waits for what.
    pub edges: Vec<PlannedEdge>,
    /// Its collections.
    pub collections: Vec<PlannedCollection>,
}

/// A task of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTask {
    /// Its id.
    pub id: TaskId,
    /// What the file calls it.
    pub name: String,
    /// The kind of task.
    pub definition: String,
    /// Where it runs.
    pub class: WorkerClass,
    /// Its input; names of tasks and collections are ids now.
    pub input: Value,
    /// Two tasks of a workflow with the same key are one.
    pub dedupe_key: Option<String>,
    /// The collection it is a member of.
    pub member_of: Option<CollectionId>,
    /// The collection that the tasks it makes go to.
    pub feeds: Option<CollectionId>,
    /// How often it may fail.
    pub max_tries: u32,
}

/// A collection of a plan.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlannedCollection {
    /// Its id.
    pub id: CollectionId,
    /// What the file calls it.
    pub name: String,
    /// How many tasks of the plan feed it.
    pub feeders: u32,
    /// How many tasks of the plan are its members.
    pub members: u32,
}

/// Someone waits for something.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PlannedEdge {
    /// Who.
    pub task: TaskId,
    /// For what.
    pub waits: Waits,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Waits {
    /// That a task ends so.
    Task(TaskId, On),
    /// That a collection is complete: its feeders have ended, and its members.
    Collection(CollectionId),
}

/// How a task must end for those that wait for it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Well.
    #[default]
    Succeeded,
    /// Given up.
    Failed,
    /// In any way, skipped included: for tasks that join branches.
    Finished,
    /// Well, with the verdict true.
    True,
    /// Well, with the verdict false.
    False,
}

impl On {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Succeeded, Self::Failed, Self::Finished, Self::True, Self::False];

    /// The word that files and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::True => "true",
            Self::False => "false",
        }
    }
}
