//! What follows when a task changes: who waited for it, its collection, its workflow, its source.
//!
//! ```text
//!  event --> transition --> row --put--> ended? --> workflow.open - 1
//!                                         |-------> collections: member done, feeder gone --complete--> edges
//!                                         |-------> edges on the task: met -> waits_for - 1 -> ready
//!                                         |                            never -> skipped --.
//!                                         '--------------- the next that ended <----------'
//! ```
//!
//! Chains of skipped tasks may be as long as a workflow, so they are followed in a loop and not by recursion. Counters of
//! workflows and collections change with nearly every task of a batch: they are written once, by [`Books::close`].

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use mrpf_ports::{
    StoreError,
    clock::after,
    store::{
        CollectionRow, Dependency, EdgeRow, On, TaskRow, TaskState, Tx, WorkflowRow, WorkflowState,
    },
};
use mrpf_records::Timestamp;
use mrpf_tasks::{CollectionId, Registry, TaskId, WorkflowId};

use crate::{
    desk::Desk,
    transition::{self, Effects, Event, Policy, Refused},
};

/// The pace of a source of which too little is known.
pub(crate) const CAREFUL: Duration = Duration::from_secs(60);

/// The rows that a transaction works on. Nothing of a workflow's or collection's counters is stored before [`close`](Self::close).
pub(crate) struct Books<'a> {
    tx: &'a mut dyn Tx,
    desk: &'a mut Desk,
    now: Timestamp,
    workflows: BTreeMap<WorkflowId, WorkflowRow>,
    collections: BTreeMap<CollectionId, CollectionRow>,
    ended: VecDeque<TaskRow>,
}

impl<'a> Books<'a> {
    pub(crate) fn open(tx: &'a mut dyn Tx, desk: &'a mut Desk, now: Timestamp) -> Self {
        let (workflows, collections) = (BTreeMap::new(), BTreeMap::new());
        Self { tx, desk, now, workflows, collections, ended: VecDeque::new() }
    }

    pub(crate) fn tx(&mut self) -> &mut dyn Tx {
        self.tx
    }

    pub(crate) fn desk(&mut self) -> &mut Desk {
        self.desk
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Writes the counters.
    pub(crate) fn close(self) -> Result<(), StoreError> {
        self.workflows.values().try_for_each(|row| self.tx.put_workflow(row))?;
        self.collections.values().try_for_each(|row| self.tx.put_collection(row))
    }

    /// A workflow as it is in this transaction. Rows that name one that is not there are not ours.
    pub(crate) fn workflow(&mut self, id: WorkflowId) -> Result<&mut WorkflowRow, StoreError> {
        use std::collections::btree_map::Entry;
        match self.workflows.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let row = self.tx.workflow(id)?;
                let missing = || StoreError::Corrupt(format!("workflow {id} of a task is missing"));
                Ok(entry.insert(row.ok_or_else(missing)?))
            }
        }
    }

    /// A collection as it is in this transaction.
    pub(crate) fn collection(
        &mut self,
        id: CollectionId,
    ) -> Result<&mut CollectionRow, StoreError> {
        use std::collections::btree_map::Entry;
        match self.collections.entry(id) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let row = self.tx.collection(id)?;
                let missing =
                    || StoreError::Corrupt(format!("collection {id} of a task is missing"));
                Ok(entry.insert(row.ok_or_else(missing)?))
            }
        }
    }

    /// Applies an event to a task, stores what it makes of it and sees to what follows. Gives the row as it is then.
    pub(crate) fn apply(
        &mut self,
        task: &TaskRow,
        event: Event<'_>,
    ) -> Result<Result<TaskRow, Refused>, StoreError> {
        let policy = self.desk.policy();
        match self.change(task, event, &policy)? {
            Ok(row) => {
                self.settle()?;
                Ok(Ok(row))
            }
            Err(refused) => Ok(Err(refused)),
        }
    }

    fn change(
        &mut self,
        task: &TaskRow,
        event: Event<'_>,
        policy: &Policy,
    ) -> Result<Result<TaskRow, Refused>, StoreError> {
        let (row, effects) = match transition::apply(task, event, self.now, policy) {
            Ok(changed) => changed,
            Err(refused) => return Ok(Err(refused)),
        };
        self.tx.put_task(&row)?;
        if effects.came_back {
            self.pace(&row, effects)?;
        }
        if effects.has_ended {
            if row.attempt > 0 {
                let kept = if row.state == TaskState::Succeeded { row.run_id } else { None };
                self.tx.keep_run(row.id, kept)?;
            }
            self.ended.push_back(row.clone());
        }
        Ok(Ok(row))
    }

    /// A source whose task has come back may be asked again after its interval, or when it says.
    fn pace(&mut self, task: &TaskRow, effects: Effects) -> Result<(), StoreError> {
        let Some(source) = &task.source else { return Ok(()) };
        let wait = interval(&self.desk.registry, task).max(effects.source_wait.unwrap_or_default());
        let (next, _) = self.tx.pace(source)?;
        self.tx.put_pace(source, next.max(after(self.now, wait)))
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        let policy = self.desk.policy();
        while let Some(task) = self.ended.pop_front() {
            let now = self.now;
            let workflow = self.workflow(task.workflow_id)?;
            workflow.open = workflow.open.saturating_sub(1);
            if task.state == TaskState::Failed {
                workflow.failed += 1;
            }
            if workflow.open == 0 && workflow.state == WorkflowState::Running {
                workflow.state = match workflow.failed {
                    0 => WorkflowState::Succeeded,
                    _ => WorkflowState::Failed,
                };
                workflow.finished_at = Some(now);
            }
            for edge in self.tx.waiting_for_task(task.id)? {
                let Dependency::Task(_, on) = edge.dependency else { continue };
                let event = if is_met(&task, on) { Event::Met } else { Event::Unmet };
                self.tell(edge, event, &policy)?;
            }
            if let Some(id) = task.member_of {
                let collection = self.collection(id)?;
                collection.done += 1;
                if task.state != TaskState::Succeeded {
                    collection.failed += 1;
                }
            }
            if let Some(id) = task.feeds {
                let collection = self.collection(id)?;
                collection.feeders = collection.feeders.saturating_sub(1);
            }
            let feeds = task.feeds.filter(|id| task.member_of != Some(*id));
            for id in [task.member_of, feeds].into_iter().flatten() {
                self.complete(id, &policy)?;
            }
        }
        Ok(())
    }

    /// Tells those that wait for a collection, once, when nobody feeds it any more and all members have ended.
    fn complete(&mut self, id: CollectionId, policy: &Policy) -> Result<(), StoreError> {
        let now = self.now;
        let collection = self.collection(id)?;
        if !is_complete(collection) || collection.completed_at.is_some() {
            return Ok(());
        }
        collection.completed_at = Some(now);
        for edge in self.tx.waiting_for_collection(id)? {
            self.tell(edge, Event::Met, policy)?;
        }
        Ok(())
    }

    fn tell(&mut self, edge: EdgeRow, event: Event<'_>, policy: &Policy) -> Result<(), StoreError> {
        let Some(waiter) = self.task(edge.task_id)? else { return Ok(()) };
        // One that is skipped already, or cancelled, hears nothing more.
        self.change(&waiter, event, policy).map(drop)
    }

    pub(crate) fn task(&mut self, id: TaskId) -> Result<Option<TaskRow>, StoreError> {
        self.tx.task(id)
    }
}

/// Whether nothing can change what a collection holds.
pub(crate) fn is_complete(collection: &CollectionRow) -> bool {
    collection.feeders == 0 && collection.done >= collection.total
}

/// Whether a task that has ended is what an edge waits for.
pub(crate) fn is_met(task: &TaskRow, on: On) -> bool {
    let has_succeeded = task.state == TaskState::Succeeded;
    match on {
        On::Succeeded => has_succeeded,
        On::Failed => task.state == TaskState::Failed,
        On::Finished => task.state.is_final(),
        On::True => has_succeeded && task.branch == Some(true),
        On::False => has_succeeded && task.branch == Some(false),
    }
}

/// How long a task's source is left alone between two tasks.
pub(crate) fn interval(registry: &Registry, task: &TaskRow) -> Duration {
    let source = registry.find(&task.definition).and_then(|declared| declared.source);
    source.map_or(CAREFUL, |source| source.interval)
}
