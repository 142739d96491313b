//! Why a command failed.

use std::{io, path::PathBuf};

use mrpf_manager::SubmitError;
use mrpf_ports::StoreError;
use mrpf_tasks::{InputError, workflow::WorkflowError};

/// The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// More than one workflow has such an id.
    #[error("{0} workflows have ids that begin with {1:?}: give more of it")]
    Ambiguous(usize, String),
    /// What is to be left out of a scope.
    #[error("--exclude {0}: give a network, range or address, or a host name")]
    Exclude(String),
    /// An input that was put together from flags.
    #[error(transparent)]
    Input(#[from] InputError),
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
    #[error("no workflow has an id that begins with {prefix:?}: see `{program} status`")]
    NoWorkflow {
        /// What was asked for.
        prefix: String,
        /// What users call the program.
        program: &'static str,
    },
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
    /// Signals cannot be caught.
    #[error("catching signals: {0}")]
    Signals(#[source] io::Error),
    /// Standard output.
    #[error("writing to standard output: {0}")]
    Stdout(#[source] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the manager refuses.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// A kind of task that is not there.
    #[error("there is no task {name:?}: there are {known}")]
    UnknownTask {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A workflow.
    #[error(transparent)]
    Workflow(#[from] WorkflowError),
}

impl ConsoleError {
    /// Whether flags or files are at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Ambiguous(..)
            | Self::Exclude(_)
            | Self::Input(_)
            | Self::NoTask { .. }
            | Self::NoWorkflow { .. }
            | Self::OnlyRecon(_)
            | Self::ReadWorkflow { .. }
            | Self::UnknownTask { .. }
            | Self::Workflow(_) => true,
            Self::Signals(_) | Self::Stdout(_) | Self::Store(_) | Self::Submit(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_user_can_mend_is_told_from_what_broke() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let unknown = ConsoleError::NoWorkflow { prefix: "ff".to_owned(), program: "mrpf-manager" };
        assert!(unknown.is_usage());
        assert!(unknown.to_string().ends_with("see `mrpf-manager status`"), "{unknown}");
        assert!(ConsoleError::ReadWorkflow { path: "/x".into(), source: denied() }.is_usage());
        assert!(!ConsoleError::Stdout(denied()).is_usage());
        assert!(!ConsoleError::Store(StoreError::Busy(String::new())).is_usage());
    }
}
