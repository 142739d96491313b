//! What the platform needs of the outside, in its own words: the same manager and workers run over SQLite and local
//! processes, and over SQS, EC2 and PostgreSQL.
//!
//! ```text
//!  manager ----> Queue Store Fleet Clock       <---- worker, which adds Power
//!                  ^     ^     ^                        |
//!    embedded -----+-----+-----'          Cx: what a running task is lent, bounded by what it declares
//!    sqs ----------'     |     ^                        v
//!    postgres -----------'     '---- ec2   external, internal, bare_metal: who does the work
//! ```
//!
//! # What holds
//!
//! - All of it is synchronous, and every implementation may be called from many threads.
//! - Queues are at least once: twice, out of order and with handles that have gone stale. The store is where exactly once
//!   comes from.
//! - The suites of `conformance` (feature `testing`) say what an implementation must do; each implementation runs them unchanged.
//!
//! Not here: any implementation, and any decision. Those are the manager's.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod clock;
#[cfg(feature = "testing")]
pub mod conformance;
pub mod cx;
pub mod fleet;
pub mod queue;
pub mod store;

pub use self::{
    clock::{Clock, Power},
    cx::{Cx, Finished, Hands, Runners, Runs},
    fleet::{Fleet, FleetError, Instance, InstanceId, InstanceState, LaunchError},
    queue::{Delivery, Handle, Queue, QueueError, QueueName},
    store::{ManagerStore, StoreError, WorkerStore},
};
