//! Why a part of the manager could not do its work this time. What it was to do stays where it is, and is done later.

use mrpf_ports::{FleetError, QueueError, StoreError};

/// A part of the manager that failed, and what was in its way.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{part}: {cause}")]
pub struct ManagerError {
    /// Which part.
    pub part: &'static str,
    /// What was in its way.
    #[source]
    pub cause: Cause,
}

/// What was in the way of a part of the manager.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// The fleet.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

macro_rules! parts {
    ($($part:ident)*) => {
        $(pub(crate) fn $part(cause: impl Into<Cause>) -> Self {
            Self { part: stringify!($part), cause: cause.into() }
        })*
    };
}

impl ManagerError {
    parts!(dead_letters dispatch intake outbox reaper recovery slots);
}
