//! Events of messages.

use serde_json::{Value, json};

use super::api::MOST_PAYLOAD;
use crate::REGION;

/// A message that was received, as SQS gave it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) handle: String,
    record: Value,
}

impl Message {
    /// `None` where something is missing that SQS always gives.
    pub(super) fn read(message: &Value, source_arn: &str) -> Option<Self> {
        let text = |name: &str| message[name].as_str().map(str::to_owned);
        let (id, handle) = (text("MessageId")?, text("ReceiptHandle")?);
        let record = json!({
            "messageId": id,
            "receiptHandle": handle,
            "body": text("Body")?,
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": text("MD5OfBody")?,
            "eventSource": "aws:sqs",
            "eventSourceARN": source_arn,
            "awsRegion": REGION,
        });
        Some(Self { id, handle, record })
    }
}

/// Batches whose events are small enough to be invoked with.
pub(super) fn batches(messages: Vec<Message>) -> Vec<Vec<Message>> {
    // `{"Records":[]}` and a comma each.
    const FRAME: usize = 14;
    let mut batches: Vec<Vec<Message>> = Vec::new();
    let mut octets = usize::MAX;
    for message in messages {
        let more = message.record.to_string().len() + 1;
        match batches.last_mut() {
            Some(batch) if octets + more <= MOST_PAYLOAD => {
                batch.push(message);
                octets += more;
            }
            _ => {
                batches.push(vec![message]);
                octets = FRAME + more;
            }
        }
    }
    batches
}

/// The event of a batch.
pub(super) fn event(batch: &[Message]) -> Value {
    json!({ "Records": batch.iter().map(|message| &message.record).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_never_larger_than_lambda_takes() {
        // Escaped, each quotation mark is two octets.
        let body = "\"".repeat(1_000_000);
        let message =
            json!({ "MessageId": "m", "ReceiptHandle": "h", "Body": body, "MD5OfBody": "s" });
        let message = Message::read(&message, "arn").unwrap();
        let batches = batches(vec![message; 7]);
        let counts: Vec<_> = batches.iter().map(Vec::len).collect();
        assert_eq!(counts, [3, 3, 1]);
        for batch in &batches {
            assert!(event(batch).to_string().len() <= MOST_PAYLOAD);
        }
    }

    #[test]
    fn what_sqs_never_leaves_out_must_be_there() {
        assert_eq!(Message::read(&json!({ "MessageId": "m", "Body": "b" }), "arn"), None);
    }
}
