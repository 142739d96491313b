//! Servers with hidden limits behind paths that lose packets, and a pool that is asked as often as it allows.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr, time::Duration};

use mrpf_engine::time::Instant;

use super::super::{Pick, Pool, PoolSettings, ServerId, Why, mixed};

/// Repeatable dice.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mixed(self.0)
    }

    /// Evenly in 0..1.
    pub(super) fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.part() < share
    }

    /// Between the two, evenly on a logarithmic scale.
    pub(super) fn log_uniform(&mut self, least: f64, most: f64) -> f64 {
        least * (most / least).powf(self.part())
    }
}

/// What a server does with what is within its limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Says {
    Data,
    Refused,
    ServFail,
}

/// One simulated server.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// Queries a second, beyond which they are dropped; infinite for none.
    pub(super) cap: f64,
    /// How many tokens its bucket holds.
    pub(super) depth: f64,
    pub(super) rtt: Duration,
    /// The share of packets lost each way.
    pub(super) loss: f64,
    /// Between these it answers nothing.
    pub(super) dead: std::ops::Range<Duration>,
    pub(super) says: Says,
    /// A share of its answers, and how much later they come.
    pub(super) slow: (f64, Duration),
    tokens: f64,
    filled: u64,
    /// Queries that were sent to it, those that it answered, and those of the last part of a run.
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) late_asked: u64,
    pub(super) late_answered: u64,
}

impl Host {
    pub(super) fn new(cap: f64, rtt: Duration) -> Self {
        let depth = (cap / 10.0).max(1.0);
        Self {
            cap,
            depth,
            rtt,
            loss: 0.0,
            dead: Duration::ZERO..Duration::ZERO,
            says: Says::Data,
            slow: (0.0, Duration::ZERO),
            tokens: depth.min(1e9),
            filled: 0,
            asked: 0,
            answered: 0,
            late_asked: 0,
            late_answered: 0,
        }
    }

    pub(super) fn dead(mut self) -> Self {
        self.dead = Duration::ZERO..Duration::MAX;
        self
    }

    pub(super) fn is_dead(&self, now: u64) -> bool {
        self.dead.contains(&Duration::from_nanos(now))
    }

    /// Whether a query that arrives now is answered.
    fn takes(&mut self, now: u64, dice: &mut Dice) -> bool {
        if self.is_dead(now) || dice.chance(self.loss) {
            return false;
        }
        if self.cap.is_infinite() {
            return !dice.chance(self.loss);
        }
        let passed = now.saturating_sub(self.filled) as f64 / 1e9;
        self.tokens = (self.tokens + passed * self.cap).min(self.depth);
        self.filled = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        !dice.chance(self.loss)
    }
}

/// What happens to a query, at its moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Answer(u32),
    Timeout(u32),
    Late(u32),
}

/// A pool and what it asks.
pub(super) struct World {
    pub(super) pool: Pool,
    pub(super) hosts: Vec<Host>,
    pub(super) now: u64,
    dice: Dice,
    /// Moment, event, and when the query was sent.
    events: BinaryHeap<Reverse<(u64, Event, u64)>>,
    /// Queries a second that there are to ask.
    demand: f64,
    owed: f64,
    /// From when on `late_asked` and `late_answered` are counted.
    pub(super) late_from: u64,
    pub(super) dead_picks: u64,
}

/// How often the simulated thread comes round.
const ROUND: u64 = 200_000;

pub(super) fn addr(number: usize) -> SocketAddr {
    SocketAddr::from(((0xc612_0000 + number as u32).to_be_bytes(), 53))
}

impl World {
    pub(super) fn new(hosts: Vec<Host>, settings: PoolSettings, seed: u64) -> Self {
        let addrs: Vec<SocketAddr> = (0..hosts.len()).map(addr).collect();
        Self {
            pool: Pool::new(&addrs, settings, seed),
            hosts,
            now: 1_000_000,
            dice: Dice::new(!seed),
            events: BinaryHeap::new(),
            demand: f64::INFINITY,
            owed: 0.0,
            late_from: u64::MAX,
            dead_picks: 0,
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time.as_nanos() as u64;
        while self.now < end {
            self.now += ROUND;
            self.handle_events();
            self.owed = (self.owed + self.demand * ROUND as f64 / 1e9).min(1e6);
            while self.owed >= 1.0 {
                match self.pool.pick(Instant::from_nanos(self.now), &[]) {
                    Pick::Server(id) => self.ask(id),
                    Pick::Wait(until) => {
                        assert!(until.as_nanos() > self.now, "waits for the past");
                        break;
                    }
                    Pick::Dead => {
                        self.dead_picks += 1;
                        break;
                    }
                }
                self.owed -= 1.0;
            }
        }
    }

    fn ask(&mut self, id: ServerId) {
        let now = self.now;
        let number = self.number(id);
        self.pool.sent(id, Instant::from_nanos(now));
        let timeout = self.pool.timeout(id);
        let host = &mut self.hosts[number];
        let is_late = now >= self.late_from;
        host.asked += 1;
        host.late_asked += u64::from(is_late);
        let after = if host.takes(now + host.rtt.as_nanos() as u64 / 2, &mut self.dice) {
            let slow = if self.dice.chance(host.slow.0) { host.slow.1 } else { Duration::ZERO };
            Some(host.rtt + slow)
        } else {
            None
        };
        if let Some(late) = after.filter(|after| *after >= timeout) {
            let at = now + late.as_nanos() as u64;
            self.events.push(Reverse((at, Event::Late(number as u32), now)));
        }
        let after = after.filter(|after| *after < timeout);
        host.answered += u64::from(after.is_some());
        host.late_answered += u64::from(after.is_some() && is_late);
        let (at, event) = match after {
            Some(after) => (after, Event::Answer(number as u32)),
            None => (timeout, Event::Timeout(number as u32)),
        };
        self.events.push(Reverse((now + at.as_nanos() as u64, event, now)));
    }

    fn number(&self, id: ServerId) -> usize {
        let std::net::IpAddr::V4(ip) = self.pool.addr(id).ip() else { panic!("IPv4 alone") };
        (ip.to_bits() - 0xc612_0000) as usize
    }

    fn handle_events(&mut self) {
        while let Some(Reverse((at, event, sent))) = self.events.peek().copied()
            && at <= self.now
        {
            self.events.pop();
            let now = Instant::from_nanos(at);
            match event {
                Event::Answer(number) => {
                    let id = ServerId(number);
                    match self.hosts[number as usize].says {
                        Says::Data => {
                            self.pool.answered(id, now, Some(Duration::from_nanos(at - sent)))
                        }
                        Says::Refused => self.pool.failed(id, now, Why::Refused),
                        Says::ServFail => self.pool.failed(id, now, Why::ServFail),
                    }
                }
                Event::Late(number) => {
                    self.pool.late(ServerId(number), now, Duration::from_nanos(at - sent));
                }
                Event::Timeout(number) => self.pool.failed(ServerId(number), now, Why::Timeout),
            }
        }
    }

    /// What there is to ask from now on; what was not asked before is forgotten.
    pub(super) fn set_demand(&mut self, demand: f64) {
        (self.demand, self.owed) = (demand, 0.0);
    }

    /// Counts what follows apart.
    pub(super) fn mark(&mut self) {
        self.late_from = self.now;
        for host in &mut self.hosts {
            (host.late_asked, host.late_answered) = (0, 0);
        }
    }

    /// Answers a second, and the share of queries to living servers that were lost, since the mark.
    pub(super) fn since_mark(&self) -> (f64, f64) {
        let living = self.hosts.iter().filter(|host| !host.is_dead(self.now));
        let (asked, answered) = living.fold((0, 0), |(asked, answered), host| {
            (asked + host.late_asked, answered + host.late_answered)
        });
        let seconds = (self.now - self.late_from) as f64 / 1e9;
        (answered as f64 / seconds, 1.0 - answered as f64 / asked as f64)
    }
}
