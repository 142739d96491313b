//! Why a description of targets does not compile.

use std::{io, path::PathBuf};

use super::{
    ports::PortsError,
    scope::Excluded,
    spec::{Origin, SpecError},
};

/// Why a description of targets does not compile. Nothing was sent.
///
/// Every variant is a fault of the description and has its mend in its text, so a command that meets one ends as for a
/// wrong flag (exit code 2).
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Exclusions and the scope leave nothing.
    #[error("nothing is left to scan: {}", mends(.excluded, .exclude_files, .scope_files))]
    Empty {
        /// How many addresses each of them took.
        excluded: Excluded,
        /// The files of exclusions that were read.
        exclude_files: Vec<PathBuf>,
        /// The scope files that were read.
        scope_files: Vec<PathBuf>,
    },
    /// There are addresses and no ports.
    #[error(
        "there are addresses without a port: give ports with -p, as in -p 80,443, or name them as ADDRESS:PORT"
    )]
    NoPorts,
    /// There are no targets at all.
    #[error("there are no targets: give some as arguments or in a file with -f")]
    NoTargets,
    /// The ports.
    #[error(transparent)]
    Ports(#[from] PortsError),
    /// A file cannot be read.
    #[error("reading the list {path}: {source}; give the path of a text file that can be read, or - for standard input", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A word of a list.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Standard input is named more than once.
    #[error("standard input is given for {0} lists and can be read once: put the others in files")]
    StdinTwice(usize),
    /// There are more combinations of address and port than can be numbered.
    #[error(
        "there are more targets than 2^128 - 1, or more ranges than 2^32 - 1: scan less of them, or fewer ports, at a time"
    )]
    TooMany,
    /// A host name has no address.
    #[error("{origin}: the host name {name} cannot be resolved ({reason}){}: correct it, leave it out, or give its address", and_others(.others))]
    Unresolved {
        /// Where the name was found.
        origin: Origin,
        /// The name.
        name: String,
        /// What the resolver says.
        reason: String,
        /// How many further names have no address either.
        others: usize,
    },
}

fn and_others(others: &usize) -> String {
    match others {
        0 => String::new(),
        others => format!(", and {others} more"),
    }
}

/// What took the targets, and what gives them back.
fn mends(excluded: &Excluded, exclude_files: &[PathBuf], scope_files: &[PathBuf]) -> String {
    let flag = |name: &str, files: &[PathBuf]| {
        files.iter().fold(name.to_owned(), |list, file| format!("{list} {}", file.display()))
    };
    let mut parts = Vec::new();
    if excluded.reserved > 0 {
        parts.push(format!(
            "{} addresses are reserved (--allow-reserved lifts that)",
            excluded.reserved
        ));
    }
    if excluded.listed > 0 {
        let flags = flag("--exclude, --exclude-file", exclude_files);
        parts.push(format!("{} addresses are excluded ({flags})", excluded.listed));
    }
    if excluded.out_of_scope > 0 {
        let flags = flag("--scope", scope_files);
        parts.push(format!("{} addresses are outside the scope ({flags})", excluded.out_of_scope));
    }
    parts.join("; ")
}
