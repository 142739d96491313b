//! The synchronous queue of the platform.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use mrpf_aws::{Aws, AwsError};
use mrpf_ports::{Delivery, Handle, Queue, QueueError, QueueName, clock::Wake, queue::Depth};

use crate::{
    home::Home,
    queue::{SqsQueue, client, whole_seconds},
};

/// Seconds of a poll whose receiver may be told to stop. It is then waited for: see the crate's first page.
const SLICE: u64 = 1;
/// How soon a receiver looks whether it is to stop, when a poll takes longer than it was to.
const LOOK: Duration = Duration::from_millis(500);
/// How late a poll may be before a receiver that is to stop goes without it.
const PATIENCE: Duration = Duration::from_secs(1);

/// A queue on SQS, for plain threads.
#[derive(Clone, Debug)]
pub struct Sqs {
    aws: Aws,
    queue: SqsQueue,
    dead: Option<Arc<Self>>,
}

impl Sqs {
    /// Asks the queue what it takes, and where its dead letters go.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`]: there is none at this URL, or it may not be asked; says what to mend.
    pub fn open(aws: &Aws, name: QueueName, url: &str) -> Result<Self, QueueError> {
        let (home, client) = (Home::Aws(aws.clone()), client(aws));
        let opened = aws.call(SqsQueue::open_at(home, client, name, url.to_owned()));
        let queue = opened.map_err(|error| QueueError::Unavailable {
            queue: name.to_string(),
            why: error.to_string(),
        })??;
        Ok(Self::of(aws, queue))
    }

    fn of(aws: &Aws, queue: SqsQueue) -> Self {
        let dead = queue.dead_letters().map(|dead| Arc::new(Self::of(aws, dead.clone())));
        Self { aws: aws.clone(), queue, dead }
    }

    /// The same queue, for code on the SDK's thread.
    pub fn queue(&self) -> &SqsQueue {
        &self.queue
    }

    /// Deliveries of a message; instead of one more it becomes a dead letter. `None`: it never does.
    pub fn max_receives(&self) -> Option<u32> {
        self.queue.max_receives()
    }

    fn call<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, QueueError>> + Send + 'static,
    ) -> Result<T, QueueError> {
        self.aws.call(future).map_err(|error| self.failed(&error))?
    }

    fn failed(&self, error: &AwsError) -> QueueError {
        self.queue.inner.name.unavailable(error.to_string())
    }
}

impl Queue for Sqs {
    fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        let (queue, bodies) = (self.queue.clone(), bodies.to_vec());
        self.call(async move { queue.send(&bodies).await })
    }

    fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let queue = self.queue.clone();
        self.call(async move { queue.receive(max, wait, visibility).await })
    }

    fn receive_unless(
        &self,
        stop: &Wake,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut left = whole_seconds(wait);
        loop {
            if stop.is_set() {
                return Ok(Vec::new());
            }
            let seconds = left.min(SLICE);
            let late = Instant::now() + Duration::from_secs(seconds) + PATIENCE;
            let poll = self.aws.begin(self.queue.clone().poll(max, seconds, visibility));
            let taken = loop {
                match poll.end_within(LOOK).map_err(|error| self.failed(&error))? {
                    Some(taken) => break taken?,
                    // It goes on, and gives back what it brings.
                    None if stop.is_set() && Instant::now() > late => return Ok(Vec::new()),
                    None => {}
                }
            };
            left -= seconds;
            let deliveries = taken.keep();
            if stop.is_set() {
                let queue = self.queue.clone();
                let given_back = async move { queue.give_back(&deliveries).await };
                self.aws.call(given_back).map_err(|error| self.failed(&error))?;
                return Ok(Vec::new());
            }
            if !deliveries.is_empty() || left == 0 {
                return Ok(deliveries);
            }
        }
    }

    fn extend(&self, handle: &Handle, visibility: Duration) -> Result<(), QueueError> {
        let (queue, handle) = (self.queue.clone(), handle.clone());
        self.call(async move { queue.extend(&handle, visibility).await })
    }

    fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        let (queue, handles) = (self.queue.clone(), handles.to_vec());
        self.call(async move { queue.delete(&handles).await })
    }

    fn depth(&self) -> Result<Depth, QueueError> {
        let queue = self.queue.clone();
        self.call(async move { queue.depth().await })
    }

    fn dead_letters(&self) -> Option<&dyn Queue> {
        self.dead.as_deref().map(|dead| dead as &dyn Queue)
    }
}
