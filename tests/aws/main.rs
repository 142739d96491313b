//! The whole platform as it runs on AWS: the programs as processes, against AWS in small, and against moto as second opinion.
//!
//! ```text
//!                      .--> mrpf-lambda-external --> a certificate log on lo
//!  mrpf-manager <-- SQS --> mrpf-lambda-internal --.
//!     |   ^            '--> mrpf-worker, one an instance: its metadata, its slot --> packets --> lab
//!     |   '-- PostgreSQL <-------------------------'
//!     '--> EC2: RunInstances
//! ```
//!
//! | file | what |
//! |---|---|
//! | `whole.rs` | the bundled workflow finds what it finds on one machine |
//! | `launches.rs` | one machine a slot, whatever is lost on the way |
//! | `notices.rs` | machines that are taken away |
//! | `outages.rs` | a database that is gone, queues that fail |
//! | `refused.rs` | who may say what; `--check` |
//! | `account.rs`, `machines.rs`, `program.rs`, `world.rs` | what the others stand on |
//!
//! `tests/run aws` runs these and the suites of the adapters. Everything is in a network namespace without a way out.

#![forbid(unsafe_code)]

mod account;
mod launches;
mod machines;
mod notices;
mod outages;
mod program;
mod refused;
mod whole;
mod world;
