//! What an error of the database means: to be tried again, on another connection, or to be told.

use std::{error::Error as _, io};

use mrpf_ports::StoreError;
use postgres::{Error, error::SqlState};

/// Why something was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Others were in the way. Nothing has changed, and the same may succeed at once.
    Conflict(String),
    /// The connection is of no use any more. What a transaction did before its end is undone.
    Gone(String),
    /// The connection went while a transaction was being ended: it was kept, or not.
    Unknown(String),
    /// Trying again changes nothing.
    Store(StoreError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let why = text(&error);
        let Some(refusal) = error.as_db_error() else {
            let is_of_the_network = error.source().is_some_and(|source| source.is::<io::Error>());
            return if error.is_closed() || is_of_the_network {
                Self::Gone(why)
            } else {
                // What came is not what was asked for: a column of another type, or text that is none of our words.
                Self::Store(StoreError::Corrupt(why))
            };
        };
        match refusal.code() {
            &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED => {
                Self::Conflict(why)
            }
            // Our own limits on how long anything waits.
            &SqlState::LOCK_NOT_AVAILABLE | &SqlState::QUERY_CANCELED => {
                Self::Store(StoreError::Busy(why))
            }
            code if is_away(code) => Self::Gone(why),
            &SqlState::INSUFFICIENT_PRIVILEGE => Self::Store(StoreError::Unavailable(format!(
                "{why}; a worker's user must belong to mrpf_internal or mrpf_bare_metal, the manager's must own the tables"
            ))),
            &SqlState::UNDEFINED_TABLE
            | &SqlState::UNDEFINED_COLUMN
            | &SqlState::UNDEFINED_FUNCTION
            | &SqlState::INVALID_SCHEMA_NAME => Self::Store(StoreError::Unavailable(format!(
                "{why}; the tables are not those of this program: start mrpf-manager, which makes them"
            ))),
            _ => Self::Store(StoreError::Unavailable(why)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether a server says by this that it, or its connection, is about to go or not yet there.
fn is_away(code: &SqlState) -> bool {
    [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        // After a failover an old connection leads to what is a copy now.
        SqlState::READ_ONLY_SQL_TRANSACTION,
    ]
    .contains(code)
        || code.code().starts_with("08")
}

/// What an error says, without the rows that a server's details repeat.
pub(crate) fn text(error: &Error) -> String {
    if let Some(refusal) = error.as_db_error() {
        return format!("PostgreSQL: {} ({})", refusal.message(), refusal.code().code());
    }
    let mut text = format!("PostgreSQL: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
