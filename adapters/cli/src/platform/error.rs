//! Why a command of the platform failed.

use std::{io, path::PathBuf};

use mrpf_embedded::Orphaned;
use mrpf_ports::{FleetError, QueueError, StoreError};
use mrpf_tasks::workflow::WorkflowError;

/// The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlatformError {
    /// More than one workflow has such an id.
    #[error("{0} workflows have ids that begin with {1:?}: give more of it")]
    Ambiguous(usize, String),
    /// An environment variable.
    #[error("{name}={value}: {why}")]
    Environment {
        /// Which.
        name: &'static str,
        /// What it says.
        value: String,
        /// What is wrong with it, and what to give.
        why: String,
    },
    /// What is to be left out of a scope.
    #[error("--exclude {0}: give a network, range or address, or a host name")]
    Exclude(String),
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
    /// No such task of a workflow.
    #[error("workflow {workflow} has no task {name:?}: it has {known}")]
    NoTask {
        /// Of which workflow.
        workflow: String,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such workflow.
    #[error("no workflow has an id that begins with {0:?}: see `mrpf status`")]
    NoWorkflow(String),
    /// A worker without its manager.
    #[error(transparent)]
    Orphaned(#[from] Orphaned),
    /// A queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// An input that was put together from flags.
    #[error(transparent)]
    Input(#[from] mrpf_tasks::InputError),
    /// Flags that a file leaves no room for.
    #[error(
        "--domain, --address, --exclude, --ports, --rate and --print are for recon: write them into {0}"
    )]
    OnlyRecon(String),
    /// A workflow's file.
    #[error("reading {path}: {source}", path = .path.display())]
    ReadWorkflow {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output.
    #[error("writing to standard output: {0}")]
    Stdout(#[source] io::Error),
    /// What the manager refuses.
    #[error(transparent)]
    Submit(#[from] mrpf_manager::SubmitError),
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
    /// A kind of task that is not there.
    #[error("there is no task {name:?}: there are {known}")]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A worker.
    #[error(transparent)]
    Worker(#[from] mrpf_worker::SettingsError),
    /// A workflow.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
}

impl PlatformError {
    /// Whether flags, variables or files are at fault, and not the machine.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Ambiguous(..)
            | Self::Environment { .. }
            | Self::Exclude(_)
            | Self::External(_)
            | Self::Folder { .. }
            | Self::NoPlatform(_)
            | Self::NoTask { .. }
            | Self::NoWorkflow(_)
            | Self::Input(_)
            | Self::OnlyRecon(_)
            | Self::ReadWorkflow { .. }
            | Self::Taken { .. }
            | Self::UnknownTask { .. }
            | Self::Workflow(_) => true,
            Self::Fleet(_)
            | Self::Orphaned(_)
            | Self::Queue(_)
            | Self::Start { .. }
            | Self::Stdout(_)
            | Self::Store(_)
            | Self::Submit(_)
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
        assert!(PlatformError::NoWorkflow("ff".to_owned()).is_usage());
        assert!(!PlatformError::Stdout(denied()).is_usage());
        assert!(!PlatformError::Start { what: "the manager", source: denied() }.is_usage());
    }
}
