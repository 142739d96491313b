//! The listener that asks: what comes goes to the [desk](super::desk), and what is due leaves from there.
//!
//! ```text
//!  handle(frame)         gate -> datagram, segment, error -> Desk, Tcp
//!  poll_transmit(now)    timers -> segments and SYNs (Flow) -> lookups asked again (Retry) -> tests, questions (New) -> ends
//! ```
//!
//! A new question is taken when there is a slot, room for its end, a token of the governor and a server whose turn it is: whichever
//! is missing is what holds the source up, and nothing is taken to wait here.

use std::{sync::Arc, time::Duration};

use mrpf_engine::{
    governor::{Class, Waiting},
    link::{Frame, LinkError, MAX_BATCH, Tx},
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
    asking::Asking,
    cases::Cases,
    desk::{Desk, TICK},
    frames::{Frames, PROFILE},
    gate::{self, ForUs, Stranger},
    held::Held,
    marks::Marks,
    outbox::Outbox,
    places::{Places, Ports},
    slots::{Begun, List, NO_ROOT, NONE, Purpose, Slots, State},
    tally::Tally,
    tcp::Tcp,
};
use crate::{
    names::{Pull, Question, Source},
    resolver::{Pick, Pool},
    wildcard::Wildcards,
};

/// How soon a source that has nothing at present is asked again.
const LATER: Duration = Duration::from_millis(1);
/// One slot of so many is kept for tests whether a parent is a wildcard: what waits for those takes slots too.
const TESTS_SHARE: u32 = 16;
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
    desk: Desk,
    tcp: Tcp,
    source: S,
    /// What the source gave last, when it waits to be asked.
    question: Question,
    is_waiting: bool,
    supply: Supply,
    /// The number that comes next at least.
    next: u64,
    marks: Marks,
    thread: usize,
    sources: Sources,
    retrying: Waiting,
    ring_drops: u64,
    /// What was given up: its lowest number.
    cut: Option<u64>,
    has_abandoned: bool,
}

/// What is known of the source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Supply {
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

    // --- what is asked again --------------------------------------------------------------------------------------

    /// Asks lookups whose turn has come again; gives when to come again and whether new ones may be asked now.
    fn ask_again<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<(Option<Instant>, bool), LinkError> {
        let session = Arc::clone(&self.desk.session);
        let mut lens = [0; MAX_BATCH];
        while !self.desk.ready.is_empty() {
            let want = (self.desk.ready.len()).min(link.slots() as u32);
            let got = session.governor().take(Class::Retry, want, now);
            if got == 0 {
                session.governor().set_waiting(&mut self.retrying, self.desk.ready.len());
                let again = session.governor().ready_at(Class::Retry, want.min(session.batch()));
                return Ok((Some(again), false));
            }
            let (mut made, mut wait) = (0, None);
            while made < got as usize {
                let Some(number) = self.desk.slots.pop(&mut self.desk.ready) else { break };
                if self.desk.slots.at(number).state != State::Ready {
                    self.desk.go_on_in_list(number);
                    continue;
                }
                match self.desk.ask(number, now, link.frame(made)) {
                    Asking::Made(len) => {
                        lens[made] = len;
                        made += 1;
                    }
                    Asking::Wait(at) => {
                        self.desk.slots.put_back(&mut self.desk.ready, number);
                        wait = Some(at);
                        break;
                    }
                    Asking::Nothing => {}
                }
            }
            session.governor().put_back(Class::Retry, got - made as u32);
            send(&session, link, &lens[..made])?;
            if wait.is_some() {
                // For a server that it has not asked yet; others may find the ones that it has asked free.
                session.governor().set_waiting(&mut self.retrying, 0);
                return Ok((wait, true));
            }
        }
        session.governor().set_waiting(&mut self.retrying, 0);
        Ok((None, true))
    }

    // --- what is asked first --------------------------------------------------------------------------------------

    fn ask_new<T: Tx>(&mut self, now: Instant, link: &mut T) -> Result<Option<Instant>, LinkError> {
        let session = Arc::clone(&self.desk.session);
        let mut lens = [0; MAX_BATCH];
        loop {
            let want = link.slots() as u32;
            if !self.may_begin() {
                return Ok(None);
            }
            let got = session.governor().take(Class::New, want, now);
            if got == 0 {
                return Ok(Some(
                    session.governor().ready_at(Class::New, want.min(session.batch())),
                ));
            }
            let (mut made, mut wait) = (0, None);
            while made < got as usize && wait.is_none() {
                match self.begin_next(now) {
                    Next::Begun(number) => match self.desk.ask(number, now, link.frame(made)) {
                        Asking::Made(len) => {
                            lens[made] = len;
                            made += 1;
                        }
                        Asking::Wait(at) => {
                            self.desk.slots.enlist(&mut self.desk.ready, number);
                            wait = Some(Some(at));
                        }
                        Asking::Nothing => {}
                    },
                    Next::Told => {}
                    Next::At(at) => wait = Some(at),
                }
            }
            session.governor().put_back(Class::New, got - made as u32);
            send(&session, link, &lens[..made])?;
            if let Some(again) = wait {
                return Ok(again);
            }
        }
    }

    /// Whether there may be anything to begin, and room for it.
    fn may_begin(&self) -> bool {
        let has_test = self.desk.wildcards.as_ref().is_some_and(Wildcards::has_questions);
        let may_ask = self.supply != Supply::Over || self.is_waiting;
        (has_test && self.desk.slots.room() > 0) || (may_ask && self.has_room())
    }

    fn has_room(&self) -> bool {
        let Desk { slots, outbox, held, wildcards, settings, .. } = &self.desk;
        let kept = if wildcards.is_some() { settings.slots.div_ceil(TESTS_SHARE) } else { 0 };
        slots.room() > kept && outbox.has_room() && !held.is_full()
    }

    /// Begins the next test, or the next question.
    fn begin_next(&mut self, now: Instant) -> Next {
        // What has begun waits in front of those that were asked before: so nothing begins that has to wait.
        if let Pick::Wait(at) = self.desk.pool.pick(now, &[]) {
            return Next::At(Some(at));
        }
        if self.desk.slots.room() > 0
            && let Some((name, qtype, tag)) =
                self.desk.wildcards.as_mut().and_then(Wildcards::next_question)
        {
            let begun = Begun {
                number: tag.into(),
                purpose: Purpose::Test,
                name: name.as_wire(),
                qtype: qtype.0,
                qclass: crate::message::Qclass::IN.0,
                root: NO_ROOT,
                server: NONE,
            };
            return match self.desk.begin(&begun) {
                Some(number) => {
                    self.desk.tally.tests.add(1);
                    Next::Begun(number)
                }
                None => {
                    // There is no room for another long name: what it was to find out stays unknown.
                    if let Some(wildcards) = &mut self.desk.wildcards {
                        wildcards.failed(tag);
                    }
                    self.desk.release();
                    Next::Told
                }
            };
        }
        if !self.has_room() {
            return Next::At(None);
        }
        if !self.is_waiting {
            match self.pull() {
                Supply::More => {}
                Supply::Later => return Next::At(Some(now + LATER)),
                Supply::Over => return Next::At(None),
            }
        }
        self.begin_question(now)
    }

    /// Takes the next question of the source.
    fn pull(&mut self) -> Supply {
        if self.supply == Supply::Later && self.lowest().is_none() {
            self.marks.about_to_take(self.thread);
        }
        self.supply = match self.source.next(&mut self.question) {
            Pull::Question => {
                self.is_waiting = true;
                self.next = self.question.number;
                self.marks.taken(self.question.number);
                Supply::More
            }
            Pull::Later => Supply::Later,
            Pull::End => Supply::Over,
        };
        self.supply
    }

    /// Begins the question that waits.
    fn begin_question(&mut self, now: Instant) -> Next {
        let Question { number, name, qtype, qclass, server, root } = &self.question;
        let name = match name {
            Ok(name) => name.as_wire(),
            Err(invalid) => {
                let text = invalid.text.as_bytes();
                self.desk.tell_invalid(*number, text, *qtype, *qclass, now);
                self.is_waiting = false;
                self.next = *number + 1;
                return Next::Told;
            }
        };
        let server = match server {
            None => None,
            Some(addr) => match self.desk.pool.add(*addr, now) {
                Some(server) => Some(server),
                // All that are known are waited for.
                None => return Next::At(Some(now + LATER)),
            },
        };
        let begun = Begun {
            number: *number,
            purpose: if server.is_some() { Purpose::Direct } else { Purpose::Question },
            name,
            qtype: qtype.0,
            qclass: qclass.0,
            root: root.unwrap_or(NO_ROOT),
            server: server.map_or(NONE, |server| server.0),
        };
        match self.desk.begin(&begun) {
            Some(slot) => {
                self.is_waiting = false;
                self.next = *number + 1;
                self.desk.tally.questions.add(1);
                Next::Begun(slot)
            }
            None => Next::At(None), // no room for a long name until another one ends
        }
    }

    /// The lowest number that was taken and is not told.
    fn lowest(&self) -> Option<u64> {
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

/// What can be begun.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// A lookup whose turn it is.
    Begun(u32),
    /// Nothing, for what there was has ended at once.
    Told,
    /// Nothing before this moment, or until something ends.
    At(Option<Instant>),
}

fn send<T: Tx>(session: &Session, link: &mut T, lens: &[u16]) -> Result<(), LinkError> {
    if lens.is_empty() {
        return Ok(());
    }
    let sent = link.send(lens)?;
    session.counters().batch(sent);
    session.counters().probes.add(u64::from(sent.sent));
    Ok(())
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
