//! Tasks of which nobody hears any more.
//!
//! ```text
//!  running, lease and grace over -----------------> a try is lost; ready again after a while, or failed
//!  dispatched, patience over --queue is empty?--yes--> its message is lost: given out anew
//!                                     '---no---------> it may be among those that wait: patience again
//! ```
//!
//! A backlog longer than the patience must not make every message in it stale: workers would do nothing but throw away.

use std::time::Duration;

use mrpf_ports::{
    QueueName,
    store::{TaskFilter, TaskState, Tx},
};
use mrpf_records::Timestamp;
use mrpf_tasks::WorkerClass;

use crate::{
    desk::{Desk, Outside},
    error::ManagerError,
    settle::Books,
    transition::Event,
};

/// Looks after up to a batch of tasks; gives whether there may be more.
pub(crate) fn reap(
    outside: &Outside,
    desk: &mut Desk,
    now: Timestamp,
) -> Result<bool, ManagerError> {
    let most = desk.settings.batch;
    let grace = desk.settings.grace;
    let mut failed = None;
    let mut queued = [None; WorkerClass::ALL.len()];
    for (class, queued) in WorkerClass::ALL.into_iter().zip(&mut queued) {
        // A hint, and a wrong one costs a message more or a wait more. A queue that does not tell is in the way of its own class alone.
        let depth = outside.queue(QueueName::from(class)).depth();
        let may_have_some = depth.as_ref().map_or(true, |depth| depth.visible > 0);
        *queued = may_have_some.then_some(class);
        if let Err(error) = depth {
            failed.get_or_insert_with(|| ManagerError::reaper(error));
        }
    }
    let mut found = 0;
    let counts = desk.counts;
    let work = &mut |tx: &mut dyn Tx| {
        desk.counts = counts;
        found = 0;
        // While the platform is stopped messages come and go and no worker takes one.
        if tx.control()?.is_stopped {
            return Ok(());
        }
        let rows = tx.tasks(TaskFilter::Expired(before(now, grace)), most)?;
        found = rows.len();
        let mut books = Books::open(tx, desk, now);
        for row in &rows {
            // An earlier row of this batch may have changed this one.
            let Some(task) = books.task(row.id)? else { continue };
            let is_queued =
                task.state == TaskState::Dispatched && queued.contains(&Some(task.class));
            let event = if is_queued { Event::StillQueued } else { Event::LeaseOver };
            let Ok(changed) = books.apply(&task, event)? else { continue };
            if task.state == TaskState::Running {
                books.desk().counts.reaped += 1;
                tracing::warn!(
                    task = %task.id, definition = task.definition, worker = task.worker.as_deref(),
                    state = changed.state.as_str(), "lost with its worker"
                );
            }
        }
        books.close()
    };
    outside.store.transaction(work).map_err(ManagerError::reaper)?;
    failed.map_or(Ok(found >= most), Err)
}

fn before(at: Timestamp, duration: Duration) -> Timestamp {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_unix_micros(at.as_unix_micros().saturating_sub(micros))
}
