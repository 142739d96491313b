//! What a test says to `mrpf-test-platform`, as its one argument.

use std::path::PathBuf;

use mrpf_tasks::WorkerClass;
use serde::{Deserialize, Serialize};

/// A process.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Order {
    /// What it is.
    pub role: Role,
    /// The queues.
    pub queue: PathBuf,
    /// The store; external workers get none.
    pub store: Option<PathBuf>,
    /// Where each run of a task notes `PID TASK TOKEN` as it begins.
    pub journal: PathBuf,
    /// Numbers that all processes of a platform share.
    pub numbers: Numbers,
    /// Kinds of task that this worker does not know.
    pub without: Vec<String>,
}

/// What a process is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It manages.
    Manager,
    /// It does tasks of a class.
    Worker(WorkerClass),
}

/// How the processes of a platform work. Times are milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Numbers {
    /// The lease of messages and tasks; heartbeats come four times in it.
    pub lease: u64,
    /// How long after the end of a lease the manager gives a task up for lost.
    pub grace: u64,
    /// How long a worker that is to stop waits for its tasks.
    pub stop_grace: u64,
    /// Tasks that a worker runs at a time.
    pub slots: usize,
    /// Deliveries of a message, then it is a dead letter.
    pub max_receives: u32,
    /// Deliveries in a hundred that come twice.
    pub duplicates: u8,
    /// Deliveries in a hundred whose handles go stale at once.
    pub stale: u8,
    /// Of these.
    pub seed: u64,
}

impl Default for Numbers {
    /// Short leases, and queues that do what is best.
    fn default() -> Self {
        Self {
            lease: 2_000,
            grace: 1_000,
            stop_grace: 2_000,
            slots: 4,
            max_receives: 10,
            duplicates: 0,
            stale: 0,
            seed: 0,
        }
    }
}
