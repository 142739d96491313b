//! Which scanner a command line is for, and a scan of it: what differs between them for the rest of the command.

use std::{fmt, time::Duration};

use clap::Args as _;
use mrpf_engine::{
    scan::{Failure, Progress, Stop},
    stats::Counts,
    target::Excluded,
};
use mrpf_records::{State, TlsOutcome};
use mrpf_syn::{Next, Summary};
use serde::{Deserialize, Serialize};

use crate::args::{SynArgs, TlsArgs};

/// A scanner.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `mrpf syn`.
    #[default]
    Syn,
    /// `mrpf tls`.
    Tls,
}

impl Kind {
    /// The word of the command.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Tls => "tls",
        }
    }

    /// Its command line.
    pub(crate) fn command(self) -> clap::Command {
        let command = clap::Command::new(self.as_str());
        match self {
            Self::Syn => SynArgs::augment_args(command),
            Self::Tls => TlsArgs::augment_args(command),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A scan under way.
#[derive(Debug)]
pub(crate) enum Scan {
    Syn(Box<mrpf_syn::Scan>),
    Tls(Box<mrpf_tls::Scan>),
}

/// Calls a method that all scans have.
macro_rules! of_each {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Syn(scan) => scan.$method($($argument),*),
            Self::Tls(scan) => scan.$method($($argument),*),
        }
    };
}

impl Scan {
    pub(crate) fn next_within(&mut self, wait: Duration) -> Next {
        of_each!(self.next_within(wait))
    }

    pub(crate) fn stop(&self) -> Stop {
        of_each!(self.stop())
    }

    pub(crate) fn progress(&self) -> Progress {
        of_each!(self.progress())
    }

    pub(crate) fn counts(&self) -> Counts {
        of_each!(self.counts())
    }

    pub(crate) fn mark(&self) -> u64 {
        of_each!(self.mark())
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        of_each!(self.fingerprint())
    }

    pub(crate) fn excluded(&self) -> Excluded {
        of_each!(self.excluded())
    }

    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        of_each!(self.take_failure())
    }

    /// What every scan has done so far.
    pub(crate) fn summary(&self) -> Summary {
        match self {
            Self::Syn(scan) => scan.summary(),
            Self::Tls(scan) => scan.summary().base,
        }
    }

    /// Targets so far by what became of them, in the scanner's words; what is looked for stands first.
    pub(crate) fn tally(&self) -> Tally {
        match self {
            Self::Syn(scan) => {
                let states = scan.states();
                State::ALL.map(|state| (state.as_str(), states[state as usize])).to_vec()
            }
            Self::Tls(scan) => {
                let summary = scan.summary();
                let outcome = |outcome: &TlsOutcome| (outcome.as_str(), summary.count(*outcome));
                let mut tally = vec![("certificates", summary.certificates)];
                tally.extend(TlsOutcome::ALL.iter().map(outcome));
                tally.push((State::Silent.as_str(), summary.base.count(State::Silent)));
                if summary.without_jarm > 0 {
                    tally.push(("without-jarm", summary.without_jarm));
                }
                tally
            }
        }
    }
}

/// See [`Scan::tally`].
pub(crate) type Tally = Vec<(&'static str, u64)>;
