//! What the workers of the platform can be asked to do, and the messages about it. Pure: no queue, no store, no clock, no
//! network.
//!
//! ```text
//! requirement  what a task needs --route()--> the class of workers that has it
//! definition   a kind of task: name, requirements, input, output      task! writes one
//! catalogue    those that ship                  registry  those that a program knows, by name
//! workflow     a file of tasks, edges, conditions, collections and a scope --> a checked plan
//! scope        what a workflow may touch        chunk     output in pieces that fit queues and columns
//! message      CreateTask, RunTask, TaskProgress, CompleteTask
//! error        why a task failed, and when it is tried again        rate  how many a second, as people write it
//! ```
//!
//! # What holds
//!
//! - A task's class follows from its requirements alone, when it is compiled.
//! - A task cannot use what it does not declare: `cargo check` refuses it ([`Requires`]).
//! - Messages and inputs of others are checked before anything is believed of them; nothing here panics on one.
//!
//! Not here: who does the work (`external`, `internal`, `bare_metal`), who gives it out (`manager`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod catalogue;
pub mod chunk;
mod definition;
mod error;
mod id;
pub mod message;
mod rate;
mod registry;
mod requirement;
pub mod scope;
mod source;
pub mod workflow;

pub use self::{
    chunk::{Bytes, Chunk},
    definition::{Check, Requires, TaskDefinition},
    error::{ErrorKind, LONGEST_WAIT, TaskError, retry_wait},
    id::{CollectionId, MessageId, RunId, TaskId, Ticket, WorkflowId},
    rate::{PerSecond, PerSecondError},
    registry::{Declared, InputError, Registry, read_input},
    requirement::{
        UnknownClass, WorkerClass, WorkerRequirement, access, requires_internal_worker,
        requires_raw_sockets, route,
    },
    scope::{AddressRange, DomainName, Scope},
    source::Source,
};
