//! A running scan and what remains of it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use mrpf_engine::{
    governor::Rate,
    link::allowance::Allowance,
    link::interface::{Counters as InterfaceCounters, Interface},
    port_guard::PortGuard,
    scan::{Failure, Found, Progress, Running, Shared, Simulated, Stop},
    stats::Counts,
    target::Excluded,
    time::{Clock, Instant},
};
use mrpf_records::{HostRecord, Record, State};

use crate::{
    build::{Builder, Show},
    noise::{Judgement, Noise},
    probe::SynProbe,
    record::{record, timestamp},
    reply::Reply,
};

/// A SYN scan under way: an iterator over its records.
///
/// Records come in the order of their answers. A consumer that is slow makes the scan wait. Dropped, it stops.
#[derive(Debug)]
pub struct Scan {
    drive: Drive,
    found: Receiver<Found<Reply>>,
    show: Show,
    noise: Noise,
    /// A host record goes before the record that made it.
    pending: VecDeque<Record>,
    /// The wall-clock time of the engine's zero.
    start: SystemTime,
    failure: Option<Failure>,
    ended: Option<Instant>,
    mark: Mark,
    states: [u64; 4],
    noisy_hosts: u64,
    facts: Facts,
}

#[derive(Debug)]
enum Drive {
    Threads { running: Option<Running<SynProbe>>, shared: Arc<Shared<SynProbe>>, clock: Clock },
    Simulated(Box<Simulated<SynProbe>>),
}

/// How far the records that were handed out are complete. What lies below `next` was in the queue when that held `queued`
/// results: once these are taken, it is reached.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    reached: u64,
    next: u64,
    queued: usize,
}

/// What is known before the first probe and wanted in the summary.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) link: &'static str,
    pub(crate) interface: Option<(Interface, InterfaceCounters)>,
    /// Held until the scan is gone: the kernel stays silent for as long.
    pub(crate) guard: Option<PortGuard>,
    pub(crate) excluded: Excluded,
    pub(crate) hosts: u128,
    /// Probed of each host, pairs aside.
    pub(crate) ports: u32,
    pub(crate) seed: u64,
    /// When the first probe could leave.
    pub(crate) began: Instant,
    pub(crate) source_ports: (u16, u16),
}

/// What a scan has done, for people and for programs.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Every counter of the engine.
    pub counts: Counts,
    /// Targets in all, started and settled.
    pub progress: Progress,
    /// How many threads sent, and how many received.
    pub threads: u8,
    /// Records by state, in the order of [`State::ALL`], whether they were shown or not.
    pub states: [u64; 4],
    /// Hosts that answer on nearly every port.
    pub noisy_hosts: u64,
    /// The rate in force.
    pub rate: Rate,
    /// From the first probe to the end.
    pub elapsed: Duration,
    /// `packet` or `sim`.
    pub link: &'static str,
    /// The interface and how much its counters grew during the scan.
    pub interface: Option<(String, InterfaceCounters)>,
    /// What the network behind the interface exceeded in that time, where its driver tells.
    pub exceeded: Option<Allowance>,
    /// Addresses that were left out, and why.
    pub excluded: Excluded,
    /// Distinct addresses of the scan.
    pub hosts: u128,
    /// The seed of the order; the same seed, targets and shard give the same order again.
    pub seed: u64,
    /// First and last source port.
    pub source_ports: (u16, u16),
    /// The scan was ended before its time.
    pub was_stopped: bool,
}

/// Losses above this share make a scan incomplete.
const MOST_LOSS: f64 = 0.001;

impl Summary {
    /// Whether every target has an outcome and next to nothing was lost on this machine.
    pub fn is_complete(&self) -> bool {
        !self.was_stopped
            && self.progress.settled >= self.progress.total
            && self.counts.refused == 0
            && self.counts.loss() <= MOST_LOSS
    }

    /// Targets by state.
    pub fn count(&self, state: State) -> u64 {
        self.states[state as usize]
    }
}

impl Scan {
    /// Describes a scan.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn on_threads(
        running: Running<SynProbe>,
        shared: Arc<Shared<SynProbe>>,
        clock: Clock,
        found: Receiver<Found<Reply>>,
        show: Show,
        facts: Facts,
    ) -> Self {
        let start = clock.start_wall();
        Self::new(
            Drive::Threads { running: Some(running), shared, clock },
            found,
            show,
            start,
            facts,
        )
    }

    pub(crate) fn simulated(
        simulated: Simulated<SynProbe>,
        found: Receiver<Found<Reply>>,
        show: Show,
        facts: Facts,
    ) -> Self {
        Self::new(Drive::Simulated(Box::new(simulated)), found, show, SystemTime::UNIX_EPOCH, facts)
    }

    fn new(
        drive: Drive,
        found: Receiver<Found<Reply>>,
        show: Show,
        start: SystemTime,
        facts: Facts,
    ) -> Self {
        Self {
            drive,
            found,
            show,
            noise: Noise::new(facts.ports),
            pending: VecDeque::new(),
            start,
            failure: None,
            ended: None,
            mark: Mark::default(),
            states: [0; 4],
            noisy_hosts: 0,
            facts,
        }
    }

    /// The handle that ends the scan early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.shared().stop()
    }

    /// How far the scan is.
    pub fn progress(&self) -> Progress {
        self.shared().progress()
    }

    /// A copy of the engine's counters.
    pub fn counts(&self) -> Counts {
        self.shared().counts()
    }

    /// Records by state so far, in the order of [`State::ALL`]; silence is counted by [`Self::counts`].
    pub fn states(&self) -> [u64; 4] {
        let mut states = self.states;
        states[State::Silent as usize] = self.shared().counts().silent;
        states
    }

    /// A number of the shard's order below which every target is final and its record, if it gives one, has been handed out.
    /// It never decreases, and a scan that [starts at](Builder::start_at) it leaves nothing out.
    pub fn mark(&self) -> u64 {
        self.mark.reached
    }

    /// A number that tells scans of different targets, ports, seeds or shards apart: a mark means something to scans with the
    /// same number alone.
    pub fn fingerprint(&self) -> u64 {
        self.shared().walk().fingerprint()
    }

    /// How many threads send, and how many receive.
    pub fn threads(&self) -> u8 {
        self.shared().threads()
    }

    /// The rate in force.
    pub fn rate(&self) -> Rate {
        self.shared().rate()
    }

    /// What exclusions and the scope removed.
    pub fn excluded(&self) -> Excluded {
        self.facts.excluded
    }

    /// The next record, waiting up to `wait` for it: for a consumer that has something else to do in between. Answers that
    /// give no record do not make it wait longer.
    pub fn next_within(&mut self, wait: Duration) -> Next {
        let begin = std::time::Instant::now();
        loop {
            if let Some(record) = self.pending.pop_front() {
                return Next::Record(record);
            }
            self.move_mark();
            match self.next_found(wait) {
                Step::Found(found) => {
                    self.mark.queued = self.mark.queued.saturating_sub(1);
                    self.note(&found);
                }
                Step::Later => return Next::Later,
                Step::End => {
                    // The queue is empty, and nobody fills it any more.
                    self.mark.reached = self.mark.reached.max(self.shared().mark());
                    self.ended = self.ended.or_else(|| Some(self.now()));
                    return Next::End;
                }
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
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(self.summary()),
        }
    }

    /// What ended the scan early, if something did; asked once, after the last record.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// What the scan has done so far.
    pub fn summary(&self) -> Summary {
        let shared = self.shared();
        let interface = self.facts.interface.as_ref().and_then(|(interface, before)| {
            let growth = interface.counters().ok()?.since(before);
            Some((interface.name().to_owned(), growth))
        });
        Summary {
            counts: shared.counts(),
            progress: shared.progress(),
            threads: shared.threads(),
            states: self.states(),
            noisy_hosts: self.noisy_hosts,
            rate: shared.rate(),
            elapsed: self.ended.unwrap_or_else(|| self.now()).since(self.facts.began),
            link: self.facts.link,
            interface,
            exceeded: shared.exceeded(),
            excluded: self.facts.excluded,
            hosts: self.facts.hosts,
            seed: self.facts.seed,
            source_ports: self.facts.source_ports,
            was_stopped: shared.stop().is_stopped(),
        }
    }

    /// Everything that was handed out so far may be final: see [`Mark`].
    fn move_mark(&mut self) {
        if self.mark.queued == 0 {
            self.mark.reached = self.mark.reached.max(self.mark.next);
            // In this order: what lies below the number was queued before the queue is measured.
            let next = self.shared().mark();
            self.mark = Mark { next, queued: self.found.len(), ..self.mark };
        }
    }

    fn now(&self) -> Instant {
        match &self.drive {
            Drive::Threads { clock, .. } => clock.now(),
            Drive::Simulated(simulated) => simulated.now(),
        }
    }

    fn shared(&self) -> &Shared<SynProbe> {
        match &self.drive {
            Drive::Threads { shared, .. } => shared,
            Drive::Simulated(simulated) => simulated.shared(),
        }
    }

    fn next_found(&mut self, wait: Duration) -> Step {
        match &mut self.drive {
            Drive::Threads { running, .. } => match self.found.recv_timeout(wait) {
                Ok(found) => Step::Found(found),
                Err(RecvTimeoutError::Timeout)
                    if running.as_ref().is_some_and(|r| !r.is_finished()) =>
                {
                    Step::Later
                }
                // Both threads have ended, so what is in the queue now is all there will be.
                Err(_) => match self.found.try_recv() {
                    Ok(found) => Step::Found(found),
                    Err(_) => {
                        if let Some(Err(failure)) = running.take().map(Running::join) {
                            self.failure = Some(failure);
                        }
                        Step::End
                    }
                },
            },
            Drive::Simulated(simulated) => loop {
                if let Ok(found) = self.found.try_recv() {
                    return Step::Found(found);
                }
                match simulated.step() {
                    Ok(true) => {}
                    Ok(false) => return self.found.try_recv().map_or(Step::End, Step::Found),
                    Err(error) => {
                        if self.failure.is_none() && !simulated.shared().stop().is_stopped() {
                            self.failure = Some(Failure::Link(error));
                            simulated.shared().stop().stop();
                        }
                        return self.found.try_recv().map_or(Step::End, Step::Found);
                    }
                }
            },
        }
    }

    /// Counts what was found and makes the records that are to be shown.
    fn note(&mut self, found: &Found<Reply>) {
        let host = found.target.addr;
        let mut record = record(found, self.start);
        self.states[record.state as usize] += 1;
        if record.state != State::Open {
            self.noise.other(host);
        } else {
            // Of what an earlier run has asked nothing is known.
            let (progress, start) = (self.shared().progress(), self.shared().walk().start());
            let share = (progress.started - start) as f64 / progress.total.max(1) as f64;
            if self.noise.open(host, share) == Judgement::New {
                self.noisy_hosts += 1;
                if self.show.any() {
                    let ts = timestamp(found.at, self.start);
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

enum Step {
    Found(Found<Reply>),
    Later,
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
