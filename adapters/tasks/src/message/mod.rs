//! The messages between the manager and the workers.
//!
//! ```text
//!                RunTask: queue of its class
//!    manager ---------------------------------> worker
//!       ^   CreateTask, TaskProgress, CompleteTask |
//!       '---------- Task Manager queue ------------'
//! ```
//!
//! Each is a JSON object of at most [`MOST_BODY`] octets with a version. Queues deliver twice and out of order, so every
//! message carries enough to be judged alone: task, attempt, [`Ticket`] and [`RunId`]. Fields are only ever added, and
//! unknown ones ignored; `testdata/` has a golden file for each version.

mod body;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;

use mrpf_records::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use self::body::{
    Assignment, CompleteTask, CreateTask, NewTask, Outcome, Part, Run, RunTask, TaskProgress,
};
use crate::{MessageId, RunId, Ticket};

/// The version that is written.
pub const VERSION: u32 = 1;

/// Most octets of a message: queues take 1 MiB for it and what they add (SQS, MaximumMessageSize).
pub const MOST_BODY: usize = 900 * 1_024;

/// A message with what every message has.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Its own id, kept when it is sent again.
    pub id: MessageId,
    /// When it was first sent.
    pub sent_at: Timestamp,
    /// What it says.
    pub message: Message,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A worker's: its task is over, or a part of its output.
    CompleteTask(CompleteTask),
    /// A worker's: a task that its own task makes.
    CreateTask(CreateTask),
    /// The manager's: do this.
    RunTask(RunTask),
    /// A worker's: how far it is.
    TaskProgress(TaskProgress),
}

impl Message {
    /// The word in `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CompleteTask(_) => "CompleteTask",
            Self::CreateTask(_) => "CreateTask",
            Self::RunTask(_) => "RunTask",
            Self::TaskProgress(_) => "TaskProgress",
        }
    }
}

#[derive(Serialize)]
struct Written<'a, B> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    id: MessageId,
    sent_at: Timestamp,
    body: &'a B,
}

#[derive(Deserialize)]
struct Header<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    id: MessageId,
    sent_at: Timestamp,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl Envelope {
    /// Puts a message into a fresh envelope.
    pub fn new(message: Message, now: Timestamp) -> Self {
        Self { id: MessageId::fresh(), sent_at: now, message }
    }

    /// Its JSON text.
    ///
    /// # Errors
    ///
    /// [`MessageError::TooLarge`] above [`MOST_BODY`].
    pub fn to_json(&self) -> Result<String, MessageError> {
        let text = match &self.message {
            Message::CompleteTask(body) => self.write(body),
            Message::CreateTask(body) => self.write(body),
            Message::RunTask(body) => self.write(body),
            Message::TaskProgress(body) => self.write(body),
        }?;
        if text.len() > MOST_BODY {
            return Err(MessageError::TooLarge { kind: self.message.kind(), octets: text.len() });
        }
        Ok(text)
    }

    fn write<B: Serialize>(&self, body: &B) -> Result<String, MessageError> {
        let Self { id, sent_at, .. } = *self;
        let kind = self.message.kind();
        let text =
            serde_json::to_string(&Written { v: VERSION, kind, id, sent_at, body }).map_err(
                |error| MessageError::Body { kind: kind.to_owned(), why: error.to_string() },
            )?;
        Ok(escape(text))
    }

    /// Reads a message of any version that this program knows.
    ///
    /// # Errors
    ///
    /// [`MessageError`]; the message belongs to the dead letters then.
    pub fn parse(text: &str) -> Result<Self, MessageError> {
        let header: Header<'_> = serde_json::from_str(text)
            .map_err(|error| MessageError::NoMessage(error.to_string()))?;
        if header.v != VERSION {
            return Err(MessageError::Version(header.v));
        }
        let kind = header.kind.as_ref();
        let message = match kind {
            "CompleteTask" => Message::CompleteTask(read(kind, header.body)?),
            "CreateTask" => Message::CreateTask(read(kind, header.body)?),
            "RunTask" => Message::RunTask(read(kind, header.body)?),
            "TaskProgress" => Message::TaskProgress(read(kind, header.body)?),
            _ => return Err(MessageError::UnknownType(kind.chars().take(80).collect())),
        };
        Ok(Self { id: header.id, sent_at: header.sent_at, message })
    }
}

/// A message of SQS has the characters of XML (SendMessage), and JSON writes two as they are that are none of these. They stand
/// inside strings alone, where a number says the same.
fn escape(text: String) -> String {
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        text
    }
}

fn read<'a, B: Deserialize<'a>>(kind: &str, body: &'a RawValue) -> Result<B, MessageError> {
    serde_json::from_str(body.get())
        .map_err(|error| MessageError::Body { kind: kind.to_owned(), why: error.to_string() })
}

/// Text that is no message of ours, or none that can be sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// The body does not fit its type.
    #[error("{kind}: {why}")]
    Body {
        /// What the message says it is.
        kind: String,
        /// Which field.
        why: String,
    },
    /// No JSON object with `v`, `type`, `id`, `sent_at` and `body`.
    #[error("no message: {0}")]
    NoMessage(String),
    /// More than [`MOST_BODY`].
    #[error("{kind} of {octets} octets: more than {MOST_BODY}")]
    TooLarge {
        /// What it is.
        kind: &'static str,
        /// How long it would be.
        octets: usize,
    },
    /// A type that this program does not know.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// A version that this program does not know.
    #[error("version {0}, and this program reads {VERSION}")]
    Version(u32),
}

#[cfg(test)]
mod tests;
