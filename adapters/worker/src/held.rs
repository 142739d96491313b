//! A run and the message that it came by, while both are ours.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU8, Ordering::SeqCst},
};

use mrpf_ports::{Delivery, Handle, clock::Wake};
use mrpf_records::Timestamp;
use mrpf_tasks::message::Run;

/// A poisoned lock is taken all the same: what is behind the locks of this crate is whole after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a running task is to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Orders {
    /// Its work.
    Run = 0,
    /// Save what it has and let go.
    Stop = 1,
    /// Whatever it does is in vain.
    Abandon = 2,
}

/// Why all runs are to stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stopping {
    /// The worker was told to.
    Told,
    /// The time that a batch has is over.
    OutOfTime,
}

/// How far a task is, as it said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    pub(crate) note: String,
}

/// When the message was hidden last, and the task's lease renewed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) message: Timestamp,
    pub(crate) task: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) run: Run,
    pub(crate) definition: String,
    pub(crate) handle: Handle,
    receive_count: u32,
    orders: AtomicU8,
    /// Ends the sleeps of the task.
    pub(crate) wake: Wake,
    pub(crate) progress: Mutex<Progress>,
    pub(crate) kept: Mutex<Kept>,
    /// Whether somebody deals with the end of the run. Locked while the message is hidden anew, so that nobody hides it after it
    /// was given back.
    settled: Mutex<bool>,
}

impl Held {
    pub(crate) fn new(run: Run, definition: &str, delivery: &Delivery, now: Timestamp) -> Self {
        Self {
            run,
            definition: definition.to_owned(),
            handle: delivery.handle.clone(),
            receive_count: delivery.receive_count,
            orders: AtomicU8::new(Orders::Run as u8),
            wake: Wake::default(),
            progress: Mutex::default(),
            kept: Mutex::new(Kept { message: now, task: now }),
            settled: Mutex::new(false),
        }
    }

    pub(crate) fn orders(&self) -> Orders {
        match self.orders.load(SeqCst) {
            0 => Orders::Run,
            1 => Orders::Stop,
            _ => Orders::Abandon,
        }
    }

    /// Orders get stricter, never the other way.
    pub(crate) fn order(&self, orders: Orders) {
        self.orders.fetch_max(orders as u8, SeqCst);
        self.wake.set();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.orders() == Orders::Abandon
    }

    /// Whether the message goes to the dead letters when it is given back once more.
    pub(crate) fn is_last_delivery(&self, max_receives: u32) -> bool {
        self.receive_count >= max_receives
    }

    /// Takes the end of the run upon the caller; false when somebody else has.
    pub(crate) fn settle(&self) -> bool {
        !std::mem::replace(&mut *lock(&self.settled), true)
    }

    pub(crate) fn is_settled(&self) -> bool {
        *lock(&self.settled)
    }

    /// Runs `keep` while nobody settles, and not after.
    pub(crate) fn unless_settled(&self, keep: impl FnOnce()) {
        let settled = lock(&self.settled);
        if !*settled {
            keep();
        }
    }
}

/// All runs of a worker.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    runs: Vec<Arc<Held>>,
    stopping: Option<Stopping>,
}

impl Runs {
    /// Adds a run; it is told to stop at once when all are.
    pub(crate) fn add(&self, held: &Arc<Held>) {
        let mut inner = lock(&self.0);
        if inner.stopping.is_some() {
            held.order(Orders::Stop);
        }
        inner.runs.push(Arc::clone(held));
    }

    pub(crate) fn remove(&self, held: &Arc<Held>) {
        lock(&self.0).runs.retain(|other| !Arc::ptr_eq(other, held));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Held>> {
        lock(&self.0).runs.clone()
    }

    /// Tells all runs to stop, and those to come.
    pub(crate) fn stop(&self, why: Stopping) {
        let mut inner = lock(&self.0);
        inner.stopping = Some(why);
        for held in &inner.runs {
            held.order(Orders::Stop);
        }
    }

    /// Whether they are, and why.
    pub(crate) fn stopping(&self) -> Option<Stopping> {
        lock(&self.0).stopping
    }
}
