//! Standard input, kept as it is read: it cannot be read again when a scan goes on later.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::AsFd as _,
    path::Path,
    thread,
};

use mrpf_console::{exit::FAILED, say};

use crate::words::AnyArgs;

/// Longest that is kept, in octets.
///
/// A million addresses: each checkpoint writes them again.
pub(crate) const MOST: usize = 16 << 20;

/// What standard input held.
#[derive(Clone, Debug, Default)]
pub(crate) enum Stdin {
    /// Nobody wants it.
    #[default]
    Unused,
    /// All of it.
    Kept(String),
    /// More than [`MOST`] octets.
    TooLong,
    /// Names, which are asked for as they come and not kept.
    Passing,
}

/// Whether a list is to come from standard input.
pub(crate) fn is_wanted(all: &AnyArgs) -> bool {
    all.inputs().iter().any(|(_, path)| path == Path::new("-"))
}

/// Whether it is a list of names, which whoever writes it may still be finding.
pub(crate) fn is_passing(all: &AnyArgs) -> bool {
    let is_names = matches!(all, AnyArgs::Dns(args) if !args.ptr && !args.sweep);
    is_names && is_wanted(all) && all.scan().checkpoint.is_none()
}

/// Reads standard input to its end, or to [`MOST`] octets, and puts what it held back before what it holds still.
pub(crate) fn keep() -> io::Result<Stdin> {
    // Not `Stdin`, which would read ahead into a buffer of its own.
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut held = Vec::new();
    (&mut stdin).take(MOST as u64 + 1).read_to_end(&mut held)?;
    if held.len() > MOST {
        feed(held, Some(stdin))?;
        return Ok(Stdin::TooLong);
    }
    // What is not UTF-8 can only stand in a comment, or the targets are refused.
    let text = String::from_utf8_lossy(&held).into_owned();
    feed(held, None)?;
    Ok(Stdin::Kept(text))
}

/// Makes standard input hold `held`, and then what is left of `rest`.
pub(crate) fn feed(held: Vec<u8>, rest: Option<File>) -> io::Result<()> {
    let (reader, mut writer) = io::pipe()?;
    nix::unistd::dup2_stdin(reader)?;
    // A pipe takes 64 KiB at a time. Nobody waits for the thread: a reader that stops early ends the command.
    thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let fed = writer.write_all(&held);
        if let (Ok(()), Some(mut rest)) = (fed, rest)
            && let Err(error) = io::copy(&mut rest, &mut writer)
        {
            // Half a list of exclusions must not pass for a whole one.
            say(&format!("error: reading standard input: {error}"));
            std::process::exit(i32::from(FAILED));
        }
    })?;
    Ok(())
}
