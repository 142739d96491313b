//! `mrpf lab run`, `up`, `down` and `status`: the world of the demo, lent out.
//!
//! ```text
//! run    this process [ lab ] --- setpriv --pdeathsig KILL --> the command, in the scanner's namespace
//! up     this process --- `lab hold` --> holder [ lab ] --- /run/netns/mrpf-lab, /run/mrpf-lab/holder
//!                     <-- "ready" -----
//! down   this process --- SIGTERM -----> holder
//! ```

mod named;

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, ErrorKind},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::ExitStatus,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, SigmaskHow, Signal, kill},
        signalfd::SignalFd,
    },
    unistd::Pid,
};

pub use self::named::{Status, Up, down, hold, status, up};
use crate::{
    LabError,
    child::{self, Guard},
    demo,
    error::asking,
    netns,
};

/// Runs `command` in the scanner's namespace of the demo's world, with this process's stdin, stdout and stderr, and gives
/// back its exit code: 128 and the signal's number when a signal ended it, as shells have it. For `main`, before the first
/// thread: an ordinary user becomes root of a user namespace.
///
/// SIGHUP, SIGINT, SIGQUIT and SIGTERM are passed on to the command; it is killed when the calling thread is.
///
/// # Errors
///
/// [`LabError::Command`] when there is no such program; those of [`demo::start`] and of
/// [`gain_privileges`](netns::gain_privileges).
pub fn run(command: &[OsString]) -> Result<i32, LabError> {
    let [program, args @ ..] = command else {
        let source = io::Error::new(ErrorKind::InvalidInput, "no command was given");
        return Err(LabError::Command { command: "nothing".to_owned(), source });
    };
    let refused = |source| LabError::Command { command: program.display().to_string(), source };
    if !is_there(program) {
        return Err(refused(ErrorKind::NotFound.into()));
    }
    netns::gain_privileges()?;
    // Before the lab's threads, which take on what is blocked: a signal is to end the command, not this process.
    let signals = Signals::block(&[
        Signal::SIGCHLD,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
    ])?;
    let _lab = demo::start()?;
    let mut command = child::bound_command(program)?;
    command.args(args);
    let child = signals.unblocked(|| command.spawn())?.map_err(refused)?;
    wait(&mut Guard::new(child), &signals)
}

/// Waits until `child` ends, passing signals on.
fn wait(child: &mut Guard, signals: &Signals) -> Result<i32, LabError> {
    /// The kernel's own signal, from a key on the terminal: the child is in the same foreground group and got it too.
    const FROM_KERNEL: i32 = 0x80;
    let received = SignalFd::new(&signals.blocked).map_err(asking("making a signalfd"))?;
    loop {
        if let Some(status) = child.ended()? {
            return Ok(exit_code(status));
        }
        let signal = match received.read_signal() {
            Ok(Some(signal)) => signal,
            Ok(None) | Err(Errno::EINTR) => continue,
            Err(errno) => return Err(asking("waiting for a signal")(errno)),
        };
        let number = i32::try_from(signal.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
        if let Some(number) = number
            && number != Signal::SIGCHLD
            && signal.ssi_code != FROM_KERNEL
        {
            // It fails only when the child ended just now.
            let _ = kill(Pid::from_raw(child.id() as i32), number);
        }
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Whether execvp(3) would find `program`.
fn is_there(program: &OsStr) -> bool {
    if program.as_encoded_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Signals that are blocked in the calling thread, and in those that it starts, until this is dropped.
struct Signals {
    blocked: SigSet,
    before: SigSet,
}

impl Signals {
    fn block(signals: &[Signal]) -> Result<Self, LabError> {
        let blocked: SigSet = signals.iter().copied().collect();
        let before =
            blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(asking("blocking signals"))?;
        Ok(Self { blocked, before })
    }

    /// Calls `f` with the signals as they were, for a child that inherits them.
    fn unblocked<R>(&self, f: impl FnOnce() -> R) -> Result<R, LabError> {
        self.before.thread_set_mask().map_err(asking("unblocking signals"))?;
        let result = f();
        self.blocked.thread_block().map_err(asking("blocking signals"))?;
        Ok(result)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The mask was the thread's own a moment ago.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_as_the_system_would() {
        assert!(is_there(OsStr::new("sh")) && is_there(OsStr::new("/bin/sh")));
        assert!(!is_there(OsStr::new("no-such-program-of-mrpf")));
        assert!(!is_there(OsStr::new("/no/such/program")) && !is_there(OsStr::new("")));
    }

    #[test]
    fn a_signal_is_told_as_shells_tell_it() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(15)), 143);
    }
}
