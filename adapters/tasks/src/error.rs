//! Why a task failed, sorted by what is to be done about it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A task that did not do what it was asked to. It travels in `CompleteTask` and is kept with the task.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize, thiserror::Error)]
#[error("{}: {message}", .kind.as_str())]
pub struct TaskError {
    /// Whose fault it is, and so what helps.
    pub kind: ErrorKind,
    /// For people: which part failed, and what mends it. Never holds a key or token.
    pub message: String,
    /// How long the other side asked us to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl TaskError {
    /// An error of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after_ms: None }
    }

    /// The same, with the wait that the other side asked for.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self
    }
}

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The source refuses us: 401, 403, a page for people instead of data.
    Blocked,
    /// The task was cancelled, or stopped, while it ran.
    Cancelled,
    /// The message came so often that no worker got through with it.
    DeadLettered,
    /// The input is not what the task takes, or asks for more than it may.
    Input,
    /// The source's answer is not what it documents, an empty one included.
    Malformed,
    /// A key or setting is missing on the worker.
    NotConfigured,
    /// All of the input lies outside the workflow's scope.
    OutOfScope,
    /// The source asks us to come later: 429.
    RateLimited,
    /// The machine cannot do it now: an interface, a socket, memory.
    Resource,
    /// The store or a queue could not be reached or refused.
    Storage,
    /// The source ended its answer early, or caps it below what there is.
    Truncated,
    /// The source failed: 5xx, no connection, no answer in time.
    Upstream,
    /// The worker was lost, or a bug ended the task.
    WorkerLost,
}

impl ErrorKind {
    /// The word that records and tables use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Cancelled => "cancelled",
            Self::DeadLettered => "dead-lettered",
            Self::Input => "input",
            Self::Malformed => "malformed",
            Self::NotConfigured => "not-configured",
            Self::OutOfScope => "out-of-scope",
            Self::RateLimited => "rate-limited",
            Self::Resource => "resource",
            Self::Storage => "storage",
            Self::Truncated => "truncated",
            Self::Upstream => "upstream",
            Self::WorkerLost => "worker-lost",
        }
    }

    /// The wait before the second try; it doubles with each further one. `None`: another try would fail alike.
    pub fn back_off(self) -> Option<Duration> {
        let seconds = match self {
            Self::Blocked => 600,
            Self::RateLimited => 60,
            Self::Malformed | Self::Truncated | Self::Upstream => 15,
            Self::Resource => 10,
            Self::Storage | Self::WorkerLost => 2,
            Self::Cancelled
            | Self::DeadLettered
            | Self::Input
            | Self::NotConfigured
            | Self::OutOfScope => return None,
        };
        Some(Duration::from_secs(seconds))
    }
}

/// No wait is longer, whatever a source asks for.
pub const LONGEST_WAIT: Duration = Duration::from_secs(6 * 3_600);

/// When a task that failed `tries` times, the last time by `error`, is tried again; `None` is never. `dice` is a number
/// drawn for this failure: up to a quarter is added by it, so that what failed together does not come back together.
pub fn retry_wait(error: &TaskError, tries: u32, max_tries: u32, dice: u64) -> Option<Duration> {
    let first = error.kind.back_off()?;
    if tries >= max_tries {
        return None;
    }
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let asked = error.retry_after_ms.map_or(Duration::ZERO, Duration::from_millis);
    let wait = doubled.max(asked).min(LONGEST_WAIT);
    Some(wait + wait / 4 * u32::try_from(dice % 1_001).unwrap_or(0) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn waits_double_and_end() {
        let error = TaskError::new(ErrorKind::Upstream, "502");
        assert_eq!(retry_wait(&error, 1, 3, 0), Some(seconds(15)));
        assert_eq!(retry_wait(&error, 2, 3, 0), Some(seconds(30)));
        assert_eq!(retry_wait(&error, 3, 3, 0), None);
        assert_eq!(retry_wait(&error, 1, 3, 1_000), Some(Duration::from_millis(18_750)));
    }

    #[test]
    fn the_source_is_obeyed_within_reason() {
        let error = TaskError::new(ErrorKind::RateLimited, "429").after(seconds(300));
        assert_eq!(retry_wait(&error, 1, 3, 0), Some(seconds(300)));
        let error = error.after(Duration::MAX);
        assert_eq!(retry_wait(&error, 1, 3, 0), Some(LONGEST_WAIT));
    }

    #[test]
    fn what_would_fail_alike_is_not_tried_again() {
        for kind in [ErrorKind::Input, ErrorKind::NotConfigured, ErrorKind::OutOfScope] {
            assert_eq!(retry_wait(&TaskError::new(kind, ""), 1, 3, 0), None);
        }
    }

    #[test]
    fn words_are_those_of_the_messages() {
        for kind in [ErrorKind::Blocked, ErrorKind::DeadLettered, ErrorKind::WorkerLost] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.as_str()));
        }
        let error = TaskError::new(ErrorKind::Blocked, "crt.sh: 403");
        assert_eq!(error.to_string(), "blocked: crt.sh: 403");
    }
}
