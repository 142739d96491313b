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

/// The senders and the listener of a scan and the network between them, stepped by whoever wants what they find.
#[derive(Debug)]
pub struct Simulated<P: Probe, L = Receiver<P>> {
    shared: Arc<Shared<P>>,
    senders: Vec<(Sender<P>, SimTx, Next)>,
    listener: L,
    network: Network,
    listener_tx: SimTx,
    rx: SimRx,
    ending: Ending,
    is_done: bool,
}

impl<P: Probe, L: Listener> Simulated<P, L> {
    /// Puts a scan on `network`, whose clock goes on from where it stands; one listener hears all.
    pub fn new(shared: Arc<Shared<P>>, listener: L, network: Network) -> Self {
        Self {
            senders: (0..shared.threads())
                .map(|number| (Sender::new(Arc::clone(&shared), number), network.tx(), Next::Now))
                .collect(),
            listener,
            listener_tx: network.tx(),
            rx: network.rx(),
            network,
            shared,
            ending: Ending::default(),
            is_done: false,
        }
    }

    /// What the scan shares.
    pub fn shared(&self) -> &Shared<P> {
        &self.shared
    }

    /// The moment that the simulation has reached.
    pub fn now(&self) -> Instant {
        self.network.now()
    }

    /// Lets each half do what is due and moves the clock to the next thing that will be; false at the end.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the network was told to go away.
    pub fn step(&mut self) -> Result<bool, LinkError> {
        if self.is_done {
            return Ok(false);
        }
        let now = self.network.now();
        for (sender, tx, next) in &mut self.senders {
            if *next != Next::Done {
                *next = sender.poll(now, tx)?;
            }
        }
        let Self { listener, network, .. } = self;
        self.rx.receive(Duration::ZERO, |frame| listener.handle(frame))?;
        let again = listener.poll_transmit(network.now(), &mut self.listener_tx)?;
        listener.note_ring_drops(self.rx.ring_drops());
        listener.rest(network.now());
        let wakes = self.senders.iter().map(|(.., next)| match next {
            Next::Now => Instant::START,
            Next::At(at) => *at,
            Next::Done => Instant::NEVER,
        });
        let is_sending = self.senders.iter().any(|(.., next)| *next != Next::Done);
        let next = wakes.min().unwrap_or(Instant::NEVER).min(again.unwrap_or(Instant::NEVER));
        let now = network.now();
        if self.ending.is_over(listener, now, is_sending, again.is_none()) {
            listener.leave();
            self.is_done = true;
        } else {
            let look = self.ending.next(listener).unwrap_or(Instant::NEVER);
            network.advance(next.min(look).min(network.next_event()));
        }
        Ok(!self.is_done)
    }
}
