//! Every HTTP attempt that reached the cloud.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How a call ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It has not yet.
    Open,
    /// An answer was sent.
    Answered {
        /// Of HTTP.
        status: u16,
        /// Of an error.
        code: Option<String>,
    },
    /// The connection ended without one.
    Dropped,
}

/// One HTTP attempt.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// How long until its end.
    pub took: Option<Duration>,
    /// `sqs`, `ec2`, `sts`; `?` where nobody can say.
    pub service: &'static str,
    /// Which operation.
    pub operation: String,
    /// Of SQS the body; of the others an object of strings, names as sent (`Filter.1.Name`).
    pub params: Value,
    /// The header `amz-sdk-request`: `attempt=1; max=3`.
    pub sdk_request: Option<String>,
    /// The header `amz-sdk-invocation-id`: the same in all attempts of one call of a program.
    pub invocation: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why the client is wrong, if it is: what it sent no AWS would take.
    pub misuse: Option<String>,
}

impl Call {
    /// A parameter that is text.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)?.as_str()
    }

    /// The code of the error it was answered with.
    pub fn code(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered { code, .. } => code.as_deref(),
            Outcome::Open | Outcome::Dropped => None,
        }
    }
}

/// All of them, in the order they came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    /// Notes one that came. Gives its number.
    pub(crate) fn open(&self, call: Call) -> usize {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        calls.len() - 1
    }

    /// Notes how it ended.
    pub(crate) fn close(&self, number: usize, outcome: Outcome, misuse: Option<String>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let call = &mut calls[number];
        call.took = Some(call.at.elapsed());
        call.outcome = outcome;
        call.misuse = misuse;
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
