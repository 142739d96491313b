//! Lookups under way, and what becomes of them. What a lookup goes through:
//!
//! ```text
//!           turn                   no answer, or none of use: elsewhere, 1 + retries times
//!  begun --> Ready --asked--> Asked ---------------------------------------------> Ready
//!              ^                |--> answer, no data, no name ---------------------> end
//!              |                |--> the server's manners: once more, without EDNS or in another case -> Ready
//!              |                '--> TC --> Knocking --SYN--> Opening --SYN-ACK--> Talking --> as above
//!              '--- TCP brought nothing ----'                   |                   '- an answer that a wildcard may have
//!                                                               '- up to three SYNs      made: Held, until that is known
//! ```
//!
//! Each ends in [`Desk::end`] or is [given up](Desk::give_up), and in neither twice.

use std::{sync::Arc, time::Duration};

use mrpf_engine::{scan::Session, time::Instant};

use super::{
    Settings,
    cases::Cases,
    ends::{End, Outcome, Protocol},
    frames::Frames,
    held::{Held, Told},
    outbox::Outbox,
    places::{Place, Places},
    slot::{Asked, Failure, Manner, Purpose, Slot, State},
    slots::{Begun, List, Slots},
    tally::Tally,
};
use crate::{
    message::{Kind, Message, Qclass, Qtype, Query, labels},
    resolver::{Pool, ServerId},
    wildcard::{Verdict, Wildcards},
};

/// What timers are rounded up to.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Queries that are not counted as attempts, at most, before one that is.
const MOST_EXTRA: u8 = 3;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) session: Arc<Session>,
    pub(super) settings: Settings,
    pub(super) slots: Slots,
    pub(super) places: Places,
    pub(super) cases: Cases,
    pub(super) pool: Pool,
    pub(super) frames: Frames,
    pub(super) outbox: Outbox,
    pub(super) tally: Arc<Tally>,
    pub(super) wildcards: Option<Wildcards>,
    pub(super) held: Held,
    /// Lookups whose turn it is to be asked again.
    pub(super) ready: List,
    /// Lookups whose turn it is to send a SYN.
    pub(super) knocking: List,
}

/// A query of a lookup under way, and which it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) slot: u32,
    /// How many queries ago it was sent.
    pub(super) age: u32,
    pub(super) server: ServerId,
    pub(super) sent: u32,
    pub(super) manner: Manner,
}

/// Why a number leads to no query under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Missed {
    /// No query of ours has had it, or none lately.
    Unasked,
    /// A query had it whose lookup is over, or was asked some times since.
    Late,
}

impl Desk {
    /// The query that had `port` and `id`, if it is one whose answer is taken.
    #[inline]
    pub(super) fn find(&self, port: u16, id: u16) -> Result<Found, Missed> {
        let place @ Place { slot: number, .. } =
            self.places.find(port, id).ok_or(Missed::Unasked)?;
        let slot = self.slots.get(number).ok_or(Missed::Unasked)?;
        let age = self.places.age(place, slot.generation);
        match slot.asked(age) {
            Some((Asked { server, sent }, manner)) if slot.state != State::Over => {
                Ok(Found { slot: number, age, server: ServerId(server), sent, manner })
            }
            _ if slot.was_asked(age) => Err(Missed::Late),
            _ => Err(Missed::Unasked),
        }
    }

    /// The query of `number` as it was sent from `port` with `id`.
    #[inline]
    pub(super) fn query(&self, number: u32, port: u16, id: u16, manner: Manner) -> Query<'_> {
        let case = if manner.cased { self.cases.of(port, id) } else { 0 };
        self.query_in(case, number, id, manner)
    }

    /// The same in a case that is known.
    #[inline]
    pub(super) fn query_in(&self, case: u64, number: u32, id: u16, manner: Manner) -> Query<'_> {
        let slot = self.slots.get(number);
        let (qtype, qclass) = slot.map_or((0, 0), |slot| (slot.qtype, slot.qclass));
        Query {
            id,
            name: self.slots.name(number),
            case,
            qtype: Qtype(qtype),
            qclass: Qclass(qclass),
            recursion: self.settings.recursion,
            edns: self.settings.edns.filter(|_| manner.edns),
        }
    }

    // --- what comes of attempts -----------------------------------------------------------------------------------

    /// The last attempt brought nothing of use; `said` is the message that says so, if there is one.
    pub(super) fn fail(
        &mut self,
        number: u32,
        failure: Failure,
        at: Instant,
        said: Option<(Told, &[u8])>,
    ) {
        let slot = self.slots.at(number);
        slot.failure = failure;
        slot.extra = 0;
        if slot.attempts <= self.settings.retries {
            return self.make_ready(number);
        }
        self.conclude(number, failure, at, said);
    }

    /// A lookup of which nothing will come ends with how its last attempt failed.
    pub(super) fn conclude(
        &mut self,
        number: u32,
        failure: Failure,
        at: Instant,
        said: Option<(Told, &[u8])>,
    ) {
        let outcome = match failure {
            Failure::Timeout | Failure::Manners => Outcome::Timeout,
            Failure::Unreachable => Outcome::Unreachable,
            Failure::Truncated => Outcome::Truncated,
            Failure::Malformed => Outcome::Malformed,
            Failure::Said => Outcome::Message,
        };
        let count = match outcome {
            Outcome::Timeout => &self.tally.timeouts,
            Outcome::Unreachable => &self.tally.unreachable,
            Outcome::Truncated => &self.tally.truncated,
            Outcome::Malformed => &self.tally.malformed,
            Outcome::Message | Outcome::Invalid => &self.tally.failures,
        };
        if self.slots.get(number).is_some_and(|slot| slot.purpose != Purpose::Test) {
            count.add(1);
        }
        let (told, message) = said.unzip();
        self.end(number, Ending { outcome, told, wildcard: None, at }, message.unwrap_or_default());
    }

    /// The server did not like how it was asked: it is asked once more in another manner, and that is no attempt.
    pub(super) fn ask_again(&mut self, number: u32, at: Instant) {
        let slot = self.slots.at(number);
        if slot.extra >= MOST_EXTRA {
            return self.fail(number, Failure::Malformed, at, None);
        }
        slot.extra += 1;
        slot.failure = Failure::Manners;
        self.make_ready(number);
    }

    fn make_ready(&mut self, number: u32) {
        self.slots.wheel.cancel(number);
        self.slots.at(number).state = State::Ready;
        self.slots.enlist(&mut self.ready, number);
    }

    /// A lookup knows what it was to find out.
    pub(super) fn settle(&mut self, number: u32, kind: Kind, told: Told, message: &Message<'_>) {
        let Some(wildcards) = &mut self.wildcards else {
            return self.tell(number, kind, told, message.octets(), None);
        };
        let Some(slot) = self.slots.get(number) else { return };
        let answers = message.digest();
        if slot.purpose == Purpose::Test {
            wildcards.learnt(slot.number.into(), Some(answers));
            self.forget(number);
            return self.release();
        }
        if answers.is_empty() || slot.qclass != Qclass::IN.0 {
            return self.tell(number, kind, told, message.octets(), None);
        }
        let (name, ticket) = (self.slots.name(number), self.held.next_ticket());
        // Where no domain was given, the parent is taken for one.
        let root = slot.root().unwrap_or_else(|| labels(name).skip(1).count() as u8);
        match wildcards.judge(name, root, Qtype(slot.qtype), &answers, ticket) {
            Verdict::Hold => {
                self.held.keep(number, kind, told, message.octets());
                self.slots.wheel.cancel(number);
                self.slots.at(number).state = State::Held;
            }
            verdict => self.tell(number, kind, told, message.octets(), is_wild(verdict)),
        }
    }

    fn tell(
        &mut self,
        number: u32,
        kind: Kind,
        told: Told,
        message: &[u8],
        wildcard: Option<bool>,
    ) {
        let count = match kind {
            Kind::NxDomain => &self.tally.no_name,
            Kind::NoData => &self.tally.no_data,
            _ => &self.tally.answers,
        };
        count.add(1);
        self.tally.wild.add(u64::from(wildcard == Some(true)));
        let ending = Ending { outcome: Outcome::Message, told: Some(told), wildcard, at: told.at };
        self.end(number, ending, message);
    }

    /// Ends the lookups whose wildcards are known now.
    pub(super) fn release(&mut self) {
        while let Some((ticket, verdict)) = self.wildcards.as_mut().and_then(Wildcards::released) {
            let Some(answer) = self.held.take(ticket) else { continue };
            self.tell(answer.slot, answer.kind, answer.told, &answer.message, is_wild(verdict));
            self.held.give_back(answer.message);
        }
    }

    fn end(&mut self, number: u32, ending: Ending, message: &[u8]) {
        let Ending { outcome, told, wildcard, at } = ending;
        let Some(slot) = self.slots.get(number) else { return };
        if slot.purpose == Purpose::Test {
            if let Some(wildcards) = &mut self.wildcards {
                wildcards.failed(slot.number.into());
            }
            self.forget(number);
            return self.release();
        }
        let asked = slot.servers().next().map(|server| self.pool.addr(ServerId(server)));
        self.outbox.push(&End {
            number: slot.number,
            name: self.slots.name(number),
            qtype: Qtype(slot.qtype),
            qclass: Qclass(slot.qclass),
            outcome,
            resolver: told.map(|told| told.server).or(asked),
            protocol: told.map_or(Protocol::Udp, |told| told.protocol),
            attempts: slot.attempts,
            rtt: told.and_then(|told| told.rtt),
            at,
            wildcard,
            message,
        });
        self.forget(number);
    }

    /// Gives a slot back, and the server that was held for it.
    fn forget(&mut self, number: u32) {
        if let Some(own) = self.slots.get(number).and_then(Slot::own_server) {
            self.pool.release(ServerId(own));
        }
        self.slots.end(number);
    }

    // --- beginning and giving up ----------------------------------------------------------------------------------

    /// A lookup was taken from a list that its state is not of.
    pub(super) fn go_on_in_list(&mut self, number: u32) {
        match self.slots.at(number).state {
            State::Ready => self.slots.enlist(&mut self.ready, number),
            State::Knocking => self.slots.enlist(&mut self.knocking, number),
            _ => {}
        }
    }

    /// Begins a lookup whose turn it is at once; `None` without room.
    pub(super) fn begin(&mut self, begun: &Begun<'_>) -> Option<u32> {
        let number = self.slots.begin(begun)?;
        if begun.purpose == Purpose::Direct {
            self.pool.hold(ServerId(begun.server));
        }
        Some(number)
    }

    /// Input that is no name ends as it comes.
    pub(super) fn tell_invalid(
        &mut self,
        number: u64,
        text: &[u8],
        qtype: Qtype,
        qclass: Qclass,
        at: Instant,
    ) {
        self.tally.invalid.add(1);
        self.outbox.push(&End {
            number,
            name: text,
            qtype,
            qclass,
            outcome: Outcome::Invalid,
            resolver: None,
            protocol: Protocol::Udp,
            attempts: 0,
            rtt: None,
            at,
            wildcard: None,
            message: &[],
        });
    }

    /// The scan was stopped: what is under way has no end.
    pub(super) fn give_up(&mut self) {
        for number in self.slots.all() {
            let Some(slot) = self.slots.get(number) else { continue };
            if matches!(slot.state, State::Free | State::Over) {
                continue;
            }
            if slot.purpose != Purpose::Test {
                self.tally.cut_off.add(1);
            }
            self.forget(number);
        }
        while self.slots.pop(&mut self.ready).is_some() {}
        while self.slots.pop(&mut self.knocking).is_some() {}
    }

    /// From the sending of a query, in wrapped microseconds, to `at`.
    pub(super) fn rtt(sent: u32, at: Instant) -> Duration {
        let micros = at.as_wrapped_micros().wrapping_sub(sent);
        // Of a clock that read a little earlier than that of the link.
        Duration::from_micros(if micros > u32::MAX / 2 { 0 } else { micros.into() })
    }
}

/// See [`Desk::end`].
#[derive(Clone, Copy, Debug)]
struct Ending {
    outcome: Outcome,
    told: Option<Told>,
    wildcard: Option<bool>,
    at: Instant,
}

fn is_wild(verdict: Verdict) -> Option<bool> {
    match verdict {
        Verdict::Wild => Some(true),
        Verdict::Real => Some(false),
        Verdict::Unknown | Verdict::Hold => None,
    }
}

/// The tick from which `at` is past.
pub(super) fn tick_of(at: Instant) -> u32 {
    let tick = at.as_nanos().div_ceil(TICK.as_nanos() as u64);
    u32::try_from(tick).unwrap_or(u32::MAX - 1)
}
