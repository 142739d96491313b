//! Ctrl-C, SIGTERM and a terminal that goes away: the first asks, a later one of the first two ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag, iterator,
};

use crate::{ConsoleError, exit::INTERRUPTED};

/// How long after the first signal a second one is an impatient user. Before that it may be the same event told twice: a
/// terminal that is closed, or a program such as timeout(1) that signals the process and then its group.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether someone has asked the command to end.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on the first signal is noted, and SIGINT or SIGTERM ends the process when it comes a second later or more.
    ///
    /// # Errors
    ///
    /// [`ConsoleError::Signals`].
    pub fn install() -> Result<Self, ConsoleError> {
        Self::catch().map_err(ConsoleError::Signals)
    }

    fn catch() -> io::Result<Self> {
        let all = [SIGHUP, SIGINT, SIGTERM];
        let signals = Self::default();
        for signal in all {
            flag::register(signal, Arc::clone(&signals.0))?;
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
        Ok(signals)
    }

    /// Whether there was a signal.
    pub fn asked(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// Asks the command to end, as a signal does.
    pub fn ask(&self) {
        self.0.store(true, Relaxed);
    }
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
}
