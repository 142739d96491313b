//! Drives a scan for a task: records out, checkpoints kept, a stop obeyed.
//!
//! ```text
//! order  0 ............ mark ................ reached ......... total
//!        final, all of it is stored  | under way     | not begun
//! ```
//!
//! The mark is read first, then everything that was handed out is stored, then the mark is saved: so a checkpoint never claims
//! a record that is nowhere. A run that goes on finds again at most what lies between the mark and `reached`.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use mrpf_engine::scan::{Failure, Progress, Stop};
use mrpf_ports::{
    Cx, Finished,
    clock::between,
    store::{Checkpoint, ModelRow},
};
use mrpf_records::{Record, Timestamp};
use mrpf_syn::{Next, Summary};
use mrpf_tasks::{
    ErrorKind, Requires, TaskDefinition, TaskError,
    access::{ReconDataAccess, TaskDataAccess},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::broken_off;

/// How long to wait for a record before something else is looked after.
const WAIT: Duration = Duration::from_millis(50);
/// From one checkpoint to the next.
const SAVE: Duration = Duration::from_secs(5);
/// From one word of progress to the next.
const TELL: Duration = Duration::from_millis(500);
/// Rows that go to recon together.
const TOGETHER: usize = 1_000;

/// A scan under way.
pub(crate) trait Scans {
    /// What its progress counts.
    const NOTE: &'static str;

    fn stop(&self) -> Stop;
    fn next_within(&mut self, wait: Duration) -> Next;
    fn mark(&self) -> u64;
    fn progress(&self) -> Progress;
    fn take_failure(&mut self) -> Option<Failure>;
    fn summary(&self) -> Summary;
    /// What a record tells recon.
    fn rows(record: &Record) -> Vec<ModelRow>;
    /// Takes out of a record what its task's output does without.
    fn thin(item: &mut Value);
}

/// Where a scan was.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Position {
    /// Everything below this number of the order is final and stored.
    mark: u64,
    /// Of which order.
    fingerprint: u64,
}

/// Where to begin. A blocklist that has grown, or a scope that has changed, makes another order, in which the mark means
/// nothing; that scan begins anew.
pub(crate) fn resume_at(
    checkpoint: Option<&Checkpoint>,
    fingerprint: u64,
) -> Result<u64, TaskError> {
    let Some(checkpoint) = checkpoint else { return Ok(0) };
    let position = Position::deserialize(&checkpoint.position).map_err(|error| {
        TaskError::new(ErrorKind::Storage, format!("the checkpoint is not one of a scan: {error}"))
    })?;
    Ok(if position.fingerprint == fingerprint { position.mark } else { 0 })
}

/// See the [module](self).
pub(crate) struct Driving<'a, T, S> {
    cx: &'a Cx<'a, T>,
    scan: S,
    fingerprint: u64,
    /// Found, and not in recon yet; each row once, since a certificate may be shown everywhere.
    rows: BTreeMap<String, ModelRow>,
    saved: Timestamp,
    told: Timestamp,
}

impl<'a, T, S> Driving<'a, T, S>
where
    T: TaskDefinition<Output = Value> + Requires<TaskDataAccess> + Requires<ReconDataAccess>,
    S: Scans,
{
    pub(crate) fn new(cx: &'a Cx<'a, T>, scan: S, fingerprint: u64) -> Self {
        let now = cx.now();
        Self { cx, scan, fingerprint, rows: BTreeMap::new(), saved: now, told: now }
    }

    pub(crate) fn drive(mut self) -> Result<Finished, TaskError> {
        let stop = self.scan.stop();
        loop {
            match self.scan.next_within(WAIT) {
                Next::Record(record) => self.take(&record)?,
                Next::Later => {}
                Next::End => break,
            }
            // What was found until then still comes, and then the end.
            if self.cx.is_stopping() {
                stop.stop();
            }
            let now = self.cx.now();
            if between(self.told, now) >= TELL {
                self.told = now;
                self.tell();
            }
            if between(self.saved, now) >= SAVE {
                self.saved = now;
                self.save()?;
            }
        }
        self.save()?;
        self.tell();
        if let Some(failure) = self.scan.take_failure() {
            return Err(broken_off(&failure));
        }
        let summary = self.scan.summary();
        if summary.was_stopped {
            return Err(self.cx.stopped());
        }
        // Frames that this machine lost are targets of which nothing is known.
        Ok(Finished { branch: None, truncated: !summary.is_complete() })
    }

    fn take(&mut self, record: &Record) -> Result<(), TaskError> {
        let mut item = serde_json::to_value(record)
            .map_err(|error| TaskError::new(ErrorKind::Malformed, format!("a record: {error}")))?;
        S::thin(&mut item);
        self.cx.emit(&item)?;
        let scope = self.cx.scope();
        for row in S::rows(record) {
            // Whoever has the certificate of a name outside has it, and the name is nobody's to keep.
            let is_outside =
                matches!(&row, ModelRow::DomainEndpoint(row) if !scope.has_name(&row.domain));
            if is_outside {
                continue;
            }
            match self.rows.entry(row.key()) {
                Entry::Vacant(entry) => drop(entry.insert(row)),
                Entry::Occupied(mut known) => known.get_mut().absorb(&row),
            }
        }
        if self.rows.len() >= TOGETHER { self.merge() } else { Ok(()) }
    }

    /// Adds what was found to recon; the same again changes when it was seen, and nothing else.
    fn merge(&mut self) -> Result<(), TaskError> {
        let rows: Vec<ModelRow> = std::mem::take(&mut self.rows).into_values().collect();
        if !rows.is_empty() {
            self.cx.recon().upsert(&rows)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TaskError> {
        // In this order: see the module.
        let position = Position { mark: self.scan.mark(), fingerprint: self.fingerprint };
        self.merge()?;
        let position = serde_json::to_value(position).map_err(|error| {
            TaskError::new(ErrorKind::Storage, format!("a checkpoint: {error}"))
        })?;
        self.cx.task_data().save(position)
    }

    fn tell(&self) {
        let progress = self.scan.progress();
        self.cx.progress(progress.settled, Some(progress.total), S::NOTE);
    }
}
