//! `mrpf lab` without mrpf, and a lab of all parts to be killed: what the tests start as a process of its own.
//!
//! ```text
//! mrpf-lab-holder lab run -- COMMAND | lab up | lab hold | lab down | lab status
//! mrpf-lab-holder everything
//! ```

#![forbid(unsafe_code)]

use std::{
    env,
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
    thread,
};

use mrpf_engine::link::sim::hosts::{Behaviour, Hosts};
use mrpf_lab::{Lab, LabError, Loss, Prefix, command, netns};

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let words: Vec<_> = args.iter().take(3).map(|arg| arg.to_string_lossy()).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let outcome = match words.as_slice() {
        ["lab", "run", "--"] => command::run(&args[3..]),
        ["lab", "up"] => command::up().map(|up| said(&up.to_string())),
        ["lab", "hold"] => command::hold().map(|()| 0),
        ["lab", "down"] => command::down().map(|was_up| said(&was_up.to_string())),
        ["lab", "status"] => {
            command::status().map(|status| status.map_or(1, |status| said(&status.to_string())))
        }
        ["everything"] => everything(),
        _ => Ok(2),
    };
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A lab with all its parts, until this process is killed. Says the numbers of both namespaces.
fn everything() -> Result<i32, LabError> {
    netns::gain_privileges()?;
    let answered = Prefix::new([198, 19, 1, 0], 24);
    let hosts =
        Hosts::new(1).rule((answered.first(), answered.last()), 0..=u16::MAX, Behaviour::open());
    let lab = Lab::builder()
        .open(80)
        .nginx(443)
        .respond(answered, hosts)
        .loss(Loss { probes_percent: 1, ..Loss::default() })
        .start()?;
    said(&format!("{} {}", lab.scanner().inode()?, lab.world().inode()?));
    loop {
        thread::park();
    }
}

fn said(line: &str) -> i32 {
    let mut stdout = io::stdout();
    let told = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    i32::from(told.is_err())
}
