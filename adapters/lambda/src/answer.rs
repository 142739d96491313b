//! One invocation: messages in, failures out.

use std::io;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use mrpf_ports::{Delivery, Handle, clock::Wake};
use mrpf_records::Timestamp;
use mrpf_worker::{Batch, Verdict};

/// Where SQS says how often it delivered a message.
const RECEIVE_COUNT: &str = "ApproximateReceiveCount";

/// Deals with the messages of one invocation by `deadline`, or until `stop`. `queue` is the last part of the address of the
/// worker's own queue, which the messages must come from: heartbeats would not reach them in any other.
///
/// # Errors
///
/// [`AnswerError`]; nothing was done then, and all messages come again.
pub fn answer(
    batch: &Batch,
    queue: &str,
    event: SqsEvent,
    deadline: Timestamp,
    stop: &Wake,
) -> Result<SqsBatchResponse, AnswerError> {
    let (mut ids, mut deliveries) = (Vec::new(), Vec::new());
    for message in event.records {
        let (id, delivery) = read(message, queue)?;
        ids.push(id);
        deliveries.push(delivery);
    }
    let verdicts = batch.run(deliveries, deadline, stop).map_err(AnswerError::Thread)?;
    let mut response = SqsBatchResponse::default();
    for (id, (_, verdict)) in ids.into_iter().zip(verdicts) {
        if verdict == Verdict::Again {
            response.add_failure(id);
        }
    }
    Ok(response)
}

fn read(message: SqsMessage, queue: &str) -> Result<(String, Delivery), AnswerError> {
    let of_sqs = |part: Option<String>, name| {
        part.filter(|part| !part.is_empty()).ok_or(AnswerError::NotSqs(name))
    };
    let arn = of_sqs(message.event_source_arn, "eventSourceARN")?;
    if arn.rsplit(':').next() != Some(queue) {
        return Err(AnswerError::OtherQueue { arn, queue: queue.to_owned() });
    }
    let id = of_sqs(message.message_id, "messageId")?;
    let handle = Handle(of_sqs(message.receipt_handle, "receiptHandle")?);
    let receives = message.attributes.get(RECEIVE_COUNT).and_then(|count| count.parse().ok());
    // Whatever the body is, it is a matter of this message alone.
    let body = message.body.unwrap_or_default();
    Ok((id, Delivery { handle, body, receive_count: receives.unwrap_or(1) }))
}

/// Why an invocation came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The event is none of an SQS mapping.
    #[error(
        "a record without {0}: this function is to be invoked by the event source mapping of an SQS queue alone"
    )]
    NotSqs(&'static str),
    /// The mapping is that of another queue.
    #[error(
        "messages of {arn}, while this function's own queue is {queue}: correct the function's queue URL, or the mapping"
    )]
    OtherQueue {
        /// Whose mapping.
        arn: String,
        /// The queue that the function knows.
        queue: String,
    },
    /// Nothing could be begun.
    #[error(
        "the system gives no thread: {0}; give the function more memory, or fewer messages at a time"
    )]
    Thread(#[source] io::Error),
}
