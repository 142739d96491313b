//! mrpf-lambda-internal: the internal worker of the platform on AWS Lambda, inside the VPC.
//!
//! ```text
//!  INTERNAL_QUEUE_URL's mapping --> mrpf_lambda --> mrpf_internal <--> task_data, recon (DATABASE_URL)
//!                                        '--> TASK_MANAGER_QUEUE_URL: children, results
//! ```
//!
//! It sends no packets of its own, and links nothing that could.

#![forbid(unsafe_code)]

use std::{error::Error, process::ExitCode, sync::Arc};

use mrpf_aws::Aws;
use mrpf_environment::{DatabaseUrl, InternalQueues, Log, Scans, log};
use mrpf_lambda::{Function, worker_name};
use mrpf_ports::{QueueName, clock::SystemClock};
use mrpf_postgres::PgStore;
use mrpf_sqs::Sqs;
use mrpf_tasks::WorkerClass;
use mrpf_worker::{Batch, Parts, Settings};

fn main() -> ExitCode {
    log::start();
    mrpf_lambda::run(function)
}

fn function() -> Result<Function, Box<dyn Error>> {
    let (queues, database, scans, _) =
        mrpf_environment::read::<(InternalQueues, DatabaseUrl, Scans, Log)>()?;
    let aws = Aws::start()?;
    let own = Sqs::open(&aws, QueueName::Internal, queues.internal.as_str())?;
    let task_manager = Sqs::open(&aws, QueueName::TaskManager, queues.task_manager.as_str())?;
    let store = PgStore::open(database.reveal())?;
    let class = WorkerClass::Internal;
    let mut settings = Settings::new(class, worker_name(class));
    // Without dead letters no delivery is the last.
    settings.max_receives = own.max_receives().unwrap_or(u32::MAX);
    let parts = Parts {
        own: Arc::new(own),
        task_manager: Arc::new(task_manager),
        store: Some(Arc::new(store)),
        runners: mrpf_internal::runners(scans.max_workers, scans.max_rate.get()),
        clock: Arc::new(SystemClock),
        machine: None,
    };
    let batch = Batch::new(settings, parts)?;
    Ok(Function { batch, queue_url: queues.internal.to_string() })
}
