//! Settings from the environment, the same for all programs of the platform.
//!
//! ```text
//!  EXTERNAL_QUEUE_URL ..    ManagerQueues, ExternalQueues, InternalQueues, BareMetalQueues
//!  DATABASE_URL             DatabaseUrl                            shown without its password
//!  MAX_BARE_METAL_WORKERS   Scans (with BARE_METAL_MAX_RATE)       how fast a scan may be
//!                           Fleet (with BARE_METAL_WORKER_SUBNETS, BARE_METAL_LAUNCH_TEMPLATE)
//!  BARE_METAL_IDLE_TIMEOUT_SECS   IdleTimeout
//!  MRPF_LOG                 Log, and log::start() for all programs
//!        '------- read::<(ManagerQueues, DatabaseUrl, Fleet)>() --> all of them, or all that is wrong with them
//! ```
//!
//! A program names the groups that it needs and reads no others. What is missing or wrong is told together, each with the
//! variable, what it is for and what to give; passwords are never among it.
//!
//! Not here: the keys and addresses of public services (`mrpf_external::Settings`), and what the AWS SDK reads itself.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod bare_metal;
mod database;
pub mod log;
mod problem;
mod queues;
mod reader;

pub use mrpf_worker::IdleTimeout;

pub use self::{
    bare_metal::{Fleet, Scans},
    database::DatabaseUrl,
    log::Log,
    problem::{Problem, Problems},
    queues::{BareMetalQueues, ExternalQueues, InternalQueues, ManagerQueues, QueueUrl},
    reader::{Group, Reader, read, read_from},
};
