//! A worker as a function on AWS Lambda: an event source mapping receives messages, the function says which may be deleted.
//!
//! ```text
//!                                                    init: settings, queues, store
//!                                                      v
//!  SQS --> event source mapping --> Runtime API --> serve --> answer --> mrpf_worker::Batch
//!   ^          deletes what is                        |          |
//!   |          no failure       <---- failures -------'----------'
//!   '------- heartbeats, messages given back, what the manager is told
//! ```
//!
//! # What holds
//!
//! - A message is a failure unless all that it asks for was done and told. Failures are given back by us, so that they are visible
//!   within seconds and not when the queue's visibility timeout is over.
//! - No run goes on when the function's time is over: see [`Batch`].
//! - One invocation at a time, and nothing of it is left when it has answered: Lambda may stop the process at any moment after.
//!
//! # What the function and its queue need
//!
//! | setting | value | why |
//! |---|---|---|
//! | `FunctionResponseTypes` | `ReportBatchItemFailures` | without it the answer is ignored, and failures are deleted |
//! | function timeout | 1 minute at least, 15 at most (the limit of Lambda) | it bounds a task; one that needs longer fails in the end |
//! | queue's visibility timeout | six times the function timeout or more | Lambda asks for it; heartbeats of ours shorten it to a lease |
//! | queue's `maxReceiveCount` | 5 or more, and a queue of dead letters | deliveries that were given back count too |
//! | batch size | the worker's slots or less | more wait hidden for those before them |
//! | maximum concurrency | what the database bears | each instance of an internal worker holds its own connections |
//!
//! Not here: where queues and store are (the programs), what the messages ask for (`external`, `internal`).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod answer;
mod init;
mod serve;
#[cfg(test)]
mod tests;

pub use self::{
    answer::{AnswerError, answer},
    init::run,
    serve::{Function, LambdaError, serve, worker_name},
};

#[cfg(doc)]
use mrpf_worker::Batch;
