//! Whom to ask, and how fast: as many queries as each server answers, without a figure that anyone has to set.
//!
//! ```text
//!              pick(now, avoid)                           sent(id, now)
//!  lookup  ------------------------>  Pool  <--------------------------------  lookup
//!          <------------------------   |    <--------------------------------
//!            Server | Wait | Dead      |     answered, late, failed, withdrawn
//!                                      |
//!     ready    those that answer, by when each is due next: control.rs says how fast
//!     probes   those that do not: one query a second, then one in 2, 4 and 8 seconds
//! ```
//!
//! Nothing here sends, waits or reads a clock. Each thread has a pool of its own and learns for itself what its share of
//! a server is.
//!
//! # What holds
//!
//! - Where less is asked than all servers together take, each gets its share of what it takes: the slow ones are not
//!   run at their limit while the fast ones idle. For that the time of the queue stands still while nobody asks.
//! - A server that does not answer costs one query a second at most, and together such servers cost one query in 32 while
//!   others answer, however many they are.
//! - One that loses the same share at any rate is lossy, not full: see `control.rs`.
//! - SERVFAIL and REFUSED say something about the server only where it says them of most names, and others do not.
//!
//! Every operation takes O(log n) time at most.

mod control;
mod queue;
mod rtt;
mod server;
#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, hash_map::RandomState},
    net::SocketAddr,
    num::NonZeroU32,
    time::Duration,
};

use mrpf_engine::time::Instant;

use self::{
    queue::Queue,
    server::{Server, State, nanos},
};

/// How far a server may lie behind its schedule and catch up: what threads take to come round.
const SLACK: u64 = 5_000_000;
/// How long a lookup waits for a server that it has not asked yet, while one that it has asked is free.
const PATIENCE: u64 = 250_000_000;
/// The share of queries that may go to servers that do not answer, while others do.
const PROBE_SHARE: f32 = 1.0 / 32.0;
/// So many such queries may be saved up.
const MOST_CREDIT: f32 = 32.0;
/// How many direct servers are looked at to find one that can be forgotten.
const LOOKED_AT: usize = 64;
/// Faster than any link: the rate of a server without a limit stops here.
const MOST_RATE: f32 = 1e8;

/// Which server, as a number that holds as long as a query to it is outstanding, or it is [held](Pool::hold).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ServerId(pub(crate) u32);

/// What [`Pool::pick`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pick {
    /// Ask this one now.
    Server(ServerId),
    /// Nobody can be asked before this moment, unless an answer comes first.
    Wait(Instant),
    /// No server has answered for [`PoolSettings::give_up`], or there is none.
    Dead,
}

/// What [`Pool::may_ask`] says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// Ask now.
    Now,
    /// Not before this moment, unless an answer comes first.
    Wait(Instant),
    /// It has not answered any of several queries, and whether that has changed is asked at this moment: names that only
    /// it knows need not wait.
    Dead(Instant),
}

/// Why a query has no answer of use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Nothing came in time.
    Timeout,
    /// SERVFAIL, or an answer that cannot be read: the server is there.
    ServFail,
    /// REFUSED.
    Refused,
    /// An ICMP error, or a TCP connection refused.
    Unreachable,
    /// The answer has the name in another case than the query.
    CaseLost,
    /// FORMERR, NOTIMP or BADVERS to a query with EDNS (RFC 6891, section 7).
    NoEdns,
}

/// What bounds a [`Pool`].
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The most that one server is asked in a second by all threads together; none for as much as it answers.
    pub most_per_second_each: Option<NonZeroU32>,
    /// How many threads share the servers.
    pub threads: NonZeroU32,
    /// [`Pool::timeout`] is never shorter.
    pub timeout_floor: Duration,
    /// [`Pool::timeout`] is never longer. Names that no resolver has in its memory take seconds.
    pub timeout_ceiling: Duration,
    /// After so long without any answer [`Pick::Dead`] is said.
    pub give_up: Duration,
    /// How many servers [`Pool::add`] keeps at once.
    pub most_added: u32,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            most_per_second_each: None,
            threads: NonZeroU32::MIN,
            timeout_floor: Duration::from_millis(500),
            timeout_ceiling: Duration::from_secs(5),
            give_up: Duration::from_secs(30),
            most_added: 65_536,
        }
    }
}

/// How many servers there are, by what they do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Not asked yet, or the first answer is awaited.
    pub new: u32,
    /// They answer.
    pub alive: u32,
    /// They do not, or nothing of use.
    pub out: u32,
    /// What those that answer are asked in a second at most, together.
    pub rate: u64,
}

/// The servers of one thread.
#[derive(Debug)]
pub struct Pool {
    servers: Vec<Server>,
    ready: Queue,
    probes: Queue,
    /// How far the time of `ready` lies behind the clock.
    behind: u64,
    /// How many probes there may be.
    credit: f32,
    /// The recent shares of all answers that refused, and that failed.
    shares: (f32, f32),
    /// When something was heard last, from the first query on.
    heard: Option<u64>,
    most: f32,
    settings: PoolSettings,
    added: HashMap<SocketAddr, u32, RandomState>,
    /// How many servers were given at the start.
    listed: usize,
    /// Where the next server to be forgotten is looked for.
    hand: usize,
}

impl Pool {
    /// A pool of `resolvers`. The seed decides in which order they are asked first.
    pub fn new(resolvers: &[SocketAddr], settings: PoolSettings, seed: u64) -> Self {
        let share = settings.most_per_second_each.map(|most| most.get() as f32);
        let most = share.map_or(MOST_RATE, |most| most / settings.threads.get() as f32);
        let mut pool = Self {
            servers: Vec::with_capacity(resolvers.len()),
            ready: Queue::default(),
            probes: Queue::default(),
            behind: 0,
            credit: 0.0,
            shares: (0.0, 0.0),
            heard: None,
            most,
            settings,
            added: HashMap::new(),
            listed: 0,
            hand: 0,
        };
        for resolver in resolvers.iter().take(NOBODY as usize) {
            let number = pool.servers.len() as u32;
            pool.servers.push(Server::new(*resolver, true, 0));
            pool.ready.set(number, mixed(seed ^ u64::from(number)) % SLACK);
        }
        pool.listed = pool.servers.len();
        pool
    }

    /// The number of a server that is not in the list, for [`Self::may_ask`]; `None` while as many as are kept at once have
    /// queries outstanding.
    pub fn add(&mut self, addr: SocketAddr, now: Instant) -> Option<ServerId> {
        if let Some(number) = self.added.get(&addr) {
            return Some(ServerId(*number));
        }
        let new = Server::new(addr, false, now.as_nanos());
        let added = self.servers.len() - self.listed;
        let number = if added < self.settings.most_added as usize {
            self.servers.push(new);
            self.servers.len() - 1
        } else {
            let number = self.forgettable(now.as_nanos())?;
            let old = std::mem::replace(self.servers.get_mut(number)?, new);
            self.added.remove(&old.addr);
            number
        };
        self.added.insert(addr, number as u32);
        Some(ServerId(number as u32))
    }

    /// Somebody will ask an added server in time: its number holds until [`Self::release`].
    pub fn hold(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id.0 as usize) {
            server.holds += 1;
        }
    }

    /// Who has [held](Self::hold) a server has no more to ask it.
    pub fn release(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id.0 as usize) {
            server.holds = server.holds.saturating_sub(1);
        }
    }

    /// An added server that nobody waits for and that may be asked, or not even then.
    fn forgettable(&mut self, now: u64) -> Option<usize> {
        let added = self.servers.len() - self.listed;
        for _ in 0..LOOKED_AT.min(added) {
            let number = self.listed + self.hand;
            self.hand = (self.hand + 1) % added;
            let server = self.servers.get(number)?;
            if server.outstanding == 0 && server.holds == 0 && server.due <= now {
                return Some(number);
            }
        }
        None
    }

    /// Whom to ask now. Those in `avoid` are passed over as long as another one is free soon.
    ///
    /// [`Self::sent`] says that it was asked, and until then this may be asked as often as one likes.
    #[inline]
    pub fn pick(&mut self, now: Instant, avoid: &[ServerId]) -> Pick {
        let now = now.as_nanos();
        let is_avoided = |number: u32| avoid.contains(&ServerId(number));
        // Who has been failed before is not the one to find out whether a server is back.
        if self.ready.is_empty() || self.credit >= 1.0 && avoid.is_empty() {
            let probe = self.probes.first().filter(|probe| probe.due <= now);
            let probe = probe.and_then(|_| self.probes.first_but(&is_avoided));
            if let Some(probe) = probe.filter(|probe| probe.due <= now) {
                return Pick::Server(ServerId(probe.number));
            }
        }
        let Some(first) = self.ready.first() else { return self.pick_of_probes(now) };
        let clock = now.saturating_sub(self.behind);
        let mut time = clock.min(first.due + SLACK);
        let best = if avoid.is_empty() { Some(first) } else { self.ready.first_but(&is_avoided) };
        let best = match best {
            Some(best) if best.due <= time + PATIENCE => best,
            _ => first,
        };
        if best.due > time && clock > time {
            // Those that are passed over lose the turns that nobody takes: else the time that this lookup waits for would stand
            // still with them.
            time = clock.min(best.due);
            for id in avoid {
                let lags = |due: &u64| *due + SLACK < time;
                if self.ready.due(id.0).filter(lags).is_some() {
                    self.ready.set(id.0, time - SLACK);
                }
            }
        }
        if best.due <= time {
            Pick::Server(ServerId(best.number))
        } else {
            Pick::Wait(Instant::from_nanos(best.due + self.behind))
        }
    }

    /// Nobody answers: whom to ask whether that has changed.
    fn pick_of_probes(&self, now: u64) -> Pick {
        let Some(probe) = self.probes.first() else { return Pick::Dead };
        let is_over = self.heard.is_some_and(|heard| now >= heard + nanos(self.settings.give_up));
        if is_over {
            Pick::Dead
        } else if probe.due <= now {
            // All that are due are to be avoided; better one of these than nobody.
            Pick::Server(ServerId(probe.number))
        } else {
            Pick::Wait(Instant::from_nanos(probe.due))
        }
    }

    /// Whether a server may be asked now, for names that only it knows.
    pub fn may_ask(&self, id: ServerId, now: Instant) -> Turn {
        let Some(server) = self.servers.get(id.0 as usize) else { return Turn::Now };
        let now = now.as_nanos();
        let due = match (self.ready.due(id.0), self.probes.due(id.0)) {
            (Some(due), _) => due + self.behind,
            (_, Some(due)) => due,
            _ => server.due,
        };
        if due <= now {
            Turn::Now
        } else if server.is_given_up() {
            Turn::Dead(Instant::from_nanos(due))
        } else {
            Turn::Wait(Instant::from_nanos(due))
        }
    }

    /// A query was sent. One of [`Self::answered`], [`Self::failed`] and [`Self::withdrawn`] follows.
    #[inline]
    pub fn sent(&mut self, id: ServerId, now: Instant) {
        let now = now.as_nanos();
        self.heard.get_or_insert(now);
        let Some(server) = self.servers.get_mut(id.0 as usize) else { return };
        server.outstanding += 1;
        if server.state != State::Alive {
            server.due = now + server.pause();
            if server.is_listed {
                self.credit = (self.credit - 1.0).max(0.0);
                self.ready.remove(id.0);
                self.probes.set(id.0, server.due);
            }
            return;
        }
        server.control.sent(&server.rtt, self.most, now);
        let interval = (1e9 / server.control.rate()) as u64;
        if server.is_listed {
            self.credit = (self.credit + PROBE_SHARE).min(MOST_CREDIT);
            let clock = now.saturating_sub(self.behind);
            let due = self.ready.due(id.0).unwrap_or(clock);
            // The time of the ready runs with the clock, but no further past who is due than this.
            self.behind = now - clock.min(due + SLACK);
            self.ready.set(id.0, due + interval);
        } else {
            server.due = server.due.max(now.saturating_sub(SLACK)) + interval;
        }
    }

    /// An answer came: data, NXDOMAIN or NODATA. `None` for the round trip where it is not known or not that of UDP.
    #[inline]
    pub fn answered(&mut self, id: ServerId, now: Instant, rtt: Option<Duration>) {
        self.ended(id);
        self.came(id, now.as_nanos(), rtt, None);
    }

    /// An answer came to a query that had failed for [`Why::Timeout`] before: it says how long to wait.
    pub fn late(&mut self, id: ServerId, now: Instant, rtt: Duration) {
        self.came(id, now.as_nanos(), Some(rtt), None);
    }

    /// A query failed.
    pub fn failed(&mut self, id: ServerId, now: Instant, why: Why) {
        self.ended(id);
        let now = now.as_nanos();
        let is_unreachable = match why {
            Why::Timeout => false,
            Why::Unreachable => true,
            Why::ServFail | Why::Refused | Why::CaseLost | Why::NoEdns => {
                return self.came(id, now, None, Some(why));
            }
        };
        let Some(server) = self.servers.get_mut(id.0 as usize) else { return };
        if server.missed(is_unreachable, now) {
            self.take_out(id, now);
        }
    }

    /// A query needs no answer any longer, as when another one's came first.
    pub fn withdrawn(&mut self, id: ServerId, now: Instant) {
        self.ended(id);
        if let Some(server) = self.servers.get_mut(id.0 as usize) {
            let sent_at = server.sent_at(None, now.as_nanos());
            server.control.withdrawn(sent_at);
        }
    }

    fn ended(&mut self, id: ServerId) {
        if let Some(server) = self.servers.get_mut(id.0 as usize) {
            server.outstanding = server.outstanding.saturating_sub(1);
        }
    }

    /// Something came back; `why` it is of no use.
    #[inline]
    fn came(&mut self, id: ServerId, now: u64, rtt: Option<Duration>, why: Option<Why>) {
        let Some(server) = self.servers.get_mut(id.0 as usize) else { return };
        if let Some(rtt) = rtt {
            server.rtt.took(rtt);
        }
        server.said(why);
        let share = |share: f32, is: bool| share + (f32::from(u8::from(is)) - share) / 256.0;
        self.shares.0 = share(self.shares.0, why == Some(Why::Refused));
        self.shares.1 = share(self.shares.1, why == Some(Why::ServFail));
        let refuses = why == Some(Why::Refused);
        let is_bad = matches!(why, Some(Why::Refused | Why::ServFail));
        if is_bad && server.is_listed && server.is_useless(self.shares) {
            if server.state == State::Alive {
                server.take_out();
                self.take_out(id, now);
            } else {
                server.missed(false, now);
            }
            return;
        }
        self.heard = Some(now);
        let sent_at = server.sent_at(rtt, now);
        let is_back = server.heard(self.most, now);
        // A server that refuses what is too much for it says the same as one that drops it.
        if !refuses {
            server.control.answered(sent_at, &server.rtt, self.most, now);
        }
        if is_back && server.is_listed {
            self.probes.remove(id.0);
            self.ready.set(id.0, now.saturating_sub(self.behind));
        } else if is_back {
            server.due = now;
        }
    }

    /// Moves a server that was taken out to where the probes are.
    fn take_out(&mut self, id: ServerId, now: u64) {
        let Some(server) = self.servers.get_mut(id.0 as usize) else { return };
        server.due = now + server.pause();
        if server.is_listed {
            self.ready.remove(id.0);
            self.probes.set(id.0, server.due);
        }
    }

    /// How long to wait for an answer to a query that is sent now.
    #[inline]
    pub fn timeout(&self, id: ServerId) -> Duration {
        let late = self.servers.get(id.0 as usize).map_or(0, Server::late);
        let (floor, ceiling) = (self.settings.timeout_floor, self.settings.timeout_ceiling);
        Duration::from_nanos(late).max(floor).min(ceiling)
    }

    /// Where a server is asked.
    ///
    /// # Panics
    ///
    /// When `id` is not of this pool.
    #[inline]
    pub fn addr(&self, id: ServerId) -> SocketAddr {
        self.servers[id.0 as usize].addr
    }

    /// Whether it may be asked with EDNS.
    #[inline]
    pub fn speaks_edns(&self, id: ServerId) -> bool {
        self.servers.get(id.0 as usize).is_none_or(|server| server.speaks_edns)
    }

    /// Whether its answers have names in the case in which they were asked.
    #[inline]
    pub fn keeps_case(&self, id: ServerId) -> bool {
        self.servers.get(id.0 as usize).is_none_or(Server::keeps_case)
    }

    /// How many servers do what. Looks at all of them.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let mut rate = 0.0;
        for server in &self.servers {
            match server.state {
                State::New => census.new += 1,
                State::Alive => {
                    census.alive += 1;
                    rate += f64::from(server.control.rate());
                }
                State::Out => census.out += 1,
            }
        }
        census.rate = rate as u64;
        census
    }
}

/// The number that no server has.
const NOBODY: u32 = u32::MAX;

/// SplitMix64's output function (Steele, Lea and Flood, 2014).
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
