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

use crate::{
    build::Builder,
    follow::Greet,
    passes::{Passes, speaks},
    row::Rows,
    show::Show,
};

/// A TLS scan under way: an iterator over its records.
///
/// Records come in the order in which connections end, those with a [JARM](Builder::jarm) after all others. A consumer that is slow makes the scan wait. Dropped, it stops.
#[derive(Debug)]
pub struct Scan {
    course: Course<Greet>,
    show: Show,
    rows: Rows,
    outcomes: [u64; TlsOutcome::ALL.len()],
    /// By port state, as a SYN scan would say.
    states: [u64; 4],
    certificates: u64,
    shadowed: u64,
    passes: Option<Passes>,
    /// All targets have been asked, and passes are under way.
    is_passing: bool,
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
    /// Records of hosts whose [JARM](Builder::jarm) was wanted and is not known, since the scan was ended early.
    pub without_jarm: u64,
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

    pub(crate) fn new(
        course: Course<Greet>,
        show: Show,
        rows: Rows,
        shadowed: u64,
        passes: Option<Passes>,
    ) -> Self {
        Self {
            course,
            show,
            rows,
            outcomes: [0; TlsOutcome::ALL.len()],
            states: [0; 4],
            certificates: 0,
            shadowed,
            passes,
            is_passing: false,
        }
    }

    /// The handle that ends the scan early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.course.stop()
    }

    /// How far the scan is. A target whose record waits for its JARM is not settled.
    pub fn progress(&self) -> Progress {
        let progress = self.course.progress();
        let held = self.passes.as_ref().map_or(0, Passes::held);
        Progress { settled: progress.settled.saturating_sub(held), ..progress }
    }

    /// A copy of the engine's counters, of all passes together.
    pub fn counts(&self) -> Counts {
        let counts = self.course.counts();
        self.passes.as_ref().map_or(counts, |passes| counts.plus(&passes.counts()))
    }

    /// See [`Course::mark`]. It stands still while records wait for their JARM.
    pub fn mark(&self) -> u64 {
        self.passes.as_ref().and_then(Passes::mark).unwrap_or_else(|| self.course.mark())
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

    /// How many addresses were given by several host names, of which the first alone is asked for.
    pub fn shadowed_names(&self) -> u64 {
        self.shadowed
    }

    /// The next record, waiting up to `wait` for it. Targets that give no record do not make it wait longer.
    pub fn next_within(&mut self, wait: Duration) -> Next {
        let begin = std::time::Instant::now();
        loop {
            if self.is_passing {
                return self.next_of_passes(wait);
            }
            let found = match self.course.next_within(wait) {
                Step::Found(found) => found,
                Step::Later => return Next::Later,
                Step::End => match &mut self.passes {
                    Some(passes) if passes.held() > 0 => {
                        passes.guard(self.course.hand_over());
                        self.is_passing = true;
                        continue;
                    }
                    _ => return Next::End,
                },
            };
            let row = self.rows.row(&found, self.course.timestamp(found.at));
            self.note(&row);
            if self.show.shows(&row) {
                match &mut self.passes {
                    Some(passes) if speaks(&row) => passes.hold(row, self.course.mark()),
                    _ => return Next::Record(Record::Tls(Box::new(row))),
                }
            }
            if begin.elapsed() >= wait {
                return Next::Later;
            }
        }
    }

    fn next_of_passes(&mut self, wait: Duration) -> Next {
        let next = self.passes.as_mut().map_or(Next::End, |passes| passes.next_within(wait));
        if matches!(next, Next::End) {
            // Nothing is left of the first pass, but the time of the scan ends now.
            self.course.next_within(Duration::ZERO);
        }
        next
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
        let of_passes = self.passes.as_mut().and_then(Passes::take_failure);
        self.course.take_failure().or(of_passes)
    }

    /// Targets by port state so far, in the order of [`State::ALL`].
    pub fn states(&self) -> [u64; 4] {
        let mut states = self.states;
        states[State::Silent as usize] = self.course.counts().silent;
        states
    }

    /// What the scan has done so far.
    pub fn summary(&self) -> Summary {
        let mut base = self.course.summary(self.states());
        (base.counts, base.progress) = (self.counts(), self.progress());
        if let Some(more) = self.passes.as_ref().and_then(Passes::exceeded) {
            base.exceeded = Some(base.exceeded.map_or(more, |before| before.plus(&more)));
        }
        Summary {
            base,
            outcomes: self.outcomes,
            certificates: self.certificates,
            without_jarm: self.passes.as_ref().map_or(0, Passes::without_jarm),
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
