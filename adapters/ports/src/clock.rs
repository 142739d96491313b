//! Time, and the switch of the machine.

use std::{
    fmt,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use mrpf_records::Timestamp;

/// The time of day, which the store and all workers share to within a second or so.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits so long, or until `wake` is [set](Wake::set).
    fn sleep(&self, duration: Duration, wake: &Wake);
}

/// Ends sleeps early, for good: somebody wants the process to end.
#[derive(Clone, Debug, Default)]
pub struct Wake(Arc<(AtomicBool, Mutex<()>, Condvar)>);

impl Wake {
    /// Ends all sleeps, and those to come.
    pub fn set(&self) {
        self.0.0.store(true, Ordering::Release);
        // Taken so that no sleeper is between its look and its wait.
        drop(self.0.1.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.2.notify_all();
    }

    /// Whether it was set.
    pub fn is_set(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Waits so long at most.
    pub fn wait(&self, duration: Duration) {
        let guard = self.0.1.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.0.2.wait_timeout_while(guard, duration, |()| !self.is_set()));
    }
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn sleep(&self, duration: Duration, wake: &Wake) {
        wake.wait(duration);
    }
}

/// The moment `duration` after `at`.
pub fn after(at: Timestamp, duration: Duration) -> Timestamp {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Timestamp::from_unix_micros(at.as_unix_micros().saturating_add(micros))
}

/// From `earlier` to `later`; nothing when they are the other way round.
pub fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::from_micros(later.as_unix_micros().saturating_sub(earlier.as_unix_micros()))
}

/// Ends the machine that a worker runs on, once it has nothing to do.
pub trait Power: fmt::Debug + Send + Sync {
    /// Ends it. On a machine that others use too this ends the process alone; it may return before either is over.
    fn off(&self);
}
