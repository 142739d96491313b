//! A scan under way, whatever it makes of its answers.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use mrpf_engine::{
    governor::Rate,
    link::{allowance::Allowance, interface::Counters as InterfaceCounters, xdp::Choice},
    port_guard::PortGuard,
    probe::Probe,
    scan::{Failure, Found, Progress, Running, Shared, Simulated, Stop},
    stats::Counts,
    target::Excluded,
    time::{Clock, Instant},
};
use mrpf_records::{State, Timestamp};

use crate::{follow::Follow, opened::Holding};

/// A scan of targets by the probe of a [`Follow`], and of those who answer by what it makes of them: where its results come
/// from, and what it has done. Dropped, it stops.
#[derive(Debug)]
pub struct Course<F: Follow> {
    drive: Drive<F>,
    found: Receiver<Found<<F::Probe as Probe>::Reply>>,
    /// The wall-clock time of the engine's zero.
    start: SystemTime,
    failure: Option<Failure>,
    ended: Option<Instant>,
    mark: Mark,
    facts: Facts,
}

#[derive(Debug)]
enum Drive<F: Follow> {
    Threads { running: Option<Running<F::Probe>>, shared: Arc<Shared<F::Probe>>, clock: Clock },
    Simulated(Box<Simulated<F::Probe, F::Listener>>),
}

/// How far the results that were handed out are complete. What lies below `next` was in the queue when that held `queued`
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
    /// Its halves, and why they are these.
    pub(crate) choice: Option<Choice>,
    /// Of a scan on a real interface.
    pub(crate) holding: Option<Holding>,
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
    /// Hosts that answer on nearly every port; `None` where nobody looked.
    pub noisy_hosts: Option<u64>,
    /// The rate in force.
    pub rate: Rate,
    /// From the first probe to the end.
    pub elapsed: Duration,
    /// `packet`, `xdp` or `sim`.
    pub link: &'static str,
    /// Its halves, and why they are these; `None` for a simulated one.
    pub choice: Option<Choice>,
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

/// See [`Course::next_within`].
#[derive(Debug)]
pub enum Step<R> {
    /// What became of a target.
    Found(Found<R>),
    /// Nothing yet.
    Later,
    /// No more will come.
    End,
}

impl<F: Follow> Course<F> {
    pub(crate) fn on_threads(
        running: Running<F::Probe>,
        shared: Arc<Shared<F::Probe>>,
        clock: Clock,
        found: Receiver<Found<<F::Probe as Probe>::Reply>>,
        facts: Facts,
    ) -> Self {
        let start = clock.start_wall();
        Self::new(Drive::Threads { running: Some(running), shared, clock }, found, start, facts)
    }

    pub(crate) fn simulated(
        simulated: Simulated<F::Probe, F::Listener>,
        found: Receiver<Found<<F::Probe as Probe>::Reply>>,
        facts: Facts,
    ) -> Self {
        Self::new(Drive::Simulated(Box::new(simulated)), found, SystemTime::UNIX_EPOCH, facts)
    }

    fn new(
        drive: Drive<F>,
        found: Receiver<Found<<F::Probe as Probe>::Reply>>,
        start: SystemTime,
        facts: Facts,
    ) -> Self {
        let mark = Mark::default();
        Self { drive, found, start, failure: None, ended: None, mark, facts }
    }

    /// The next result, waiting up to `wait` for it.
    pub fn next_within(&mut self, wait: Duration) -> Step<<F::Probe as Probe>::Reply> {
        self.move_mark();
        let step = self.next_found(wait);
        match &step {
            Step::Found(_) => self.mark.queued = self.mark.queued.saturating_sub(1),
            Step::Later => {}
            Step::End => {
                // The queue is empty, and nobody fills it any more.
                self.mark.reached = self.mark.reached.max(self.shared().mark());
                self.ended = self.ended.or_else(|| Some(self.now()));
            }
        }
        step
    }

    /// Gives away the source ports of a scan that is over, so that [another pass](crate::Builder::port_guard) goes on with
    /// them; `None` where the kernel has no say. The time of the scan goes on until [`next_within`](Self::next_within) says the
    /// end once more.
    pub fn hand_over(&mut self) -> Option<PortGuard> {
        self.ended = None;
        self.facts.holding.as_mut()?.give_ports()
    }

    /// The handle that ends the scan early, from any thread. What was found until then still comes.
    pub fn stop(&self) -> Stop {
        self.shared().stop()
    }

    /// How far the scan is.
    pub fn progress(&self) -> Progress {
        self.shared().progress()
    }

    /// The number of the order at which it began.
    pub fn began_at(&self) -> u64 {
        self.shared().walk().start()
    }

    /// A copy of the engine's counters.
    pub fn counts(&self) -> Counts {
        self.shared().counts()
    }

    /// A number of the shard's order below which every target is final and its result, if it gives one, has been handed out.
    /// It never decreases, and a scan that [starts at](crate::Builder::start_at) it leaves nothing out.
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

    /// What ended the scan early, if something did; asked once, after the last result.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// The wall-clock time of a moment of this scan.
    pub fn timestamp(&self, at: Instant) -> Timestamp {
        Timestamp::from(self.start + Duration::from_nanos(at.as_nanos()))
    }

    /// Whether what answers say comes as results; else it is counted alone.
    pub(crate) fn tells(&self) -> bool {
        self.shared().tells()
    }

    pub(crate) fn ports(&self) -> u32 {
        self.facts.ports
    }

    /// What the scan has done so far, of which `states` are the results by state, in the order of [`State::ALL`].
    pub fn summary(&self, states: [u64; 4]) -> Summary {
        let shared = self.shared();
        let interface = self.facts.holding.as_ref().and_then(Holding::growth);
        Summary {
            counts: shared.counts(),
            progress: shared.progress(),
            threads: shared.threads(),
            states,
            noisy_hosts: None,
            rate: shared.rate(),
            elapsed: self.ended.unwrap_or_else(|| self.now()).since(self.facts.began),
            link: self.facts.link,
            choice: self.facts.choice.clone(),
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

    fn shared(&self) -> &Shared<F::Probe> {
        match &self.drive {
            Drive::Threads { shared, .. } => shared,
            Drive::Simulated(simulated) => simulated.shared(),
        }
    }

    fn next_found(&mut self, wait: Duration) -> Step<<F::Probe as Probe>::Reply> {
        match &mut self.drive {
            // Nothing comes once the end was told.
            Drive::Threads { running: None, .. } => Step::End,
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
}
