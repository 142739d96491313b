//! Whom a lookup asks, and the frame that does.

use mrpf_engine::time::Instant;

use super::{
    desk::{Desk, tick_of},
    frames::Way,
    slot::{Asked, Failure, Manner, State},
};
use crate::resolver::{Pick, ServerId, Turn, Why};

/// What came of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asking {
    /// The frame is made, so long; it must leave now.
    Made(u16),
    /// Nobody may be asked before this moment, and what was to be asked waits for its turn.
    Wait(Instant),
    /// There is no frame, and the lookup waits for something else or is over.
    Nothing,
}

impl Desk {
    /// It is the turn of `number`: writes its next query into `frame`. `picked` is whom to ask if it has asked nobody.
    pub(super) fn ask(
        &mut self,
        number: u32,
        picked: Option<ServerId>,
        now: Instant,
        frame: &mut [u8],
    ) -> Asking {
        let server = match self.choose(number, picked, now) {
            Ok(server) => server,
            Err(asking) => return asking,
        };
        let addr = self.pool.addr(server);
        let is_again = self.slots.at(number).failure == Failure::Manners;
        let manner = Manner {
            edns: self.settings.edns.is_some() && self.pool.speaks_edns(server),
            cased: self.settings.case && self.pool.keeps_case(server),
            tcp: false,
        };
        let slot = self.slots.at(number);
        if !is_again {
            slot.attempts = slot.attempts.saturating_add(1);
        }
        let is_first = slot.attempts == 1 && !is_again;
        let asked = Asked { server: server.0, sent: now.as_wrapped_micros() };
        let generation = slot.note(asked, manner);
        let (port, id) = self.places.of(number, generation);
        let drawn = self.cases.of(port, id);
        let query = self.query_in(if manner.cased { drawn } else { 0 }, number, id, manner);
        let label = (drawn >> 40) as u32;
        let next_hop = self.session.next_hops().of(addr.ip());
        let len = next_hop.and_then(|next_hop| {
            let way = Way { next_hop, server: addr, port, label };
            self.frames.query(frame, &way, &query)
        });
        self.pool.sent(server, now);
        let Some(len) = len else {
            self.pool.failed(server, now, Why::Unreachable);
            self.fail(number, Failure::Unreachable, now, None);
            return Asking::Nothing;
        };
        self.slots.at(number).state = State::Asked;
        self.slots.wheel.set(number, tick_of(now + self.pool.timeout(server)));
        self.tally.queries.add(1);
        self.tally.again.add(is_again.into());
        self.tally.retries.add((!is_first && !is_again).into());
        Asking::Made(len)
    }

    /// Whom `number` asks next.
    fn choose(
        &mut self,
        number: u32,
        picked: Option<ServerId>,
        now: Instant,
    ) -> Result<ServerId, Asking> {
        let slot = self.slots.at(number);
        if let Some(own) = slot.own_server() {
            return self.choose_own(number, ServerId(own), now);
        }
        if slot.failure == Failure::Manners
            && let Some(same) = slot.servers().next()
        {
            return Ok(ServerId(same));
        }
        if let Some(picked) = picked {
            return Ok(picked);
        }
        let mut avoid = [ServerId(0); super::slot::TAKEN];
        let mut avoided = 0;
        for (place, server) in avoid.iter_mut().zip(slot.servers()) {
            (*place, avoided) = (ServerId(server), avoided + 1);
        }
        match self.pool.pick(now, avoid.get(..avoided).unwrap_or_default()) {
            Pick::Server(server) => Ok(server),
            Pick::Wait(at) => Err(Asking::Wait(at)),
            Pick::Dead => {
                self.conclude(number, Failure::Timeout, now, None);
                Err(Asking::Nothing)
            }
        }
    }

    /// Its one server, when its turn comes: others need not wait for that.
    fn choose_own(&mut self, number: u32, own: ServerId, now: Instant) -> Result<ServerId, Asking> {
        match self.pool.may_ask(own, now) {
            Turn::Now => Ok(own),
            Turn::Wait(at) => {
                self.slots.at(number).state = State::Paused;
                self.slots.wheel.set(number, tick_of(at));
                Err(Asking::Nothing)
            }
            Turn::Dead(_) => {
                self.conclude(number, Failure::Timeout, now, None);
                Err(Asking::Nothing)
            }
        }
    }

    /// Does what is due about lookups that wait.
    pub(super) fn expire(&mut self, now: Instant) {
        let tick = (now.as_nanos() / super::desk::TICK.as_nanos() as u64) as u32;
        while let Some(number) = self.slots.wheel.pop(tick) {
            let slot = self.slots.at(number);
            let server = slot.servers().next().map(ServerId);
            match slot.state {
                State::Asked => {
                    if let Some(server) = server {
                        self.pool.failed(server, now, Why::Timeout);
                    }
                    self.tally.lost.add(1);
                    self.fail(number, Failure::Timeout, now, None);
                }
                State::Paused => {
                    slot.state = State::Ready;
                    self.slots.enlist(&mut self.ready, number);
                }
                State::Opening => self.knock_again(number, now),
                State::Free
                | State::Ready
                | State::Knocking
                | State::Talking
                | State::Held
                | State::Over => {}
            }
        }
    }
}
