//! Everything outside is opened, and looked at on the way.
//!
//! ```text
//!  settings -> AWS: who are we -> queues, with their dead letters -> store -> fleet       what fails is found, and the rest looked at
//! ```

use std::sync::Arc;

use mrpf_aws::Aws;
use mrpf_environment::{DatabaseUrl, Fleet, Log, ManagerQueues, QueueUrl};
use mrpf_manager::Outside;
use mrpf_ports::{Queue, QueueName, StoreError};
use mrpf_postgres::{Login, PgStore};
use mrpf_sqs::Sqs;

use crate::{
    finding::{Finding, Findings},
    fleet,
};

/// What the environment says.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    queues: ManagerQueues,
    database: DatabaseUrl,
    pub(crate) fleet: Fleet,
}

/// Whether tables are made, or only looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tables {
    /// Made, or brought up to this program's version.
    Make,
    /// Left alone.
    Look,
}

/// Reads all settings; every problem is a finding.
pub(crate) fn settings(findings: &mut Findings) -> Option<Settings> {
    match mrpf_environment::read::<(ManagerQueues, DatabaseUrl, Fleet, Log)>() {
        Ok((queues, database, fleet, _)) => Some(Settings { queues, database, fleet }),
        Err(problems) => {
            findings.extend(problems.iter().map(|it| Finding::Setting(it.to_string())));
            None
        }
    }
}

/// Opens everything; `None` when something is missing. What there is may still be found wrong.
pub(crate) fn open(
    settings: &Settings,
    tables: Tables,
    findings: &mut Findings,
) -> Option<Outside> {
    let aws = aws(tables, findings);
    // Looked at even without AWS: all that is wrong is told at once.
    let store = store(&settings.database, tables, findings);
    let aws = aws?;
    let queues = queues(&aws, &settings.queues, findings);
    // A fleet that is only looked at needs no platform.
    let platform = store.as_ref().map_or_else(|| "none".to_owned(), |(_, id)| id.clone());
    let fleet = fleet::open(&aws, &settings.fleet, platform, findings);
    let (store, _) = store?;
    let [external, internal, bare_metal, task_manager] = queues?;
    Some(Outside { store, external, internal, bare_metal, task_manager, fleet: fleet? })
}

fn aws(tables: Tables, findings: &mut Findings) -> Option<Aws> {
    let aws = match Aws::start() {
        Ok(aws) => aws,
        Err(error) => {
            findings.push(Finding::Wrong(error.to_string()));
            return None;
        }
    };
    // Who we are is for people to read, and STS need not be in reach of a manager; credentials that are no good are found with
    // the first queue.
    if tables == Tables::Look {
        findings.push(match aws.identity() {
            Ok(identity) => Finding::Fine(format!("AWS: {identity}")),
            Err(error) => Finding::Note(format!("AWS does not say who we are: {error}")),
        });
    }
    Some(aws)
}

fn queues(aws: &Aws, urls: &ManagerQueues, findings: &mut Findings) -> Option<[Arc<dyn Queue>; 4]> {
    let mut open = |name: QueueName, url: &QueueUrl| {
        let about = |queue: &Sqs| match queue.max_receives() {
            Some(n) => format!("{name} queue: {url}, dead letters after {n} deliveries"),
            None => format!("{name} queue: {url}"),
        };
        let queue = findings.note(Sqs::open(aws, name, url.as_str()), about)?;
        if queue.dead_letters().is_none() {
            findings.push(Finding::Wrong(format!(
                "{name} queue: it has no dead-letter queue, so a message that nobody gets through with comes for ever: give \
                 it a RedrivePolicy"
            )));
        }
        Some(Arc::new(queue) as Arc<dyn Queue>)
    };
    let external = open(QueueName::External, &urls.external);
    let internal = open(QueueName::Internal, &urls.internal);
    let bare_metal = open(QueueName::BareMetal, &urls.bare_metal);
    let task_manager = open(QueueName::TaskManager, &urls.task_manager);
    Some([external?, internal?, bare_metal?, task_manager?])
}

/// The store, and what this platform is called.
fn store(
    url: &DatabaseUrl,
    tables: Tables,
    findings: &mut Findings,
) -> Option<(Arc<PgStore>, String)> {
    let wrong = |error: StoreError| Finding::Wrong(format!("database: {error}"));
    if tables == Tables::Make
        && let Err(error) = PgStore::migrate(url.reveal())
    {
        findings.push(wrong(error));
        return None;
    }
    findings.extend(PgStore::check(url.reveal(), Login::Manager).into_iter().map(|found| {
        match found.mend {
            None => Finding::Fine(format!("database: {}", found.what)),
            Some(mend) => Finding::Wrong(format!("database: {}; {mend}", found.what)),
        }
    }));
    let opened = PgStore::open(url.reveal()).and_then(|store| {
        let platform = store.platform_id()?;
        Ok((Arc::new(store), platform))
    });
    match opened {
        Ok((store, platform)) => {
            findings.push(Finding::Fine(format!("platform: {platform}")));
            Some((store, platform))
        }
        Err(error) => {
            // Tables that `serve` is to make are not missing yet; all else is among the findings already.
            if tables == Tables::Make {
                findings.push(wrong(error));
            }
            None
        }
    }
}
