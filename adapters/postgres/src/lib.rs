//! The store of the mrpf platform in PostgreSQL.
//!
//! ```text
//!  PgStore: ManagerStore   transaction() -> Tx     SERIALIZABLE, again when others were in the way
//!         : WorkerStore    run, data               functions and guarded rows: a worker's login has no more
//!                          recon                   many rows in one statement
//!         .migrate()       schemas task_manager and recon, roles mrpf_internal and mrpf_bare_metal, what they may do
//!         .check()         what a login lacks, and what mends it
//!     |
//!     '--> database: a pool of connections; a server that is away is waited for --> connection, tls --> PostgreSQL
//! ```
//!
//! Calls block, and must not be made on a thread that runs an async runtime: the client underneath has one of its own.
//!
//! Not here: any decision about a task. What stands in SQL are the guards of a run (`migrations/0003_workers.sql`). `mrpf_ports`
//! says what a store must do, and its suite is run on this one in `tests/`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod check;
mod columns;
mod connection;
mod database;
mod failure;
mod migrate;
mod store;
mod tls;

pub use self::{
    check::{Finding, Login},
    store::PgStore,
};
