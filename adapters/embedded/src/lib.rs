//! The platform on one machine: queues and store in SQLite, bare-metal workers as local processes.
//!
//! ```text
//!  DIR/queue.db   Queues::open -> SqliteQueue: Queue       four queues and their dead letters     all processes
//!  DIR/store.db   SqliteStore: ManagerStore, WorkerStore   tasks, their data, what was found      never external workers
//!                 LocalFleet: Fleet                        a child process for each bare-metal worker
//! ```
//!
//! Any number of processes may have both files open and be killed at any moment: what a call has returned for is there.
//! The files are apart because external workers get no path to the store, and because the queues need not wait for the disk:
//! the store knows what is not done.
//!
//! Not here: any decision about a task. `mrpf_ports` says what these parts must do, and its suites are run on them in `tests/`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod columns;
mod database;
mod fleet;
mod queue;
mod store;

pub use self::{
    fleet::{INSTANCE, LocalFleet, Orphaned, PARENT, SLOT, die_with_parent},
    queue::{Faults, QueueSettings, Queues, SqliteQueue},
    store::SqliteStore,
};
