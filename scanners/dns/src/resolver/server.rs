//! One server: its address, its pace and its health.

use std::{net::SocketAddr, time::Duration};

use super::{Why, control::Control, rtt::Rtt};

/// Failures in a row before a server that has answered is taken for dead.
const MOST_FAILURES: u8 = 5;
/// What an error of ICMP counts: a host or a router took the trouble to say it.
const UNREACHABLE: u8 = 3;
/// A server that has answered is not taken for dead sooner.
const LEAST_SILENCE: u64 = 1_000_000_000;
/// The first pause between probes of a server that does not answer; the next ones are twice as long each.
const FIRST_PAUSE: u64 = 1_000_000_000;
/// Pauses double so often: to 8 s.
const DOUBLINGS: u8 = 3;
/// One changed answer in a row may be chance; a second is a habit.
const CASE_LOST: u8 = 2;

/// What is known of one server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    pub(super) control: Control,
    pub(super) rtt: Rtt,
    pub(super) state: State,
    /// Queries that are neither answered nor failed.
    pub(super) outstanding: u32,
    /// How many will ask it in time.
    pub(super) holds: u32,
    /// When it may be asked next, if it is not in a list.
    pub(super) due: u64,
    /// When it last answered.
    heard: u64,
    /// The rate when it was last taken out.
    before: f32,
    /// The recent shares of its answers that refused, and that failed.
    refused: f32,
    servfail: f32,
    /// Timeouts in a row.
    failures: u8,
    /// Pauses in a row.
    pauses: u8,
    case_lost: u8,
    pub(super) speaks_edns: bool,
    pub(super) is_listed: bool,
}

/// Whether a server is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// Not asked yet, or the first answer is awaited.
    New,
    /// It answers.
    Alive,
    /// It does not, or nothing of use: it is asked now and then whether that has changed.
    Out,
}

impl Server {
    pub(super) fn new(addr: SocketAddr, is_listed: bool, due: u64) -> Self {
        Self {
            addr,
            control: Control::new(&Rtt::default(), 0.0, 1.0, 0),
            rtt: Rtt::default(),
            state: State::New,
            outstanding: 0,
            holds: 0,
            due,
            heard: 0,
            before: 0.0,
            refused: 0.0,
            servfail: 0.0,
            failures: 0,
            pauses: 0,
            case_lost: 0,
            speaks_edns: true,
            is_listed,
        }
    }

    /// How long to wait before the next query while no answer came.
    pub(super) fn pause(&self) -> u64 {
        FIRST_PAUSE << self.pauses.min(DOUBLINGS)
    }

    /// How long to wait for an answer, in nanoseconds, before the limits.
    pub(super) fn late(&self) -> u64 {
        self.rtt.late() << self.failures.min(3)
    }

    /// Something came back. True when it is asked again from now on.
    pub(super) fn heard(&mut self, most: f32, now: u64) -> bool {
        self.heard = now;
        self.failures = 0;
        let is_back = self.state != State::Alive;
        if is_back {
            self.state = State::Alive;
            self.pauses = 0;
            self.control = Control::new(&self.rtt, self.before, most, now);
        }
        is_back
    }

    /// The moment of sending, as far as an answer without a round trip tells.
    pub(super) fn sent_at(&self, rtt: Option<Duration>, now: u64) -> u64 {
        let rtt = rtt.map_or_else(|| self.rtt.mean(), nanos);
        now.saturating_sub(rtt)
    }

    /// Nothing came back. True when it is no longer asked, but for probes.
    pub(super) fn missed(&mut self, is_unreachable: bool, now: u64) -> bool {
        let by = if is_unreachable { UNREACHABLE } else { 1 };
        self.failures = self.failures.saturating_add(by);
        let silence = (2 * self.rtt.late()).max(LEAST_SILENCE);
        match self.state {
            State::New | State::Out => {
                self.state = State::Out;
                self.pauses = self.pauses.saturating_add(1);
                false
            }
            State::Alive if self.failures >= MOST_FAILURES && now >= self.heard + silence => {
                self.take_out();
                true
            }
            State::Alive => false,
        }
    }

    /// Asks it no longer, but for probes.
    pub(super) fn take_out(&mut self) {
        self.before = self.control.rate();
        self.state = State::Out;
        self.pauses = 0;
    }

    /// Whether names of this server alone need not wait for it.
    pub(super) fn is_given_up(&self) -> bool {
        self.state == State::Out && self.pauses >= DOUBLINGS
    }

    /// Counts what kind of answer it gave.
    pub(super) fn said(&mut self, why: Option<Why>) {
        let is = |kind| if why == Some(kind) { 1.0 } else { 0.0 };
        self.refused += (is(Why::Refused) - self.refused) / 16.0;
        self.servfail += (is(Why::ServFail) - self.servfail) / 64.0;
        match why {
            Some(Why::CaseLost) => self.case_lost = self.case_lost.saturating_add(1),
            // Once it is known, queries have no case to keep, and answers say nothing of it.
            None if self.keeps_case() => self.case_lost = 0,
            _ => {}
        }
        self.speaks_edns &= why != Some(Why::NoEdns);
    }

    /// Whether its answers are of no use, where those of others are: `others` are the shares of all.
    pub(super) fn is_useless(&self, others: (f32, f32)) -> bool {
        let (refused, servfail) = others;
        (self.refused > 0.6 && refused < 0.3) || (self.servfail > 0.8 && servfail < 0.4)
    }

    pub(super) fn keeps_case(&self) -> bool {
        self.case_lost < CASE_LOST
    }
}

/// Nanoseconds, as many as 64 bits hold.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
