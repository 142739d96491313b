//! Why a command of the platform failed.

use std::{io, path::PathBuf};

use mrpf_embedded::Orphaned;
use mrpf_environment::Problems;
use mrpf_ports::{FleetError, QueueError, StoreError};

/// The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    /// The environment.
    #[error(transparent)]
    Environment(#[from] Problems),
    /// What a worker of public services is told.
    #[error(transparent)]
    External(#[from] mrpf_external::SettingsError),
    /// The processes of this machine.
    #[error(transparent)]
    Fleet(#[from] FleetError),
    /// The folder of the platform.
    #[error(
        "{path}: {source}; run this as the user whose folder it is (after `sudo mrpf up`, with sudo), or give --data another \
         folder", path = .path.display()
    )]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No platform was ever there.
    #[error("{path} has no platform: start one with `mrpf up --data {path}`", path = .0.display())]
    NoPlatform(PathBuf),
    /// A worker without its manager.
    #[error(transparent)]
    Orphaned(#[from] Orphaned),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads or processes that could not be made.
    #[error("starting {what}: {source}")]
    Start {
        /// What.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// Another platform runs on the folder.
    #[error("a platform runs on {path} already (process {pid}): end it, or give --data another folder", path = .path.display())]
    Taken {
        /// Which folder.
        path: PathBuf,
        /// Who runs it.
        pid: String,
    },
    /// A worker.
    #[error(transparent)]
    Worker(#[from] mrpf_worker::SettingsError),
}

impl PlatformError {
    /// Whether flags, variables or files are at fault, and not the machine.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Environment(_)
            | Self::External(_)
            | Self::Folder { .. }
            | Self::NoPlatform(_)
            | Self::Taken { .. } => true,
            Self::Fleet(_)
            | Self::Orphaned(_)
            | Self::Queue(_)
            | Self::Start { .. }
            | Self::Store(_)
            | Self::Worker(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_mend_is_told_from_what_broke() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let folder = PlatformError::Folder { path: "/x".into(), source: denied() };
        assert!(folder.is_usage() && folder.to_string().contains("with sudo"), "{folder}");
        assert!(!PlatformError::Start { what: "the manager", source: denied() }.is_usage());
    }
}
