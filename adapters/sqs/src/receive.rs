//! Polls, and what becomes of messages that nobody waits for any more.
//!
//! ```text
//!   receive ----spawns----> poll ----> Taken ----kept----> the receiver's
//!      |                                 |
//!      '--dropped, or stopped------------'--dropped------> visible to others at once
//! ```

use std::time::Duration;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message, MessageSystemAttributeName,
};
use mrpf_ports::{Delivery, Handle, QueueError};
use tokio::sync::oneshot;

use crate::{
    batch::MOST,
    queue::{Inner, SqsQueue, hidden, whole_seconds},
    refusal::is_lost,
};

/// Seconds of the longest poll.
const LONGEST_POLL: u64 = 20;

impl SqsQueue {
    /// Takes up to `max` messages, ten at most, hidden from others for `visibility`; waits up to `wait` for the first, in whole
    /// seconds. With no wait it may miss messages that are there: only a poll that waits asks all of the service's machines.
    ///
    /// May be dropped at any time: what it would have brought is shown to others at once.
    ///
    /// # Errors
    ///
    /// [`QueueError::Unavailable`].
    pub async fn receive(
        &self,
        max: usize,
        wait: Duration,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, QueueError> {
        let mut left = whole_seconds(wait);
        loop {
            let seconds = left.min(LONGEST_POLL);
            left -= seconds;
            let (tell, told) = oneshot::channel();
            let queue = self.clone();
            self.inner.home.spawn(async move {
                drop(tell.send(queue.poll(max, seconds, visibility).await));
            });
            let ended = || self.inner.name.unavailable("the runtime has ended");
            let deliveries = told.await.map_err(|_| ended())??.keep();
            if !deliveries.is_empty() || left == 0 {
                return Ok(deliveries);
            }
        }
    }

    /// One poll. Not to be dropped while it is under way.
    pub(crate) async fn poll(
        self,
        max: usize,
        seconds: u64,
        visibility: Duration,
    ) -> Result<Taken, QueueError> {
        let Inner { polls, name, .. } = &*self.inner;
        let most = i32::try_from(max.min(MOST)).unwrap_or_default();
        if most == 0 {
            return Ok(Taken { deliveries: Vec::new(), queue: self });
        }
        let answer = polls
            .receive_message()
            .queue_url(&name.url)
            .max_number_of_messages(most)
            .wait_time_seconds(i32::try_from(seconds).unwrap_or_default())
            .visibility_timeout(hidden(visibility))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .send()
            .await
            .map_err(|error| name.failed("SQS ReceiveMessage", &error))?;
        let deliveries = answer.messages.unwrap_or_default().into_iter().filter_map(delivery);
        Ok(Taken { deliveries: deliveries.collect(), queue: self })
    }

    /// Shows messages to others at once.
    pub(crate) async fn give_back(&self, deliveries: &[Delivery]) {
        let Inner { client, name, .. } = &*self.inner;
        for batch in deliveries.chunks(MOST) {
            let entry = |(at, delivery): (usize, &Delivery)| {
                ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(at.to_string())
                    .receipt_handle(&delivery.handle.0)
                    .visibility_timeout(0)
                    .build()
                    .ok()
            };
            let entries = batch.iter().enumerate().filter_map(entry).collect();
            let answer = client
                .change_message_visibility_batch()
                .queue_url(&name.url)
                .set_entries(Some(entries))
                .send()
                .await
                .map_err(|error| name.failed("SQS ChangeMessageVisibilityBatch", &error));
            let why = match answer {
                Ok(answer) => {
                    let mut failed = answer.failed().iter();
                    // A lost lease has gone back by itself.
                    failed
                        .find(|entry| !is_lost(Some(entry.code()), entry.message()))
                        .map(|entry| entry.code().to_owned())
                }
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                tracing::warn!(queue = %name.queue, %why, "messages are not given back, and so stay hidden for a while");
            }
        }
    }
}

fn delivery(message: Message) -> Option<Delivery> {
    let counted = message
        .attributes
        .as_ref()
        .and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    let receive_count = counted.and_then(|count| count.parse().ok()).unwrap_or(1);
    let handle = Handle(message.receipt_handle?);
    Some(Delivery { handle, body: message.body.unwrap_or_default(), receive_count })
}

/// Messages that were received and have no receiver yet. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    deliveries: Vec<Delivery>,
    queue: SqsQueue,
}

impl Taken {
    /// The receiver has them.
    pub(crate) fn keep(mut self) -> Vec<Delivery> {
        std::mem::take(&mut self.deliveries)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let deliveries = std::mem::take(&mut self.deliveries);
        if !deliveries.is_empty() {
            let queue = self.queue.clone();
            self.queue.inner.home.spawn(async move { queue.give_back(&deliveries).await });
        }
    }
}
