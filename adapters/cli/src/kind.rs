//! Which scanner a command line is for, and a scan of it: what differs between them for the rest of the command.

use std::{borrow::Cow, cmp::Reverse, fmt, time::Duration};

use clap::Args as _;
use mrpf_dns::lookup::Counted;
use mrpf_engine::{
    scan::{Failure, Progress, Stop},
    stats::Counts,
    target::Excluded,
};
use mrpf_records::{State, TlsOutcome};
use mrpf_syn::{Next, Summary};
use serde::{Deserialize, Serialize};

use crate::args::{DnsArgs, SynArgs, TlsArgs};

/// A scanner.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// `mrpf syn`.
    #[default]
    Syn,
    /// `mrpf tls`.
    Tls,
    /// `mrpf dns`.
    Dns,
}

impl Kind {
    /// The word of the command.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Tls => "tls",
            Self::Dns => "dns",
        }
    }

    /// Its command line.
    pub(crate) fn command(self) -> clap::Command {
        let command = clap::Command::new(self.as_str());
        match self {
            Self::Syn => SynArgs::augment_args(command),
            Self::Tls => TlsArgs::augment_args(command),
            Self::Dns => DnsArgs::augment_args(command),
        }
    }

    /// What a scan is of.
    pub(crate) fn targets(self) -> &'static str {
        match self {
            Self::Syn | Self::Tls => "targets",
            Self::Dns => "questions",
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
    Dns(Box<mrpf_dns::Scan>),
    Sweep(Box<mrpf_dns::Sweep>),
}

/// Calls a method that all scans have.
macro_rules! of_each {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Syn(scan) => scan.$method($($argument),*),
            Self::Tls(scan) => scan.$method($($argument),*),
            Self::Dns(scan) => scan.$method($($argument),*),
            Self::Sweep(scan) => scan.$method($($argument),*),
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
            Self::Dns(scan) => scan.summary().base,
            Self::Sweep(scan) => scan.summary().base,
        }
    }

    /// Which scanner's.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Syn(_) => Kind::Syn,
            Self::Tls(_) => Kind::Tls,
            Self::Dns(_) | Self::Sweep(_) => Kind::Dns,
        }
    }

    /// What lookups have counted beside frames.
    pub(crate) fn lookups(&self) -> Option<Counted> {
        match self {
            Self::Dns(scan) => Some(scan.counted()),
            Self::Syn(_) | Self::Tls(_) | Self::Sweep(_) => None,
        }
    }

    /// Whether it is known how many targets there are; of a list of names that is so when it was read.
    pub(crate) fn is_counted(&self) -> bool {
        match self {
            Self::Syn(_) | Self::Tls(_) | Self::Sweep(_) => true,
            Self::Dns(scan) => scan.knows_total(),
        }
    }

    /// Targets so far by what became of them, in the scanner's words; what is looked for stands first.
    pub(crate) fn tally(&self) -> Tally {
        match self {
            Self::Syn(scan) => {
                let states = scan.states();
                State::ALL.map(|state| (state.as_str().into(), states[state as usize])).to_vec()
            }
            Self::Tls(scan) => {
                let summary = scan.summary();
                let outcome =
                    |outcome: &TlsOutcome| (outcome.as_str().into(), summary.count(*outcome));
                let mut tally: Tally = vec![("certificates".into(), summary.certificates)];
                tally.extend(TlsOutcome::ALL.iter().map(outcome));
                tally.push((State::Silent.as_str().into(), summary.base.count(State::Silent)));
                if summary.without_jarm > 0 {
                    tally.push(("without-jarm".into(), summary.without_jarm));
                }
                tally
            }
            Self::Dns(scan) => {
                let counted = scan.counted();
                let tally = [
                    ("answers", counted.answers),
                    ("wild", counted.wild),
                    ("nodata", counted.no_data),
                    ("nxdomain", counted.no_name),
                    ("failures", counted.failures),
                    ("timeout", counted.timeouts),
                    ("unreachable", counted.unreachable),
                    ("truncated", counted.truncated),
                    ("malformed", counted.malformed),
                    ("invalid", counted.invalid),
                ];
                tally.map(|(word, count)| (word.into(), count)).to_vec()
            }
            Self::Sweep(scan) => {
                let mrpf_dns::sweep::Summary { base, statuses, .. } = scan.summary();
                let mut tally: Tally = statuses.into_iter().collect();
                // What is looked for first, then what is met most often.
                tally.sort_by_key(|(status, count)| (status != "NOERROR", Reverse(*count)));
                for state in [State::Unreachable, State::Silent] {
                    tally.push((state.as_str().into(), base.count(state)));
                }
                tally
            }
        }
    }
}

/// See [`Scan::tally`].
pub(crate) type Tally = Vec<(Cow<'static, str>, u64)>;
