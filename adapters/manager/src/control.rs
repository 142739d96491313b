//! What people may do to a platform that works: end a workflow, stop everything, go on.

use mrpf_ports::{
    ManagerStore, StoreError,
    clock::after,
    store::{Control, TaskFilter, TaskRow, TaskState, Tx, WorkflowState},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{WorkerClass, WorkflowId};

use crate::{
    settle::CAREFUL,
    transition::{self, Event, Policy},
};

/// Ends a workflow: all its open tasks are cancelled. Workers that run one are told at their next sign of life, and what they
/// bring is dropped. Gives how many tasks were open; `None` when there is no such workflow.
///
/// # Errors
///
/// [`StoreError`]; nothing has changed then.
pub fn cancel(
    store: &dyn ManagerStore,
    id: WorkflowId,
    now: Timestamp,
) -> Result<Option<usize>, StoreError> {
    let mut cancelled = None;
    store.transaction(&mut |tx| {
        cancelled = None;
        let Some(mut workflow) = tx.workflow(id)? else { return Ok(()) };
        let open = tx.tasks(TaskFilter::Open(id), usize::MAX)?;
        cancelled = Some(open.len());
        if workflow.state != WorkflowState::Running {
            return Ok(());
        }
        // All who wait for one of these are among them, so nothing follows from each but its own end.
        for task in &open {
            change(tx, task, Event::Cancel, now)?;
            if task.attempt > 0 {
                tx.keep_run(task.id, None)?;
            }
            // Its worker may be asking still: an external one is told by nobody.
            if let Some(source) = task.source.as_deref().filter(|_| task.state.is_out()) {
                let (next, _) = tx.pace(source)?;
                tx.put_pace(source, next.max(after(now, CAREFUL)))?;
            }
        }
        workflow.state = WorkflowState::Cancelled;
        workflow.open = 0;
        workflow.finished_at = Some(now);
        tx.put_workflow(&workflow)
    })?;
    Ok(cancelled)
}

/// Stops the platform: nothing is given out, and what runs is given back with what it has.
///
/// # Errors
///
/// [`StoreError`].
pub fn stop(store: &dyn ManagerStore) -> Result<(), StoreError> {
    store.transaction(&mut |tx| tx.put_control(Control { is_stopped: true }))
}

/// Lets a stopped platform go on. Tasks that were given out to workers with a store, and that nobody runs, are given out anew:
/// those workers have given their messages back again and again, and some may be dead letters by now.
///
/// # Errors
///
/// [`StoreError`].
pub fn resume(store: &dyn ManagerStore, now: Timestamp) -> Result<(), StoreError> {
    store.transaction(&mut |tx| {
        if !tx.control()?.is_stopped {
            return Ok(());
        }
        tx.put_control(Control { is_stopped: false })?;
        let any = Timestamp::from_unix_micros(u64::MAX);
        for task in tx.tasks(TaskFilter::Expired(any), usize::MAX)? {
            if task.state == TaskState::Dispatched && task.class != WorkerClass::External {
                change(tx, &task, Event::Recall, now)?;
            }
        }
        Ok(())
    })
}

fn change(
    tx: &mut dyn Tx,
    task: &TaskRow,
    event: Event<'_>,
    now: Timestamp,
) -> Result<(), StoreError> {
    match transition::apply(task, event, now, &Policy::NONE) {
        Ok((row, _)) => tx.put_task(&row),
        Err(_) => Ok(()),
    }
}
