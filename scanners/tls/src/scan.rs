//! A running scan and what remains of it.

use std::time::Duration;

use mrpf_engine::{
    governor::Rate,
    scan::{Failure, Progress, Stop},
    stats::Counts,
    target::Excluded,
};
use mrpf_records::{Record, State, TlsOutcome, TlsRecord, TlsStage};
use mrpf_syn::{Course, Next, Step, Summary as Base};

use crate::{build::Builder, follow::Greet, row::Rows, show::Show};

/// A TLS scan under way: an iterator over its records.
///
/// Records come in the order in which connections end. A consumer that is slow makes the scan wait. Dropped, it stops.
#[derive(Debug)]
pub struct Scan {
    course: Course<Greet>,
    show: Show,
    rows: Rows,
    outcomes: [u64; TlsOutcome::ALL.len()],
    /// By port state, as a SYN scan would say.
    states: [u64; 4],
    certificates: u64,
}

/// What a scan has done, for people and for programs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What every scan has done; states are those of the ports.
    pub base: Base,
    /// Targets by outcome, in the order of [`TlsOutcome::ALL`], whether they gave records or not; those that never answered a
    /// SYN are not among them.
    pub outcomes: [u64; TlsOutcome::ALL.len()],
    /// Of them, those that showed a certificate.
    pub certificates: u64,
}

impl Summary {
    /// Targets by outcome.
    pub fn count(&self, outcome: TlsOutcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}

impl Scan {
    /// Describes a scan of `targets`, at the rate and on the link that it says.
    pub fn builder(targets: mrpf_syn::Builder) -> Builder {
        Builder::new(targets)
    }

    pub(crate) fn new(course: Course<Greet>, show: Show, rows: Rows) -> Self {
        Self {
            course,
            show,
            rows,
            outcomes: [0; TlsOutcome::ALL.len()],
            states: [0; 4],
            certificates: 0,
        }
    }

    /// The handle that ends the scan early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.course.stop()
    }

    /// How far the scan is.
    pub fn progress(&self) -> Progress {
        self.course.progress()
    }

    /// A copy of the engine's counters.
    pub fn counts(&self) -> Counts {
        self.course.counts()
    }

    /// See [`Course::mark`].
    pub fn mark(&self) -> u64 {
        self.course.mark()
    }

    /// See [`Course::fingerprint`].
    pub fn fingerprint(&self) -> u64 {
        self.course.fingerprint()
    }

    /// How many threads send, and how many receive.
    pub fn threads(&self) -> u8 {
        self.course.threads()
    }

    /// The rate in force.
    pub fn rate(&self) -> Rate {
        self.course.rate()
    }

    /// What exclusions and the scope removed.
    pub fn excluded(&self) -> Excluded {
        self.course.excluded()
    }

    /// The next record, waiting up to `wait` for it. Targets that give no record do not make it wait longer.
    pub fn next_within(&mut self, wait: Duration) -> Next {
        let begin = std::time::Instant::now();
        loop {
            let found = match self.course.next_within(wait) {
                Step::Found(found) => found,
                Step::Later => return Next::Later,
                Step::End => return Next::End,
            };
            let row = self.rows.row(&found, self.course.timestamp(found.at));
            self.note(&row);
            if self.show.shows(&row) {
                return Next::Record(Record::Tls(Box::new(row)));
            }
            if begin.elapsed() >= wait {
                return Next::Later;
            }
        }
    }

    /// Waits for the end, without the records that are left, and says what the scan has done.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the link went away in mid-scan; [`Self::summary`] tells how far it came.
    pub fn finish(mut self) -> Result<Summary, Failure> {
        while !matches!(self.next_within(Duration::from_secs(1)), Next::End) {}
        match self.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(self.summary()),
        }
    }

    /// What ended the scan early, if something did; asked once, after the last record.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.course.take_failure()
    }

    /// Targets by port state so far, in the order of [`State::ALL`].
    pub fn states(&self) -> [u64; 4] {
        let mut states = self.states;
        states[State::Silent as usize] = self.course.counts().silent;
        states
    }

    /// What the scan has done so far.
    pub fn summary(&self) -> Summary {
        Summary {
            base: self.course.summary(self.states()),
            outcomes: self.outcomes,
            certificates: self.certificates,
        }
    }

    fn note(&mut self, row: &TlsRecord) {
        let state = match (row.outcome, row.stage) {
            (TlsOutcome::Timeout, TlsStage::Syn) => return, // the engine counts them
            (TlsOutcome::Refused, _) => State::Closed,
            (_, TlsStage::Syn) => State::Unreachable,
            _ => State::Open,
        };
        self.states[state as usize] += 1;
        self.outcomes[row.outcome as usize] += 1;
        self.certificates += u64::from(!row.certificates.is_empty());
    }
}

impl Iterator for Scan {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            match self.next_within(Duration::from_millis(100)) {
                Next::Record(record) => return Some(record),
                Next::Later => {}
                Next::End => return None,
            }
        }
    }
}
