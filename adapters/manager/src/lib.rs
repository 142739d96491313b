//! Who does what, when, how often, and what follows: everything the manager of the platform decides, over the traits of
//! `mrpf_ports`.
//!
//! ```text
//!  submit: Plan --> rows          control: cancel, stop, resume           status: how far everything is
//!
//!  Manager::step   intake ------> settle     what workers tell, and what follows from it
//!                  reaper ---------^  ^      tasks of which nobody hears
//!                  dead_letters ------'      messages that killed their workers
//!                  dispatch -> outbox        scope, blocklist, pace; then the queues
//!                  slots                     machines, never more than there may be
//!                       transition           what becomes of one task: pure, and tested against a table
//! ```
//!
//! # What holds
//!
//! - All that matters is in the store: a manager that is killed at any moment loses nothing, and several may race.
//! - Every decision about a task is `transition`'s, made inside the transaction that stores it.
//! - What workers say is checked: task, attempt and ticket, the kind of task, its input, its size.
//! - Work is done in batches of a bounded size, a transaction each: one workflow with many tasks is in nobody's way.
//!
//! Not here: SQL, queues, machines, and who does the tasks.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod control;
mod dead_letters;
mod desk;
mod dice;
mod dispatch;
mod error;
mod intake;
mod manager;
mod outage;
mod outbox;
mod reaper;
mod settings;
mod settle;
mod slots;
pub mod status;
mod submit;
mod transition;

pub use self::{
    desk::Outside,
    dice::Dice,
    error::{Cause, ManagerError},
    manager::{Counts, Manager, Step},
    settings::Settings,
    slots::free_all_slots,
    submit::{SubmitError, submit},
};
