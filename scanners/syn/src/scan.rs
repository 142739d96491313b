//! A running SYN scan: from what was found to records.

use std::{collections::VecDeque, time::Duration};

use mrpf_engine::{
    governor::Rate,
    scan::{Failure, Found, Progress, Stop},
    stats::Counts,
    target::Excluded,
};
use mrpf_records::{HostRecord, Record, State};

use crate::{
    build::{Builder, Show},
    course::{Course, Step, Summary},
    follow::Close,
    noise::{Judgement, Noise},
    record::record,
    reply::Reply,
};

/// A SYN scan under way: an iterator over its records.
///
/// Records come in the order of their answers. A consumer that is slow makes the scan wait. Dropped, it stops.
#[derive(Debug)]
pub struct Scan {
    course: Course<Close>,
    show: Show,
    noise: Noise,
    /// A host record goes before the record that made it.
    pending: VecDeque<Record>,
    states: [u64; 4],
    noisy_hosts: u64,
}

impl Scan {
    /// Describes a scan.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(course: Course<Close>, show: Show) -> Self {
        Self {
            noise: Noise::new(course.ports()),
            course,
            show,
            pending: VecDeque::new(),
            states: [0; 4],
            noisy_hosts: 0,
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

    /// Records by state so far, in the order of [`State::ALL`]; silence is counted by [`Self::counts`].
    pub fn states(&self) -> [u64; 4] {
        let (mut states, counts) = (self.states, self.course.counts());
        for (state, untold) in states.iter_mut().zip(counts.answered_by_kind) {
            *state += untold;
        }
        states[State::Silent as usize] = counts.silent;
        states
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

    /// The next record, waiting up to `wait` for it: for a consumer that has something else to do in between. Answers that
    /// give no record do not make it wait longer.
    pub fn next_within(&mut self, wait: Duration) -> Next {
        let begin = std::time::Instant::now();
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Next::Record(record);
            }
            match self.course.next_within(wait) {
                Step::Found(found) => self.note(&found),
                Step::Later => return Next::Later,
                Step::End => return Next::End,
            }
            if self.pending.is_empty() && begin.elapsed() >= wait {
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

    /// What the scan has done so far.
    pub fn summary(&self) -> Summary {
        let noisy_hosts = self.course.tells().then_some(self.noisy_hosts);
        Summary { noisy_hosts, ..self.course.summary(self.states()) }
    }

    /// Counts what was found and makes the records that are to be shown.
    fn note(&mut self, found: &Found<Reply>) {
        let host = found.target.addr;
        let ts = self.course.timestamp(found.at);
        let mut record = record(found, ts);
        self.states[record.state as usize] += 1;
        if record.state != State::Open {
            self.noise.other(host);
        } else {
            // Of what an earlier run has asked nothing is known.
            let (progress, start) = (self.course.progress(), self.course.began_at());
            let share = (progress.started - start) as f64 / progress.total.max(1) as f64;
            if self.noise.open(host, share) == Judgement::New {
                self.noisy_hosts += 1;
                if self.show.any() {
                    self.pending.push_back(Record::Host(HostRecord { ts, ip: host, noise: true }));
                }
            }
        }
        if self.show.shows(record.state) {
            record.noise = self.noise.is_noise(host).then_some(true);
            self.pending.push_back(Record::Syn(record));
        }
    }
}

/// See [`Scan::next_within`].
#[derive(Clone, Debug)]
pub enum Next {
    /// A record.
    Record(Record),
    /// None yet.
    Later,
    /// No more will come.
    End,
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
