//! mrpf-lambda-external: the external worker of the platform on AWS Lambda, outside the VPC.
//!
//! ```text
//!  EXTERNAL_QUEUE_URL's mapping --> mrpf_lambda --> mrpf_external --> crt.sh, Censys, Shodan
//!                                        '--> TASK_MANAGER_QUEUE_URL: children, progress, results
//! ```
//!
//! It has no database, and links no client of one.

#![forbid(unsafe_code)]

use std::{error::Error, process::ExitCode, sync::Arc};

use mrpf_aws::Aws;
use mrpf_environment::{ExternalQueues, Log, log};
use mrpf_lambda::{Function, worker_name};
use mrpf_ports::{QueueName, clock::SystemClock};
use mrpf_sqs::Sqs;
use mrpf_tasks::WorkerClass;
use mrpf_worker::{Batch, Parts, Settings};

fn main() -> ExitCode {
    log::start();
    mrpf_lambda::run(function)
}

fn function() -> Result<Function, Box<dyn Error>> {
    let (queues, _) = mrpf_environment::read::<(ExternalQueues, Log)>()?;
    let services = mrpf_external::Settings::from_env()?;
    let aws = Aws::start()?;
    let own = Sqs::open(&aws, QueueName::External, queues.external.as_str())?;
    let task_manager = Sqs::open(&aws, QueueName::TaskManager, queues.task_manager.as_str())?;
    let class = WorkerClass::External;
    let mut settings = Settings::new(class, worker_name(class));
    // Without dead letters no delivery is the last.
    settings.max_receives = own.max_receives().unwrap_or(u32::MAX);
    let parts = Parts {
        own: Arc::new(own),
        task_manager: Arc::new(task_manager),
        store: None,
        runners: mrpf_external::runners(&services),
        clock: Arc::new(SystemClock),
        machine: None,
    };
    let batch = Batch::new(settings, parts)?;
    Ok(Function { batch, queue_url: queues.external.to_string() })
}
