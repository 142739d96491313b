//! Whose turn it is: lookups that are asked again, then tests and questions.

use std::{sync::Arc, time::Duration};

use mrpf_engine::{
    governor::Class,
    link::{LinkError, MAX_BATCH, Tx},
    scan::Session,
    time::Instant,
};

use super::{
    Lookups,
    asking::Asking,
    desk::Desk,
    lookups::Supply,
    slot::{NO_ROOT, NONE, Purpose, State},
    slots::Begun,
};
use crate::{
    message::Qclass,
    names::{Pull, Question, Source},
    resolver::Pick,
    wildcard::Wildcards,
};

/// How soon a source that has nothing at present is asked again.
const LATER: Duration = Duration::from_millis(1);
/// One slot of so many is kept for tests whether a parent is a wildcard: what waits for those takes slots too.
const TESTS_SHARE: u32 = 16;

impl<S: Source> Lookups<S> {
    /// Asks lookups whose turn has come again; gives when to come again and whether new ones may be asked now.
    pub(super) fn ask_again<T: Tx>(
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
                match self.desk.ask(number, None, now, link.frame(made)) {
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

    /// Asks tests and questions for the first time; gives when to come again.
    pub(super) fn ask_new<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
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
                // What has begun comes before what has not, so nothing begins that would have to wait.
                let picked = match self.desk.pool.pick(now, &[]) {
                    Pick::Server(server) => Some(server),
                    Pick::Dead => None,
                    Pick::Wait(at) => {
                        wait = Some(Some(at));
                        break;
                    }
                };
                let number = match self.begin_next(now) {
                    Next::Begun(number) => number,
                    Next::Told => continue,
                    Next::At(at) => {
                        wait = Some(at);
                        break;
                    }
                };
                match self.desk.ask(number, picked, now, link.frame(made)) {
                    Asking::Made(len) => {
                        lens[made] = len;
                        made += 1;
                    }
                    Asking::Wait(at) => {
                        self.desk.slots.enlist(&mut self.desk.ready, number);
                        wait = Some(Some(at));
                    }
                    Asking::Nothing => {}
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
        if self.desk.slots.room() > 0
            && let Some((name, qtype, tag)) =
                self.desk.wildcards.as_mut().and_then(Wildcards::next_question)
        {
            let begun = Begun {
                number: tag.into(),
                purpose: Purpose::Test,
                name: name.as_wire(),
                qtype: qtype.0,
                qclass: Qclass::IN.0,
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
