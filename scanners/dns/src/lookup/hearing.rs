//! What an answer means for its lookup.
//!
//! ```text
//!                        the resolver         the lookup
//!  answer, no data,
//!  no name               answered             ends
//!  TC                    answered             asks the same over TCP, at once
//!  FORMERR, NOTIMP,
//!  BADVERS, to EDNS      knows none           asks the same without, at once
//!  SERVFAIL              failed               asks elsewhere, until its attempts are used up; then that is its end
//!  REFUSED and others    refused              the same
//!  another case          loses the case       asks the same once more: what came may be forged
//!  no message            failed               asks elsewhere
//! ```
//!
//! An answer to one of the last attempts of a lookup is taken too if it is of use; if not, the attempt that is under way decides.

use std::{net::SocketAddr, time::Duration};

use mrpf_engine::{probe::Invalid, time::Instant};

use super::{
    desk::{Desk, Found, Missed},
    ends::Protocol,
    gate::{Heard, Sent, What},
    held::Told,
    slot::{Failure, State},
};
use crate::{
    message::{Kind, Matched, Message, Rcode},
    resolver::Why,
};

impl Desk {
    /// Takes a datagram to a port of ours.
    #[inline]
    pub(super) fn hear(&mut self, heard: &Heard<'_>, at: Instant) {
        let Some(message) = Message::parse(heard.payload()) else {
            return self.session.counters().invalid(Invalid::Damaged);
        };
        let Some(found) = self.find_or_count(heard.port, message.id()) else { return };
        let invalid = match () {
            () if found.manner.tcp => {
                self.tally.unasked.add(1);
                Invalid::Cookie
            }
            () if !message.is_response() || message.opcode() != 0 => {
                self.tally.no_response.add(1);
                Invalid::Kind
            }
            () if self.pool.addr(found.server) != heard.from => {
                self.tally.other_source.add(1);
                Invalid::Cookie
            }
            () => return self.check(heard, &found, &message, at),
        };
        self.session.counters().invalid(invalid);
    }

    fn find_or_count(&self, port: u16, id: u16) -> Option<Found> {
        match self.find(port, id) {
            Ok(found) => return Some(found),
            Err(Missed::Unasked) => {
                self.tally.unasked.add(1);
                self.session.counters().invalid(Invalid::Cookie);
            }
            Err(Missed::Late) => {
                self.tally.late.add(1);
                self.session.counters().valid.add(1);
                self.session.counters().late.add(1);
            }
        }
        None
    }

    /// From who was asked, to the port, with the id: is it our question?
    fn check(&mut self, heard: &Heard<'_>, found: &Found, message: &Message<'_>, at: Instant) {
        let number = found.slot;
        let matched = self.query(number, heard.port, message.id(), found.manner).answers(message);
        let is_kept = match matched {
            Matched::Same | Matched::NoQuestion => true,
            // In the case of the input, and given back in another: there is nothing that this proves.
            Matched::CaseDiffers => !found.manner.cased,
            Matched::Other => {
                self.tally.other_question.add(1);
                return self.session.counters().invalid(Invalid::Cookie);
            }
        };
        if !heard.is_intact() {
            return self.session.counters().invalid(Invalid::Damaged);
        }
        if !is_kept {
            self.tally.other_case.add(1);
            self.session.counters().invalid(Invalid::Cookie);
            if self.is_current(found) {
                self.pool.failed(found.server, at, Why::CaseLost);
                self.ask_again(number, at);
            }
            return;
        }
        let counters = self.session.counters();
        counters.valid.add(1);
        if matches!(self.state(number), State::Held | State::Talking) {
            return counters.duplicate.add(1);
        }
        counters.first.add(1);
        let told = Told {
            server: heard.from,
            protocol: Protocol::Udp,
            rtt: Some(Self::rtt(found.sent, at)),
            at,
        };
        self.take(found, told, message);
    }

    /// An answer over UDP that is one.
    fn take(&mut self, found: &Found, told: Told, message: &Message<'_>) {
        let number = found.slot;
        if message.tc() {
            self.tally.cut_short.add(1);
            self.was_answered(found, told.at);
            if !matches!(self.state(number), State::Knocking | State::Opening) {
                self.knock(number, found.server);
            }
            return;
        }
        match self.meaning(found, message) {
            Meaning::Settled(kind) => {
                self.was_answered(found, told.at);
                self.settle(number, kind, told, message);
            }
            Meaning::Failed(why, failure) => {
                if self.is_current(found) {
                    self.pool.failed(found.server, told.at, why);
                    if why == Why::NoEdns {
                        return self.ask_again(number, told.at);
                    }
                    self.fail(number, failure, told.at, Some((told, message.octets())));
                }
            }
        }
    }

    /// An answer over TCP that is one.
    pub(super) fn take_over_tcp(&mut self, found: &Found, told: Told, message: &Message<'_>) {
        match self.meaning(found, message) {
            Meaning::Settled(kind) => {
                self.tally.over_tcp.add(1);
                self.settle(found.slot, kind, told, message);
            }
            Meaning::Failed(_, failure) => {
                self.tally.tcp_failed.add(1);
                self.fail(found.slot, failure, told.at, Some((told, message.octets())));
            }
        }
    }

    fn meaning(&self, found: &Found, message: &Message<'_>) -> Meaning {
        match message.outcome() {
            kind @ (Kind::Answer | Kind::NoData | Kind::NxDomain) => Meaning::Settled(kind),
            // Who speaks for a zone may name who speaks for a part of it; a resolver that does so does not resolve.
            Kind::Referral if !self.settings.recursion => Meaning::Settled(Kind::NoData),
            Kind::Referral => Meaning::Failed(Why::Refused, Failure::Said),
            Kind::Malformed => Meaning::Failed(Why::ServFail, Failure::Malformed),
            Kind::Failure(Rcode::FORMERR | Rcode::NOTIMP | Rcode::BADVERS) if found.manner.edns => {
                Meaning::Failed(Why::NoEdns, Failure::Said)
            }
            Kind::Failure(Rcode::SERVFAIL) => {
                self.tally.servfail.add(1);
                Meaning::Failed(Why::ServFail, Failure::Said)
            }
            Kind::Failure(Rcode::REFUSED) => {
                self.tally.refused.add(1);
                Meaning::Failed(Why::Refused, Failure::Said)
            }
            Kind::Failure(_) => Meaning::Failed(Why::Refused, Failure::Said),
        }
    }

    /// Whether `found` is the attempt that the lookup waits for.
    fn is_current(&self, found: &Found) -> bool {
        found.age == 0 && self.state(found.slot) == State::Asked
    }

    fn state(&self, number: u32) -> State {
        self.slots.get(number).map_or(State::Free, |slot| slot.state)
    }

    /// Tells the pool of an answer that is of use, and of the query that it makes useless.
    fn was_answered(&mut self, found: &Found, at: Instant) {
        let rtt = Self::rtt(found.sent, at);
        if self.is_current(found) {
            return self.pool.answered(found.server, at, Some(rtt));
        }
        self.pool.late(found.server, at, rtt);
        self.withdraw(found.slot, at);
    }

    /// What `number` waits for is not waited for any longer.
    pub(super) fn withdraw(&mut self, number: u32, at: Instant) {
        let Some(slot) = self.slots.get(number) else { return };
        if slot.state == State::Asked
            && let Some(server) = slot.servers().next()
        {
            self.pool.withdrawn(crate::resolver::ServerId(server), at);
        }
    }

    /// Somebody says that a packet of ours does not arrive.
    pub(super) fn hear_unreachable(&mut self, sent: &Sent, at: Instant) {
        let number = match sent.what {
            What::Query(id) => Some((id, false)),
            What::Segment(seq) => seq.map(|seq| ((seq >> 16) as u16, true)),
        };
        let found = number
            .and_then(|(id, tcp)| {
                self.find(sent.port, id).ok().filter(|found| found.manner.tcp == tcp)
            })
            .filter(|found| self.pool.addr(found.server) == sent.to && found.age == 0);
        let Some(found) = found else {
            return self.session.counters().invalid(Invalid::Cookie);
        };
        let counters = self.session.counters();
        counters.valid.add(1);
        match self.state(found.slot) {
            State::Asked => {
                counters.first.add(1);
                self.pool.failed(found.server, at, Why::Unreachable);
                self.fail(found.slot, Failure::Unreachable, at, None);
            }
            State::Opening => {
                counters.first.add(1);
                self.tally.tcp_failed.add(1);
                self.fail(found.slot, Failure::Truncated, at, None);
            }
            _ => counters.late.add(1),
        }
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// The lookup knows.
    Settled(Kind),
    /// It does not: what that says of the server, and of the attempt.
    Failed(Why, Failure),
}

/// Where a message that came over TCP came from, and when.
pub(super) fn told_over_tcp(server: SocketAddr, rtt: Duration, at: Instant) -> Told {
    Told { server, protocol: Protocol::Tcp, rtt: Some(rtt), at }
}
