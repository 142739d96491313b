//! The loop that all workers share: take a task from the queue of its class, hold it while it runs, say how it ended.
//!
//! ```text
//!             .------------- Worker::run ------------------.
//!  own queue  | poller --> a message a free slot --> task  |  parts, checkpoints
//!  ---------->|              parse, claim, run, settle ----|---------------------> store (internal, bare metal)
//!             | keeper: every message and lease, every slot|
//!             | idle: nothing to do for so long -> drain   |  CreateTask, TaskProgress, CompleteTask
//!             '--------------------------------------------'---------------------> Task Manager queue
//! ```
//!
//! One thread polls, one keeps leases, and each task has its own; there is no runtime. Where somebody else polls and deletes, as
//! for a function on AWS Lambda, a [`Batch`] deals with what it is given in the same way, until its time is over.
//!
//! # What holds
//!
//! - No message is taken for which there is no free slot, so none waits hidden behind a running task.
//! - A message is deleted after its `CompleteTask` was sent, never before. A crash between the two does the task again, and
//!   the store and the manager let one run count.
//! - A run that does not hold its message or its task any more is told to stop, and its result is thrown away.
//! - A task that panics fails; the worker goes on.
//! - Once told to stop, a worker takes nothing more, and within [`Settings::grace`] all that it had is done or visible to
//!   others again.
//! - The idle timer runs while no task does, and a machine goes only after a poll that began when the manager could see that it
//!   is no capacity any more.
//!
//! Not here: what tasks do (`external`, `internal`, `bare_metal`), who gives them out (`manager`), signals and environment
//! variables (the programs at the edge).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod hands;
mod held;
mod idle;
mod keeper;
mod mapped;
mod settings;
mod settle;
mod shared;
mod slot;
mod task;
mod worker;

pub use self::{
    batch::{Batch, Verdict},
    idle::{IdleError, IdleTimeout},
    settings::{Settings, SettingsError},
    worker::{Ended, Machine, Parts, Worker},
};
