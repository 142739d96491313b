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

/// The two halves of a scan and the network between them, stepped by whoever wants what they find.
#[derive(Debug)]
pub struct Simulated<P: Probe> {
    shared: Arc<Shared<P>>,
    sender: Sender<P>,
    receiver: Receiver<P>,
    network: Network,
    tx: SimTx,
    closing_tx: SimTx,
    rx: SimRx,
    is_done: bool,
}

impl<P: Probe> Simulated<P> {
    /// Puts a scan on `network`, whose clock goes on from where it stands.
    pub fn new(shared: Arc<Shared<P>>, network: Network) -> Self {
        Self {
            sender: Sender::new(Arc::clone(&shared)),
            receiver: Receiver::new(Arc::clone(&shared)),
            tx: network.tx(),
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
        let next = self.sender.poll(self.network.now(), &mut self.tx)?;
        self.rx.receive(Duration::ZERO, |frame| self.receiver.handle(frame))?;
        let closing = self.receiver.poll_transmit(self.network.now(), &mut self.closing_tx)?;
        self.receiver.note_ring_drops(self.rx.ring_drops());
        match next {
            Next::Now => {}
            Next::At(at) => {
                let at = at.min(closing.unwrap_or(Instant::NEVER)).min(self.network.next_event());
                self.network.advance(at);
            }
            Next::Done => match closing {
                Some(at) => self.network.advance(at),
                None => self.is_done = true,
            },
        }
        Ok(!self.is_done)
    }
}
