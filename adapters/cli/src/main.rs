//! The `mrpf` command: reads flags, drives a library, writes records and numbers.
//!
//! ```text
//! args ---> scanning .                                .--> output, csv  records: jsonl, csv, list, pretty
//!      |--> demo --'--> drive: one loop over a scan  |--> progress     the live line
//!      |--> lab         stops on signals and limits  |--> saver        when to save what; place: so that it lasts
//!      '--> pages: completions, man                  '--> summary, report  text and JSON at the end
//!
//! checkpoint: the file ---> resume ---> words: the flags again ---> scanning
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
mod dns;
mod drive;
mod error;
mod files;
mod kind;
mod lab;
mod output;
mod pages;
mod place;
mod plan;
mod platform;
mod prepared;
mod progress;
mod report;
mod resolvers;
mod resume;
mod saver;
mod scanning;
mod signals;
mod stdin;
mod summary;
mod values;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use mrpf_console::say;

use crate::{
    args::{Cli, Command},
    error::CliError,
    platform::{up, worker},
    words::{AnyArgs, Asked},
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
        Command::Dns(args) => scan(AnyArgs::Dns(args), &matches),
        Command::Demo(args) => demo::run(&args),
        Command::Lab { command } => lab::run(command),
        Command::Man { folder } => pages::man(folder.as_deref()),
        Command::Syn(args) => scan(AnyArgs::Syn(args), &matches),
        Command::Tls(args) => scan(AnyArgs::Tls(args), &matches),
        Command::Up(args) => up::run(&args),
        Command::Worker(args) => worker::run(&args),
    };
    ExitCode::from(result.unwrap_or_else(|error| {
        say(&format!("error: {error}"));
        error.exit_code()
    }))
}

/// A scan, whose flags stand in the matches of its own command.
fn scan(args: AnyArgs, matches: &clap::ArgMatches) -> Result<u8, CliError> {
    let matches = matches.subcommand_matches(args.kind().as_str()).unwrap_or(matches);
    scanning::run(&Asked::new(args, matches))
}
