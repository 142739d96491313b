//! The platform as processes that are killed: `mrpf-test-platform` (see `program/`) as managers and workers over SQLite files.
//!
//! ```text
//! killed.rs    thousands of tasks, every process killed over and over, every fault a queue may have: each effect once
//! poison.rs    tasks that kill their worker
//! payloads.rs  results of any size and any octets
//! stopped.rs   SIGTERM: what a worker has is others' again at once
//! apart.rs     external workers have nothing of the store; workers that do not know a kind of task
//! ```
//!
//! No privileges, no network. No test judges how fast anything is.

#![forbid(unsafe_code)]

mod apart;
mod books;
mod killed;
mod payloads;
mod poison;
mod stopped;
mod world;
