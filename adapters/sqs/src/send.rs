//! Sending and deleting, in batches of which the service may take a part.
//!
//! ```text
//!   batch ---> taken ------------------------------> done
//!     ^   |--> refused, ours is the fault ---------> an error
//!     |   '--> refused, the service's trouble --.
//!     '---- again, after a pause, a few times --'--> an error
//! ```

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};
use mrpf_ports::{Handle, QueueError};

use crate::{
    batch::{MOST, cut},
    queue::{Inner, SqsQueue},
    refusal::is_lost,
};

/// Before each time that what is left of a batch is sent again.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

impl SqsQueue {
    /// Puts messages in.
    ///
    /// # Errors
    ///
    /// [`QueueError`]; some may be in the queue then. A body larger than the queue takes is [`QueueError::TooLarge`], and none is
    /// sent.
    pub async fn send(&self, bodies: &[String]) -> Result<(), QueueError> {
        let Inner { name, limit, .. } = &*self.inner;
        if let Some(body) = bodies.iter().find(|body| body.len() > *limit) {
            let (queue, octets) = (name.queue.clone(), body.len());
            return Err(QueueError::TooLarge { queue, octets, limit: *limit });
        }
        let sizes: Vec<usize> = bodies.iter().map(String::len).collect();
        for batch in cut(&sizes, *limit) {
            self.send_batch(&bodies[batch]).await?;
        }
        Ok(())
    }

    /// Removes received messages. Of handles that have gone stale the message may stay; that is no error.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`]; some may be removed then.
    pub async fn delete(&self, handles: &[Handle]) -> Result<(), QueueError> {
        // For an empty one the service would refuse the whole batch.
        let handles: Vec<&Handle> = handles.iter().filter(|handle| !handle.0.is_empty()).collect();
        for batch in handles.chunks(MOST) {
            self.delete_batch(batch).await?;
        }
        Ok(())
    }

    async fn send_batch(&self, bodies: &[String]) -> Result<(), QueueError> {
        let Inner { client, name, .. } = &*self.inner;
        let mut left = Left::new("SQS SendMessageBatch", bodies.len());
        loop {
            let entry = |at: &usize| {
                SendMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .message_body(&bodies[*at])
                    .build()
                    .map_err(|error| name.unavailable(error.to_string()))
            };
            let entries = left.waiting.iter().map(entry).collect::<Result<_, _>>()?;
            let answer = client
                .send_message_batch()
                .queue_url(&name.url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| name.failed(left.call, &error))?;
            let taken = answer.successful().iter().map(|entry| entry.id());
            if left.is_over(&self.inner, taken, answer.failed()).await? {
                return Ok(());
            }
        }
    }

    async fn delete_batch(&self, handles: &[&Handle]) -> Result<(), QueueError> {
        let Inner { client, name, .. } = &*self.inner;
        let mut left = Left::new("SQS DeleteMessageBatch", handles.len());
        loop {
            let entry = |at: &usize| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(&handles[*at].0)
                    .build()
                    .map_err(|error| name.unavailable(error.to_string()))
            };
            let entries = left.waiting.iter().map(entry).collect::<Result<_, _>>()?;
            let answer = client
                .delete_message_batch()
                .queue_url(&name.url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| name.failed(left.call, &error))?;
            let gone = answer.successful().iter().map(|entry| entry.id());
            let stale =
                answer.failed().iter().filter(|entry| is_stale(entry)).map(|entry| entry.id());
            let failed: Vec<_> =
                answer.failed().iter().filter(|entry| !is_stale(entry)).cloned().collect();
            if left.is_over(&self.inner, gone.chain(stale), &failed).await? {
                return Ok(());
            }
        }
    }
}

fn is_stale(entry: &BatchResultErrorEntry) -> bool {
    is_lost(Some(entry.code()), entry.message())
}

/// What is left of a batch.
struct Left {
    call: &'static str,
    /// What the service has not said to have taken: its answer may leave things out.
    waiting: BTreeSet<usize>,
    /// Refused, and will be again.
    hopeless: usize,
    of: usize,
    round: usize,
    /// Why the last was refused.
    why: String,
}

impl Left {
    fn new(call: &'static str, of: usize) -> Self {
        let why = "the answer does not name them".to_owned();
        Self { call, waiting: (0..of).collect(), hopeless: 0, of, round: 0, why }
    }

    /// Takes an answer in; waits, when there is something to be sent again.
    async fn is_over<'a>(
        &mut self,
        queue: &Inner,
        taken: impl Iterator<Item = &'a str>,
        failed: &[BatchResultErrorEntry],
    ) -> Result<bool, QueueError> {
        let entry = |id: &str| id.parse::<usize>().unwrap_or(usize::MAX);
        for id in taken {
            self.waiting.remove(&entry(id));
        }
        for refused in failed {
            self.why = match refused.message() {
                Some(message) => format!("{}: {message}", refused.code()),
                None => refused.code().to_owned(),
            };
            if refused.sender_fault() && self.waiting.remove(&entry(refused.id())) {
                self.hopeless += 1;
            }
        }
        let Self { call, waiting, hopeless, of, round, why } = self;
        let (queue, left) = (&queue.name, waiting.len());
        let Some(pause) = PAUSES.get(*round).filter(|_| left > 0) else {
            return match left + *hopeless {
                0 => Ok(true),
                open => {
                    Err(queue.unavailable(format!("{call}: {open} of {of} were refused: {why}")))
                }
            };
        };
        *round += 1;
        tracing::warn!(queue = %queue.queue, %call, left, %of, %why, "what is left of a batch is sent again");
        tokio::time::sleep(*pause).await;
        Ok(false)
    }
}
