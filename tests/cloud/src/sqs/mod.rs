//! SQS, its JSON protocol: standard queues.

mod attributes;
mod batch;
mod error;
mod faults;
mod members;
mod operations;
mod queue;
mod queues;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

pub(crate) use self::{
    batch::without_first,
    error::{failure, success},
};
use self::{error::old, queue::Queue};
pub use self::{
    faults::QueueFaults,
    queue::Depth,
    queues::{MessageView, QueueSettings, Queues},
};
use crate::{clock::Clock, failure::Failure};

/// The service. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Sqs {
    clock: Clock,
    endpoint: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// By URL.
    queues: BTreeMap<String, Queue>,
    /// What a new queue does to its clients.
    faults: QueueFaults,
    /// Messages in flight that a queue has at most.
    limit: usize,
}

impl Sqs {
    pub(crate) fn new(endpoint: String, clock: Clock) -> Self {
        let state =
            State { queues: BTreeMap::new(), faults: QueueFaults::default(), limit: 120_000 };
        Self { clock, endpoint, state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a client asks, who may hang up while it waits.
    pub(crate) fn call(
        &self,
        operation: &str,
        params: &Value,
        is_gone: &dyn Fn() -> bool,
    ) -> Result<Value, Failure> {
        match operation {
            "ChangeMessageVisibility" => self.change_visibility(params),
            "ChangeMessageVisibilityBatch" => self.change_visibility_batch(params),
            "CreateQueue" => self.create_queue(params),
            "DeleteMessage" => self.delete_message(params),
            "DeleteMessageBatch" => self.delete_message_batch(params),
            "GetQueueAttributes" => self.get_queue_attributes(params),
            "GetQueueUrl" => self.get_queue_url(params),
            "ReceiveMessage" => self.receive_message(params, is_gone),
            "SendMessage" => self.send_message(params),
            "SendMessageBatch" => self.send_message_batch(params),
            "SetQueueAttributes" => self.set_queue_attributes(params),
            other => {
                let why = format!("The operation {other} is not known, or not modelled here");
                Err(Failure::misuse("UnknownOperationException", why))
            }
        }
    }
}

impl State {
    fn queue(&mut self, url: &str) -> Result<&mut Queue, Failure> {
        let missing = || old("NonExistentQueue", "The specified queue does not exist.");
        self.queues.get_mut(url).ok_or_else(missing)
    }

    fn is_queue(&self, arn: &str) -> bool {
        self.queues.values().any(|queue| queue.arn == arn)
    }
}
