//! The `mrpf` command: reads flags, drives a library, writes records and numbers.
//!
//! ```text
//! args ---> syn ---.                                .--> output    records: jsonl, list, pretty
//!      |--> demo --'--> drive: one loop over a scan  +--> progress  the live line
//!      '--> lab         stops on signals and limits  '--> summary, report  text and JSON at the end
//! ```
//!
//! Records go to stdout or a file, everything else to stderr. What was found is written whatever ends a scan, and nothing
//! here panics on what users, files or networks give it.
//!
//! Start reading at [`drive`].

#![forbid(unsafe_code)]

mod args;
mod demo;
mod drive;
mod error;
mod lab;
mod output;
mod plan;
mod prepared;
mod progress;
mod report;
mod signals;
mod summary;
mod syn;
mod values;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::args::{Cli, Command};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // --help and --version come here too. A reader that has gone away is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    // `demo` and `lab run` make user namespaces, which a process with threads cannot: nothing before this starts one.
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Lab { command } => lab::run(command),
        Command::Syn(args) => syn::run(&args),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        error.exit_code()
    }))
}

/// A line on stderr. Nobody is left to tell when that fails.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Text on stdout, for commands that answer and do not write records.
pub(crate) fn answer(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
