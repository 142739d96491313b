//! TLS scans as tasks: certificates, where they are shown and names in scope go to recon.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use mrpf_engine::scan::{Failure, Progress, Stop};
use mrpf_ports::{
    Cx, Finished, Runs,
    cx::Raw,
    store::{ModelRow, told_by_tls},
};
use mrpf_records::Record;
use mrpf_syn::{Next, Summary};
use mrpf_tasks::{
    TaskError,
    catalogue::{Model, TlsHost, TlsScan, TlsScanInput},
};
use mrpf_tls::{Scan, ServerNames, trust::Roots};
use serde_json::Value;

use crate::{
    Settings,
    drive::{Driving, Scans, resume_at},
    error::tls_not_started,
    plan::Plan,
};

/// Does [`TlsScan`]s: with the hello that every version answers, and Mozilla's roots.
#[derive(Debug)]
pub struct CertificateScan {
    settings: Settings,
}

impl CertificateScan {
    /// Scans as `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Opens the link and starts: from here on packets are sent, which takes the leave to.
    fn start(&self, plan: &Plan, names: ServerNames, mark: u64, _: Raw) -> Result<Scan, TaskError> {
        Scan::builder(plan.builder(&self.settings.link, mark))
            .server_names(names)
            .roots(Roots::mozilla())
            .der(true)
            .build()
            .map_err(|error| tls_not_started(&error))
    }
}

impl Runs<TlsScan> for CertificateScan {
    fn run(&self, cx: &Cx<'_, TlsScan>, mut input: TlsScanInput) -> Result<Finished, TaskError> {
        let plan = Plan::make(cx, &mut input, &self.settings)?;
        let mark = resume_at(cx.task_data().checkpoint(), plan.fingerprint)?;
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        let scan = self.start(&plan, names(&input.hosts), mark, cx.raw())?;
        Driving::new(cx, scan, plan.fingerprint).drive()
    }
}

/// The name of each address that has one: all its ports are asked for the same.
fn names(hosts: &[TlsHost]) -> ServerNames {
    let name = |it: &TlsHost| Some((it.ip, Arc::from(it.server_name.as_ref()?.as_str())));
    let names: HashMap<IpAddr, Arc<str>> = hosts.iter().filter_map(name).collect();
    if names.is_empty() { ServerNames::None } else { ServerNames::ByAddress(Arc::new(names)) }
}

impl Scans for Scan {
    const NOTE: &'static str = "tls";

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
        Self::summary(self).base
    }

    /// Names are the workflow's affair, which says of each that lies outside that it was refused.
    fn rows(record: &Record) -> Vec<ModelRow> {
        let Record::Tls(record) = record else { return Vec::new() };
        let told = [
            Model::Endpoint,
            Model::Certificate,
            Model::EndpointCertificate,
            Model::DomainEndpoint,
        ];
        told.into_iter().flat_map(|model| told_by_tls(record, model)).collect()
    }

    /// Whole certificates are in recon, once each; in the output there is their hash.
    fn thin(item: &mut Value) {
        let certificates = item.get_mut("certificates").and_then(Value::as_array_mut);
        for certificate in certificates.into_iter().flatten() {
            if let Value::Object(fields) = certificate {
                fields.remove("der");
            }
        }
    }
}
