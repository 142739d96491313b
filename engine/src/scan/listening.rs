//! Listeners that ask by themselves, on threads over a real link.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    thread,
    time::Duration,
};

use super::{Failure, Listener, Session, ending::Ending, run::Ends, threads::Threads, watch};
use crate::{
    link::{LinkError, Rx, Tx, allowance::AllowanceSource},
    time::Clock,
};

/// How long to leave a consumer that is far behind alone.
const CROWDED: Duration = Duration::from_millis(1);

/// The threads of a scan that has no senders. Dropped, it stops the scan and waits for them.
#[derive(Debug)]
pub struct Listening {
    session: Arc<Session>,
    threads: Threads,
    /// How many listeners are at work.
    listening: Arc<AtomicUsize>,
}

impl Listening {
    /// Starts each of `listeners` on its link, with another for the frames that it sends. The threads have the network namespace
    /// of the calling one. Each ends when its listener [asks](Listener::is_asking) nothing any more and waits for nothing.
    ///
    /// # Errors
    ///
    /// [`Failure::Thread`] when the system gives no thread.
    pub fn start<L: Listener, T: Tx + 'static, R: Rx + 'static>(
        session: Arc<Session>,
        clock: Clock,
        listeners: Vec<(L, R, T)>,
    ) -> Result<Self, Failure> {
        let listening = Arc::new(AtomicUsize::new(listeners.len()));
        let mut threads = Threads::new(session.stop.clone());
        for (number, (listener, rx, tx)) in listeners.into_iter().enumerate() {
            let ends = Ends::of(&listening);
            threads.spawn(&format!("mrpf-listen-{number}"), move || {
                let _ends = ends;
                listen(listener, clock, rx, tx, || false)
            })?;
        }
        Ok(Self { session, threads, listening })
    }

    /// See [`Running::watch`](super::Running::watch).
    ///
    /// # Errors
    ///
    /// [`Failure::Thread`] when the system gives no thread.
    pub fn watch(
        &mut self,
        clock: Clock,
        source: impl AllowanceSource + 'static,
    ) -> Result<(), Failure> {
        let (session, listening) = (Arc::clone(&self.session), Arc::clone(&self.listening));
        self.threads.spawn("mrpf-watch", move || {
            watch::watch(&session, clock, source, &listening);
            Ok(())
        })
    }

    /// What the listeners share.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.threads.is_finished()
    }

    /// Waits for the end of the scan.
    ///
    /// # Errors
    ///
    /// The first failure of a thread. What was found before it is told all the same.
    pub fn join(self) -> Result<(), Failure> {
        self.threads.join()
    }
}

/// Drives one listener until it is over; `is_sending` tells whether senders beside it ask.
pub(super) fn listen(
    mut listener: impl Listener,
    clock: Clock,
    mut rx: impl Rx,
    mut tx: impl Tx,
    is_sending: impl Fn() -> bool,
) -> Result<(), LinkError> {
    let result = hear(&mut listener, clock, &mut rx, &mut tx, is_sending);
    // Whatever ended it, all that was lost until now is told.
    rx.recount();
    note(&mut listener, &mut rx);
    listener.leave();
    listener.rest(clock.now());
    result
}

fn note(listener: &mut impl Listener, rx: &mut impl Rx) {
    listener.note_ring_drops(rx.ring_drops());
    listener.note_screened(rx.screened());
}

fn hear(
    listener: &mut impl Listener,
    clock: Clock,
    rx: &mut impl Rx,
    tx: &mut impl Tx,
    is_sending: impl Fn() -> bool,
) -> Result<(), LinkError> {
    let mut ending = Ending::default();
    let mut wait = listener.nap();
    loop {
        listener.rest(clock.now());
        // While nobody takes what is found, frames are better left where the kernel has room for them.
        let count = if listener.is_crowded() {
            thread::sleep(CROWDED);
            1
        } else {
            rx.receive(wait, |frame| listener.handle(frame))?
        };
        let now = clock.now();
        let again = listener.poll_transmit(now, tx)?;
        wait = again.map_or(Duration::MAX, |at| at.since(now)).min(listener.nap());
        note(listener, rx);
        if ending.is_over(listener, now, is_sending(), count == 0 && again.is_none()) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
