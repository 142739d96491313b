//! A network in memory under virtual time.
//!
//! Probes go through [`Faults`] to [`Hosts`], their answers come back through faults of their own, and nothing moves unless
//! [`Network::advance`] is called: one seed gives one run, byte for byte.
//!
//! ```text
//!  SimTx::send -> tap -> loss -> Hosts::answer -> loss, duplicates, latency, reorder -> heap by time -> SimRx::receive
//!                  '---> forger -------------------------------------------------------^
//! ```
//!
//! Needs no privileges and sends nothing anywhere.

pub mod hosts;
mod random;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use self::{hosts::Hosts, random::Random};
use super::{Frame, LinkError, LinkLayer, MAX_BATCH, Rx, Sent, Tx};
use crate::time::Instant;

/// What the wire does to frames. Shares are of 1; the default is a perfect wire of 100 us.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Share of probes that never reach their host.
    pub loss_out: f64,
    /// Share of answers that never come back.
    pub loss_back: f64,
    /// Share of answers that come twice.
    pub duplicate: f64,
    /// Share of answers that are held up for up to [`Self::held_up`], so that later ones overtake them.
    pub reorder: f64,
    /// Longest hold-up.
    pub held_up: Duration,
    /// From probe to answer, besides what the host takes: drawn evenly from this range.
    pub latency: (Duration, Duration),
    /// What one frame takes to leave: the speed of the link.
    pub frame_time: Duration,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss_out: 0.0,
            loss_back: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            held_up: Duration::from_millis(50),
            latency: (Duration::from_micros(100), Duration::from_micros(100)),
            frame_time: Duration::from_nanos(500),
        }
    }
}

/// What the wire has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WireCounts {
    /// Frames that left through [`SimTx`].
    pub sent: u64,
    /// Of them, lost on the way out.
    pub lost_out: u64,
    /// Answers lost on the way back.
    pub lost_back: u64,
    /// Answers that were delivered twice.
    pub duplicated: u64,
    /// Frames shown by [`SimRx`].
    pub delivered: u64,
}

/// Sees each frame as it leaves.
pub type Tap = Box<dyn FnMut(Instant, &[u8]) + Send>;
/// Sees each frame as it leaves and may put frames of its own on the way back, each after a delay.
pub type Forger = Box<dyn FnMut(&[u8], &mut dyn FnMut(Duration, &[u8])) + Send>;

/// A handle to the simulated network; clones are the same network.
#[derive(Clone)]
pub struct Network {
    wire: Arc<Mutex<Wire>>,
}

struct Wire {
    now: Instant,
    layer: LinkLayer,
    hosts: Hosts,
    faults: Faults,
    random: Random,
    arrivals: BinaryHeap<Reverse<Arrival>>,
    /// Breaks ties between arrivals of one moment in the order in which they were made.
    made: u64,
    counts: WireCounts,
    tap: Option<Tap>,
    forger: Option<Forger>,
    gone_at: Option<Instant>,
}

#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Arrival {
    at: Instant,
    order: u64,
    bytes: Box<[u8]>,
}

impl Network {
    /// A network of `hosts` behind a wire with `faults`, drawn from `seed`.
    pub fn new(seed: u64, hosts: Hosts, faults: Faults) -> Self {
        let wire = Wire {
            now: Instant::START,
            layer: LinkLayer::Ethernet,
            hosts,
            faults,
            random: Random::new(seed),
            arrivals: BinaryHeap::new(),
            made: 0,
            counts: WireCounts::default(),
            tap: None,
            forger: None,
            gone_at: None,
        };
        Self { wire: Arc::new(Mutex::new(wire)) }
    }

    /// Frames begin with the IP header instead of an Ethernet header.
    #[must_use]
    pub fn without_ethernet(self) -> Self {
        self.wire().layer = LinkLayer::Ip;
        self
    }

    /// Shows each frame that leaves to `tap`.
    #[must_use]
    pub fn with_tap(self, tap: Tap) -> Self {
        self.wire().tap = Some(tap);
        self
    }

    /// Lets `forger` answer frames that leave, beside the hosts.
    #[must_use]
    pub fn with_forger(self, forger: Forger) -> Self {
        self.wire().forger = Some(forger);
        self
    }

    /// Lets the interface vanish at `at`: both halves fail from then on.
    #[must_use]
    pub fn gone_at(self, at: Instant) -> Self {
        self.wire().gone_at = Some(at);
        self
    }

    /// The sending half.
    pub fn tx(&self) -> SimTx {
        SimTx { wire: Arc::clone(&self.wire), slots: vec![0; MAX_BATCH * SLOT_LEN].into() }
    }

    /// The receiving half; several share what arrives.
    pub fn rx(&self) -> SimRx {
        SimRx { wire: Arc::clone(&self.wire) }
    }

    /// The present moment.
    pub fn now(&self) -> Instant {
        self.wire().now
    }

    /// When the network next does something by itself: a frame arrives, or a host says again what nobody acknowledged;
    /// [`Instant::NEVER`] when it will not.
    pub fn next_event(&self) -> Instant {
        let wire = self.wire();
        let arrival = wire.arrivals.peek().map_or(Instant::NEVER, |Reverse(arrival)| arrival.at);
        arrival.min(wire.hosts.next_due())
    }

    /// Moves the clock to `to`; never back.
    pub fn advance(&self, to: Instant) {
        let mut wire = self.wire();
        wire.now = wire.now.max(to);
        wire.repeat();
    }

    /// What the first octets of a frame are.
    pub fn layer(&self) -> LinkLayer {
        self.wire().layer
    }

    /// What the wire has done so far.
    pub fn counts(&self) -> WireCounts {
        self.wire().counts
    }

    /// Looks at the hosts: what they saw, what they hold half open.
    pub fn with_hosts<R>(&self, look: impl FnOnce(&Hosts) -> R) -> R {
        look(&self.wire().hosts)
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        lock(&self.wire)
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = self.wire();
        f.debug_struct("Network")
            .field("now", &wire.now)
            .field("counts", &wire.counts)
            .finish_non_exhaustive()
    }
}

impl Wire {
    fn check(&self) -> Result<(), LinkError> {
        match self.gone_at {
            Some(at) if self.now >= at => Err(LinkError::Gone {
                name: "sim".to_owned(),
                source: std::io::Error::from_raw_os_error(libc::ENETDOWN),
            }),
            _ => Ok(()),
        }
    }

    fn send(&mut self, frame: &[u8]) {
        self.counts.sent += 1;
        self.now += self.faults.frame_time;
        let now = self.now;
        if let Some(tap) = &mut self.tap {
            tap(now, frame);
        }
        if let Some(mut forger) = self.forger.take() {
            forger(frame, &mut |delay, forged| self.arrive(now + delay, forged));
            self.forger = Some(forger);
        }
        if self.random.chance(self.faults.loss_out) {
            self.counts.lost_out += 1;
            return;
        }
        self.repeat(); // also tells the hosts what time it is
        let Self { hosts, layer, .. } = self;
        let mut answers = Vec::new();
        hosts.answer(frame, *layer, &mut |delay, answer| {
            answers.push((delay, Box::<[u8]>::from(answer)))
        });
        for (delay, answer) in answers {
            self.come_back(delay, &answer);
        }
    }

    /// Lets the hosts send again what is due again.
    fn repeat(&mut self) {
        let mut answers = Vec::new();
        let Self { hosts, now, .. } = self;
        hosts.advance(*now, &mut |delay, answer| answers.push((delay, Box::<[u8]>::from(answer))));
        for (delay, answer) in answers {
            self.come_back(delay, &answer);
        }
    }

    fn come_back(&mut self, delay: Duration, answer: &[u8]) {
        if self.random.chance(self.faults.loss_back) {
            self.counts.lost_back += 1;
            return;
        }
        let times = if self.random.chance(self.faults.duplicate) { 2 } else { 1 };
        self.counts.duplicated += times - 1;
        for _ in 0..times {
            let (least, most) = self.faults.latency;
            let mut delay = delay + least + self.random.below(most.saturating_sub(least));
            if self.random.chance(self.faults.reorder) {
                delay += self.random.below(self.faults.held_up);
            }
            self.arrive(self.now + delay, answer);
        }
    }

    fn arrive(&mut self, at: Instant, bytes: &[u8]) {
        self.made += 1;
        self.arrivals.push(Reverse(Arrival { at, order: self.made, bytes: bytes.into() }));
    }
}

const SLOT_LEN: usize = 2_048;

/// See [`Network::tx`].
pub struct SimTx {
    wire: Arc<Mutex<Wire>>,
    slots: Box<[u8]>,
}

impl Tx for SimTx {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * SLOT_LEN..][..SLOT_LEN]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        let mut wire = lock(&self.wire);
        wire.check()?;
        for (slot, len) in lens.iter().enumerate() {
            wire.send(&self.slots[slot * SLOT_LEN..][..usize::from(*len)]);
        }
        Ok(Sent { sent: lens.len() as u32, dropped: 0, errno: 0, waited: Duration::ZERO })
    }
}

impl fmt::Debug for SimTx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimTx")
    }
}

/// See [`Network::rx`].
pub struct SimRx {
    wire: Arc<Mutex<Wire>>,
}

impl Rx for SimRx {
    /// Never waits: virtual time moves by [`Network::advance`] alone.
    fn receive(
        &mut self,
        _wait: Duration,
        mut take: impl FnMut(Frame<'_>),
    ) -> Result<usize, LinkError> {
        let mut count = 0;
        loop {
            let arrival = {
                let mut wire = lock(&self.wire);
                wire.check()?;
                let now = wire.now;
                match wire.arrivals.peek() {
                    Some(Reverse(arrival)) if arrival.at <= now => {}
                    _ => return Ok(count),
                }
                wire.counts.delivered += 1;
                wire.arrivals.pop()
            };
            let Some(Reverse(arrival)) = arrival else {
                return Ok(count);
            };
            take(Frame::whole(&arrival.bytes, arrival.at, arrival.bytes.len() as u32));
            count += 1;
        }
    }

    fn ring_drops(&mut self) -> u64 {
        0
    }
}

impl fmt::Debug for SimRx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRx")
    }
}

/// A panic of a test's tap or forger must not hide behind a second one.
fn lock(wire: &Mutex<Wire>) -> MutexGuard<'_, Wire> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}
