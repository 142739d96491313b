//! The listener that asks: what comes goes to the [desk](super::desk), and what is due leaves from there.
//!
//! ```text
//!  handle(frame)         gate -> datagram, segment, error -> Desk, Tcp
//!  poll_transmit(now)    timers -> segments and SYNs (Flow) -> lookups asked again (Retry) -> tests, questions (New) -> ends
//! ```
//!
//! A new question is taken when there is a slot, room for its end, a token of the governor and a server whose turn it is: whichever
//! is missing is what holds the source up, and nothing is taken to wait here.

use std::sync::Arc;

use mrpf_engine::{
    governor::{Class, Waiting},
    link::{Frame, LinkError, Tx},
    probe::Invalid,
    scan::{Listener, Session},
    sources::Sources,
    tcp::{self, Flows},
    template::Ends,
    time::Instant,
    wire::MacAddr,
};

use super::{
    Keys, LookupsError, Settings,
    cases::Cases,
    desk::{Desk, TICK},
    frames::{Frames, PROFILE},
    gate::{self, ForUs, Stranger},
    held::Held,
    marks::Marks,
    outbox::Outbox,
    places::{Places, Ports},
    slots::{List, Slots},
    tally::Tally,
    tcp::Tcp,
};
use crate::{
    names::{Question, Source},
    resolver::Pool,
    wildcard::Wildcards,
};

/// One slot of so many may wait for such a test before no new question is taken.
const HELD_SHARE: u32 = 2;

/// What the lookups of one thread are made of.
#[derive(Debug)]
pub struct Parts<S> {
    /// What all threads share.
    pub session: Arc<Session>,
    /// Which thread this is, below the number that the marks are for.
    pub thread: usize,
    /// Where frames come from.
    pub ends: Ends,
    /// The source ports of this thread and no other.
    pub ports: Ports,
    /// Secrets; of each thread its own, or all the same.
    pub keys: Keys,
    /// Whom to ask.
    pub pool: Pool,
    /// Whether answers are compared with those of wildcards.
    pub wildcards: Option<Wildcards>,
    /// What to ask.
    pub source: S,
    /// Where ends go.
    pub outbox: Outbox,
    /// Up to where all is told, of all threads.
    pub marks: Marks,
}

/// Asks what a source gives and says how each question ended. One a thread; see the [module](super).
#[derive(Debug)]
pub struct Lookups<S> {
    pub(super) desk: Desk,
    tcp: Tcp,
    pub(super) source: S,
    /// What the source gave last, when it waits to be asked.
    pub(super) question: Question,
    pub(super) is_waiting: bool,
    pub(super) supply: Supply,
    /// The number that comes next at least.
    pub(super) next: u64,
    pub(super) marks: Marks,
    pub(super) thread: usize,
    sources: Sources,
    pub(super) retrying: Waiting,
    ring_drops: u64,
    /// What was given up: its lowest number.
    cut: Option<u64>,
    has_abandoned: bool,
}

/// What is known of the source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Supply {
    /// It may hold more for this thread.
    More,
    /// It held nothing when it was asked last.
    Later,
    /// It will never give anything again.
    Over,
}

impl<S: Source> Lookups<S> {
    /// Lookups without a question yet.
    ///
    /// # Errors
    ///
    /// [`LookupsError`] when the ports are too few for the slots or there is no memory.
    pub fn new(parts: Parts<S>, settings: Settings) -> Result<Self, LookupsError> {
        let Parts { session, thread, ends, ports, keys, pool, wildcards, source, outbox, marks } =
            parts;
        let slots = settings.slots;
        let places = Places::new(ports, slots, keys.places)
            .ok_or_else(|| LookupsError::ports(ports.count(), slots))?;
        let flows = tcp::Settings {
            flows: settings.connections,
            buffers: settings.buffers,
            profile: PROFILE,
            ..tcp::Settings::default()
        };
        let flows = Flows::new(flows, keys.flows)?;
        let desk = Desk {
            session,
            slots: Slots::new(slots)?,
            places,
            cases: Cases::new(keys.cases),
            pool,
            frames: Frames::new(&ends),
            outbox,
            tally: Arc::default(),
            wildcards,
            held: Held::new(slots / HELD_SHARE),
            ready: List::default(),
            knocking: List::default(),
            settings,
        };
        Ok(Self {
            desk,
            tcp: Tcp::new(flows, tcp::Frames::new(&ends, PROFILE)),
            source,
            question: Question::default(),
            is_waiting: false,
            supply: Supply::Later,
            next: 0,
            marks,
            thread,
            sources: ends.sources,
            retrying: Waiting::new(Class::Retry),
            ring_drops: 0,
            cut: None,
            has_abandoned: false,
        })
    }

    /// What is counted, to be read while it runs and after.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.desk.tally)
    }

    /// Lookups under way.
    pub fn under_way(&self) -> u32 {
        self.desk.slots.len()
    }

    /// The lowest number that was taken and is not told.
    pub(super) fn lowest(&self) -> Option<u64> {
        // What was given up has no end: everything from there on stays open for ever.
        let open = if self.has_abandoned { self.cut } else { self.first_open() };
        self.desk.outbox.lowest().into_iter().chain(open).min()
    }

    /// The lowest number that was taken and has no end.
    fn first_open(&self) -> Option<u64> {
        let oldest = self.desk.slots.oldest();
        // What comes next lies behind all of them.
        let next = (self.is_waiting || self.supply == Supply::More).then_some(self.next);
        oldest.into_iter().chain(next).min()
    }
}

impl<S: Source + std::fmt::Debug + 'static> Listener for Lookups<S> {
    #[inline]
    fn handle(&mut self, frame: Frame<'_>) {
        let Some(packet) = self.desk.session.parse(&frame) else { return };
        match gate::read(&packet, &self.sources, self.desk.places.ports()) {
            Ok(ForUs::Datagram(heard)) => self.desk.hear(&heard, frame.at),
            Ok(ForUs::Segment(incoming)) => {
                let next_hop = packet.ethernet.map_or(MacAddr::ZERO, |ethernet| ethernet.source());
                self.tcp.hear(&mut self.desk, &incoming, next_hop, frame.at);
            }
            Ok(ForUs::Unreachable(sent)) => self.desk.hear_unreachable(&sent, frame.at),
            Err(stranger) => self.desk.session.counters().invalid(match stranger {
                Stranger::Elsewhere => Invalid::NotForUs,
                Stranger::Kind => Invalid::Kind,
            }),
        }
    }

    fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        // What has come in time may still lie in the ring.
        if !self.is_crowded() && !self.has_abandoned {
            self.desk.expire(now);
            self.tcp.expire(&mut self.desk, now);
        }
        let mut again = Again(self.tcp.transmit(&mut self.desk, now, link)?);
        if !self.was_stopped() {
            let (retries, may_go_on) = self.ask_again(now, link)?;
            again.or_at(retries);
            if may_go_on {
                again.or_at(self.ask_new(now, link)?);
            }
        }
        again.or_at(self.desk.outbox.poll(now));
        if self.desk.outbox.is_gone() {
            // Nobody takes what is found any more.
            self.desk.session.stop().stop();
        }
        let tick = self.desk.slots.wheel.next();
        again.or_at(tick.map(|tick| Instant::from_nanos(u64::from(tick) * TICK.as_nanos() as u64)));
        Ok(again.0)
    }

    fn rest(&mut self, _: Instant) {
        self.marks.set(self.thread, self.lowest());
    }

    fn is_crowded(&self) -> bool {
        self.desk.outbox.is_crowded()
    }

    fn was_stopped(&self) -> bool {
        self.desk.session.stop().is_stopped()
    }

    fn is_asking(&self) -> bool {
        self.supply != Supply::Over
            || self.is_waiting
            || self.desk.slots.len() > 0
            || !self.desk.outbox.is_empty()
    }

    fn note_ring_drops(&mut self, drops: u64) {
        let counters = self.desk.session.counters();
        counters.ring_drops.add(drops.saturating_sub(self.ring_drops));
        self.ring_drops = drops;
    }

    fn abandon(&mut self) {
        if !self.has_abandoned {
            self.cut = self.first_open();
            self.has_abandoned = true;
        }
        self.desk.give_up();
        self.tcp.abandon();
    }

    fn leave(&mut self) {
        self.tcp.leave(&self.desk);
        self.desk.session.governor().set_waiting(&mut self.retrying, 0);
        self.desk.tally.untold.add(self.desk.outbox.close());
    }
}

/// The first of several moments.
#[derive(Debug)]
struct Again(Option<Instant>);

impl Again {
    fn or_at(&mut self, at: Option<Instant>) {
        self.0 = match (self.0, at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}
