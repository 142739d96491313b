//! JARM as part of a scan: hosts that spoke TLS are asked ten times more, once all have been asked the first time.
//!
//! ```text
//!  main pass    row of a host that spoke TLS --> held.rs     rows of others: at once
//!  pass 0..9    each host that is held is said one of the ten hellos     question.rs
//!               its answer --> held.rs
//!  after them   rows with their JARM
//! ```
//!
//! In each pass every host is asked once, and at any time all ten hellos are under way, each to a tenth of the hosts, so that
//! no host and no hello has a burst of its own. Passes keep to the rate, the link and the source ports of the scan. A host
//! that was silent in one of them has no fingerprint, and is left alone in those after it.
//!
//! Stopped, it hands out what it holds, with what is known.

mod held;
mod question;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mrpf_engine::{
    cookie::Cookie,
    link::allowance::Allowance,
    port_guard::PortGuard,
    scan::{Failure, Found, Outcome, Stop},
    stats::Counts,
};
use mrpf_records::{Record, TlsOutcome, TlsRecord, TlsStage};
use mrpf_syn::{Course, Next, ScanError, Step};

use self::held::Held;
pub(crate) use self::question::Questions;
use self::question::{Ask, probe_of};
use crate::{
    fingerprint::jarm::{Answer, JarmProbe},
    follow::Connections,
    probe::Told,
};

/// The passes of a scan after its first.
#[derive(Debug)]
pub(crate) struct Passes {
    /// The description of the first pass, without targets.
    base: mrpf_syn::Builder,
    questions: Arc<Questions>,
    places: Cookie,
    connections: Connections,
    stop: Stop,
    held: Held,
    /// The mark of the scan when it held nothing.
    mark: u64,
    /// Which pass is under way, or is next.
    number: usize,
    course: Option<Course<Ask>>,
    guard: Option<PortGuard>,
    /// Of the passes that are over.
    counts: Counts,
    exceeded: Option<Allowance>,
    without_jarm: u64,
    failure: Option<Failure>,
}

/// Whether a host speaks TLS, as far as its row tells.
pub(crate) fn speaks(row: &TlsRecord) -> bool {
    matches!(row.outcome, TlsOutcome::Ok | TlsOutcome::Alert) || row.stage >= TlsStage::ServerHello
}

impl Passes {
    pub(crate) fn new(
        base: mrpf_syn::Builder,
        questions: Questions,
        places: Cookie,
        connections: Connections,
        stop: Stop,
    ) -> Self {
        Self {
            base,
            questions: Arc::new(questions),
            places,
            connections,
            stop,
            held: Held::default(),
            mark: 0,
            number: 0,
            course: None,
            guard: None,
            counts: Counts::default(),
            exceeded: None,
            without_jarm: 0,
            failure: None,
        }
    }

    /// Keeps the row of a host until its JARM is known; `mark` is that of the scan when the row was not handed out.
    pub(crate) fn hold(&mut self, row: TlsRecord, mark: u64) {
        if self.held.is_empty() {
            self.mark = mark;
        }
        self.held.push(row);
    }

    /// How many rows are held.
    pub(crate) fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// Where the scan stands while rows are held.
    pub(crate) fn mark(&self) -> Option<u64> {
        (!self.held.is_empty()).then_some(self.mark)
    }

    /// What was sent and received in passes. Targets that never answered are not among it: they have been counted before.
    pub(crate) fn counts(&self) -> Counts {
        let counts = match &self.course {
            Some(course) => self.counts.plus(&course.counts()),
            None => self.counts,
        };
        Counts { silent: 0, no_neighbour: 0, ..counts }
    }

    /// What the network exceeded in passes that are over.
    pub(crate) fn exceeded(&self) -> Option<Allowance> {
        self.exceeded
    }

    /// Rows that were handed out without a fingerprint.
    pub(crate) fn without_jarm(&self) -> u64 {
        self.without_jarm
    }

    /// What ended a pass early; told once.
    pub(crate) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Takes over the source ports of the pass before.
    pub(crate) fn guard(&mut self, guard: Option<PortGuard>) {
        self.guard = guard;
    }

    /// The next row with its JARM, once the first pass is over.
    pub(crate) fn next_within(&mut self, wait: Duration) -> Next {
        let begin = Instant::now();
        loop {
            if let Some(course) = &mut self.course {
                match course.next_within(wait) {
                    Step::Found(found) => self.learn(&found),
                    Step::Later => return Next::Later,
                    Step::End => self.end(),
                }
            } else if self.stop.is_stopped() || self.number == JarmProbe::COUNT {
                return self.hand_out();
            } else {
                self.begin();
            }
            if begin.elapsed() >= wait {
                return Next::Later;
            }
        }
    }

    fn hand_out(&mut self) -> Next {
        let Some(row) = self.held.pop() else { return Next::End };
        self.without_jarm += u64::from(row.jarm.is_none());
        Next::Record(Record::Tls(row))
    }

    fn begin(&mut self) {
        let targets = self.held.targets();
        if targets.is_empty() {
            self.number = JarmProbe::COUNT;
            return;
        }
        let mut ask = Ask {
            questions: Arc::clone(&self.questions),
            pass: self.number,
            places: self.places.clone(),
            connections: self.connections,
        };
        // These have been allowed, and are no others.
        let mut pass = self.base.pass(1 + self.number as u64).target(targets).allow_reserved(true);
        if let Some(guard) = self.guard.take() {
            pass = pass.port_guard(guard);
        }
        match pass.build_with(&mut ask) {
            Ok(course) => self.course = Some(course),
            Err(error) => {
                self.stop.stop();
                self.failure = Some(match error {
                    ScanError::Failure(failure) => failure,
                    ScanError::Link(error) => Failure::Link(error),
                    other => Failure::Pass(Box::new(other)),
                });
            }
        }
    }

    fn learn(&mut self, found: &Found<Told<Answer>>) {
        let answer = match &found.outcome {
            Outcome::Reply(Told::Talk(answer)) => answer.clone(),
            Outcome::Silent => Answer::TIMED_OUT,
            Outcome::Reply(Told::Answer(_)) | Outcome::NoNeighbour => Answer::FAILED,
        };
        self.held.note(found.target, probe_of(found.target, self.number), answer);
    }

    fn end(&mut self) {
        let Some(mut course) = self.course.take() else { return };
        self.counts = self.counts.plus(&course.counts());
        let exceeded = course.summary([0; 4]).exceeded;
        self.exceeded = match (self.exceeded, exceeded) {
            (Some(before), Some(now)) => Some(before.plus(&now)),
            (before, now) => before.or(now),
        };
        self.failure = self.failure.take().or_else(|| course.take_failure());
        self.guard = course.hand_over();
        if !self.stop.is_stopped() {
            let pass = self.number;
            self.held.note_silence(|target| probe_of(target, pass));
        }
        self.number += 1;
    }
}
