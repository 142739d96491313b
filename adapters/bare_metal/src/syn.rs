//! SYN scans as tasks: open ports go to recon.

use std::time::Duration;

use mrpf_engine::scan::{Failure, Progress, Stop};
use mrpf_ports::{
    Cx, Finished, Runs,
    cx::Raw,
    store::{EndpointRow, ModelRow},
};
use mrpf_records::{Record, State};
use mrpf_syn::{Next, Scan, Summary};
use mrpf_tasks::{
    TaskError,
    catalogue::{SynScanInput, TcpSynScan},
};
use serde_json::Value;

use crate::{
    Settings,
    drive::{Driving, Scans, resume_at},
    error::not_started,
    plan::Plan,
};

/// Does [`TcpSynScan`]s.
#[derive(Debug)]
pub struct SynScan {
    settings: Settings,
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
    fn run(&self, cx: &Cx<'_, TcpSynScan>, mut input: SynScanInput) -> Result<Finished, TaskError> {
        let plan = Plan::make(cx, &mut input, &self.settings)?;
        let mark = resume_at(cx.task_data().checkpoint(), plan.fingerprint)?;
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        let scan = self.start(&plan, mark, cx.raw())?;
        Driving::new(cx, scan, plan.fingerprint).drive()
    }
}

impl Scans for Scan {
    const NOTE: &'static str = "syn";

    fn stop(&self) -> Stop {
        Self::stop(self)
    }

    fn next_within(&mut self, wait: Duration) -> Next {
        Self::next_within(self, wait)
    }

    fn mark(&self) -> u64 {
        Self::mark(self)
    }

    fn progress(&self) -> Progress {
        Self::progress(self)
    }

    fn take_failure(&mut self) -> Option<Failure> {
        Self::take_failure(self)
    }

    fn summary(&self) -> Summary {
        Self::summary(self)
    }

    fn rows(record: &Record) -> Vec<ModelRow> {
        match record {
            Record::Syn(record) if record.state == State::Open => {
                vec![ModelRow::Endpoint(EndpointRow {
                    ip: record.ip,
                    port: record.port,
                    transport: "tcp".to_owned(),
                    service: None,
                    seen: None,
                })]
            }
            _ => Vec::new(),
        }
    }

    fn thin(_: &mut Value) {}
}
