//! The fault script: what goes wrong with which calls, how often.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

use crate::failure::status_of;

/// What goes wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Nothing is done; the answer is an error.
    Error {
        /// Of HTTP.
        status: u16,
        /// What programs read.
        code: String,
        /// What people read.
        message: String,
    },
    /// It is done, and the connection ends before the answer.
    DropAfter,
    /// It is done, as late as this.
    Delay(Duration),
    /// Of a batch of SQS the first so many entries are not done, for reasons of the service's own; the others are.
    RefuseEntries(usize),
}

impl Answer {
    /// The error with AWS's HTTP status for its code: a capacity error is one of the server's, which SDKs try again.
    pub fn error(code: &str) -> Self {
        let message = format!("{code}: as the test asked");
        Self::Error { status: status_of(code), code: code.to_owned(), message }
    }
}

/// A line of the script. Of several that fit a call the first added counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// `RunInstances`, or all of a service: `sqs:*`, `ec2:*`, `sts:*`.
    pub operation: String,
    /// Parameters the call must have, by name and value; `None` where it must not have one.
    pub matches: Vec<(String, Option<String>)>,
    /// Calls that go well first.
    pub skip: u32,
    /// Calls that do not; [`u32::MAX`] is for ever.
    pub times: u32,
    /// What happens to them.
    pub answer: Answer,
}

impl Fault {
    /// Happens to the next call of an operation, once.
    pub fn on(operation: &str, answer: Answer) -> Self {
        Self { operation: operation.to_owned(), matches: Vec::new(), skip: 0, times: 1, answer }
    }

    /// Happens only to calls with this parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.matches.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    /// Happens only to calls without this parameter.
    pub fn without(mut self, name: &str) -> Self {
        self.matches.push((name.to_owned(), None));
        self
    }

    /// Happens so often.
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Lets so many calls go well first.
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    fn fits(&self, service: &str, operation: &str, params: &Value) -> bool {
        let is_meant = self.operation == operation
            || self.operation.strip_suffix(":*").is_some_and(|all| all == service);
        is_meant
            && self.matches.iter().all(|(name, wanted)| {
                let found = params.get(name).map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                found == *wanted
            })
    }
}

/// The script of a cloud. Clones are one script.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<Fault>>>);

impl Faults {
    /// Adds a line.
    pub fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    /// Lines that have not happened as often as they were to: none at the end of a test that tested what it says. Those for
    /// ever are not among them.
    pub fn left(&self) -> Vec<Fault> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|fault| (1..u32::MAX).contains(&fault.times)).cloned().collect()
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// What happens to this call.
    pub(crate) fn strike(&self, service: &str, operation: &str, params: &Value) -> Option<Answer> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fitting =
            lines.iter_mut().filter(|f| f.times > 0 && f.fits(service, operation, params));
        let fault = fitting.next()?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        if fault.times != u32::MAX {
            fault.times -= 1;
        }
        Some(fault.answer.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_happens_to_the_calls_it_names_so_often() {
        let faults = Faults::default();
        let answer = Answer::error("InsufficientInstanceCapacity");
        faults.add(
            Fault::on("RunInstances", answer.clone())
                .with("InstanceType", "t4g.micro")
                .without("SubnetId")
                .after(1)
                .times(2),
        );
        let strike = |operation, params| faults.strike("ec2", operation, &params);
        assert_eq!(strike("DescribeInstances", json!({ "InstanceType": "t4g.micro" })), None);
        assert_eq!(strike("RunInstances", json!({})), None);
        let with_subnet = json!({ "InstanceType": "t4g.micro", "SubnetId": "subnet-a" });
        assert_eq!(strike("RunInstances", with_subnet), None);
        let meant = json!({ "InstanceType": "t4g.micro" });
        let seen: Vec<_> = (0..4).map(|_| strike("RunInstances", meant.clone())).collect();
        assert_eq!(seen, [None, Some(answer.clone()), Some(answer), None]);
        assert_eq!(faults.left(), []);
    }

    #[test]
    fn a_fault_may_be_of_a_whole_service_and_of_numbers() {
        let faults = Faults::default();
        faults.add(Fault::on("sqs:*", Answer::DropAfter).with("WaitTimeSeconds", "20"));
        assert_eq!(faults.strike("ec2", "ReceiveMessage", &json!({ "WaitTimeSeconds": 20 })), None);
        assert_eq!(faults.left().len(), 1);
        let struck = faults.strike("sqs", "ReceiveMessage", &json!({ "WaitTimeSeconds": 20 }));
        assert_eq!(struck, Some(Answer::DropAfter));
    }

    #[test]
    fn errors_carry_the_statuses_of_aws() {
        let status = |code| match Answer::error(code) {
            Answer::Error { status, .. } => status,
            other => panic!("{other:?}"),
        };
        assert_eq!(status("InsufficientInstanceCapacity"), 500);
        assert_eq!(status("RequestLimitExceeded"), 503);
        assert_eq!(status("Unsupported"), 400);
        assert_eq!(status("UnauthorizedOperation"), 403);
    }
}
