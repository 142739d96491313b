//! A scan on one thread over a simulated network, under virtual time: one seed gives one run, byte for byte.

use std::{sync::Arc, time::Duration};

use super::{Next, Receiver, Sender, Shared};
use crate::{
    link::{
        LinkError, Rx,
        sim::{Network, SimRx, SimTx},
    },
    probe::Probe,
    time::Instant,
};

/// The senders and the receiver of a scan and the network between them, stepped by whoever wants what they find.
#[derive(Debug)]
pub struct Simulated<P: Probe> {
    shared: Arc<Shared<P>>,
    senders: Vec<(Sender<P>, SimTx, Next)>,
    receiver: Receiver<P>,
    network: Network,
    closing_tx: SimTx,
    rx: SimRx,
    is_done: bool,
}

impl<P: Probe> Simulated<P> {
    /// Puts a scan on `network`, whose clock goes on from where it stands.
    pub fn new(shared: Arc<Shared<P>>, network: Network) -> Self {
        Self {
            senders: (0..shared.threads())
                .map(|number| (Sender::new(Arc::clone(&shared), number), network.tx(), Next::Now))
                .collect(),
            receiver: Receiver::new(Arc::clone(&shared), 0),
            closing_tx: network.tx(),
            rx: network.rx(),
            network,
            shared,
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
        self.rx.receive(Duration::ZERO, |frame| self.receiver.handle(frame))?;
        let closing = self.receiver.poll_transmit(self.network.now(), &mut self.closing_tx)?;
        self.receiver.note_ring_drops(self.rx.ring_drops());
        self.receiver.rest();
        let wakes = self.senders.iter().map(|(.., next)| match next {
            Next::Now => Instant::START,
            Next::At(at) => *at,
            Next::Done => Instant::NEVER,
        });
        let is_sending = self.senders.iter().any(|(.., next)| *next != Next::Done);
        let next = wakes.min().unwrap_or(Instant::NEVER).min(closing.unwrap_or(Instant::NEVER));
        if is_sending {
            self.network.advance(next.min(self.network.next_event()));
        } else if closing.is_some() {
            self.network.advance(next);
        } else {
            self.is_done = true;
        }
        Ok(!self.is_done)
    }
}
