//! Drives a SYN scan for a task: records out, checkpoints kept, a stop obeyed.
//!
//! ```text
//! order  0 ............ mark ................ reached ......... total
//!        final, all of it is stored  | under way     | not begun
//! ```
//!
//! The mark is read first, then everything that was handed out is stored, then the mark is saved: so a checkpoint never claims
//! a record that is nowhere. A run that goes on finds again at most what lies between the mark and `reached`.

use std::time::Duration;

use mrpf_ports::{
    Cx, Finished, Runs,
    clock::between,
    cx::Raw,
    store::{Checkpoint, EndpointRow, ModelRow},
};
use mrpf_records::{Record, State, Timestamp};
use mrpf_syn::{Next, Scan};
use mrpf_tasks::{
    ErrorKind, TaskError,
    catalogue::{SynScanInput, TcpSynScan},
};
use serde::{Deserialize, Serialize};

use crate::{
    Settings,
    error::{broken_off, not_started},
    plan::Plan,
};

/// How long to wait for a record before something else is looked after.
const WAIT: Duration = Duration::from_millis(50);
/// From one checkpoint to the next.
const SAVE: Duration = Duration::from_secs(5);
/// From one word of progress to the next.
const TELL: Duration = Duration::from_millis(500);
/// Endpoints that go to recon together.
const TOGETHER: usize = 1_000;

/// Does [`TcpSynScan`]s.
#[derive(Debug)]
pub struct SynScan {
    settings: Settings,
}

/// Where a scan was.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Position {
    /// Everything below this number of the order is final and stored.
    mark: u64,
    /// Of which order.
    fingerprint: u64,
}

impl SynScan {
    /// Scans as `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Opens the link and starts: from here on packets are sent, which takes the leave to.
    fn start(&self, plan: &Plan, mark: u64, _: Raw) -> Result<Scan, TaskError> {
        plan.builder(&self.settings.link, mark).build().map_err(|error| not_started(&error))
    }
}

impl Runs<TcpSynScan> for SynScan {
    fn run(&self, cx: &Cx<'_, TcpSynScan>, input: SynScanInput) -> Result<Finished, TaskError> {
        let plan = Plan::make(cx, input, &self.settings)?;
        let mark = resume_at(cx.task_data().checkpoint(), plan.fingerprint)?;
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        let scan = self.start(&plan, mark, cx.raw())?;
        let now = cx.now();
        Driving { cx, scan, plan: &plan, endpoints: Vec::new(), saved: now, told: now }.drive()
    }
}

/// Where to begin. A blocklist that has grown, or a scope that has changed, makes another order, in which the mark means
/// nothing; that scan begins anew.
fn resume_at(checkpoint: Option<&Checkpoint>, fingerprint: u64) -> Result<u64, TaskError> {
    let Some(checkpoint) = checkpoint else { return Ok(0) };
    let position = Position::deserialize(&checkpoint.position).map_err(|error| {
        TaskError::new(
            ErrorKind::Storage,
            format!("the checkpoint is not one of a SYN scan: {error}"),
        )
    })?;
    Ok(if position.fingerprint == fingerprint { position.mark } else { 0 })
}

struct Driving<'a> {
    cx: &'a Cx<'a, TcpSynScan>,
    scan: Scan,
    plan: &'a Plan,
    /// Found, and not in recon yet.
    endpoints: Vec<ModelRow>,
    saved: Timestamp,
    told: Timestamp,
}

impl Driving<'_> {
    fn drive(mut self) -> Result<Finished, TaskError> {
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
        let item = serde_json::to_value(record)
            .map_err(|error| TaskError::new(ErrorKind::Malformed, format!("a record: {error}")))?;
        self.cx.emit(&item)?;
        if let Record::Syn(record) = record
            && record.state == State::Open
        {
            self.endpoints.push(ModelRow::Endpoint(EndpointRow {
                ip: record.ip,
                port: record.port,
                transport: "tcp".to_owned(),
                service: None,
                seen: None,
            }));
        }
        if self.endpoints.len() >= TOGETHER { self.merge() } else { Ok(()) }
    }

    /// Adds what was found to recon; the same again changes when it was seen, and nothing else.
    fn merge(&mut self) -> Result<(), TaskError> {
        if !self.endpoints.is_empty() {
            self.cx.recon().upsert(&self.endpoints)?;
            self.endpoints.clear();
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), TaskError> {
        // In this order: see the module.
        let position = Position { mark: self.scan.mark(), fingerprint: self.plan.fingerprint };
        self.merge()?;
        let position = serde_json::to_value(position).map_err(|error| {
            TaskError::new(ErrorKind::Storage, format!("a checkpoint: {error}"))
        })?;
        self.cx.task_data().save(position)
    }

    fn tell(&self) {
        let progress = self.scan.progress();
        self.cx.progress(progress.settled, Some(progress.total), "syn");
    }
}
