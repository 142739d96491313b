//! What a [`ManagerStore`] must do, and so a [`WorkerStore`](crate::WorkerStore).
//!
//! ```text
//!  run      who holds a task, and what that lets it do: claims, leases, checkpoints, fences
//!  output   parts, children and rows, as they are read again
//!  rows     transactions, and that every row comes back
//!  recon    what was found, once however often
//!  slots    never more bare-metal workers than slots
//! ```
//!
//! Time is an argument of the calls, so no case waits for any.

mod output;
mod recon;
mod rows;
mod run;
mod slots;

use std::time::{Duration, SystemTime};

use mrpf_records::Timestamp;
use mrpf_tasks::{
    RunId, Scope, TaskId, Ticket, WorkerClass, WorkflowId,
    message::{Assignment, Run},
};
use serde_json::json;
use uuid::Uuid;

pub use self::{output::*, recon::*, rows::*, run::*, slots::*};
use crate::{
    ManagerStore, StoreError,
    clock::after,
    store::{Lease, TaskRow, TaskState, Tx, WorkflowRow, WorkflowState},
};

/// A store to be tried.
pub trait Bench: Sync {
    /// The store: empty, and nobody else at it.
    fn store(&self) -> &dyn ManagerStore;
    /// The same store as another process has it.
    fn other(&self) -> Box<dyn ManagerStore>;
}

/// Makes a `#[test]` of each case; the argument makes a [`Bench`](crate::conformance::store::Bench).
#[macro_export]
macro_rules! store_conformance {
    ($make:expr) => {
        $crate::conformance_tests! { $make, store:
            one_of_sixteen_racing_runs_holds_the_task
            a_run_whose_lease_lives_keeps_others_out
            a_run_that_another_has_followed_can_do_nothing
            a_message_that_has_had_its_day_is_stale
            the_same_run_may_claim_again
            a_released_task_can_be_claimed_at_once
            a_stopped_platform_stops_runs_and_gives_no_claims
            a_cancelled_task_stops_its_run
            progress_is_kept
            a_run_goes_on_where_the_checkpoint_before_it_was
            parts_without_a_checkpoint_are_removed
            parts_of_two_runs_never_mix
        }
        $crate::conformance_tests! { $make, store:
            a_tasks_output_is_read_in_order_once_it_has_succeeded
            a_collections_output_is_that_of_its_members_that_succeeded
            a_part_that_is_there_stays
            a_chunk_comes_back_as_it_was
            of_a_complete_run_the_parts_alone_are_kept
            children_are_kept_by_run_and_in_order
            how_runs_ended_is_kept_by_run
            rows_are_inserted_once_by_key_and_read_in_order
        }
        $crate::conformance_tests! { $make, store:
            a_transaction_that_fails_changes_nothing
            transactions_of_many_add_up
            a_workflow_comes_back
            a_task_comes_back
            filters_give_the_tasks_they_name
            a_key_names_one_task_of_a_workflow
            edges_are_found_by_what_they_wait_for
            collections_come_back
            a_message_of_the_outbox_is_taken_by_one
            the_pace_of_a_source_counts_its_tasks_that_are_out
            what_is_noted_twice_is_noted_once
        }
        $crate::conformance_tests! { $make, store:
            a_repeat_changes_when_a_row_was_seen_last
            a_name_that_comes_twice_in_a_batch_is_one
            a_certificate_on_10_000_endpoints_is_one_row
            upserts_of_the_same_names_at_once_make_each_once
            tables_are_listed_in_the_order_of_their_keys
            the_blocklist_grows
        }
        $crate::conformance_tests! { $make, store:
            sixteen_managers_take_five_slots
            a_worker_finds_its_slot_by_its_instance
        }
    };
}

/// Some moment.
fn now() -> Timestamp {
    SystemTime::now().into()
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A lease of a minute from `at`.
fn lease(at: Timestamp) -> Lease<'static> {
    Lease { worker: "worker", now: at, until: after(at, seconds(60)) }
}

fn ticket() -> Ticket {
    Ticket(Uuid::new_v4())
}

fn a_workflow(at: Timestamp) -> WorkflowRow {
    WorkflowRow {
        id: WorkflowId::fresh(),
        name: "a workflow".to_owned(),
        state: WorkflowState::Running,
        scope: Scope::default(),
        open: 1,
        failed: 0,
        created_at: at,
        finished_at: None,
    }
}

/// A task that was just given out.
fn a_task(workflow: WorkflowId, at: Timestamp) -> TaskRow {
    TaskRow {
        input: json!({}),
        state: TaskState::Dispatched,
        attempt: 1,
        ticket: Some(ticket()),
        max_tries: 3,
        lease_until: Some(after(at, seconds(900))),
        ..TaskRow::new(TaskId::fresh(), workflow, "Nothing", WorkerClass::Internal, at)
    }
}

/// A fresh run of a task that was given out.
fn a_run(task: &TaskRow) -> Run {
    let ticket = task.ticket.expect("a task that was given out");
    let assignment = Assignment { task_id: task.id, attempt: task.attempt, ticket };
    Run { assignment, run_id: RunId::fresh() }
}

/// What a transaction gives.
#[track_caller]
fn within<T>(
    store: &dyn ManagerStore,
    mut work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError>,
) -> T {
    let mut given = None;
    let done = store.transaction(&mut |tx| {
        given = Some(work(tx)?);
        Ok(())
    });
    done.unwrap();
    given.expect("a transaction that succeeds has run")
}

/// A workflow with one task that was just given out.
fn given_out(store: &dyn ManagerStore, at: Timestamp) -> TaskRow {
    let workflow = a_workflow(at);
    let task = a_task(workflow.id, at);
    within(store, |tx| {
        tx.put_workflow(&workflow)?;
        tx.put_task(&task)
    });
    task
}

fn stored(store: &dyn ManagerStore, id: TaskId) -> TaskRow {
    within(store, |tx| tx.task(id)).expect("the task")
}

fn parts(store: &dyn ManagerStore, run: &Run) -> u32 {
    within(store, |tx| tx.parts(run.assignment.task_id, run.run_id))
}

/// Ends a task well, as the manager does when `run` is complete.
fn succeed(store: &dyn ManagerStore, run: &Run) {
    within(store, |tx| {
        let mut row = tx.task(run.assignment.task_id)?.expect("the task");
        row.parts = tx.parts(row.id, run.run_id)?;
        row.state = TaskState::Succeeded;
        row.run_id = Some(run.run_id);
        tx.put_task(&row)?;
        tx.keep_run(row.id, Some(run.run_id))
    });
}
