//! What ends the command early, and with which exit code.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use mrpf_console::{
    ConsoleError,
    exit::{FAILED, USAGE},
};
use mrpf_dns::DnsError;
use mrpf_engine::{scan::Failure, target::TargetError};
use mrpf_lab::LabError;
use mrpf_syn::ScanError;
use mrpf_tls::{TlsError, trust::RootsError};

use crate::{kind::Kind, platform::PlatformError};

/// Why the command failed. The texts say what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The scan of a checkpoint is not what its flags and files say today.
    #[error(
        "{path}: the targets, exclusions or ports are not those of this scan any more (a file was changed, or a host name \
         resolves to other addresses): put the files back, or scan anew", path = .0.display()
    )]
    Changed(PathBuf),
    /// A checkpoint cannot be read.
    #[error("{path} {why}", path = .path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A command of the platform.
    #[error(transparent)]
    Console(#[from] ConsoleError),
    /// The demo found something that is not true, or missed something that is.
    #[error(
        "the demo has {0}: this is a defect of mrpf, or this machine was too busy for it; try --rate 10k"
    )]
    Demo(String),
    /// The demo would write over a platform.
    #[error("{path} has a platform already, which the demo does not touch: give --data another folder", path = .0.display())]
    DemoFolder(PathBuf),
    /// The link failed in mid-scan.
    #[error(transparent)]
    Failure(Failure),
    /// The flags of a checkpoint.
    #[error("the flags of the checkpoint are damaged: {0}")]
    Flags(#[source] clap::Error),
    /// A flag along with `--resume`.
    #[error(
        "{0} cannot be given along with --resume, as the scan goes on as it was: leave it out (only --rate, --threads, \
         --max-time, --max-results, --checkpoint, -q and -v can be given again)"
    )]
    GivenAgain(String),
    /// A lab.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// A checkpoint would replace something else.
    #[error("{0} holds something that is no checkpoint: give --checkpoint another path")]
    NotACheckpoint(String),
    /// A list that nobody can read again.
    #[error(
        "{flag} {path} cannot be read again when the scan goes on: give a regular file, or - for standard input, which a \
         checkpoint keeps", path = .path.display()
    )]
    NotLastingInput {
        /// Which flag.
        flag: &'static str,
        /// Which file.
        path: PathBuf,
    },
    /// An output that nobody can write on.
    #[error(
        "-o {path} cannot be opened again when the scan goes on: give the path of a file, or leave -o out for standard output",
        path = .0.display()
    )]
    NotLastingOutput(PathBuf),
    /// A path that is not UTF-8.
    #[error("{0:?} is no text (UTF-8), which a checkpoint cannot hold: give it another name")]
    NotText(OsString),
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
    /// The output of a scan that is to go on cannot be written on.
    #[error("cannot append to {path}: {source}; put the output of this scan back, or scan anew", path = .path.display())]
    OutputGone {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The output of a scan that is to go on is not what it was.
    #[error("{path} is not the output of this scan ({why}): put it back (>> appends to a file, > empties it), or scan \
         anew", path = .path.display())]
    OutputChanged {
        /// Which.
        path: PathBuf,
        /// In what.
        why: String,
    },
    /// The scan that is to go on has not ended.
    #[error("a scan still writes to {path}: end it before another goes on with it", path = .0.display())]
    OutputInUse(PathBuf),
    /// Two flags name one file.
    #[error("{0} and {1} name the same file, which would lose one of them: give {1} another path")]
    SameFile(&'static str, &'static str),
    /// A checkpoint cannot be written.
    #[error("writing the checkpoint {path}: {why}", path = .path.display())]
    Save {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// The platform.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Who is to be asked.
    #[error("-r {path} {why}; give addresses such as 192.0.2.53, or a file with one a line", path = .path.display())]
    Resolvers {
        /// The file, or what is neither a file nor an address.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing is asked about.
    #[error(
        "there are no names: give some, or a file with one a line with -f, or - for standard input"
    )]
    NoNames,
    /// A sweep asks one question.
    #[error("--sweep asks each host one question: give one type with -t")]
    OneType,
    /// What a sweep asks for.
    #[error("--query {name:?} is no name: {why}")]
    Query {
        /// The text.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Which records are wanted.
    #[error("--show: {0}")]
    Show(String),
    /// A DNS scan that cannot start.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// A scan of another scanner.
    #[error("this is a checkpoint of mrpf {0}: go on with mrpf {0} --resume")]
    OtherScanner(Kind),
    /// A TLS scan that cannot start.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A file of a ClientHello.
    #[error("--hello {path}: {why}", path = path.display())]
    Hello {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificates to trust.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// A scan cannot start.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Two source addresses of one family.
    #[error("--source-ip {0} and {1} are of one family: give one of IPv4 and one of IPv6")]
    Sources(std::net::IpAddr, std::net::IpAddr),
    /// Standard input cannot be read.
    #[error("reading standard input: {0}")]
    Stdin(#[source] io::Error),
    /// Names that were not kept.
    #[error(
        "names from standard input are kept only along with --checkpoint, or are given in a file"
    )]
    StdinPassing,
    /// Targets that cannot be kept.
    #[error(
        "standard input holds more than {} MiB, which a checkpoint does not keep: give the targets in a file",
        crate::stdin::MOST >> 20
    )]
    StdinTooLong,
    /// The targets of a dry run.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// Writing failed on the way.
    #[error("writing {name}: {source}; {}", mend(.source, *.kept, .resume.as_deref()))]
    Write {
        /// The file, or standard output.
        name: String,
        /// What the system says.
        source: io::Error,
        /// Whole records that are there.
        kept: u64,
        /// The checkpoint with which the scan can go on, if there is one.
        resume: Option<PathBuf>,
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

fn mend(source: &io::Error, kept: u64, resume: Option<&Path>) -> String {
    let told = format!("the scan was stopped and {kept} whole records are kept");
    let kind = source.kind();
    let is_full = matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    // A scan that goes on writes where it did.
    if let Some(checkpoint) = resume {
        let how = match kind {
            _ if is_full => "free some space",
            io::ErrorKind::FileTooLarge => "raise the limit (ulimit -f)",
            _ => "mend what the file is on",
        };
        return format!("{told}; {how}, and go on with --resume={}", checkpoint.display());
    }
    let how = match kind {
        _ if is_full => "free some space or give -o a path on another disk",
        io::ErrorKind::FileTooLarge => "raise the limit (ulimit -f) or scan less at a time",
        _ => "give -o another path",
    };
    format!("{told}; {how}, and scan again")
}

impl CliError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Changed(_)
            | Self::Checkpoint { .. }
            | Self::DemoFolder(_)
            | Self::Flags(_)
            | Self::GivenAgain(_)
            | Self::NotACheckpoint(_)
            | Self::NotLastingInput { .. }
            | Self::NotLastingOutput(_)
            | Self::NotText(_)
            | Self::Open { .. }
            | Self::OutputChanged { .. }
            | Self::OutputGone { .. }
            | Self::OutputInUse(_)
            | Self::SameFile(..)
            | Self::Sources(..)
            | Self::StdinPassing
            | Self::StdinTooLong
            | Self::Targets(_) => USAGE,
            Self::Console(error) if error.is_usage() => USAGE,
            Self::Platform(error) if error.is_usage() => USAGE,
            Self::Scan(error) | Self::Tls(TlsError::Scan(error)) if error.is_usage() => USAGE,
            Self::Dns(
                DnsError::Lookups(_)
                | DnsError::Names(_)
                | DnsError::NoResolvers
                | DnsError::NoTypes
                | DnsError::Resolvers(_),
            ) => USAGE,
            Self::NoNames | Self::OneType | Self::Query { .. } | Self::Show(_) => USAGE,
            Self::OtherScanner(_) => USAGE,
            Self::Hello { .. } | Self::Resolvers { .. } | Self::Roots(_) => USAGE,
            Self::Console(_)
            | Self::Demo(_)
            | Self::Dns(_)
            | Self::Failure(_)
            | Self::Lab(_)
            | Self::Platform(_)
            | Self::Save { .. }
            | Self::Scan(_)
            | Self::Tls(_)
            | Self::Stdin(_)
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
        let missing = LinkError::NoInterface { name: "x".to_owned(), known: "lo".to_owned() };
        assert_eq!(CliError::Scan(ScanError::Link(missing)).exit_code(), USAGE);
        assert_eq!(CliError::Scan(ScanError::Link(LinkError::Permission)).exit_code(), FAILED);
    }

    #[test]
    fn a_full_disk_is_named_with_its_mend() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let error = CliError::Write { name: "a.jsonl".to_owned(), source, kept: 7, resume: None };
        let text = error.to_string();
        assert!(text.starts_with("writing a.jsonl: "), "{text}");
        assert!(
            text.contains("7 whole records are kept") && text.contains("free some space"),
            "{text}"
        );
        assert_eq!(error.exit_code(), FAILED);
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let resume = Some("c".into());
        let error = CliError::Write { name: "a.jsonl".to_owned(), source, kept: 7, resume };
        let text = error.to_string();
        assert!(text.ends_with("free some space, and go on with --resume=c"), "{text}");
    }
}
