//! The commands with which people use the platform, over any store: `mrpf` has them over SQLite, `mrpf-manager` over PostgreSQL.
//!
//! ```text
//!  Command<P>   submit, status, results, cancel, stop ---> P: Place ---> a store      tasks: of no store
//!      run()      plan   text    JSON lines                --data DIR, or DATABASE_URL
//!
//!  terminal     answers to stdout, everything else to stderr     exit   what the codes mean
//!  signals      the first asks, an impatient second one ends
//! ```
//!
//! # What holds
//!
//! - Standard output has what was asked for and nothing else. A reader that closes it early is no error; a disk that is full is.
//! - What users can mend (flags, files, names) is told from what broke: [`ConsoleError::is_usage`].
//! - Nothing here decides what becomes of a task: that is `mrpf_manager`'s.
//!
//! Not here: where a store lies, and who runs the platform.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod args;
mod command;
mod control;
mod error;
pub mod exit;
mod find;
mod recon;
mod results;
mod signals;
mod status;
mod submit;
mod tasks;
mod terminal;

pub use self::{
    args::{ResultsArgs, StatusArgs, SubmitArgs},
    command::{Command, Place},
    error::ConsoleError,
    recon::recon,
    results::called,
    signals::Signals,
    terminal::{answer, say},
};
