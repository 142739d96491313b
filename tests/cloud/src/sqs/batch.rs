//! The batches: as a whole right or wrong, and then each entry by itself.

use serde_json::{Value, json};

use super::{
    Sqs,
    error::old_misuse,
    members::Members,
    operations::{entries, message, visibility},
};
use crate::{digest::md5_hex, failure::Failure};

/// Most octets of all messages of a batch.
const MOST_OCTETS: usize = 1_048_576;

impl Sqs {
    pub(super) fn send_message_batch(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let entries = entries(&mut members)?;
        members.finish()?;
        let octets: usize = params["Entries"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|entry| entry["MessageBody"].as_str().map(str::len))
            .sum();
        if octets > MOST_OCTETS {
            let why = format!(
                "Batch requests cannot be longer than {MOST_OCTETS} bytes. You have sent {octets} bytes."
            );
            return Err(old_misuse("BatchRequestTooLong", why));
        }
        let mut state = self.lock();
        let queue = state.queue(&url)?;
        each(entries, |id, mut entry| {
            let (body, delay) = message(&mut entry, queue)?;
            entry.finish()?;
            let message = uuid::Uuid::new_v4().to_string();
            let sum = md5_hex(body.as_bytes());
            queue.put(message.clone(), body, delay, self.clock.now());
            Ok(json!({ "Id": id, "MessageId": message, "MD5OfMessageBody": sum }))
        })
    }

    pub(super) fn change_visibility_batch(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let entries = entries(&mut members)?;
        members.finish()?;
        let mut state = self.lock();
        let queue = state.queue(&url)?;
        each(entries, |id, mut entry| {
            let (handle, hidden) = visibility(&mut entry)?;
            entry.finish()?;
            queue.change(&handle, hidden, self.clock.now())?;
            Ok(json!({ "Id": id }))
        })
    }

    pub(super) fn delete_message_batch(&self, params: &Value) -> Result<Value, Failure> {
        let mut members = Members::of(params)?;
        let url = members.required_text("QueueUrl")?;
        let entries = entries(&mut members)?;
        members.finish()?;
        let mut state = self.lock();
        let queue = state.queue(&url)?;
        each(entries, |id, mut entry| {
            let handle = entry.required_text("ReceiptHandle")?;
            entry.finish()?;
            queue.delete(&handle)?;
            Ok(json!({ "Id": id }))
        })
    }
}

/// Does a batch without its first entries, and says that the service has failed at these.
pub(crate) fn without_first(
    refused: usize,
    params: &Value,
    call: impl FnOnce(&Value) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let mut rest = params.clone();
    let Some(entries) = rest.get_mut("Entries").and_then(Value::as_array_mut) else {
        return call(params);
    };
    let refusal = |entry: Value| {
        let why = "as the test asked";
        json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError", "Message": why })
    };
    let refused: Vec<Value> = entries.drain(..refused.min(entries.len())).map(refusal).collect();
    let is_empty = entries.is_empty();
    let mut output = if is_empty { json!({ "Successful": [] }) } else { call(&rest)? };
    match output.get_mut("Failed").and_then(Value::as_array_mut) {
        Some(failed) => failed.extend(refused),
        None => output["Failed"] = Value::Array(refused),
    }
    Ok(output)
}

/// Does what each entry asks. Members that are missing or unknown are the whole call's failure.
fn each(
    entries: Vec<(String, Members)>,
    mut work: impl FnMut(&str, Members) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        match work(&id, entry) {
            Ok(result) => successful.push(result),
            Err(failure) if is_of_the_call(&failure) => return Err(failure),
            Err(failure) => failed.push(json!({
                "Id": id,
                "SenderFault": failure.status < 500,
                "Code": failure.code,
                "Message": failure.message,
            })),
        }
    }
    let mut output = json!({ "Successful": successful });
    if !failed.is_empty() {
        output["Failed"] = Value::Array(failed);
    }
    Ok(output)
}

fn is_of_the_call(failure: &Failure) -> bool {
    ["MissingParameter", "SerializationException", "UnknownParameter"]
        .contains(&failure.code.as_str())
}
