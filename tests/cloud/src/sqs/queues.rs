//! The queues as a test sees them, without a client.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{
    QueueFaults, Sqs,
    queue::{Depth, Place},
};

/// How a queue is made.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueueSettings {
    /// Attributes by AWS's names. Those not given are AWS's defaults: 30 s hidden, messages of 1 MiB.
    pub attributes: BTreeMap<String, String>,
    /// Receives of a message before it becomes a dead letter, in a queue that is made for that, named `NAME-dead`.
    pub max_receives: Option<u32>,
}

impl QueueSettings {
    /// Sets how long a received message is hidden.
    pub fn visibility(mut self, timeout: Duration) -> Self {
        self.attributes.insert("VisibilityTimeout".to_owned(), timeout.as_secs().to_string());
        self
    }

    /// Sets how long a message may be.
    pub fn max_octets(mut self, octets: usize) -> Self {
        self.attributes.insert("MaximumMessageSize".to_owned(), octets.to_string());
        self
    }

    /// Makes dead letters of messages that were received so often.
    pub fn max_receives(mut self, receives: u32) -> Self {
        self.max_receives = Some(receives);
        self
    }
}

/// A message in a queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageView {
    /// What the sender was told.
    pub id: String,
    /// What was sent.
    pub body: String,
    /// How often it was received, in all queues.
    pub receives: u32,
    /// Whether it can be received now.
    pub is_visible: bool,
}

/// The queues of a cloud.
#[derive(Clone, Debug)]
pub struct Queues(Sqs);

impl Queues {
    pub(crate) fn new(sqs: Sqs) -> Self {
        Self(sqs)
    }

    /// Makes a queue, and the one of its dead letters. Gives its URL.
    ///
    /// # Panics
    ///
    /// Where AWS would refuse it.
    pub fn create(&self, name: &str, settings: &QueueSettings) -> String {
        let make = |name: &str, attributes: &BTreeMap<String, String>| {
            self.0.create(name, attributes).unwrap_or_else(|failure| panic!("{}", failure.message))
        };
        let mut attributes = settings.attributes.clone();
        if let Some(receives) = settings.max_receives {
            let dead = make(&format!("{name}-dead"), &BTreeMap::new());
            let policy =
                json!({ "deadLetterTargetArn": self.arn(&dead), "maxReceiveCount": receives });
            attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
        }
        make(name, &attributes)
    }

    /// The URL that a queue of this name has.
    pub fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.0.endpoint, crate::ACCOUNT)
    }

    /// The ARN of a queue.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn arn(&self, url: &str) -> String {
        self.with(url, |queue| queue.arn.clone())
    }

    /// Sends a message, as any client may. Gives its id.
    ///
    /// # Panics
    ///
    /// Where SQS would refuse it.
    pub fn send(&self, url: &str, body: &str) -> String {
        let sent = self.0.send_message(&json!({ "QueueUrl": url, "MessageBody": body }));
        let sent = sent.unwrap_or_else(|failure| panic!("{}", failure.message));
        sent["MessageId"].as_str().map(str::to_owned).unwrap_or_default()
    }

    /// What is in a queue: visible, in flight and delayed.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn messages(&self, url: &str) -> Vec<MessageView> {
        let now = self.0.clock.now();
        self.with(url, |queue| {
            let view = |message: &super::queue::Message| MessageView {
                id: message.id.clone(),
                body: message.body.clone(),
                receives: message.receives_of_all,
                is_visible: message.place(now) == Place::Visible,
            };
            queue.messages().map(view).collect()
        })
    }

    /// How many are where.
    ///
    /// # Panics
    ///
    /// Where there is no such queue.
    pub fn depth(&self, url: &str) -> Depth {
        let now = self.0.clock.now();
        self.with(url, |queue| queue.depth(now))
    }

    /// Ends a queue with all that is in it.
    pub fn delete(&self, url: &str) {
        self.0.lock().queues.remove(url);
    }

    /// What all queues do to their clients from now on, those made later too.
    pub fn set_faults(&self, faults: QueueFaults) {
        let mut state = self.0.lock();
        state.faults = faults;
        state.queues.values_mut().for_each(|queue| queue.faults = faults);
    }

    /// How many messages of a queue may be in flight: 120,000 where nobody says.
    pub fn limit_in_flight(&self, messages: usize) {
        self.0.lock().limit = messages;
    }

    fn with<T>(&self, url: &str, look: impl FnOnce(&super::queue::Queue) -> T) -> T {
        let state = self.0.lock();
        let queue = state.queues.get(url);
        look(queue.unwrap_or_else(|| panic!("no queue {url}")))
    }
}
