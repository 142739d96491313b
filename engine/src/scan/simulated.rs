//! A scan on one thread over a simulated network, under virtual time: one seed gives one run, byte for byte.

use std::{sync::Arc, time::Duration};

use super::{Listener, Next, Receiver, Sender, Shared, ending::Ending};
use crate::{
    link::{
        LinkError, Rx,
        sim::{Network, SimRx, SimTx},
    },
    probe::Probe,
    time::Instant,
};

/// A listener that asks by itself and the network around it, stepped by whoever wants what it finds.
#[derive(Debug)]
pub struct Stepped<L> {
    listener: L,
    network: Network,
    tx: SimTx,
    rx: SimRx,
    ending: Ending,
    is_done: bool,
}

impl<L: Listener> Stepped<L> {
    /// Puts `listener` on `network`, whose clock goes on from where it stands.
    pub fn new(listener: L, network: Network) -> Self {
        let (tx, rx, ending) = (network.tx(), network.rx(), Ending::default());
        Self { listener, network, tx, rx, ending, is_done: false }
    }

    /// The moment that the simulation has reached.
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// The listener, as far as it can be looked at.
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// Lets the listener do what is due and moves the clock to the next thing that will be; false at the end.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the network was told to go away.
    pub fn step(&mut self) -> Result<bool, LinkError> {
        self.step_beside(false, Instant::NEVER)
    }

    /// The same beside senders, which have something to do again at `wake` if they ask more.
    fn step_beside(&mut self, is_sending: bool, wake: Instant) -> Result<bool, LinkError> {
        if self.is_done {
            return Ok(false);
        }
        let Self { listener, network, .. } = self;
        self.rx.receive(Duration::ZERO, |frame| listener.handle(frame))?;
        let again = listener.poll_transmit(network.now(), &mut self.tx)?;
        listener.note_ring_drops(self.rx.ring_drops());
        listener.rest(network.now());
        let next = wake.min(again.unwrap_or(Instant::NEVER));
        let now = network.now();
        if self.ending.is_over(listener, now, is_sending, again.is_none()) {
            listener.leave();
            self.is_done = true;
        } else {
            let look = self.ending.next(listener).unwrap_or(Instant::NEVER);
            let next = next.min(look).min(network.next_event());
            // Nothing will be by itself: it waits to be told what to ask.
            network.advance(if next == Instant::NEVER { now + listener.nap() } else { next });
        }
        Ok(!self.is_done)
    }
}

/// The senders and the listener of a scan and the network between them, stepped by whoever wants what they find.
#[derive(Debug)]
pub struct Simulated<P: Probe, L = Receiver<P>> {
    shared: Arc<Shared<P>>,
    senders: Vec<(Sender<P>, SimTx, Next)>,
    stepped: Stepped<L>,
}

impl<P: Probe, L: Listener> Simulated<P, L> {
    /// Puts a scan on `network`, whose clock goes on from where it stands; one listener hears all.
    pub fn new(shared: Arc<Shared<P>>, listener: L, network: Network) -> Self {
        Self {
            senders: (0..shared.threads())
                .map(|number| (Sender::new(Arc::clone(&shared), number), network.tx(), Next::Now))
                .collect(),
            stepped: Stepped::new(listener, network),
            shared,
        }
    }

    /// What the scan shares.
    pub fn shared(&self) -> &Shared<P> {
        &self.shared
    }

    /// The moment that the simulation has reached.
    pub fn now(&self) -> Instant {
        self.stepped.now()
    }

    /// Lets each half do what is due and moves the clock to the next thing that will be; false at the end.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the network was told to go away.
    pub fn step(&mut self) -> Result<bool, LinkError> {
        let now = self.now();
        for (sender, tx, next) in &mut self.senders {
            if *next != Next::Done {
                *next = sender.poll(now, tx)?;
            }
        }
        let wakes = self.senders.iter().map(|(.., next)| match next {
            Next::Now => Instant::START,
            Next::At(at) => *at,
            Next::Done => Instant::NEVER,
        });
        let wake = wakes.min().unwrap_or(Instant::NEVER);
        let is_sending = self.senders.iter().any(|(.., next)| *next != Next::Done);
        self.stepped.step_beside(is_sending, wake)
    }
}
