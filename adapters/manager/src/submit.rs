//! A plan becomes rows.

use std::collections::{BTreeMap, BTreeSet};

use mrpf_ports::{
    ManagerStore, StoreError,
    store::{
        CollectionRow, Dependency, EdgeRow, TaskRow, TaskState, Tx, WorkflowRow, WorkflowState,
    },
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    Declared, Registry, TaskId, WorkflowId,
    workflow::{Plan, PlannedCollection, PlannedTask, Waits},
};

use crate::settle::is_complete;

/// Stores a plan: all of it, or nothing. A plan that is there already stays as it is; the answer is `false` then.
///
/// # Errors
///
/// [`SubmitError`].
pub fn submit(
    store: &dyn ManagerStore,
    registry: &Registry,
    plan: &Plan,
    now: Timestamp,
) -> Result<bool, SubmitError> {
    if plan.scope.is_empty() {
        return Err(SubmitError::NoScope);
    }
    let kinds =
        plan.tasks.iter().map(|task| check(registry, task)).collect::<Result<Vec<_>, _>>()?;
    let mut is_new = false;
    store.transaction(&mut |tx| {
        is_new = tx.workflow(plan.id)?.is_none();
        if is_new { write(tx, plan, &kinds, now) } else { Ok(()) }
    })?;
    if is_new {
        tracing::info!(workflow = %plan.id, name = plan.name, tasks = plan.tasks.len(), "submitted");
    }
    Ok(is_new)
}

fn check<'a>(registry: &'a Registry, task: &PlannedTask) -> Result<&'a Declared, SubmitError> {
    let name = task.name.clone();
    let declared = registry.find(&task.definition).ok_or_else(|| SubmitError::Unknown {
        name: name.clone(),
        definition: task.definition.clone(),
    })?;
    match declared.check(&task.input) {
        Ok(_) => Ok(declared),
        Err(error) => Err(SubmitError::Input { name, why: error.0 }),
    }
}

fn write(
    tx: &mut dyn Tx,
    plan: &Plan,
    kinds: &[&Declared],
    now: Timestamp,
) -> Result<(), StoreError> {
    let is_done = plan.tasks.is_empty();
    tx.put_workflow(&WorkflowRow {
        id: plan.id,
        name: plan.name.clone(),
        state: if is_done { WorkflowState::Succeeded } else { WorkflowState::Running },
        scope: plan.scope.clone(),
        open: count(plan.tasks.len()),
        failed: 0,
        created_at: now,
        finished_at: is_done.then_some(now),
    })?;
    let collections: BTreeMap<_, _> = plan
        .collections
        .iter()
        .map(|planned| (planned.id, collection(plan.id, planned, now)))
        .collect();
    collections.values().try_for_each(|row| tx.put_collection(row))?;

    let mut waits: BTreeMap<TaskId, BTreeSet<EdgeKey>> = BTreeMap::new();
    for edge in &plan.edges {
        let dependency = match edge.waits {
            Waits::Task(id, on) => Dependency::Task(id, on),
            Waits::Collection(id) => Dependency::Collection(id),
        };
        tx.put_edge(EdgeRow { task_id: edge.task, dependency })?;
        let is_met = match edge.waits {
            // An empty collection is complete from the start, and nothing will ever tell so.
            Waits::Collection(id) => {
                collections.get(&id).is_some_and(|row| row.completed_at.is_some())
            }
            Waits::Task(..) => false,
        };
        if !is_met {
            waits.entry(edge.task).or_default().insert(key(edge.waits));
        }
    }
    let mut keys = BTreeSet::new();
    for (task, declared) in plan.tasks.iter().zip(kinds) {
        let is_first = |key: &String| keys.insert(key.clone());
        let mut row = fresh(plan.id, task.id, declared, now);
        row.name = Some(task.name.clone());
        row.input = task.input.clone();
        // Two tasks of a file with the same key have edges of their own and both run; what tasks make is compared with the first.
        row.dedupe_key = task.dedupe_key.clone().filter(is_first);
        (row.member_of, row.feeds) = (task.member_of, task.feeds);
        row.max_tries = task.max_tries;
        row.waits_for = waits.get(&task.id).map_or(0, |edges| count(edges.len()));
        row.state = if row.waits_for == 0 { TaskState::Ready } else { TaskState::Blocked };
        tx.put_task(&row)?;
    }
    Ok(())
}

/// A collection without feeders and members is complete at once.
fn collection(workflow: WorkflowId, planned: &PlannedCollection, now: Timestamp) -> CollectionRow {
    let mut row = CollectionRow {
        id: planned.id,
        workflow_id: workflow,
        name: planned.name.clone(),
        feeders: planned.feeders,
        total: planned.members,
        done: 0,
        failed: 0,
        completed_at: None,
    };
    row.completed_at = is_complete(&row).then_some(now);
    row
}

/// A dependency as the store tells them apart: one that is named twice is one.
type EdgeKey = (uuid::Uuid, &'static str);

fn key(waits: Waits) -> EdgeKey {
    match waits {
        Waits::Task(id, on) => (id.0, on.as_str()),
        Waits::Collection(id) => (id.0, "complete"),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The row of a task that is ready and has never been given out.
pub(crate) fn fresh(
    workflow: WorkflowId,
    id: TaskId,
    declared: &Declared,
    now: Timestamp,
) -> TaskRow {
    TaskRow {
        source: declared.source.map(|source| source.name.to_owned()),
        ..TaskRow::new(id, workflow, declared.name, declared.class, now)
    }
}

/// Why a plan was not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// An input is not what its task takes.
    #[error("task {name:?}: {why}")]
    Input {
        /// What the plan calls the task.
        name: String,
        /// Which field.
        why: String,
    },
    /// The plan may touch nothing.
    #[error("the workflow has no scope: say which domains or addresses it may touch")]
    NoScope,
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A kind of task that this program does not know.
    #[error("task {name:?}: no task is called {definition:?}; `mrpf tasks` lists them")]
    Unknown {
        /// What the plan calls the task.
        name: String,
        /// What it says it is.
        definition: String,
    },
}
