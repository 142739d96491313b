//! How far everything is, for people: plain values, read in one transaction.

use std::collections::BTreeMap;

use mrpf_ports::{
    ManagerStore, StoreError,
    store::{
        CollectionRow, Control, RefusalRow, SlotRow, SlotState, TaskFilter, TaskRow, TaskState,
        WorkflowRow,
    },
};
use mrpf_tasks::WorkflowId;

/// How far the platform is.
#[derive(Clone, Debug)]
pub struct PlatformStatus {
    /// Whether it is stopped.
    pub control: Control,
    /// All workflows, the newest first.
    pub workflows: Vec<WorkflowRow>,
    /// The slots of bare-metal workers, without those that have retired.
    pub slots: Vec<SlotRow>,
}

/// How far a workflow is.
#[derive(Clone, Debug)]
pub struct WorkflowStatus {
    /// The workflow.
    pub workflow: WorkflowRow,
    /// Its tasks in groups, in the order in which their first was made: the tasks of its file by their names, and what they make by
    /// the collection's name and the kind of task.
    pub groups: Vec<Group>,
    /// Its collections.
    pub collections: Vec<CollectionRow>,
    /// What runs now.
    pub running: Vec<TaskRow>,
    /// What failed.
    pub failed: Vec<TaskRow>,
    /// What was not touched.
    pub refusals: Vec<RefusalRow>,
}

/// Tasks that people see as one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Group {
    /// What they are called.
    pub name: String,
    /// The kind of task.
    pub definition: String,
    /// How many are in each state; states that none is in are missing.
    pub states: BTreeMap<TaskState, u32>,
    /// Steps done by those that say so, and in all.
    pub progress: (u64, u64),
}

/// How far the platform is.
///
/// # Errors
///
/// [`StoreError`].
pub fn platform(store: &dyn ManagerStore) -> Result<PlatformStatus, StoreError> {
    let mut status = None;
    store.transaction(&mut |tx| {
        let (control, workflows, mut slots) = (tx.control()?, tx.workflows()?, tx.slots()?);
        slots.retain(|slot| !slot.is_surplus || slot.state != SlotState::Free);
        status = Some(PlatformStatus { control, workflows, slots });
        Ok(())
    })?;
    status.ok_or_else(|| StoreError::Unavailable("a transaction that did nothing".to_owned()))
}

/// How far a workflow is; `None` when there is no such.
///
/// # Errors
///
/// [`StoreError`].
pub fn workflow(
    store: &dyn ManagerStore,
    id: WorkflowId,
) -> Result<Option<WorkflowStatus>, StoreError> {
    let mut found = None;
    store.transaction(&mut |tx| {
        found = None;
        if let Some(workflow) = tx.workflow(id)? {
            found =
                Some((workflow, tx.collections(id)?, tx.tasks(TaskFilter::Of(id), usize::MAX)?));
        }
        Ok(())
    })?;
    let Some((workflow, collections, tasks)) = found else { return Ok(None) };
    let groups = group(&tasks, &collections);
    let pick = |state| tasks.iter().filter(move |task| task.state == state).cloned().collect();
    let (running, failed) = (pick(TaskState::Running), pick(TaskState::Failed));
    let refusals = store.refusals(id)?;
    Ok(Some(WorkflowStatus { workflow, groups, collections, running, failed, refusals }))
}

fn group(tasks: &[TaskRow], collections: &[CollectionRow]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for task in tasks {
        let collection = collections.iter().find(|row| task.member_of == Some(row.id));
        let name = match (&task.name, collection) {
            (Some(name), _) => name.clone(),
            (None, Some(collection)) => collection.name.clone(),
            (None, None) => task.definition.clone(),
        };
        let place = *places.entry((name.clone(), &task.definition)).or_insert_with(|| {
            let definition = task.definition.clone();
            groups.push(Group { name, definition, ..Group::default() });
            groups.len() - 1
        });
        let group = &mut groups[place];
        *group.states.entry(task.state).or_default() += 1;
        if let Some(total) = task.total {
            group.progress.0 += task.done;
            group.progress.1 += total;
        }
    }
    groups
}
