//! An event source mapping: polls a queue, invokes, deletes what is done.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

use super::{
    Shared,
    records::{Message, batches, event},
    verdict::done,
};
use crate::{ACCESS_KEY, REGION, http::post};

/// The most messages of an event, and of a receive.
const MOST_BATCH: usize = 10_000;
const MOST_RECEIVED: usize = 10;
/// After a call that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// From where a function gets its messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventSource {
    /// Where SQS is: this cloud, or another server that speaks JSON 1.0 over HTTP.
    pub endpoint: String,
    /// Which queue.
    pub queue_url: String,
    /// Messages of an event: ten, where nobody says.
    pub batch_size: usize,
    /// `FunctionResponseTypes` has `ReportBatchItemFailures`. Without it the response is not read.
    pub reports_failures: bool,
}

impl EventSource {
    /// Batches of ten whose failures are reported one by one.
    pub fn new(endpoint: &str, queue_url: &str) -> Self {
        let (endpoint, queue_url) = (endpoint.to_owned(), queue_url.to_owned());
        Self { endpoint, queue_url, batch_size: 10, reports_failures: true }
    }
}

/// Why there is no mapping.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Lambda refuses it too.
    #[error("a batch of {0} messages; it has 1 to 10,000")]
    BatchSize(usize),
    /// The queue could not be asked.
    #[error("queue {url}: {why}")]
    Queue {
        /// Which.
        url: String,
        /// What it said.
        why: String,
    },
    /// Lambda refuses it too: messages would be visible again while the function works on them.
    #[error(
        "the queue's visibility timeout, {visibility:?}, is less than the function's, {timeout:?}"
    )]
    Visibility {
        /// Of the queue.
        visibility: Duration,
        /// Of the function.
        timeout: Duration,
    },
}

struct Mapping {
    shared: Arc<Shared>,
    source: EventSource,
    arn: String,
}

pub(super) fn start(
    shared: Arc<Shared>,
    source: EventSource,
) -> Result<JoinHandle<()>, MappingError> {
    if !(1..=MOST_BATCH).contains(&source.batch_size) {
        return Err(MappingError::BatchSize(source.batch_size));
    }
    let failed = |why: String| MappingError::Queue { url: source.queue_url.clone(), why };
    let names = json!({ "AttributeNames": ["QueueArn", "VisibilityTimeout"] });
    let output = call(&source, "GetQueueAttributes", names).map_err(failed)?;
    let attribute = |name: &str| output["Attributes"][name].as_str().map(str::to_owned);
    let visibility = attribute("VisibilityTimeout").and_then(|secs| secs.parse().ok());
    let (Some(arn), Some(visibility)) = (attribute("QueueArn"), visibility) else {
        return Err(failed("no ARN, or no visibility timeout".to_owned()));
    };
    let visibility = Duration::from_secs(visibility);
    let timeout = shared.function.timeout;
    if timeout > visibility {
        return Err(MappingError::Visibility { visibility, timeout });
    }
    let mapping = Mapping { shared, source: source.clone(), arn };
    let thread = thread::Builder::new().name("event source mapping".to_owned());
    thread.spawn(move || mapping.run()).map_err(|error| failed(error.to_string()))
}

impl Mapping {
    fn run(&self) {
        while !self.shared.is_over() {
            match self.gather() {
                Ok(messages) => batches(messages).iter().for_each(|batch| self.process(batch)),
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }

    /// Receives up to a batch; waits for the first message alone.
    fn gather(&self) -> Result<Vec<Message>, String> {
        let mut messages = Vec::new();
        loop {
            let max = (self.source.batch_size - messages.len()).min(MOST_RECEIVED);
            // Short enough that the end of the mapping is seen soon.
            let wait = u8::from(messages.is_empty());
            let params = json!({
                "AttributeNames": ["All"],
                "MaxNumberOfMessages": max,
                "WaitTimeSeconds": wait,
            });
            let output = match call(&self.source, "ReceiveMessage", params) {
                // Those that were received are not to wait.
                Err(_) if !messages.is_empty() => return Ok(messages),
                output => output?,
            };
            let received = output["Messages"].as_array().into_iter().flatten();
            let before = messages.len();
            messages.extend(received.filter_map(|message| Message::read(message, &self.arn)));
            if messages.len() == before || messages.len() >= self.source.batch_size {
                return Ok(messages);
            }
        }
    }

    fn process(&self, batch: &[Message]) {
        let outcome = self.shared.invoke(event(batch));
        let ids: Vec<_> = batch.iter().map(|message| message.id.as_str()).collect();
        let done = done(&outcome, &ids, self.source.reports_failures);
        let done: Vec<_> = batch.iter().zip(done).filter(|(_, done)| *done).collect();
        for part in done.chunks(MOST_RECEIVED) {
            let entries: Vec<_> = part
                .iter()
                .enumerate()
                .map(|(number, (message, _))| {
                    json!({ "Id": number.to_string(), "ReceiptHandle": message.handle })
                })
                .collect();
            // One that is not deleted comes again, which it may at any time.
            let _ = call(&self.source, "DeleteMessageBatch", json!({ "Entries": entries }));
        }
    }
}

/// Calls SQS as any client does, but for a signature that says nothing.
pub(super) fn call(
    source: &EventSource,
    operation: &str,
    mut params: Value,
) -> Result<Value, String> {
    params["QueueUrl"] = Value::String(source.queue_url.clone());
    let target = format!("AmazonSQS.{operation}");
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"
    );
    let headers = [
        ("Authorization", &*signed),
        ("Content-Type", "application/x-amz-json-1.0"),
        ("X-Amz-Target", &*target),
    ];
    let answer = post(&source.endpoint, &headers, params.to_string().as_bytes());
    let (status, body) = answer.map_err(|error: io::Error| error.to_string())?;
    let text = String::from_utf8_lossy(&body);
    match status {
        200 if body.is_empty() => Ok(Value::Null),
        200 => serde_json::from_slice(&body).map_err(|error| format!("{error}: {text}")),
        _ => Err(format!("HTTP {status}: {text}")),
    }
}
