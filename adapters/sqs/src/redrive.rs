//! Where a queue's dead letters go.

use serde::Deserialize;
use serde_json::Value;

/// What a RedrivePolicy says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Redrive {
    /// The name of the dead-letter queue.
    pub(crate) queue: String,
    /// Whose it is.
    pub(crate) account: String,
    /// Deliveries of a message; instead of one more it goes there.
    pub(crate) max_receives: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Policy {
    dead_letter_target_arn: String,
    /// A number, or the text of one: AWS keeps what it was given.
    max_receive_count: Value,
}

impl Redrive {
    /// Of the attribute `RedrivePolicy`; `None` when it is nothing we can read.
    pub(crate) fn read(policy: &str) -> Option<Self> {
        let policy: Policy = serde_json::from_str(policy).ok()?;
        let mut arn = policy.dead_letter_target_arn.splitn(6, ':');
        let (Some("arn"), Some(_partition), Some("sqs"), Some(_region)) =
            (arn.next(), arn.next(), arn.next(), arn.next())
        else {
            return None;
        };
        let (account, queue) = (arn.next()?.to_owned(), arn.next()?.to_owned());
        let max_receives = match &policy.max_receive_count {
            Value::String(text) => text.parse().ok()?,
            number => u32::try_from(number.as_u64()?).ok()?,
        };
        Some(Self { queue, account, max_receives })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_names_a_queue_of_an_account() {
        let expected = Redrive {
            queue: "external-dead".to_owned(),
            account: "123456789012".to_owned(),
            max_receives: 10,
        };
        for count in ["10", r#""10""#] {
            let policy = format!(
                r#"{{"deadLetterTargetArn":"arn:aws-cn:sqs:cn-north-1:123456789012:external-dead","maxReceiveCount":{count}}}"#
            );
            assert_eq!(Redrive::read(&policy), Some(expected.clone()));
        }
    }

    #[test]
    fn anything_else_is_none() {
        for policy in [
            "",
            "{}",
            "[]",
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q"}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q","maxReceiveCount":-1}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1:q","maxReceiveCount":"many"}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sns:r:1:q","maxReceiveCount":3}"#,
            r#"{"deadLetterTargetArn":"arn:aws:sqs:r:1","maxReceiveCount":3}"#,
            r#"{"deadLetterTargetArn":"q","maxReceiveCount":3}"#,
        ] {
            assert_eq!(Redrive::read(policy), None, "{policy}");
        }
    }
}
