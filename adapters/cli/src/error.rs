//! What ends the command early, and with which exit code.

use std::{io, path::PathBuf};

use mrpf_engine::{scan::Failure, target::TargetError};
use mrpf_lab::LabError;
use mrpf_syn::ScanError;

/// Everything went as asked.
pub(crate) const DONE: u8 = 0;
/// Something broke that the flags are not to blame for.
pub(crate) const FAILED: u8 = 1;
/// The flags, or the files that they name, are wrong. Nothing was sent.
pub(crate) const USAGE: u8 = 2;
/// The scan ended and is not complete: losses, or a limit.
pub(crate) const INCOMPLETE: u8 = 3;
/// Ctrl-C or SIGTERM.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why the command failed. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The demo found something that is not true, or missed something that is.
    #[error(
        "the demo has {0}: this is a defect of mrpf, or this machine was too busy for it; try --rate 10k"
    )]
    Demo(String),
    /// The link failed in mid-scan.
    #[error(transparent)]
    Failure(Failure),
    /// A lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// The demo reads its records again.
    #[error("{path} is not a regular file, and the demo reads back what it has written: give -o the path of one", path = .0.display())]
    NotAFile(PathBuf),
    /// A file cannot be opened for writing.
    #[error("cannot write to {path}: {source}; give {flag} another path, or make its folder writable", path = .path.display())]
    Open {
        /// The flag that names it.
        flag: &'static str,
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two flags name one file.
    #[error("{0} and {1} name the same file, which would lose one of them: give {1} another path")]
    SameFile(&'static str, &'static str),
    /// A scan cannot start.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Signals cannot be caught.
    #[error("catching signals: {0}")]
    Signals(#[source] io::Error),
    /// The targets of a dry run.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// Writing failed on the way.
    #[error("writing {name}: {source}; {}", mend(.source, *.kept))]
    Write {
        /// The file, or standard output.
        name: String,
        /// What the system says.
        source: io::Error,
        /// Whole records that are there.
        kept: u64,
    },
    /// The summary could not be written.
    #[error("writing the summary {path}: {source}; the records are complete", path = .path.display())]
    WriteSummary {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn mend(source: &io::Error, kept: u64) -> String {
    let how = match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space or give -o a path on another disk"
        }
        io::ErrorKind::FileTooLarge => "raise the limit (ulimit -f) or scan less at a time",
        _ => "give -o another path",
    };
    format!("the scan was stopped and {kept} whole records are kept; {how}, and scan again")
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NotAFile(_) | Self::Open { .. } | Self::SameFile(..) | Self::Targets(_) => USAGE,
            Self::Scan(error) if error.is_usage() => USAGE,
            Self::Demo(_)
            | Self::Failure(_)
            | Self::Lab(_)
            | Self::Scan(_)
            | Self::Signals(_)
            | Self::Write { .. }
            | Self::WriteSummary { .. } => FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use mrpf_engine::link::LinkError;

    use super::*;

    #[test]
    fn what_the_user_can_mend_in_the_command_line_is_a_usage_error() {
        assert_eq!(CliError::Targets(TargetError::NoTargets).exit_code(), USAGE);
        assert_eq!(CliError::Scan(ScanError::Ipv6(1)).exit_code(), USAGE);
        let missing = LinkError::NoInterface { name: "x".to_owned(), known: "lo".to_owned() };
        assert_eq!(CliError::Scan(ScanError::Link(missing)).exit_code(), USAGE);
        assert_eq!(CliError::Scan(ScanError::Link(LinkError::Permission)).exit_code(), FAILED);
    }

    #[test]
    fn a_full_disk_is_named_with_its_mend() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let error = CliError::Write { name: "a.jsonl".to_owned(), source, kept: 7 };
        let text = error.to_string();
        assert!(text.starts_with("writing a.jsonl: "), "{text}");
        assert!(
            text.contains("7 whole records are kept") && text.contains("free some space"),
            "{text}"
        );
        assert_eq!(error.exit_code(), FAILED);
    }
}
