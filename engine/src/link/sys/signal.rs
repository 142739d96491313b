//! A signal that does nothing but end a long system call of one thread (signal(7), pthread_kill(3)).

#![expect(unsafe_code, reason = "sigaction(2), pthread_sigmask(3) and pthread_kill(3)")]

use std::{io, mem, os::unix::thread::JoinHandleExt, ptr, thread::JoinHandle};

use super::syscall;

/// A real-time signal that nobody else of this process uses, and whose handler does nothing.
///
/// It is only ever sent to one thread, so no other is disturbed. The handler stays: another link may use it as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt(libc::c_int);

/// The handler: that it ran is enough for the call to end.
extern "C" fn nothing(_: libc::c_int) {}

impl Interrupt {
    /// Takes the last real-time signal that has no handler, or has this one already. `WouldBlock` when there is none.
    pub(crate) fn claim() -> io::Result<Self> {
        let ours: extern "C" fn(libc::c_int) = nothing;
        let ours = ours as libc::sighandler_t;
        for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
            // SAFETY: a sigaction is integers and a set of bits, for all of which zero is a value; the kernel writes it whole.
            let mut now: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: with no new action the call only writes the present one, to a structure of the right type.
            unsafe { syscall!(sigaction(signal, ptr::null(), &raw mut now)) }?;
            if now.sa_sigaction == ours {
                return Ok(Self(signal));
            }
            if now.sa_sigaction != libc::SIG_DFL {
                continue;
            }
            // No SA_RESTART: the call that is interrupted is to end. SA_ONSTACK: the handler runs where the thread says.
            now.sa_sigaction = ours;
            now.sa_flags = libc::SA_ONSTACK;
            // SAFETY: `nothing` has the type of a handler without SA_SIGINFO, lives as long as the process, and does nothing,
            // which is async-signal-safe. The signal had the default action, so no handler of others is lost.
            unsafe { syscall!(sigaction(signal, &raw const now, ptr::null_mut())) }?;
            return Ok(Self(signal));
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// From now on the calling thread gets this signal, and none that is sent to the process as a whole: those would end its
    /// call as well.
    pub(crate) fn be_the_only_one_here(self) -> io::Result<()> {
        // SAFETY: a set of signals is bits, for which zero is a value.
        let mut all_others: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: both calls write the set they are given, which is whole and ours. The signal is one that sigaction(2) took.
        unsafe {
            syscall!(sigfillset(&raw mut all_others))?;
            syscall!(sigdelset(&raw mut all_others, self.0))?;
        }
        // SAFETY: changes the mask of the calling thread alone, by a set that was written above.
        match unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all_others, ptr::null_mut())
        } {
            0 => Ok(()),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Sends it to `thread`; nothing happens when that has ended.
    pub(crate) fn send<T>(self, thread: &JoinHandle<T>) {
        // SAFETY: the handle is neither joined nor dropped while it is borrowed, so its thread's number is valid, also when
        // the thread has ended (pthread_kill(3) then says so or does nothing). The signal has a handler.
        let result = unsafe { libc::pthread_kill(thread.as_pthread_t(), self.0) };
        debug_assert!(matches!(result, 0 | libc::ESRCH), "{result}");
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc,
        thread,
        time::{Duration, Instant},
    };

    use super::*;

    #[test]
    fn it_ends_a_call_of_one_thread() {
        let interrupt = Interrupt::claim().unwrap();
        assert_eq!(Interrupt::claim().unwrap().0, interrupt.0, "the handler is known again");
        let (ready, is_ready) = mpsc::channel();
        let sleeper = thread::spawn(move || {
            interrupt.be_the_only_one_here().unwrap();
            ready.send(()).unwrap();
            // SAFETY: poll(2) of nothing only waits.
            let result = unsafe { syscall!(poll(ptr::null_mut(), 0, 20_000)) };
            result.unwrap_err().kind()
        });
        is_ready.recv().unwrap();
        let start = Instant::now();
        while !sleeper.is_finished() {
            // More than once: it may come before the call does.
            interrupt.send(&sleeper);
            thread::sleep(Duration::from_millis(1));
        }
        interrupt.send(&sleeper);
        assert_eq!(sleeper.join().unwrap(), io::ErrorKind::Interrupted);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }
}
