//! DNS scans as tasks: what names in scope stand for goes to recon.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    num::NonZeroU64,
    time::Duration,
};

use mrpf_dns::{Ask, Origin, Scan, message::Qtype};
use mrpf_engine::{
    governor::Rate,
    scan::{Failure, Progress, Settings as ScanSettings, Stop},
};
use mrpf_ports::{
    Cx, Finished, Runs,
    cx::Raw,
    store::{ModelRow, told_by_dns},
};
use mrpf_records::Record;
use mrpf_syn::{Next, Summary};
use mrpf_tasks::{
    DomainName, ErrorKind, TaskError,
    catalogue::{DnsScan, DnsScanInput, Model},
    scope::{Refused, Targeted as _},
};
use serde_json::Value;

use crate::{
    LONGEST, Link, Settings,
    drive::{Driving, Scans, resume_at},
    error::dns_not_started,
};

/// Refusals written together.
const AT_A_TIME: usize = 1_000;

/// Does [`DnsScan`]s.
#[derive(Debug)]
pub struct NameScan {
    settings: Settings,
}

impl NameScan {
    /// Scans as `settings` say.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Opens the link and starts: from here on packets are sent, which takes the leave to.
    fn start(&self, asked: &Asked, mark: u64, _: Raw) -> Result<Asking, TaskError> {
        let mut pace = mrpf_syn::Scan::builder().settings(asked.pace);
        pace = asked.resolvers.iter().fold(pace, |pace, resolver| pace.target(resolver.clone()));
        if let Link::Simulated(network) = &self.settings.link {
            pace = pace.simulated(network.clone());
        }
        let list = Origin::Text(asked.names.join("\n"));
        let ask = Ask::Lines { origins: vec![list], servers: false };
        let scan = Scan::builder(pace, ask).types(asked.types.clone()).start_at(mark).build();
        let scan = scan.map_err(|error| dns_not_started(&error))?;
        Ok(Asking { scan, questions: asked.questions() })
    }
}

impl Runs<DnsScan> for NameScan {
    fn run(&self, cx: &Cx<'_, DnsScan>, input: DnsScanInput) -> Result<Finished, TaskError> {
        let asked = Asked::make(cx, input, &self.settings)?;
        if asked.names.is_empty() {
            return Ok(Finished::default());
        }
        asked.check_time()?;
        let fingerprint = asked.fingerprint();
        let mark = resume_at(cx.task_data().checkpoint(), fingerprint)?;
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        let scan = self.start(&asked, mark, cx.raw())?;
        Driving::new(cx, scan, fingerprint).drive()
    }
}

/// What may be asked.
struct Asked {
    /// Each once, in order.
    names: Vec<String>,
    types: Vec<Qtype>,
    resolvers: Vec<String>,
    pace: ScanSettings,
}

impl Asked {
    /// Cuts names to the scope and resolvers to those that may be asked, and notes the rest.
    fn make(
        cx: &Cx<'_, DnsScan>,
        mut input: DnsScanInput,
        settings: &Settings,
    ) -> Result<Self, TaskError> {
        let recon = cx.recon();
        let mut refused = input.cut(cx.scope(), &recon.blocklist()?);
        if input.resolvers.is_empty() {
            recon.refuse(&refused)?;
            let why = "all resolvers are blocked: see the refusals";
            return Err(TaskError::new(ErrorKind::OutOfScope, why));
        }
        let (mut names, mut known) = (Vec::new(), HashSet::new());
        let mut add = |name: &DomainName| {
            let name = name.to_string();
            if known.insert(name.clone()) {
                names.push(name);
            }
        };
        input.names.iter().for_each(&mut add);
        if let Some(from) = input.from {
            cx.task_data().each(from, |item| {
                if cx.is_stopping() {
                    return Err(cx.stopped());
                }
                // What is no name is passed over, as by all who read lists of others.
                let text = item.pointer(&input.field).and_then(Value::as_str);
                let Some(name) = text.and_then(|text| text.parse::<DomainName>().ok()) else {
                    return Ok(());
                };
                match cx.scope().refusal_of(&name) {
                    None => add(&name),
                    Some(why) => refused.push(Refused { what: name.to_string(), why }),
                }
                if refused.len() < AT_A_TIME {
                    return Ok(());
                }
                recon.refuse(&std::mem::take(&mut refused))
            })?;
        }
        recon.refuse(&refused)?;
        let types = input.types.iter().map(|text| text.parse::<Qtype>());
        let types = types.collect::<Result<_, _>>();
        let types =
            types.map_err(|error| TaskError::new(ErrorKind::Input, format!("types: {error}")))?;
        let rate = NonZeroU64::new(input.rate).unwrap_or(NonZeroU64::MIN).min(settings.max_rate);
        let pace = ScanSettings {
            rate: Rate::PerSecond(rate),
            host_rate: NonZeroU64::new(input.resolver_rate).unwrap_or(NonZeroU64::MIN),
            retries: input.retries,
            ..ScanSettings::default()
        };
        let resolvers = input.addresses().map(|addr| addr.to_string()).collect();
        Ok(Self { names, types, resolvers, pace })
    }

    fn questions(&self) -> u64 {
        self.names.len() as u64 * self.types.len() as u64
    }

    /// Tells lists apart, in which a mark means something else.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.names.hash(&mut hasher);
        self.types.hash(&mut hasher);
        hasher.finish()
    }

    /// Refuses what takes more than [`LONGEST`] when each question takes one query.
    fn check_time(&self) -> Result<(), TaskError> {
        let rate = self.pace.rate.per_second().map_or(u64::MAX, NonZeroU64::get);
        let of_resolvers = self.pace.host_rate.get().saturating_mul(self.resolvers.len() as u64);
        let seconds = self.questions() / rate.min(of_resolvers).max(1);
        if Duration::from_secs(seconds) <= LONGEST {
            return Ok(());
        }
        let why = format!(
            "{} questions at {} a second take {} h, and a task may take {} h: give more resolvers, or fewer names at a time",
            self.questions(),
            rate.min(of_resolvers),
            seconds / 3_600,
            LONGEST.as_secs() / 3_600
        );
        Err(TaskError::new(ErrorKind::Input, why))
    }
}

/// A scan of a list whose length is known.
struct Asking {
    scan: Scan,
    questions: u64,
}

impl Scans for Asking {
    const NOTE: &'static str = "dns";

    fn stop(&self) -> Stop {
        self.scan.stop()
    }

    fn next_within(&mut self, wait: Duration) -> Next {
        self.scan.next_within(wait)
    }

    fn mark(&self) -> u64 {
        self.scan.mark()
    }

    fn progress(&self) -> Progress {
        Progress { total: self.questions, ..self.scan.progress() }
    }

    fn take_failure(&mut self) -> Option<Failure> {
        self.scan.take_failure()
    }

    fn summary(&self) -> Summary {
        self.scan.summary().base
    }

    fn rows(record: &Record) -> Vec<ModelRow> {
        let Record::Dns(record) = record else { return Vec::new() };
        let told = [Model::Domain, Model::DomainRecord];
        told.into_iter().flat_map(|model| told_by_dns(record, model)).collect()
    }

    fn thin(_: &mut Value) {}
}
