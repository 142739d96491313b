//! Queues: at least once, in no order.

use std::{fmt, time::Duration};

use mrpf_tasks::WorkerClass;

use crate::clock::Wake;

/// The queues of the platform.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum QueueName {
    /// Tasks for external workers.
    External,
    /// Tasks for internal workers.
    Internal,
    /// Tasks for bare-metal workers.
    BareMetal,
    /// What workers tell the manager.
    TaskManager,
}

impl QueueName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::External, Self::Internal, Self::BareMetal, Self::TaskManager];

    /// The word that tables and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::External => "external",
            Self::Internal => "internal",
            Self::BareMetal => "bare_metal",
            Self::TaskManager => "task_manager",
        }
    }
}

impl From<WorkerClass> for QueueName {
    fn from(class: WorkerClass) -> Self {
        match class {
            WorkerClass::External => Self::External,
            WorkerClass::Internal => Self::Internal,
            WorkerClass::BareMetal => Self::BareMetal,
        }
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One queue.
///
/// A message that was received is hidden for its visibility timeout. Unless it is [deleted](Self::delete) by then it is
/// delivered again, and after so many deliveries it goes to the dead letters. Any message may be delivered more than once
/// all the same.
pub trait Queue: fmt::Debug + Send + Sync {
    /// Puts messages in, in batches as the queue takes them.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; some may be in the queue then. A body larger than the queue takes is
    /// [`QueueError::TooLarge`], and none is sent.
    fn send(&self, bodies: &[String]) -> Result<(), QueueError>;

    /// Takes up to `max` messages, hidden from others for `visibility`; waits up to `wait` for the first.
    ///
    /// # Errors
    ///
    /// [`QueueError`].
    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        self.receive_unless(&Wake::default(), max, wait, visibility)
    }

    /// As [`Self::receive`], and gives up waiting soon after `stop` is set: a worker that is to stop must not take what it has
    /// just given back.
    ///
    /// # Errors
    ///
    /// [`QueueError`].
    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError>;

    /// Hides a received message for `visibility` from now; zero shows it to others at once.
    ///
    /// # Errors
    ///
    /// [`QueueError::LeaseLost`] when it is visible again already, was received by another or is gone.
    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError>;

    /// Removes received messages. Of handles that have gone stale the message may stay; that is no error.
    ///
    /// # Errors
    ///
    /// [`QueueError`].
    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError>;

    /// About how many messages there are: a hint, never a reason to believe that there is none.
    ///
    /// # Errors
    ///
    /// [`QueueError`].
    fn depth(&self) -> Result<Depth, QueueError>;

    /// The dead letters of this queue, a queue like any other; `None` for one that is such itself.
    fn dead_letters(&self) -> Option<&dyn Queue>;
}

/// A received message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delivery {
    /// This delivery.
    pub handle: Handle,
    /// What was sent.
    pub body: String,
    /// How often it was delivered, this time included.
    pub receive_count: u32,
}

/// One delivery of one message.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Handle(pub String);

/// About how many messages a queue has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Depth {
    /// Waiting.
    pub visible: u64,
    /// Received and not deleted.
    pub in_flight: u64,
}

/// Why a queue did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueueError {
    /// Somebody else has the message, or nobody.
    #[error("{queue} queue: the lease on a message is lost")]
    LeaseLost {
        /// Which queue.
        queue: String,
    },
    /// More than a message may have.
    #[error("{queue} queue: a message of {octets} octets is larger than the {limit} it takes")]
    TooLarge {
        /// Which queue.
        queue: String,
        /// How long it is.
        octets: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It could not be reached, or refused.
    #[error("{queue} queue: {why}")]
    Unavailable {
        /// Which queue.
        queue: String,
        /// Why, and what mends it.
        why: String,
    },
}
