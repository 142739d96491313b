//! Signals beside those that every command notes (`mrpf_console`): while a scan is prepared, and in a worker.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::AtomicBool,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use mrpf_console::{ConsoleError, Signals, exit::INTERRUPTED, say};
use mrpf_ports::clock::Wake;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, iterator,
};

/// How soon a signal is seen while a scan is prepared.
const TICK: Duration = Duration::from_millis(20);

/// For the time in which lists are read, names resolved and neighbours asked, none of which looks up: a signal ends the
/// process then, and removes the files that were made for a scan which has not begun.
pub(crate) fn end_at_once(
    signals: &Signals,
    made: Vec<PathBuf>,
) -> Result<Preparing, ConsoleError> {
    let (over, is_over) = mpsc::channel::<()>();
    let signals = signals.clone();
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
    let watch = thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(ConsoleError::Signals)?;
    Ok(Preparing { over: Some(over), watch: Some(watch) })
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

/// Ends the stretch of [`end_at_once`] when it is dropped: from then on signals are for the scan.
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
        drop(end_at_once(&signals, vec![path.clone()]).unwrap());
        signals.ask();
        assert!(path.exists() && signals.asked());
    }
}
