//! Answers of the JSON protocol.
//!
//! An error has two codes: the body's `__type`, and in the header `x-amzn-query-error` that of the protocol before this one.
//! The SDK takes the header's.

use serde_json::{Value, json};

use crate::{failure::Failure, http::Response};

const JSON: &str = "application/x-amz-json-1.0";
/// Before most codes of the old protocol.
const OLD: &str = "AWS.SimpleQueueService.";
/// Codes of the old protocol, and what the new one calls them, where that is not the same.
const RENAMED: [(&str, &str); 12] = [
    ("AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "BatchEntryIdsNotDistinct"),
    ("AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong"),
    ("AWS.SimpleQueueService.EmptyBatchRequest", "EmptyBatchRequest"),
    ("AWS.SimpleQueueService.InvalidBatchEntryId", "InvalidBatchEntryId"),
    ("AWS.SimpleQueueService.MessageNotInflight", "MessageNotInflight"),
    ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    ("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently"),
    ("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequest"),
    ("AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation"),
    ("InvalidParameterValue", "InvalidParameterValueException"),
    ("MissingParameter", "MissingRequiredParameterException"),
    ("QueueAlreadyExists", "QueueNameExists"),
];

/// An error that has another code in the old protocol, by what both call it at the end.
pub(super) fn old(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(&format!("{OLD}{code}"), message)
}

/// As [`old`], of a client that is wrong.
pub(super) fn old_misuse(code: &str, message: impl Into<String>) -> Failure {
    Failure::misuse(&format!("{OLD}{code}"), message)
}

pub(crate) fn success(request_id: &str, output: &Value) -> Response {
    let body = if output.is_null() { String::new() } else { output.to_string() };
    Response::new(200, JSON, body).with("x-amzn-RequestId", request_id)
}

pub(crate) fn failure(request_id: &str, failure: &Failure) -> Response {
    let Failure { status, code, message, .. } = failure;
    // A fault script may name either.
    let renamed = RENAMED.iter().find(|(old, new)| code == old || code == new);
    let (old, new) = renamed.copied().unwrap_or((code, code));
    let side = if *status < 500 { "Sender" } else { "Receiver" };
    let body = json!({ "__type": format!("com.amazonaws.sqs#{new}"), "message": message });
    Response::new(*status, JSON, body.to_string())
        .with("x-amzn-RequestId", request_id)
        .with("x-amzn-query-error", format!("{old};{side}"))
}
