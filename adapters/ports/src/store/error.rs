//! Why a store did not do what it was asked.

/// See the variants.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Others were in the way for too long; the same call may succeed now.
    #[error("store: busy: {0}")]
    Busy(String),
    /// What is stored is not what this program writes.
    #[error("store: {0}")]
    Corrupt(String),
    /// The run does not hold its task any more: another does, or it is over.
    #[error("store: this run does not hold its task any more")]
    Fenced,
    /// The store refused, or does not work.
    #[error("store: {0}")]
    Unavailable(String),
    /// The store is away; it was waited for, and may be back at any moment.
    #[error("store: away: {0}")]
    Unreachable(String),
    /// The store was made by a later version of this program.
    #[error("store: its version is {found}, and this program knows {known}: use a later mrpf")]
    Version {
        /// What the store says.
        found: u32,
        /// What this program knows.
        known: u32,
    },
}
