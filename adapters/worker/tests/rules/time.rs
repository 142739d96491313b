//! A clock that moves when a test says so.

use std::{
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use mrpf_ports::{
    Clock,
    clock::{Wake, after},
};
use mrpf_records::Timestamp;

/// Virtual time moves by no more at once.
const STEP: Duration = Duration::from_millis(500);
/// A real pause after each step, in which whoever woke does what it woke for.
const PAUSE: Duration = Duration::from_micros(500);
/// Longest that anything in these tests takes, in real time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Time {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug)]
struct State {
    now: Timestamp,
    next_sleeper: u64,
    /// Who sleeps, and until when.
    sleepers: Vec<(u64, Timestamp)>,
}

impl Time {
    pub(crate) fn new() -> Self {
        let now = Timestamp::from_unix_micros(1_795_507_200_000_000);
        let state = State { now, next_sleeper: 0, sleepers: Vec::new() };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Sleeps in virtual time, or until `is_over`.
    pub(crate) fn wait(&self, duration: Duration, is_over: impl Fn() -> bool) {
        let mut state = self.state.lock().unwrap();
        let due = after(state.now, duration);
        let id = state.next_sleeper;
        state.next_sleeper += 1;
        state.sleepers.push((id, due));
        drop(state);
        // Asked without the lock, as it may look at the clock.
        while !is_over() {
            let state = self.state.lock().unwrap();
            if state.now >= due {
                break;
            }
            drop(self.moved.wait_timeout(state, Duration::from_millis(1)).unwrap());
        }
        self.state.lock().unwrap().sleepers.retain(|(other, _)| *other != id);
    }

    /// Moves time, step by step; everybody whose sleep is over has woken when this returns.
    pub(crate) fn advance(&self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(STEP);
            left -= step;
            let mut state = self.state.lock().unwrap();
            state.now = after(state.now, step);
            drop(state);
            self.moved.notify_all();
            eventually("sleepers wake", || {
                let state = self.state.lock().unwrap();
                state.sleepers.iter().all(|(_, due)| *due > state.now)
            });
            thread::sleep(PAUSE);
        }
    }

    /// Moves time slowly until something has come true.
    #[track_caller]
    pub(crate) fn advance_until(&self, what: &str, is_true: impl Fn() -> bool) {
        eventually(what, || {
            let is_true = is_true();
            if !is_true {
                self.advance(STEP);
                thread::sleep(Duration::from_millis(5));
            }
            is_true
        });
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        self.state.lock().unwrap().now
    }

    fn sleep(&self, duration: Duration, wake: &Wake) {
        self.wait(duration, || wake.is_set());
    }
}

/// Waits until something that needs no more virtual time has come true.
#[track_caller]
pub(crate) fn eventually(what: &str, is_true: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}
