//! What ends the program early, and with which exit code.

use std::io;

use mrpf_console::{
    ConsoleError,
    exit::{FAILED, USAGE},
};
use mrpf_environment::Problems;
use mrpf_ports::StoreError;

/// The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// A command over the store.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// The manager's thread has ended by itself.
    #[error("the manager has ended, which is a defect of mrpf: what it said last is above")]
    Ended,
    /// The environment.
    #[error(transparent)]
    Environment(#[from] Problems),
    /// A thread that could not be made.
    #[error("starting the manager: {0}")]
    Start(#[source] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ProgramError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Console(error) if error.is_usage() => USAGE,
            Self::Environment(_) => USAGE,
            Self::Console(_) | Self::Ended | Self::Start(_) | Self::Store(_) => FAILED,
        }
    }
}
