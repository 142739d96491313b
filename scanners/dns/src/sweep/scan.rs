//! A running sweep and what remains of it.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, time::Duration};

use mrpf_engine::{
    governor::Rate,
    scan::{Failure, Found, Outcome as Fate, Progress, Stop},
    stats::Counts,
    target::Excluded,
};
use mrpf_records::{DnsRecord, Record, State};
use mrpf_syn::{Course, Next, Step, Summary as Base};

use super::{Asked, Builder, Reply, Show, build::Ask};
use crate::{
    lookup::{End, Outcome, Protocol},
    row::Rows,
};

/// A sweep under way: an iterator over its records, one a target.
///
/// Records come in the order of their answers. A consumer that is slow makes the sweep wait. Dropped, it stops.
#[derive(Debug)]
pub struct Sweep {
    course: Course<Ask>,
    asked: Asked,
    show: Show,
    rows: Rows,
    /// By port state, as a SYN scan would say.
    states: [u64; 4],
    statuses: BTreeMap<Cow<'static, str>, u64>,
    bare: u64,
}

/// What a sweep has done, for people and for programs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What every scan has done; a target that answered is open.
    pub base: Base,
    /// Targets that answered by the [status](DnsRecord::status) of their records, whether they gave some or not.
    pub statuses: BTreeMap<Cow<'static, str>, u64>,
    /// Of them, those that refused without repeating the question.
    pub without_question: u64,
}

impl Sweep {
    /// Describes a sweep of `targets`, at the rate and on the link that it says.
    pub fn builder(targets: mrpf_syn::Builder) -> Builder {
        Builder::new(targets)
    }

    pub(super) fn new(course: Course<Ask>, asked: Asked, show: Show, rows: Rows) -> Self {
        let (states, statuses) = ([0; 4], BTreeMap::new());
        Self { course, asked, show, rows, states, statuses, bare: 0 }
    }

    /// The handle that ends the sweep early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.course.stop()
    }

    /// How far the sweep is.
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
            match self.course.next_within(wait) {
                Step::Found(found) => {
                    if let Some(record) = self.note(&found) {
                        return Next::Record(Record::Dns(record));
                    }
                }
                Step::Later => return Next::Later,
                Step::End => return Next::End,
            }
            if begin.elapsed() >= wait {
                return Next::Later;
            }
        }
    }

    /// Waits for the end, without the records that are left, and says what the sweep has done.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the link went away in mid-sweep; [`Self::summary`] tells how far it came.
    pub fn finish(mut self) -> Result<Summary, Failure> {
        while !matches!(self.next_within(Duration::from_secs(1)), Next::End) {}
        match self.take_failure() {
            Some(failure) => Err(failure),
            None => Ok(self.summary()),
        }
    }

    /// What ended the sweep early, if something did; asked once, after the last record.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.course.take_failure()
    }

    /// What the sweep has done so far.
    pub fn summary(&self) -> Summary {
        let mut states = self.states;
        states[State::Silent as usize] = self.course.counts().silent;
        Summary {
            base: self.course.summary(states),
            statuses: self.statuses.clone(),
            without_question: self.bare,
        }
    }

    /// Counts what was found and makes its record, if it is to be shown.
    fn note(&mut self, found: &Found<Reply>) -> Option<Box<DnsRecord>> {
        let (outcome, message, is_shown): (_, &[u8], _) = match &found.outcome {
            Fate::Reply(Reply::Answer(octets) | Reply::Bare(octets)) => {
                (Outcome::Message, octets, self.show.answered)
            }
            Fate::Reply(Reply::Unreachable) | Fate::NoNeighbour => {
                (Outcome::Unreachable, &[], self.show.unreachable)
            }
            Fate::Silent => (Outcome::Timeout, &[], self.show.silent),
        };
        self.bare += u64::from(matches!(found.outcome, Fate::Reply(Reply::Bare(_))));
        let end = End {
            number: 0,
            name: self.asked.name.as_wire(),
            qtype: self.asked.qtype,
            qclass: self.asked.qclass,
            outcome,
            resolver: Some(SocketAddr::new(found.target.addr, found.target.port)),
            protocol: Protocol::Udp,
            attempts: found.attempts,
            rtt: found.rtt,
            at: found.at,
            wildcard: None,
            message,
        };
        let record = self.rows.row(&end, self.course.timestamp(found.at));
        match outcome {
            Outcome::Message => {
                self.states[State::Open as usize] += 1;
                *self.statuses.entry(record.status.clone()).or_default() += 1;
            }
            Outcome::Unreachable => self.states[State::Unreachable as usize] += 1,
            _ => {} // silence is counted by the engine
        }
        is_shown.then_some(record)
    }
}

impl Iterator for Sweep {
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
