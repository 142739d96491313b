//! `mrpf-manager`: the manager of the platform on AWS, and the commands with which people use it.
//!
//! ```text
//!  serve -------> open: settings, AWS, queues (SQS), store (PostgreSQL), fleet (EC2) ---> Manager::run until SIGTERM
//!  --check ----'    '--> findings: OK, or what is wrong and what mends it
//!
//!  submit, status, results, cancel, stop (`mrpf_console`) ---> the store alone, by DATABASE_URL
//! ```
//!
//! All settings come from the environment. Several may serve at once: everything that matters is in the store and the queues.

#![forbid(unsafe_code)]

mod args;
mod error;
mod finding;
mod fleet;
mod open;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;
use mrpf_console::say;

use crate::{
    args::{Cli, Command},
    error::ProgramError,
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version come here too. A reader that has gone away is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    ExitCode::from(run(&cli).unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        error.exit_code()
    }))
}

fn run(cli: &Cli) -> Result<u8, ProgramError> {
    match &cli.command {
        Some(Command::Serve { check: false }) => serve::run(),
        // Without a command there is --check, which clap sees to.
        Some(Command::Serve { check: true }) | None => serve::check(),
        Some(Command::Console(command)) => command.run(),
    }
}
