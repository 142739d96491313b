//! Ctrl-C, SIGTERM and a terminal that goes away: the first asks, the second ends.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

use crate::{error::INTERRUPTED, say};

/// How soon a signal is seen while a scan is prepared.
const TICK: Duration = Duration::from_millis(20);

/// Whether someone has asked the command to end.
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

    /// For the time in which lists are read, names resolved and neighbours asked, none of which looks up: a signal ends the
    /// process then, and removes the files that were made for a scan which has not begun.
    pub(crate) fn end_at_once(&self, made: Vec<PathBuf>) -> io::Result<Preparing> {
        let (over, is_over) = mpsc::channel::<()>();
        let signals = self.clone();
        let watch = move || {
            while is_over.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                if signals.asked() {
                    for path in made {
                        // An empty file that stays behind does no harm.
                        let _ = std::fs::remove_file(path);
                    }
                    say("interrupted before the scan began: nothing was found or written");
                    std::process::exit(i32::from(INTERRUPTED));
                }
            }
        };
        let watch = thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
        Ok(Preparing { over: Some(over), watch: Some(watch) })
    }

    /// As if there had been a signal.
    #[cfg(test)]
    pub(crate) fn ask(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Ends the stretch of [`Signals::end_at_once`] when it is dropped: from then on signals are for the scan.
#[derive(Debug)]
pub(crate) struct Preparing {
    over: Option<mpsc::Sender<()>>,
    watch: Option<JoinHandle<()>>,
}

impl Drop for Preparing {
    fn drop(&mut self) {
        self.over = None;
        // A thread that is about to end the process must not be outrun by a scan that begins.
        self.watch.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretch_ends_without_a_signal_and_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        std::fs::write(&path, "").unwrap();
        let signals = Signals::default();
        drop(signals.end_at_once(vec![path.clone()]).unwrap());
        signals.ask();
        assert!(path.exists() && signals.asked());
    }
}
