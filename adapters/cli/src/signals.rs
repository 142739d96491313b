//! Ctrl-C, SIGTERM and a terminal that goes away: the first asks, the second ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::error::INTERRUPTED;

/// Whether someone has asked the command to end.
///
/// Until it is installed signals end the process at once, as nothing was sent that would be lost: for the time in which
/// lists are read and names resolved. No thread is involved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on the first signal is noted and the second ends the process.
    pub(crate) fn install() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down, and then raises it for the second.
            flag::register_conditional_shutdown(
                signal,
                i32::from(INTERRUPTED),
                Arc::clone(&asked),
            )?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Whether there was a signal.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// As if there had been a signal.
    #[cfg(test)]
    pub(crate) fn ask(&self) {
        self.0.store(true, Relaxed);
    }
}
