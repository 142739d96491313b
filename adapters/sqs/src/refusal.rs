//! What a queue says when it does not do what it was asked.

use std::error::Error;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use mrpf_aws::{CallError, Reason};
use mrpf_ports::{QueueError, QueueName};

/// What a queue is called: in the log, and where its URL comes from.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) queue: String,
    pub(crate) url: String,
    /// Whoever is to look there finds the URL.
    pub(crate) found_in: String,
    /// What the SDK asks in, whatever the URL says.
    pub(crate) region: String,
}

/// Where the URL of a queue is set.
pub(crate) fn variable(name: QueueName) -> &'static str {
    match name {
        QueueName::External => "EXTERNAL_QUEUE_URL",
        QueueName::Internal => "INTERNAL_QUEUE_URL",
        QueueName::BareMetal => "BARE_METAL_QUEUE_URL",
        QueueName::TaskManager => "TASK_MANAGER_QUEUE_URL",
    }
}

impl Name {
    /// Of a call that failed.
    pub(crate) fn failed<E>(&self, call: &'static str, error: &SdkError<E>) -> QueueError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let refused = error.as_service_error();
        if refused.is_some_and(|refused| is_lost(refused.code(), refused.message())) {
            return self.lost();
        }
        let failed = CallError::of(call, error);
        let why = match failed.code.as_deref().map(short) {
            Some("QueueDoesNotExist" | "NonExistentQueue" | "InvalidAddress") => {
                let Self { url, found_in, region, .. } = self;
                format!(
                    "{failed}; there is no queue at {url} in region {region}: check {found_in} and AWS_REGION"
                )
            }
            Some("OverLimit") => {
                format!("{failed}; too many messages are received and not yet deleted")
            }
            _ if failed.reason == Reason::NotAllowed => format!("{failed} ({})", self.url),
            _ => failed.to_string(),
        };
        self.unavailable(why)
    }

    pub(crate) fn lost(&self) -> QueueError {
        QueueError::LeaseLost { queue: self.queue.clone() }
    }

    pub(crate) fn unavailable(&self, why: impl Into<String>) -> QueueError {
        QueueError::Unavailable { queue: self.queue.clone(), why: why.into() }
    }
}

/// Whether the message is no longer its receiver's. Said in four ways: two codes that the documentation has, and two
/// reasons under a general code, which is what real queues answer.
pub(crate) fn is_lost(code: Option<&str>, said: Option<&str>) -> bool {
    match code.map(short) {
        Some("MessageNotInflight" | "ReceiptHandleIsInvalid") => true,
        // "Value ... for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility
        // timeout change", or "... Reason: The receipt handle has expired".
        Some("InvalidParameterValue" | "InvalidParameterValueException") => {
            said.is_some_and(|said| said.contains("for parameter ReceiptHandle is invalid"))
        }
        _ => false,
    }
}

/// Codes come with and without the name they had in the query protocol.
fn short(code: &str) -> &str {
    code.rsplit('.').next().unwrap_or(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_lease_is_known_by_all_its_names() {
        // As long as real handles are: longer than what an error keeps of a message.
        let handle = "AQEB".repeat(120);
        let invalid = |parameter: &str, reason: &str| {
            format!("Value {handle} for parameter {parameter} is invalid. Reason: {reason}.")
        };
        let gone = invalid(
            "ReceiptHandle",
            "Message does not exist or is not available for visibility timeout change",
        );
        let expired = invalid("ReceiptHandle", "The receipt handle has expired");
        assert!(is_lost(Some("MessageNotInflight"), None));
        assert!(is_lost(Some("AWS.SimpleQueueService.MessageNotInflight"), None));
        assert!(is_lost(
            Some("ReceiptHandleIsInvalid"),
            Some("The input receipt handle is invalid.")
        ));
        assert!(is_lost(Some("InvalidParameterValue"), Some(&gone)));
        assert!(is_lost(Some("InvalidParameterValue"), Some(&expired)));
    }

    #[test]
    fn other_refusals_are_no_lost_lease() {
        let beyond = "Value 43200 for parameter VisibilityTimeout is invalid. Reason: Total \
                      VisibilityTimeout for the message is beyond the limit [43200 seconds].";
        assert!(!is_lost(Some("InvalidParameterValue"), Some(beyond)));
        assert!(!is_lost(Some("InvalidParameterValue"), None));
        assert!(!is_lost(Some("AWS.SimpleQueueService.NonExistentQueue"), None));
        assert!(!is_lost(None, Some("for parameter ReceiptHandle is invalid")));
    }
}
