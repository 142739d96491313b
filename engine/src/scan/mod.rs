//! The loop that joins the parts.
//!
//! ```text
//!   Sender::poll(now, tx)                          Receiver::handle(frame)
//!   retries due, then new targets                  parse, validate, target -> number
//!   a token of the governor each                   first answer? -> Found into the queue
//!   frames patched in the slots of the link        SYN-ACK? -> closing frame owed
//!   one send per batch                             Receiver::poll_transmit(now, tx) sends those
//!            \                                        /
//!             '------ Shared: atomics only ----------'
//! ```
//!
//! Both halves take `now` and a link as arguments and never wait, so the same code runs on threads over a real link
//! ([`Running`]) and on one under virtual time ([`Simulated`]).
//!
//! The half that reads is a [`Listener`]. For a [`Receiver`] the first answer is all there is to know; a [`Talker`] opens a
//! [connection](crate::tcp) for each first SYN-ACK and lets a [`Dialogue`] say what is said on it. A listener that asks by itself
//! needs no sender and no list of targets: [`Listening`] and [`Stepped`] drive such ones, which share a [`Session`].
//!
//! # Threads
//!
//! There may be several of each half. A sender claims blocks of targets and does all attempts on them; the kernel deals answers
//! out to the receivers, and each sends the closing frames of the answers that it saw. They share the governor, the window of
//! what was sent and answered, and the counters. There is no lock.
//!
//! # Going on where a scan was interrupted
//!
//! [`Shared::mark`] is a number below which all is final and found, so a [`Walk::starting_at`] it leaves nothing out. What
//! is probed a second time then is at most what was sent within the [window](Settings::window) before.
//!
//! # What holds
//!
//! - A target is probed at most `1 + retries` times, and exactly so often if it never answers.
//! - Two probes of a target are at least [`Settings::spacing`] apart, whatever the size of the scan.
//! - No probe of a target leaves after its first valid answer was taken from the link.
//! - One [`Found`] a target at most; a target that never answered gives one only if silence was asked for.
//! - Neither a sender nor a [`Receiver`] allocates after its first call; a [`Talker`] does for results that find no room.

mod adapt;
mod dialogue;
mod ending;
mod intake;
mod lane;
mod listener;
mod listening;
mod receiver;
mod run;
mod sender;
mod session;
mod simulated;
mod tails;
mod talker;
mod threads;
mod watch;

use std::{
    num::NonZeroU64,
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed},
        },
    },
    time::Duration,
};

use crossbeam_channel as channel;
use crossbeam_utils::CachePadded;

pub use self::{
    dialogue::{Dialogue, Turn},
    listener::Listener,
    listening::Listening,
    receiver::Receiver,
    run::{Failure, Running},
    sender::{Next, Sender},
    session::Session,
    simulated::{Simulated, Stepped},
    talker::Talker,
};
use crate::{
    answered::{Answered, Grouping, MAX_BLOCK, MAX_LANES, MAX_RETRIES, Plan},
    governor::Rate,
    link::{LinkLayer, MAX_BATCH, allowance::Allowance},
    neighbour::{ArpCounts, NextHops},
    probe::Probe,
    stats::{Counters, Counts},
    target::{Target, Walk},
    time::Instant,
};

/// How a scan is paced and when it ends.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// All frames together.
    pub rate: Rate,
    /// Most probes a second for one host, on average over the hosts: the permutation spreads them.
    pub host_rate: NonZeroU64,
    /// Further attempts after the first, at most [`MAX_RETRIES`].
    pub retries: u8,
    /// Least time between two attempts on one target.
    pub spacing: Duration,
    /// How long answers are still taken after the last attempt on a target.
    pub cooldown: Duration,
    /// Whether a connection that an answer opened is closed by a frame of ours.
    pub close: bool,
    /// Whether targets that never answered are found too.
    pub silent: bool,
    /// Whether what answers say is put into the queue. Without it they are counted by [kind](Probe::kind) and that is all, which
    /// takes a fraction of the time.
    pub tell: bool,
    /// What the link can send at most, in frames a second: the size of the ring under [`Rate::Max`].
    pub link_rate: u64,
    /// How many senders, and how many receivers, 1 to [`MAX_LANES`].
    pub threads: u8,
}

impl Default for Settings {
    /// The defaults of the command line: 10 k/s, 2 retries 1 s apart, 8 s of cooldown.
    fn default() -> Self {
        Self {
            rate: Rate::PerSecond(NonZeroU64::new(10_000).expect("not zero")),
            host_rate: NonZeroU64::new(1_000).expect("not zero"),
            retries: 2,
            spacing: Duration::from_secs(1),
            cooldown: Duration::from_secs(8),
            close: true,
            silent: false,
            tell: true,
            link_rate: 4_000_000,
            threads: 1,
        }
    }
}

/// Longest window of the answered ring, whose times wrap after 71 minutes.
const MAX_WINDOW: Duration = Duration::from_secs(3600);
/// Above this rate, send times are kept per block: see [`crate::answered`].
const SINGLE_TIMES_UPTO: u64 = 100_000;

impl Settings {
    /// The rate in force for `hosts` hosts: the lower of the rate and the hosts' limits together.
    pub fn effective_rate(&self, hosts: u128) -> Rate {
        let limit = u64::try_from(hosts.saturating_mul(u128::from(self.host_rate.get())))
            .unwrap_or(u64::MAX);
        match (self.rate, NonZeroU64::new(limit)) {
            (rate, None) => rate,
            (Rate::Max, Some(limit)) if limit.get() >= self.link_rate => Rate::Max,
            (rate, Some(limit)) => rate.capped(limit),
        }
    }

    /// How long a target stays in the ring.
    pub fn window(&self) -> Duration {
        self.spacing.saturating_mul(u32::from(self.retries)).saturating_add(self.cooldown)
    }

    /// How many senders and receivers there are at `rate`: below a thousand frames a second more than one would only put the
    /// order out.
    pub fn threads_at(&self, rate: Rate) -> u8 {
        match rate.per_second() {
            Some(rate) if rate.get() < 1_000 => 1,
            _ => self.threads,
        }
    }

    /// How many senders and receivers there are in force for `hosts` hosts.
    pub fn effective_threads(&self, hosts: u128) -> u8 {
        self.threads_at(self.effective_rate(hosts))
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.retries > MAX_RETRIES {
            return Err(SettingsError::Retries(self.retries));
        }
        if !(1..=MAX_LANES).contains(&self.threads) {
            return Err(SettingsError::Threads(self.threads));
        }
        if self.window() > MAX_WINDOW {
            return Err(SettingsError::Window(self.window()));
        }
        Ok(())
    }
}

/// Settings that cannot be met.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Too many retries.
    #[error("{0} retries are too many: the source ports can be told apart for {MAX_RETRIES}")]
    Retries(u8),
    /// No threads, or too many.
    #[error("{0} threads: give 1 to {MAX_LANES}")]
    Threads(u8),
    /// There is not the memory to remember all targets that may still answer.
    #[error(
        "there is no memory for the {0} targets that could be waiting for an answer: lower --rate, --cooldown or --retries"
    )]
    Memory(u64),
    /// Retries and cooldown last too long.
    #[error(
        "retries and cooldown take {0:?} a target, and answers can be told apart for an hour: lower --cooldown or --retries"
    )]
    Window(Duration),
}

/// What became of one target.
#[derive(Clone, Copy, Debug)]
pub struct Found<R> {
    /// Which.
    pub target: Target,
    /// When it was known.
    pub at: Instant,
    /// What.
    pub outcome: Outcome<R>,
    /// Which attempt was answered, from 1; for silence, how many were made.
    pub attempts: u8,
    /// From the probe to its answer; `None` when a later probe had left before the answer came, and without an answer. Exact to
    /// the time that one batch takes to leave: 64 probes, some 100 us, or half a millisecond's worth at low rates.
    pub rtt: Option<Duration>,
}

/// See [`Found`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome<R> {
    /// It answered.
    Reply(R),
    /// It did not, and the cooldown of its last attempt is over.
    Silent,
    /// It is on our link and nobody answers ARP for it: nothing was sent.
    NoNeighbour,
}

/// What the two halves of a scan share.
#[derive(Debug)]
pub struct Shared<P: Probe> {
    pub(crate) probe: P,
    pub(crate) walk: Walk,
    pub(crate) session: Session,
    pub(crate) settings: Settings,
    pub(crate) answered: Answered,
    /// The tail of the window when each receiver had last dealt with all that it took; the highest number without a receiver.
    pub(crate) rested: Box<[CachePadded<AtomicU64>]>,
    /// How many listeners have little room for more connections.
    full: CachePadded<AtomicU32>,
    /// How many targets may have been asked before each listener has come round again; all, where it does not talk.
    credits: Box<[CachePadded<AtomicU64>]>,
    pub(crate) queue: channel::Sender<Found<P::Reply>>,
}

impl<P: Probe> Shared<P> {
    /// Joins the parts of one scan; also gives the queue on which what it finds arrives.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] when the settings contradict what the engine can tell apart.
    #[expect(clippy::type_complexity, reason = "two handles, named where they are taken")]
    pub fn new(
        probe: P,
        walk: Walk,
        next_hops: NextHops,
        layer: LinkLayer,
        settings: Settings,
    ) -> Result<(Arc<Self>, channel::Receiver<Found<P::Reply>>), SettingsError> {
        Self::stopped_by(Stop::default(), probe, walk, next_hops, layer, settings)
    }

    /// As [`new`](Self::new), for a scan that is one of several which a common `stop` ends, as does the failure of any of them.
    ///
    /// # Errors
    ///
    /// [`SettingsError`] when the settings contradict what the engine can tell apart.
    #[expect(clippy::type_complexity, reason = "two handles, named where they are taken")]
    pub fn stopped_by(
        stop: Stop,
        probe: P,
        walk: Walk,
        next_hops: NextHops,
        layer: LinkLayer,
        settings: Settings,
    ) -> Result<(Arc<Self>, channel::Receiver<Found<P::Reply>>), SettingsError> {
        settings.check()?;
        let rate = settings.effective_rate(walk.targets().hosts());
        let lanes = settings.threads_at(rate);
        let per_second = rate.per_second().map_or(settings.link_rate, NonZeroU64::get);
        let grouping =
            if per_second <= SINGLE_TIMES_UPTO { Grouping::Single } else { Grouping::Block };
        // A tenth more than the window needs, so that the head does not wait for a tail that moves in steps.
        let most = u128::from(per_second.min(settings.link_rate));
        let window = (most * settings.window().as_millis() * 11 / 10_000 + 1_024)
            .min(u128::from(walk.len())) as u64;
        // A hundredth of a second's worth: at most so much of the order is put out by each sender.
        let block = (per_second / 100).next_power_of_two().clamp(64, MAX_BLOCK);
        let plan = Plan { total: walk.len(), window, grouping, lanes, block };
        let answered = Answered::new(plan).ok_or(SettingsError::Memory(window))?;
        let rested = (0..lanes).map(|_| CachePadded::new(AtomicU64::new(u64::MAX))).collect();
        let (queue, found) = channel::bounded(queue_len(per_second));
        let shared = Self {
            probe,
            walk,
            session: Session::new(stop, rate, next_hops, layer),
            settings,
            answered,
            rested,
            full: CachePadded::default(),
            credits: (0..lanes).map(|_| CachePadded::new(AtomicU64::new(u64::MAX))).collect(),
            queue,
        };
        Ok((Arc::new(shared), found))
    }

    /// A copy of the counters.
    pub fn counts(&self) -> Counts {
        self.session.counts()
    }

    /// See [`Session::count_neighbours`].
    pub fn count_neighbours(&self, arp: ArpCounts) {
        self.session.count_neighbours(arp);
    }

    /// How far the scan is.
    pub fn progress(&self) -> Progress {
        let (start, counts) = (self.walk.start(), self.counts());
        Progress {
            total: start + self.walk.len(),
            started: start + self.answered.started(),
            settled: start + counts.first + counts.silent + counts.no_neighbour,
            reached: start + self.answered.reached(),
        }
    }

    /// A number of the shard's order below which every target is final, and what was found of it is in the queue or was
    /// taken from it. It never decreases.
    pub fn mark(&self) -> u64 {
        // What was found is counted after it was queued.
        let Counters { first, silent, no_neighbour, .. } = &self.session.counters;
        let settled = first.load_before() + silent.load_before() + no_neighbour.load_before();
        if settled >= self.walk.len() {
            return self.walk.start() + self.walk.len();
        }
        // A tail that a receiver saw before it rested: nothing below can be found any more, and what had been found was queued.
        let rested = self.rested.iter().map(|rested| rested.load(Acquire)).min();
        self.walk.start() + rested.map_or(0, |rested| rested.min(self.answered.tail()))
    }

    /// How many senders the scan has, and how many receivers.
    pub fn threads(&self) -> u8 {
        self.answered.lanes()
    }

    /// The handle that ends the scan early.
    pub fn stop(&self) -> Stop {
        self.session.stop.clone()
    }

    /// The rate in force, after the hosts' limits.
    pub fn rate(&self) -> Rate {
        self.session.rate
    }

    /// See [`Settings::tell`].
    pub fn tells(&self) -> bool {
        self.settings.tell
    }

    /// See [`Session::exceeded`].
    pub fn exceeded(&self) -> Option<Allowance> {
        self.session.exceeded()
    }

    /// The targets in the order of this scan.
    pub fn walk(&self) -> &Walk {
        &self.walk
    }

    /// Whether what was found is taken too slowly for more to be asked, or what was asked keeps too many connections open.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue_is_half_full() || self.full.load(Relaxed) > 0
    }

    pub(crate) fn queue_is_half_full(&self) -> bool {
        self.queue.len() * 2 >= self.queue.capacity().unwrap_or(usize::MAX)
    }

    /// How many targets may still be asked for the first time.
    pub(crate) fn credit(&self) -> u64 {
        match self.credits.iter().map(|credit| credit.load(Relaxed)).min() {
            None | Some(u64::MAX) => u64::MAX,
            Some(credit) => credit.saturating_sub(self.answered.started()),
        }
    }

    /// As far as this listener goes, so many more targets may be asked than were asked until now.
    pub(crate) fn extend_credit(&self, number: u8, more: u64) {
        self.credits[usize::from(number)].store(self.answered.started() + more, Relaxed);
    }

    /// Notes that one listener more, or one fewer, has little room for connections.
    pub(crate) fn tell_full(&self, is_full: bool) {
        self.full.fetch_add(if is_full { 1 } else { u32::MAX }, Relaxed);
    }
}

/// The ICMPv6 types of neighbour discovery (RFC 4861, section 4).
const NDP: RangeInclusive<u8> = 133..=137;

/// How many frames are worth a system call at `rate`: half a millisecond's, or what fits into a batch.
fn batch(rate: Rate) -> u32 {
    let half_a_millisecond = rate.per_second().map_or(u64::MAX, |rate| rate.get() / 2_000);
    half_a_millisecond.clamp(1, MAX_BATCH as u64) as u32
}

/// Half of the queue holds what may still come when the other half is full: half a second of answers.
fn queue_len(per_second: u64) -> usize {
    (per_second as usize).clamp(8 << 10, 256 << 10)
}

/// How far a scan is, in targets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// All of this shard.
    pub total: u64,
    /// Had their first attempt, or come before the number at which this scan began.
    pub started: u64,
    /// Of the order, nothing from this number on has been asked.
    pub reached: u64,
    /// Have an outcome, or come before the number at which this scan began.
    pub settled: u64,
}

/// Ends a scan early, from any thread. What was found until then is kept.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// No further probe leaves after the batch under way.
    pub fn stop(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether someone has asked.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(n: u64) -> Rate {
        Rate::PerSecond(NonZeroU64::new(n).unwrap())
    }

    #[test]
    fn hosts_together_cap_the_rate() {
        let settings = Settings { rate: per_second(50_000), ..Settings::default() };
        assert_eq!(settings.effective_rate(1), per_second(1_000));
        assert_eq!(settings.effective_rate(50), per_second(50_000));
        assert_eq!(settings.effective_rate(u128::MAX), per_second(50_000));
        let max = Settings { rate: Rate::Max, ..settings };
        assert_eq!(max.effective_rate(10), per_second(10_000));
        assert_eq!(max.effective_rate(65_536), Rate::Max);
    }

    #[test]
    fn a_slow_scan_has_one_thread_whatever_was_asked_for() {
        let host_rate = NonZeroU64::new(10).unwrap();
        let settings = Settings { threads: 8, rate: Rate::Max, host_rate, ..Settings::default() };
        assert_eq!(settings.effective_threads(99), 1);
        assert_eq!(settings.effective_threads(100), 8);
        let slow = Settings { rate: "999".parse().unwrap(), ..settings };
        assert_eq!(slow.effective_threads(u128::MAX), 1);
    }

    #[test]
    fn settings_that_cannot_be_met_are_refused() {
        let settings = Settings { retries: 16, ..Settings::default() };
        assert_eq!(settings.check(), Err(SettingsError::Retries(16)));
        for threads in [0, 65] {
            let settings = Settings { threads, ..Settings::default() };
            assert_eq!(settings.check(), Err(SettingsError::Threads(threads)));
        }
        let settings = Settings { cooldown: Duration::from_secs(3600), ..Settings::default() };
        assert!(matches!(settings.check(), Err(SettingsError::Window(_))));
        assert_eq!(Settings::default().check(), Ok(()));
    }
}
