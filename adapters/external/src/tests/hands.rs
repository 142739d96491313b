//! A worker's hands that note everything and wait for nothing.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use mrpf_ports::store::{Checkpoint, WorkerStore};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    RunId, TaskError, TaskId, Ticket,
    message::{Assignment, NewTask, Run},
};
use serde_json::Value;

use crate::moment;

pub(super) struct Hands {
    run: Run,
    items: Mutex<Vec<Value>>,
    sleeps: Mutex<Vec<Duration>>,
    notes: Mutex<Vec<String>>,
    is_stopping: AtomicBool,
    stop_at_sleep: bool,
}

impl Hands {
    pub(super) fn new() -> Self {
        let assignment =
            Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() };
        Self {
            run: Run { assignment, run_id: RunId::fresh() },
            items: Mutex::default(),
            sleeps: Mutex::default(),
            notes: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            stop_at_sleep: false,
        }
    }

    /// The task is told to stop when it sleeps for the first time.
    pub(super) fn stopped_at_sleep() -> Self {
        Self { stop_at_sleep: true, ..Self::new() }
    }

    /// The task is told to stop before it begins.
    pub(super) fn stopped() -> Self {
        Self { is_stopping: AtomicBool::new(true), ..Self::new() }
    }

    pub(super) fn items(&self) -> Vec<Value> {
        self.items.lock().unwrap().clone()
    }

    pub(super) fn sleeps(&self) -> Vec<Duration> {
        self.sleeps.lock().unwrap().clone()
    }

    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

impl mrpf_ports::Hands for Hands {
    fn emit(&self, item: Value) -> Result<(), TaskError> {
        self.items.lock().unwrap().push(item);
        Ok(())
    }

    fn create(&self, child: NewTask) -> Result<(), TaskError> {
        panic!("no task here makes another: {child:?}")
    }

    fn save(&self, position: Value) -> Result<(), TaskError> {
        panic!("no task here has checkpoints: {position}")
    }

    fn run(&self) -> &Run {
        &self.run
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        None
    }

    fn progress(&self, done: u64, total: Option<u64>, note: &str) {
        assert!(total.is_none_or(|total| done <= total), "{done} of {total:?}");
        self.notes.lock().unwrap().push(note.to_owned());
    }

    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Relaxed)
    }

    fn sleep(&self, duration: Duration) {
        self.sleeps.lock().unwrap().push(duration);
        self.is_stopping.fetch_or(self.stop_at_sleep, Relaxed);
    }

    fn now(&self) -> Timestamp {
        moment::read("2026-11-27T12:00:00Z").unwrap()
    }

    fn store(&self) -> Option<&dyn WorkerStore> {
        None
    }

    fn class(&self) -> &'static str {
        "external"
    }
}
