//! Ctrl-C, SIGTERM and a terminal that goes away: the first asks, a later one of the first two ends.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mrpf_ports::clock::Wake;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, iterator,
};

use crate::{error::INTERRUPTED, say};

/// How long after the first signal a second one is an impatient user. Before that it may be the same event told twice: a
/// terminal that is closed, or a program such as timeout(1) that signals the process and then its group.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon a signal is seen while a scan is prepared.
const TICK: Duration = Duration::from_millis(20);

/// Whether someone has asked the command to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on the first signal is noted, and SIGINT or SIGTERM ends the process when it comes a second later or more.
    pub(crate) fn install() -> io::Result<Self> {
        let all = [SIGHUP, SIGINT, SIGTERM];
        let asked = Arc::new(AtomicBool::new(false));
        for signal in all {
            flag::register(signal, Arc::clone(&asked))?;
        }
        let mut arriving = iterator::Signals::new(all)?;
        let watch = move || {
            let mut impatience = Impatience::default();
            for signal in arriving.forever() {
                if impatience.ends(signal, Instant::now()) {
                    // Without what a regular end would wait for.
                    signal_hook::low_level::exit(i32::from(INTERRUPTED));
                }
            }
        };
        thread::Builder::new().name("impatience".to_owned()).spawn(watch)?;
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

/// For a worker, which its manager ends: SIGTERM wakes it up to give back what it has. Ctrl-C and a terminal that goes away reach
/// all processes of a terminal at once, and are the manager's to answer.
pub(crate) fn worker() -> io::Result<Wake> {
    let ignored = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT] {
        flag::register(signal, Arc::clone(&ignored))?;
    }
    let stop = Wake::default();
    let (waking, mut arriving) = (stop.clone(), iterator::Signals::new([SIGTERM])?);
    let watch = move || arriving.forever().for_each(|_| waking.set());
    thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(stop)
}

/// Tells a user who does not want to wait from one event that is told twice.
#[derive(Debug, Default)]
struct Impatience {
    first: Option<Instant>,
}

impl Impatience {
    /// Whether `signal`, which came at `now`, ends the process at once.
    fn ends(&mut self, signal: i32, now: Instant) -> bool {
        let first = *self.first.get_or_insert(now);
        signal != SIGHUP && now.duration_since(first) >= PATIENCE
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
    fn a_terminal_that_goes_away_is_not_an_impatient_user() {
        let begin = Instant::now();
        let after = |ms| begin + Duration::from_millis(ms);
        for (signals, ends) in [
            (&[(SIGHUP, 0), (SIGHUP, 1), (SIGHUP, 5_000)][..], false),
            (&[(SIGTERM, 0), (SIGTERM, 1), (SIGINT, 999)], false),
            (&[(SIGINT, 0), (SIGINT, 1_000)], true),
            (&[(SIGHUP, 0), (SIGTERM, 2_000)], true),
        ] {
            let mut impatience = Impatience::default();
            let ended = signals.iter().any(|(signal, ms)| impatience.ends(*signal, after(*ms)));
            assert_eq!(ended, ends, "{signals:?}");
        }
    }

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
