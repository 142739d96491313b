//! The own queue of a batch: whoever gave the batch receives and deletes.
//!
//! ```text
//!  extend -----------------> the queue
//!  delete --> a list         the queue: hidden until the giver has deleted it for certain
//! ```

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_ports::{
    Clock, Delivery, Handle, Queue, QueueError,
    clock::{Wake, between},
    queue::Depth,
};
use mrpf_records::Timestamp;

use crate::held::lock;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Mapped {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    /// By then the giver has deleted what is done, or never will.
    until: Timestamp,
    done: Mutex<HashSet<Handle>>,
}

impl Mapped {
    pub(crate) fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, until: Timestamp) -> Self {
        Self { queue, clock, until, done: Mutex::default() }
    }

    /// Whether a message may be deleted.
    pub(crate) fn is_done(&self, handle: &Handle) -> bool {
        lock(&self.done).contains(handle)
    }
}

impl Queue for Mapped {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        self.queue.send(bodies)
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.queue.receive_unless(stop, max, wait, visibility)
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        self.queue.extend(handle, visibility)
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        for handle in handles {
            lock(&self.done).insert(handle.clone());
            // Nobody keeps it from now on, and the rest of the batch may take longer than the last heartbeat lasts.
            if let Err(error) = self.queue.extend(handle, between(self.clock.now(), self.until)) {
                tracing::debug!(%error, "a message that was dealt with may come again before it is deleted");
            }
        }
        Ok(())
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        self.queue.depth()
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        self.queue.dead_letters()
    }
}
