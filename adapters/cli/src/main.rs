//! The `mrpf` command: reads flags, drives a library, writes records and numbers.
//!
//! ```text
//! args ---> syn ---.                                .--> output, csv  records: jsonl, csv, list, pretty
//!      |--> demo --'--> drive: one loop over a scan  |--> progress     the live line
//!      |--> lab         stops on signals and limits  |--> saver        when to save what; place: so that it lasts
//!      '--> pages: completions, man                  '--> summary, report  text and JSON at the end
//!
//! checkpoint: the file ---> resume ---> words: the flags again ---> syn
//! ```
//!
//! Records go to stdout or a file, everything else to stderr. What was found is written whatever ends a scan, and nothing
//! here panics on what users, files or networks give it.
//!
//! Start reading at [`drive`].

#![forbid(unsafe_code)]

mod args;
mod checkpoint;
mod csv;
mod demo;
mod drive;
mod error;
mod files;
mod lab;
mod output;
mod pages;
mod place;
mod plan;
mod platform;
mod prepared;
mod progress;
mod report;
mod resume;
mod saver;
mod signals;
mod stdin;
mod summary;
mod syn;
mod values;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use mrpf_console::say;

use crate::{
    args::{Cli, Command},
    platform::{up, worker},
    words::Asked,
};

fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // --help and --version come here too. A reader that has gone away is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    // `demo` and `lab run` make user namespaces, which a process with threads cannot: nothing before this starts one.
    let result = match cli.command {
        Command::Completions { shell } => pages::completions(shell),
        Command::Console(command) => command.run(),
        Command::Demo(args) => demo::run(&args),
        Command::Lab { command } => lab::run(command),
        Command::Man { folder } => pages::man(folder.as_deref()),
        Command::Syn(args) => {
            let matches = matches.subcommand_matches("syn").unwrap_or(&matches);
            syn::run(&Asked::new(*args, matches))
        }
        Command::Up(args) => up::run(&args),
        Command::Worker(args) => worker::run(&args),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        error.exit_code()
    }))
}
