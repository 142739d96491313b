//! The time of the cloud: the real one, and what a test adds to it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A moment: since 1970.
pub(crate) type Moment = Duration;

/// A clock that runs as all do, and can be put forward. Clones are one clock.
#[derive(Clone, Debug)]
pub struct Clock {
    started: Instant,
    started_at: Moment,
    ahead_micros: Arc<AtomicU64>,
}

impl Clock {
    /// Starts with the time of this machine.
    pub fn start() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at, ahead_micros: Arc::default() }
    }

    /// Since 1970.
    pub fn now(&self) -> Duration {
        let ahead = Duration::from_micros(self.ahead_micros.load(Ordering::SeqCst));
        self.started_at + self.started.elapsed() + ahead
    }

    /// Puts it forward: what would happen in that time has happened.
    pub fn advance(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.ahead_micros.fetch_add(micros, Ordering::SeqCst);
    }
}
