//! Queues of the mrpf platform on Amazon SQS: standard queues, at least once.
//!
//! ```text
//!   any tokio program ---> SqsQueue: async, one queue at one URL; its dead letters hang from it
//!                             ^        batches of ten and of the queue's size, polls, leases
//!                             |
//!   manager, worker -----> Sqs: the Queue of mrpf_ports, synchronous; each call a task of its own on the SDK's thread
//! ```
//!
//! # What holds
//!
//! - The size of a message and of a batch is what the queue says when it is opened, not what a page says.
//! - A poll that is begun is read to its end. SQS gives messages into a connection that its client has closed, and they stay
//!   hidden for a whole visibility timeout then ([aws-sdk-java-v2#1395], [aws-sdk-js#2350]); so a poll is never cut off, and what
//!   one brings that nobody waits for any more is shown to others at once. A receiver that may be stopped polls a second at
//!   a time, so that this is seldom needed.
//! - A lease that is lost is [`QueueError::LeaseLost`], in whichever of its four ways SQS says so.
//! - Of a batch that is taken in part the rest is sent again, a few times; what is left then is an error.
//! - Dead letters are found by the queue's RedrivePolicy.
//!
//! [aws-sdk-java-v2#1395]: https://github.com/aws/aws-sdk-java-v2/issues/1395
//! [aws-sdk-js#2350]: https://github.com/aws/aws-sdk-js/issues/2350
//! [`QueueError::LeaseLost`]: mrpf_ports::QueueError::LeaseLost

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod home;
mod port;
mod queue;
mod receive;
mod redrive;
mod refusal;
mod send;

pub use self::{
    port::Sqs,
    queue::{SqsQueue, client},
};
